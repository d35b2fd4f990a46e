"""Alembic's command line in a built release, and what its output says."""

from pathlib import Path

from guarded_rollout.core.problems import BadInput, Broken
from guarded_rollout.core.spec import Migrations
from guarded_rollout.ports import Built

_RECORDER = Path(__file__).with_name("recorder.py")
_LINES_SHOWN = 6
LINE_LENGTH = 300


def printing(built: Built, migrations: Migrations, span: str) -> tuple[str, ...]:
    """The command that prints the SQL of `span`."""
    python, ini = _release(built, migrations)
    return (python, "-I", "-B", "-m", "alembic", "-c", ini, "upgrade", span, "--sql")


def moving(
    built: Built, migrations: Migrations, words: tuple[str, str], report: int
) -> tuple[str, ...]:
    """The command that moves the schema and reports to the descriptor `report`."""
    python, ini = _release(built, migrations)
    wait_ms = max(1, round(migrations.lock_timeout_seconds * 1000))  # 0 would be for ever
    return (python, "-I", "-B", str(_RECORDER), str(report), str(wait_ms), "-c", ini, *words)


def last_lines(output: str) -> str:
    """What went wrong, in Alembic's words; where in its code is in the log."""
    said = [line for line in output.splitlines() if line.strip()]
    outside = [line for line in said if not line.startswith((" ", "(", "Traceback", "The above"))]
    lines = [line.strip()[:LINE_LENGTH] for line in outside or said]
    return "\n  ".join(["", *lines[-_LINES_SHOWN:]]) if lines else "it printed nothing"


def hint(output: str, log: Path | None) -> str:
    """What to do about it."""
    look = f"look at {log}" if log else "repair the migration"
    if "database is locked" in output:
        return f"another process holds the database; find it (fuser -v FILE), end it, then {look}"
    if "Can't locate revision" in output:
        return f"the database is newer than this release's migrations; {look}"
    return f"{look}, repair the migration, and try again"


def _release(built: Built, migrations: Migrations) -> tuple[str, str]:
    """Its python and its Alembic configuration. Writes no bytecode: the release is read-only."""
    python = built.folder / "venv" / "bin" / "python"
    if not python.exists():
        raise Broken(f"{built.folder} has no venv/bin/python", "build the release again")
    packages = sorted((built.folder / "venv").glob("lib/python*/site-packages"))
    ini = migrations.alembic_ini.replace("{folder}", str(built.folder))
    if "{site_packages}" in ini:
        if len(packages) != 1:
            raise Broken(
                f"{built.folder}/venv has {len(packages)} site-packages folders, not one",
                "build the release again",
            )
        ini = ini.replace("{site_packages}", str(packages[0]))
    if "{" in ini or not (built.folder / ini).is_file():
        raise BadInput(
            f"alembic_ini {migrations.alembic_ini!r} is no file in release {built.release.name}: "
            f"{built.folder / ini}",
            "name the file with {site_packages}/PACKAGE/alembic.ini or {folder}/alembic.ini",
        )
    return str(python), str(built.folder / ini)
