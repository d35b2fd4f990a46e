"""A toy service's releases on disk, each with as many migrations as it is given, and its database.

Its Alembic is the real one of the tests' own environment.
"""

import pickle
import subprocess
import sys
import textwrap
from dataclasses import dataclass, field
from pathlib import Path

from database_kinds import Kind

from guarded_rollout.adapters.alembic import AlembicMigrator
from guarded_rollout.adapters.clock import SystemClock
from guarded_rollout.core.spec import Migrations, Release
from guarded_rollout.ports import Built, Database, Ran
from guarded_rollout.testing.control import Told

DEADLINE = 120.0
MIGRATIONS = Migrations("{folder}/toy/alembic.ini", timeout_seconds=DEADLINE)

ENV = """
import os
from alembic import context
from sqlalchemy import create_engine, event
from sqlalchemy.pool import NullPool
url = os.environ["TOY_DATABASE_URL"]
lite = url.startswith("sqlite")
if context.is_offline_mode():
    context.configure(url=url, literal_binds=True, transactional_ddl=True)
    with context.begin_transaction():
        context.run_migrations()
else:
    arguments = {"isolation_level": None} if lite else {}
    engine = create_engine(url, poolclass=NullPool, connect_args=arguments)
    if lite and TRANSACTIONAL:
        event.listen(engine, "begin", lambda c: c.exec_driver_sql("BEGIN IMMEDIATE"))
    with engine.connect() as connection:
        context.configure(connection=connection, transactional_ddl=TRANSACTIONAL)
        with context.begin_transaction():
            context.run_migrations()
        if lite:
            connection.commit()
"""
HEADER = """
import os, time
import sqlalchemy as sa
from alembic import op
revision, down_revision = {revision!r}, {down!r}
"""
FIRST = 'op.create_table("images", sa.Column("id", sa.Integer, primary_key=True))'
NOTES = 'op.add_column("images", sa.Column("note", sa.Text))'
ADDS = 'op.add_column("images", sa.Column("seen", sa.Integer, nullable=False, server_default="1"))'
FAILS = 'op.execute("INSERT INTO nowhere VALUES (1)")'
FAILS_HALFWAY = f"""
op.create_table("half", sa.Column("id", sa.Integer, primary_key=True))
op.add_column("images", sa.Column("half", sa.Integer))
{FAILS}
"""
NO_WAY = "raise NotImplementedError"


@dataclass(frozen=True)
class Step:
    """One revision. `down` None: the script has no downgrade()."""

    up: str
    down: str | None = "pass"


CREATED = Step(FIRST, 'op.drop_table("images")')
NOTED = Step(NOTES, 'op.drop_column("images", "note")')
SEEN = Step(ADDS, 'op.drop_column("images", "seen")')


@dataclass
class Toy:
    """Files below `folder`; one database, and a migrator for it."""

    folder: Path
    kind: Kind
    database: Database = field(init=False)
    migrator: AlembicMigrator = field(init=False)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.database = self.kind.database()
        self.database.prepare()
        self.migrator = AlembicMigrator(
            self.database,
            "TOY_DATABASE_URL",
            self.folder / "logs",
            self.folder / "locks",
            SystemClock(),
        )

    def release(self, *steps: Step | str, transactional: bool = True) -> Built:
        """A release with these migrations; its head is named by how many they are."""
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
        for number, given in enumerate(steps, 1):
            step = Step(given) if isinstance(given, str) else given
            text = HEADER.format(revision=f"{number:04}", down=head) + _function("upgrade", step.up)
            if step.down is not None:
                text += _function("downgrade", step.down)
            head = f"{number:04}"
            (scripts / "versions" / f"{head}.py").write_text(text)
        return Built(Release("toy", version, "0" * 64), folder, head)

    def up(
        self, built: Built, control: Told | None = None, migrations: Migrations = MIGRATIONS
    ) -> tuple[Ran, ...]:
        return self.migrator.up(built, migrations, control or Told())

    def down(self, built: Built, to: str | None, control: Told | None = None) -> tuple[Ran, ...]:
        return self.migrator.down(built, MIGRATIONS, to, control or Told())

    def waits(self) -> "Waiting":
        """Code that reports and then waits inside of a migration."""
        return Waiting(self.folder / "here", self.folder / "go")

    def runner(self, built: Built) -> subprocess.Popen[bytes]:
        """A controller of its own process that migrates up."""
        code = (
            "import pickle, sys\n"
            "from guarded_rollout.testing.control import Told\n"
            "migrator, built, migrations = pickle.loads(bytes.fromhex(sys.argv[1]))\n"
            "migrator.up(built, migrations, Told())\n"
        )
        given = pickle.dumps((self.migrator, built, MIGRATIONS)).hex()
        return subprocess.Popen([sys.executable, "-c", code, given])


@dataclass(frozen=True)
class Waiting:
    """Two files that a migration and a test find each other by."""

    here: Path
    go: Path

    @property
    def code(self) -> str:
        """Make `here`, wait for `go`."""
        return (
            f'op.create_table("late", sa.Column("id", sa.Integer, primary_key=True))\n'
            f"open({str(self.here)!r}, 'x').close()\n"
            f"while not os.path.exists({str(self.go)!r}):\n"
            "    time.sleep(0.02)\n"
        )

    def arrived(self) -> None:
        """Wait until the migration is there."""
        clock = SystemClock()
        until = clock.monotonic() + DEADLINE
        while not self.here.exists():
            assert clock.monotonic() < until, f"{self.here} never came"
            clock.sleep(0.02)


def _function(name: str, body: str) -> str:
    return f"def {name}():\n" + textwrap.indent(body.strip() or "pass", "    ") + "\n"
