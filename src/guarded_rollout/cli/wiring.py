"""The composition root: which adapter stands behind which port, and where files lie."""

import hashlib
import os
import stat
from dataclasses import dataclass
from pathlib import Path

from guarded_rollout.core.problems import BadInput, Broken
from guarded_rollout.core.spec import Spec
from guarded_rollout.ports import Database, Journal, Ports


@dataclass(frozen=True, slots=True)
class Places:
    """Where the tool keeps its own files, below the folder of rollout.toml."""

    root: Path

    @property
    def state(self) -> Path:
        """Everything of ours that is neither a backup nor a log."""
        return self.root / ".rollout"

    @property
    def journal(self) -> Path:
        """The journal of all environments."""
        return self.state / "journal.db"

    @property
    def locks(self) -> Path:
        """One lock file per environment."""
        return self.state / "locks"

    def environment(self, name: str) -> Path:
        """Replicas, proxy and logs of one environment."""
        return self.state / name

    def run(self, name: str) -> Path:
        """A short folder for sockets: a unix socket's path has at most 107 bytes."""
        short = hashlib.sha256(str(self.environment(name)).encode()).hexdigest()[:10]
        parent = Path(os.environ.get("XDG_RUNTIME_DIR") or "/tmp")  # noqa: S108 - made 0700 and checked
        return parent / f"rollout-{os.getuid()}-{short}"

    def make_run(self, name: str) -> None:
        """Make the folder for sockets. Broken when others can enter it, or made it first."""
        folder = self.run(name)
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
            raise Broken(
                f"{folder} is not a folder that only this user can enter",
                "remove it, or set XDG_RUNTIME_DIR to a folder of your own",
            )


def find_root(start: Path) -> Path:
    """The nearest folder upwards with a rollout.toml. BadInput when there is none."""
    for folder in (start, *start.parents):
        if (folder / "rollout.toml").is_file():
            return folder
    raise BadInput(
        f"there is no rollout.toml in {start} or above it",
        "go to your project's folder, or name it: --root FOLDER",
    )


def open_journal(places: Places, *, look_only: bool = False) -> Journal:
    """The journal. `look_only`: no file is created or changed."""
    from guarded_rollout.adapters.clock import SystemClock
    from guarded_rollout.adapters.journal.looking import open_readonly

    if look_only:
        return open_readonly(places.journal, SystemClock())
    from guarded_rollout.adapters.journal.sqlite import SqliteJournal

    return SqliteJournal(places.journal, SystemClock(), places.locks)


def open_ports(places: Places, spec: Spec, journal: Journal) -> Ports:
    """All ports of one environment. Opens nothing yet."""
    from guarded_rollout.adapters.alembic import AlembicMigrator
    from guarded_rollout.adapters.archive import ZipArchive
    from guarded_rollout.adapters.builder import VenvBuilder
    from guarded_rollout.adapters.clock import SystemClock
    from guarded_rollout.adapters.copies import CheckedCopies
    from guarded_rollout.adapters.envoy import EnvoyTraffic
    from guarded_rollout.adapters.host import SystemHost
    from guarded_rollout.adapters.processes.kept import Kept
    from guarded_rollout.adapters.processes.target import ProcessTarget
    from guarded_rollout.adapters.web import HttpWeb

    clock = SystemClock()
    environment = spec.environment
    folder = places.environment(environment.name)
    run = places.run(environment.name)
    database = open_database(places, spec)
    return Ports(
        root=places.root,
        clock=clock,
        journal=journal,
        builder=VenvBuilder(places.state, clock),
        target=ProcessTarget(folder, run, clock),
        traffic=EnvoyTraffic(
            folder=folder / "envoy",
            run_dir=run,
            listen=(environment.listen_host, environment.listen_port),
            health_path=spec.service.health_path,
            supervisor=Kept(folder / "proxy", clock),
            clock=clock,
        ),
        database=database,
        migrator=AlembicMigrator(
            database, url_variable(spec), folder / "logs", places.locks, clock
        ),
        archive=ZipArchive(places.root, clock, spec.service.name),
        copies=CheckedCopies(places.root, spec.service.name, clock),
        web=HttpWeb(clock),
        host=SystemHost(places.root),
    )


def open_database(places: Places, spec: Spec) -> Database:
    """The service's database."""
    from guarded_rollout.adapters.clock import SystemClock

    address = spec.environment.database
    if address.kind == "sqlite" and address.path is not None:
        from guarded_rollout.adapters.sqlite import SqliteDatabase

        return SqliteDatabase(places.root / address.path, SystemClock())
    if address.kind == "postgresql" and address.host and address.name and address.user:
        from guarded_rollout.adapters.postgres import Access, PostgresDatabase

        access = Access(address.host, address.port or 5432, address.name, address.user)
        return PostgresDatabase(access, SystemClock())
    raise BadInput(
        f"environment {spec.environment.name} names a {address.kind} database; "
        "this version knows sqlite and postgresql",
        f"set database in [environments.{spec.environment.name}] of rollout.toml",
    )


def url_variable(spec: Spec) -> str:
    """The service's environment variable that carries the database's address."""
    for name, value in (*spec.environment.env, *spec.service.env):
        if value == "{database_url}":
            return name
    raise BadInput(
        "rollout.toml: no variable of [service.env] carries the database's address",
        'add one, for example DATABASE_URL = "{database_url}"',
    )
