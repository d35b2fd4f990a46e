"""Real bad releases of dhash: its source in a scratch copy, patched, with a higher version.

python tests/support/bad_releases.py slow /tmp/slow
rollout deploy --env development --source /tmp/slow
"""

import argparse
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

SOURCE = Path(__file__).parents[2] / "services" / "dhash"
PACKAGE = Path("src/dhash")
SKIPPED = shutil.ignore_patterns(
    "tests", "golden", "dist", "build", ".*", "__pycache__", "*.lock.tmp"
)


@dataclass(frozen=True)
class Patch:
    """Replace `old` by `new` in a file of the package; `old` must be there exactly once."""

    file: str
    old: str
    new: str


@dataclass(frozen=True)
class Recipe:
    """What is wrong with a release, and how it is made so."""

    version: str
    about: str
    patches: tuple[Patch, ...] = ()
    files: tuple[tuple[str, str], ...] = ()


FAILING_GATES = {"extractionFailureRate", "userErrors"}
"""Of a release that fails requests: the service's counters, and the proxy's against the old one.

The sources are read one after the other, so either may be the first to show enough.
"""

BROKEN_MIGRATION = '''"""A column for thumbnails, and then a mistake."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.add_column("images", sa.Column("thumbnail", sa.LargeBinary))
    op.create_table("thumbnails", sa.Column("id", sa.Integer, primary_key=True))
    op.execute("UPDATE no_such_table SET thumbnail = NULL")


def downgrade() -> None:
    op.drop_table("thumbnails")
    op.drop_column("images", "thumbnail")
'''

RECIPES = {
    "good": Recipe("1.0.1", "nothing is wrong: another version of the same"),
    "slow": Recipe(
        "1.1.0",
        "every hash takes 2.3 s",
        (
            Patch(
                "hashing.py",
                "    try:\n        decoded = _decode(content, exact=exact)",
                "    __import__('time').sleep(2.3)\n"
                "    try:\n        decoded = _decode(content, exact=exact)",
            ),
        ),
    ),
    "failing": Recipe(
        "1.2.0",
        "extraction number {every}, and each that is a multiple of it, fails",
        (
            Patch(
                "extraction.py",
                "    if upload.is_pdf:\n",
                "    if next(_TURN) % {every} == 0:\n"
                '        raise UnreadableError("The decoder lost its table.", "")\n'
                "    if upload.is_pdf:\n",
            ),
            Patch(
                "extraction.py",
                "TIME_LIMIT_S = 120\n",
                "TIME_LIMIT_S = 120\n_TURN = __import__('itertools').count(1)\n",
            ),
        ),
    ),
    "crash-loop": Recipe(
        "1.3.0",
        "it ends right after its start",
        (
            Patch(
                "serve.py",
                "    logs.configure(settings)\n",
                "    logs.configure(settings)\n"
                '    raise SystemExit("cannot load the model: file is missing")\n',
            ),
        ),
    ),
    "unhealthy-later": Recipe(
        "1.4.0",
        "its health check says CRITICAL after {seconds} seconds",
        (
            Patch(
                "health.py",
                "DATABASE_LIMIT_S = 3.0\n",
                "DATABASE_LIMIT_S = 3.0\n_BORN = elapsed()\n",
            ),
            Patch(
                "health.py",
                "    database, queue = await _check_database(service)\n",
                "    database, queue = await _check_database(service)\n"
                "    if elapsed() - _BORN > {seconds}:\n"
                '        database = Check("CRITICAL", "the connection pool leaks")\n',
            ),
        ),
    ),
    "bad-migration": Recipe(
        "1.5.0",
        "its migration fails halfway",
        files=(("migrations/versions/0003_thumbnails.py", BROKEN_MIGRATION),),
    ),
    "growing-queue": Recipe(
        "1.6.0",
        "every match is queued forty times, each time anew",
        (
            Patch(
                "reviews.py",
                '    return f"{min(one, other)}-{max(one, other)}"',
                "    return f\"{min(one, other)}-{max(one, other)}-{__import__('uuid').uuid4()}\"",
            ),
            Patch("reviews.py", "ACCEPT_DISTANCE = 3\n", "ACCEPT_DISTANCE = -1\n"),
            Patch(
                "reviews.py",
                "    return enqueue(connection, image_id, matched_image_id, bits_apart, reason)",
                "    for _ in range(39):\n"
                "        enqueue(connection, image_id, matched_image_id, bits_apart, reason)\n"
                "    return enqueue(connection, image_id, matched_image_id, bits_apart, reason)",
            ),
        ),
    ),
}


def make(
    name: str, folder: Path, *, seconds: float = 60.0, every: int = 5, version: str | None = None
) -> Path:
    """The source of a release in `folder`, ready for `rollout deploy --source`.

    Raises ValueError when dhash's source is not what a patch expects.
    """
    recipe = RECIPES[name]
    shutil.copytree(SOURCE, folder, ignore=SKIPPED)
    package = folder / PACKAGE
    init = package / "__init__.py"
    text = init.read_text()
    before = text.split('__version__ = "')[1].split('"')[0]
    init.write_text(text.replace(f'"{before}"', f'"{version or recipe.version}"'))
    for patch in recipe.patches:
        file = package / patch.file
        source = file.read_text()
        if source.count(patch.old) != 1:
            raise ValueError(f"{name}: {patch.file} has no single {patch.old!r}")
        file.write_text(source.replace(patch.old, told(patch.new, seconds, every)))
    for path, content in recipe.files:
        (package / path).write_text(content)
    return folder


def told(text: str, seconds: float, every: int) -> str:
    """With the numbers in their places."""
    return text.replace("{seconds}", f"{seconds:g}").replace("{every}", str(every))


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=sorted(RECIPES))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seconds", type=float, default=60.0, help="for unhealthy-later")
    parser.add_argument("--every", type=int, default=5, help="for failing")
    args = parser.parse_args()
    made = make(args.name, args.folder, seconds=args.seconds, every=args.every)
    about = told(RECIPES[args.name].about, args.seconds, args.every)
    sys.stdout.write(f"{made}: {about}\n")


if __name__ == "__main__":
    main()
