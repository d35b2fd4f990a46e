"""Releases of the notebook, each with one kind of migration: `make("rename", folder)`.

`ways` of a release says which ways back to the first one there are. A test starts each combination
and finds out whether that is true; the tool has to say so before anything is started.
"""

from dataclasses import dataclass
from pathlib import Path

from notebook_source import ALEMBIC_INI, ENV, FIRST, INIT, MAIN, PYPROJECT, STATEMENTS

LOCK = Path(__file__).parents[2] / "services" / "dhash" / "requirements.lock"
NEEDS = {
    "alembic",
    "mako",
    "markupsafe",
    "psycopg",
    "psycopg-binary",
    "sqlalchemy",
    "typing-extensions",
    "tzdata",
}
FLIP, DOWN, RESTORE = "flip", "flip-and-down", "restore"

INSERT = "INSERT INTO entries (ref, note, pages) VALUES (:ref, :note, :pages)"
SELECT = "SELECT ref, note, pages FROM entries"
BODY = """
import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade():
{up}


def downgrade():
{down}
"""


@dataclass(frozen=True)
class Recipe:
    """A release. `up` and `down`: Python lines, `up` empty: the first release's schema.

    `because`: what the tool says of each way that there is not, in part. `fails`: every so many
    writes get a 500. `lives`: the old release really works on this schema, where that is not the
    same as `FLIP in ways`.
    """

    version: str
    about: str
    up: tuple[str, ...] = ()
    down: tuple[str, ...] = ()
    inserts: tuple[str, ...] = (INSERT,)
    select: str = SELECT
    ways: tuple[str, ...] = (FLIP, DOWN, RESTORE)
    because: tuple[tuple[str, str], ...] = ()
    fails: int = 0
    lives: bool | None = None

    @property
    def flips(self) -> bool:
        """The old release really lives with this schema."""
        return FLIP in self.ways if self.lives is None else self.lives


def column(name: str, more: str = "") -> tuple[str, str]:
    """How the column comes and goes."""
    return (
        f'op.add_column("entries", sa.Column("{name}", sa.Text{more}))',
        f'op.drop_column("entries", "{name}")',
    )


COLOUR, NO_COLOUR = column("colour")
COLOURED = ("INSERT INTO entries (ref, note, pages, colour) VALUES (:ref, :note, :pages, 'red')",)
RENAMED = ("INSERT INTO entries (ref, remark, pages) VALUES (:ref, :note, :pages)",)
REMARKS = "SELECT ref, remark AS note, pages FROM entries"
RAISES = ('raise NotImplementedError("there is no way down")',)
RETYPED = (
    'with op.batch_alter_table("entries") as entries:',
    '    entries.alter_column("pages", existing_type=sa.{old}, type_=sa.{new},',
    '        existing_nullable=False, postgresql_using="pages::{cast}")',
)
OWNED = (
    column("owner")[0],
    "op.execute(\"UPDATE entries SET owner = 'nobody'\")",
    'with op.batch_alter_table("entries") as entries:',
    '    entries.alter_column("owner", existing_type=sa.Text, nullable=False)',
)


def retyped(old: str, new: str, cast: str) -> tuple[str, ...]:
    """The lines that give `pages` another type."""
    return tuple(line.format(old=old, new=new, cast=cast) for line in RETYPED)


RECIPES = {
    "first": Recipe("1.0.0", "the one that serves"),
    "same": Recipe("1.0.1", "no migration at all", ways=(FLIP, RESTORE)),
    "add-column": Recipe("2.0.0", "one more column", (COLOUR,), (NO_COLOUR,), COLOURED),
    "add-table": Recipe(
        "2.1.0",
        "one more table",
        (
            'op.create_table("labels", sa.Column("ref", sa.Text, primary_key=True),',
            '    sa.Column("label", sa.Text, nullable=False))',
        ),
        ('op.drop_table("labels")',),
        (INSERT, "INSERT INTO labels (ref, label) VALUES (:ref, 'new')"),
    ),
    "expand": Recipe(
        "2.2.0",
        "the first step of a rename: the new name beside the old one, both are written",
        (column("remark")[0],),
        (column("remark")[1],),
        ("INSERT INTO entries (ref, note, remark, pages) VALUES (:ref, :note, :note, :pages)",),
        "SELECT ref, COALESCE(remark, note) AS note, pages FROM entries",
    ),
    "rename": Recipe(
        "2.3.0",
        "a rename in one step",
        ('op.execute("ALTER TABLE entries RENAME COLUMN note TO remark")',),
        ('op.execute("ALTER TABLE entries RENAME COLUMN remark TO note")',),
        RENAMED,
        REMARKS,
        (DOWN, RESTORE),
        ((FLIP, "the old release knows the old name"),),
    ),
    "drop-column": Recipe(
        "2.4.0",
        "a column that the old release still uses goes, and what was in it",
        ('op.drop_column("entries", "pages")',),
        (
            'op.add_column("entries",',
            '    sa.Column("pages", sa.Integer, nullable=False, server_default="0"))',
            'with op.batch_alter_table("entries") as entries:',
            '    entries.alter_column("pages", existing_type=sa.Integer, server_default=None)',
        ),
        ("INSERT INTO entries (ref, note) VALUES (:ref, :note)",),
        "SELECT ref, note, 41 AS pages FROM entries",
        (RESTORE,),
        ((FLIP, "the old release still uses this column"), (DOWN, "entries")),
    ),
    "type-change": Recipe(
        "2.5.0",
        "numbers become text",
        retyped("Integer", "Text", "text"),
        retyped("Text", "Integer", "integer"),
        ("INSERT INTO entries (ref, note, pages) VALUES (:ref, :note, CAST(:pages AS TEXT))",),
        "SELECT ref, note, CAST(pages AS INTEGER) AS pages FROM entries",
        (DOWN, RESTORE),
        ((FLIP, "pages"),),
    ),
    "required-column": Recipe(
        "2.6.0",
        "a column that must be there and has no default",
        OWNED,
        (column("owner")[1],),
        ("INSERT INTO entries (ref, note, pages, owner) VALUES (:ref, :note, :pages, 'me')",),
        ways=(DOWN, RESTORE),
        because=((FLIP, "owner"),),
    ),
    "irreversible": Recipe(
        "2.7.0",
        "one more column, and no way down",
        (COLOUR,),
        RAISES,
        COLOURED,
        ways=(FLIP, RESTORE),
        because=((DOWN, "no way down"),),
    ),
    "irreversible-rename": Recipe(
        "2.8.0",
        "a rename in one step, and no way down",
        ('op.execute("ALTER TABLE entries RENAME COLUMN note TO remark")',),
        RAISES,
        RENAMED,
        REMARKS,
        (RESTORE,),
        ((FLIP, "the old release knows the old name"), (DOWN, "no way down")),
    ),
    "backfill": Recipe(
        "2.9.0",
        "one more column, filled from the others",
        (column("loud")[0], 'op.execute("UPDATE entries SET loud = upper(note)")'),
        (column("loud")[1],),
        (
            (
                "INSERT INTO entries (ref, note, pages, loud)"
                " VALUES (:ref, :note, :pages, upper(:note))"
            ),
        ),
    ),
    "rewrite": Recipe(
        "2.10.0",
        "rows are changed in place, and the way down does not change them back",
        ("op.execute(\"UPDATE entries SET note = note || '!'\")",),
        ("pass",),
        ways=(FLIP, RESTORE),
        because=((DOWN, "up and down again changes the rows of entries"),),
    ),
    "losing-down": Recipe(
        "2.11.0",
        "one more column; the way down deletes the rows that use it",
        (COLOUR,),
        ('op.execute("DELETE FROM entries WHERE colour IS NOT NULL")', NO_COLOUR),
        COLOURED,
        ways=(FLIP, RESTORE),
        because=((DOWN, "the way down loses rows of entries"),),
    ),
    "required-at-once": Recipe(
        "2.12.0",
        "a column that must be there, without a default, where there are rows",
        (column("owner", ", nullable=False")[0],),
        (column("owner")[1],),
        ways=(),
    ),
    "failing": Recipe(
        "2.13.0",
        "one more column; every third write fails",
        (COLOUR,),
        (NO_COLOUR,),
        COLOURED,
        fails=3,
    ),
}


def make(name: str, folder: Path) -> Path:
    """The source of a release in `folder`, ready for `rollout deploy --source`."""
    recipe = RECIPES[name]
    statements = STATEMENTS.format(inserts=recipe.inserts, select=recipe.select, fails=recipe.fails)
    files = {
        "pyproject.toml": PYPROJECT,
        "requirements.lock": _lock(),
        "src/notebook/__init__.py": INIT.format(version=recipe.version),
        "src/notebook/__main__.py": MAIN,
        "src/notebook/statements.py": statements,
        "src/notebook/alembic.ini": ALEMBIC_INI,
        "src/notebook/migrations/__init__.py": "",
        "src/notebook/migrations/env.py": ENV,
        "src/notebook/migrations/versions/0001_first.py": FIRST,
    }
    if recipe.up:
        up, down = (
            "\n".join(f"    {line}" for line in lines) for lines in (recipe.up, recipe.down)
        )
        files["src/notebook/migrations/versions/0002_second.py"] = (
            f'"""{recipe.about.capitalize()}."""\n{BODY.format(up=up, down=down)}'
        )
    for path, content in files.items():
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
    return folder


def _lock() -> str:
    """Hashed requirements: those of dhash that the notebook needs, too."""
    stanzas = LOCK.read_text().replace("\n    ", "\0").splitlines()
    chosen = [stanza for stanza in stanzas if stanza.split("==")[0] in NEEDS]
    return "\n".join(chosen).replace("\0", "\n    ") + "\n"
