"""What every adapter of ports.Migrator keeps, with a toy service and its real Alembic."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import pytest

from guarded_rollout.adapters.alembic import AlembicMigrator
from guarded_rollout.adapters.clock import SystemClock
from guarded_rollout.adapters.sqlite import SqliteDatabase
from guarded_rollout.core.problems import BadInput, Broken, Busy, Interrupted
from guarded_rollout.core.spec import Migrations, Release
from guarded_rollout.ports import Built

DEADLINE = 120.0
MIGRATIONS = Migrations("{folder}/toy/alembic.ini", timeout_seconds=DEADLINE)

ENV = """
import os, sqlite3
from alembic import context
from sqlalchemy import create_engine, event
from sqlalchemy.pool import NullPool
url = os.environ["TOY_DATABASE_URL"]
if context.is_offline_mode():
    context.configure(url=url, literal_binds=True, transactional_ddl=True)
    with context.begin_transaction():
        context.run_migrations()
else:
    engine = create_engine(url, poolclass=NullPool, connect_args={"isolation_level": None})
    if TRANSACTIONAL:
        event.listen(engine, "begin", lambda c: c.exec_driver_sql("BEGIN IMMEDIATE"))
    with engine.begin() as connection:
        context.configure(connection=connection, transactional_ddl=True)
        context.run_migrations()
"""
HEADER = """
import os, time
import sqlalchemy as sa
from alembic import op
revision, down_revision = {revision!r}, {down!r}
def downgrade():
    raise NotImplementedError
def upgrade():
"""
FIRST = """
    op.create_table("images", sa.Column("id", sa.Integer, primary_key=True))
"""
ADDS = """
    op.add_column("images", sa.Column("seen", sa.Integer, nullable=False, server_default="1"))
"""
FAILS_HALFWAY = """
    op.create_table("half", sa.Column("id", sa.Integer, primary_key=True))
    op.add_column("images", sa.Column("half", sa.Integer))
    op.execute("INSERT INTO nowhere VALUES (1)")
"""
WAITS = """
    op.create_table("late", sa.Column("id", sa.Integer, primary_key=True))
    open({here!r}, "x").close()
    while not os.path.exists({go!r}):
        time.sleep(0.02)
"""


class Quiet:
    """A control that lets everything happen, until `stop` is set."""

    def __init__(self) -> None:
        self.stop = False
        self.said: list[str] = []

    def stopped(self) -> bool:
        return self.stop

    def say(self, text: str) -> None:
        self.said.append(text)


class Toy:
    """A service's releases on disk, each with as many migrations as it is given."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.database = SqliteDatabase(folder / "toy.db", SystemClock())
        self.migrator = AlembicMigrator(
            self.database, "TOY_DATABASE_URL", folder / "logs", folder / "locks", SystemClock()
        )

    def release(self, *upgrades: str, transactional: bool = True) -> Built:
        version = f"1.{len(list(self.folder.glob('1.*')))}"
        folder = self.folder / version
        scripts = folder / "toy" / "migrations"
        (scripts / "versions").mkdir(parents=True)
        (folder / "venv").symlink_to(sys.prefix)
        (folder / "toy" / "alembic.ini").write_text(
            "[alembic]\nscript_location = %(here)s/migrations\npath_separator = os\n"
        )
        (scripts / "env.py").write_text(ENV.replace("TRANSACTIONAL", str(transactional)))
        head = None
        for number, upgrade in enumerate(upgrades, 1):
            header = HEADER.format(revision=f"{number:04}", down=head)
            head = f"{number:04}"
            (scripts / "versions" / f"{head}.py").write_text(header + upgrade)
        return Built(Release("toy", version, "0" * 64), folder, head)

    def up(self, built: Built, control: Quiet | None = None) -> None:
        self.migrator.up(built, MIGRATIONS, control or Quiet())


@pytest.fixture
def toy(tmp_path) -> Toy:
    return Toy(tmp_path)


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def wait_for(path: Path) -> None:
    clock = SystemClock()
    until = clock.monotonic() + DEADLINE
    while not path.exists():
        assert clock.monotonic() < until, f"{path} never came"
        clock.sleep(0.02)


def test_up_brings_the_schema_to_the_releases_head(toy):
    """From nothing, and then from an older release's schema, with the rows kept."""
    toy.up(toy.release(FIRST))
    assert toy.database.revision() == "0001"
    with closing(sqlite3.connect(toy.database.path)) as c:
        c.execute("INSERT INTO images VALUES (1), (2)")
        c.commit()
    toy.up(toy.release(FIRST, ADDS))
    assert toy.database.revision() == "0002"
    assert toy.database.rows() == {"images": 2}
    assert any("seen" in statement for statement in toy.database.schema())


def test_up_at_the_head_does_nothing(toy):
    """Not even start Alembic: its python may be gone."""
    built = toy.release(FIRST)
    toy.up(built)
    before = tree(toy.folder)
    (built.folder / "venv").unlink()
    control = Quiet()
    toy.up(built, control)
    assert tree(toy.folder) == before
    assert control.said == []


def test_the_release_on_disk_is_not_written_to(toy):
    """No bytecode, no logs: a release is read-only."""
    built = toy.release(FIRST)
    before = tree(built.folder)
    toy.up(built)
    toy.migrator.preview(toy.release(FIRST, ADDS), MIGRATIONS)
    assert tree(built.folder) == before


def test_a_failing_migration_leaves_the_schema_as_it_was(toy):
    """The problem has Alembic's last lines, the revisions, and the log."""
    toy.up(toy.release(FIRST))
    before = toy.database.schema()
    with pytest.raises(Broken) as caught:
        toy.up(toy.release(FIRST, ADDS, FAILS_HALFWAY))
    what = caught.value.why.what
    assert "no such table: nowhere" in what
    assert "the schema is what it was: revision 0001" in what
    assert toy.database.schema() == before
    assert toy.database.revision() == "0001"
    (log,) = [path for path in (toy.folder / "logs").iterdir() if str(path) in str(caught.value)]
    assert "nowhere" in log.read_text()


def test_a_failing_first_migration_leaves_no_table(toy):
    """From nothing, halfway, back to nothing."""
    with pytest.raises(Broken, match="the schema is what it was: revision None"):
        toy.up(toy.release(FIRST, FAILS_HALFWAY))
    assert toy.database.schema() == ()


def test_a_migration_without_a_transaction_is_told_loudly(toy):
    """What is left of it is listed; the same revision name does not hide it."""
    toy.up(toy.release(FIRST))
    with pytest.raises(Broken) as caught:
        toy.up(toy.release(FIRST, FAILS_HALFWAY, transactional=False))
    what = caught.value.why.what
    assert "THE SCHEMA IS NOT WHAT IT WAS: revision 0001 before, 0001 after" in what
    assert "CREATE TABLE half" in what


def test_a_release_that_is_older_than_the_database_is_explained(toy):
    """Alembic's own words are cryptic."""
    old = toy.release(FIRST)
    toy.up(toy.release(FIRST, ADDS))
    with pytest.raises(Broken) as caught:
        toy.up(old)
    assert "newer than this release's migrations" in caught.value.why.hint
    assert toy.database.revision() == "0002"


def test_success_without_the_head_is_a_failure(toy, tmp_path):
    """An env.py that migrates another database is found out."""
    built = toy.release(FIRST)
    env = built.folder / "toy" / "migrations" / "env.py"
    other = f"sqlite:///{tmp_path / 'other.db'}"
    env.write_text(env.read_text().replace('os.environ["TOY_DATABASE_URL"]', repr(other)))
    with pytest.raises(Broken, match="has revision None, not 0001") as caught:
        toy.up(built)
    assert "TOY_DATABASE_URL" in caught.value.why.hint


def test_a_second_runner_is_refused_at_once_and_told_who_is_at_it(toy):
    """The first one is not disturbed."""
    here, go = toy.folder / "here", toy.folder / "go"
    waits = WAITS.format(here=str(here), go=str(go))
    built = toy.release(FIRST, waits)
    problems: list[BaseException] = []

    def first() -> None:
        try:
            toy.up(built)
        except BaseException as problem:  # noqa: BLE001 - shown below
            problems.append(problem)

    thread = threading.Thread(target=first)
    thread.start()
    try:
        wait_for(here)
        with pytest.raises(Busy) as caught:
            toy.up(toy.release(FIRST, ADDS))
    finally:
        go.touch()
        thread.join(DEADLINE)
    assert problems == []
    assert f"process {os.getpid()}" in caught.value.why.what
    assert built.release.name in caught.value.why.what
    assert toy.database.revision() == "0002"
    assert "late" in toy.database.rows()
    toy.up(toy.release(FIRST, waits, ADDS))  # the lock is free again
    assert toy.database.revision() == "0003"


def test_the_migration_itself_holds_the_lock(toy):
    """So that nobody begins another one while it lives, whatever became of its controller."""
    out = toy.folder / "out"
    code = f"""
    files = [os.path.join("/dev/fd", fd) for fd in os.listdir("/dev/fd")]
    with open({str(out)!r}, "w") as out:
        out.write(" ".join(os.path.realpath(file) for file in files))
"""
    toy.up(toy.release(FIRST + code))
    (lock,) = (toy.folder / "locks").iterdir()
    assert str(lock) in out.read_text().split()
    assert lock.read_bytes() == b""


def test_told_to_stop_the_schema_is_what_it_was(toy):
    """The running migration ends, and its transaction with it."""
    here, go = toy.folder / "here", toy.folder / "go"
    built = toy.release(FIRST, WAITS.format(here=str(here), go=str(go)))
    control = Quiet()
    control.stopped = here.exists
    with pytest.raises(Interrupted, match="the schema is what it was: revision None"):
        toy.up(built, control)
    assert toy.database.schema() == ()


def test_a_migration_that_takes_too_long_is_ended(toy):
    """By its own limit."""
    here, go = toy.folder / "here", toy.folder / "go"
    built = toy.release(FIRST, WAITS.format(here=str(here), go=str(go)))
    limited = Migrations(MIGRATIONS.alembic_ini, timeout_seconds=0.5)
    with pytest.raises(Broken, match=r"0\.5 s.*the schema is what it was"):
        toy.migrator.up(built, limited, Quiet())


def test_a_killed_controller_leaves_a_whole_schema_and_no_lock(toy):
    """Its migration dies with it; the successor carries on."""
    here, go = toy.folder / "here", toy.folder / "go"
    toy.up(toy.release(FIRST))
    before = toy.database.schema()
    built = toy.release(FIRST, WAITS.format(here=str(here), go=str(go)))
    code = """
import json, sys
from pathlib import Path
from guarded_rollout.adapters.alembic import AlembicMigrator
from guarded_rollout.adapters.clock import SystemClock
from guarded_rollout.adapters.sqlite import SqliteDatabase
from guarded_rollout.core.spec import Migrations, Release
from guarded_rollout.ports import Built
folder, release = map(Path, json.loads(sys.argv[1]))
class Quiet:
    def stopped(self): return False
    def say(self, text): pass
clock = SystemClock()
database = SqliteDatabase(folder / "toy.db", clock)
AlembicMigrator(database, "TOY_DATABASE_URL", folder / "logs", folder / "locks", clock).up(
    Built(Release("toy", "1", "0" * 64), release, "0002"),
    Migrations("{folder}/toy/alembic.ini"), Quiet())
"""
    arguments = json.dumps([str(toy.folder), str(built.folder)])
    process = subprocess.Popen([sys.executable, "-c", code, arguments])
    try:
        wait_for(here)
    finally:
        process.kill()
        assert process.wait() == -signal.SIGKILL
    here.unlink()
    go.touch()
    clock = SystemClock()
    until = clock.monotonic() + DEADLINE
    while True:  # the dead controller's migration is being ended meanwhile
        assert clock.monotonic() < until
        try:
            seen = toy.database.schema()
            toy.up(built)
            break
        except Busy:
            clock.sleep(0.05)
    assert seen == before
    assert toy.database.revision() == "0002"


def test_preview_is_the_sql_and_changes_nothing(toy):
    """From nothing, from a revision, and nothing at the head."""
    first, second = toy.release(FIRST), toy.release(FIRST, ADDS)
    sql = toy.migrator.preview(second, MIGRATIONS)
    assert "CREATE TABLE images" in sql
    assert "ADD COLUMN seen" in sql
    assert not toy.database.path.exists()
    toy.up(first)
    before = tree(toy.folder)
    sql = toy.migrator.preview(second, MIGRATIONS)
    assert "CREATE TABLE images" not in sql
    assert "ADD COLUMN seen" in sql
    assert toy.migrator.preview(first, MIGRATIONS) == ""
    assert tree(toy.folder) == before
    toy.up(second)
    assert toy.database.revision() == "0002"


def test_preview_of_a_broken_script_is_a_problem(toy):
    """With Alembic's last lines."""
    built = toy.release(FIRST + "    raise RuntimeError('not like this')\n")
    with pytest.raises(Broken, match="not like this"):
        toy.migrator.preview(built, MIGRATIONS)


def test_the_configuration_is_found_in_site_packages_too(toy):
    """`{site_packages}` is the one folder below the release's venv."""
    built = toy.release(FIRST)
    packages = built.folder / "venv2" / "lib" / "python3.11" / "site-packages"
    packages.mkdir(parents=True)
    (built.folder / "toy").rename(packages / "toy")
    # A venv of its own whose packages are the toy alone, and whose python is the real one.
    (built.folder / "venv").unlink()
    (built.folder / "venv2").rename(built.folder / "venv")
    (built.folder / "venv" / "bin").mkdir()
    python = built.folder / "venv" / "bin" / "python"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    inside = Migrations("{site_packages}/toy/alembic.ini", timeout_seconds=DEADLINE)
    toy.migrator.up(built, inside, Quiet())
    assert toy.database.revision() == "0001"


@pytest.mark.parametrize("ini", ["{folder}/nowhere.ini", "{nonsense}/alembic.ini", "toy"])
def test_a_configuration_that_is_no_file_is_refused(toy, ini):
    """The key and the value are named; nothing is started."""
    built = toy.release(FIRST)
    with pytest.raises(BadInput, match="alembic_ini"):
        toy.migrator.up(built, Migrations(ini), Quiet())
    with pytest.raises(BadInput, match="alembic_ini"):
        toy.migrator.preview(built, Migrations(ini))
    assert not toy.database.path.exists()


def test_a_release_without_its_venv_is_broken(toy):
    """With what to do."""
    built = toy.release(FIRST)
    (built.folder / "venv").unlink()
    with pytest.raises(Broken, match="no venv/bin/python"):
        toy.up(built)


def test_the_services_environment_is_small_and_the_same_for_everybody(toy, monkeypatch):
    """PYTHONPATH and friends of whoever runs the tool do not reach the migration."""
    monkeypatch.setenv("PYTHONPATH", "/nowhere")
    monkeypatch.setenv("SECRET_OF_THE_SHELL", "hunter2")
    monkeypatch.setenv("PGPASSFILE", "/home/ada/.pgpass")
    out = toy.folder / "out"
    built = toy.release(FIRST + f"    open({str(out)!r}, 'w').write(repr(dict(os.environ)))\n")
    toy.up(built)
    seen = out.read_text()
    assert "hunter2" not in seen
    assert "/nowhere" not in seen
    assert "/home/ada/.pgpass" in seen
    assert toy.database.url() in seen
