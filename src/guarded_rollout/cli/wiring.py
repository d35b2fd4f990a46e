"""The composition root: which adapter stands behind which port, and where files lie."""

import hashlib
import os
import stat
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from guarded_rollout.cli.journal_place import (
    NOTE,
    JournalPlace,
    journal_place,
    note,
    open_to_look,
    open_to_write,
)
from guarded_rollout.core.problems import BadInput, Broken, NotPossible
from guarded_rollout.core.spec import Spec

if TYPE_CHECKING:
    from guarded_rollout.ports import Database, Journal, Ports

_JOURNALS = (NOTE, ".rollout/journal.db")
"""Without a rollout.toml these say that here is a project."""


@dataclass(frozen=True, slots=True)
class Places:
    """Where the tool keeps its own files, below the folder of rollout.toml."""

    root: Path

    @property
    def state(self) -> Path:
        """Everything of ours that is neither a backup nor a log."""
        return self.root / ".rollout"

    @property
    def journal(self) -> JournalPlace:
        """The journal of all environments. BadInput: see `journal_place`."""
        return journal_place(self.root)

    @property
    def locks(self) -> Path:
        """One lock file per environment."""
        return self.state / "locks"

    @property
    def agent_lock(self) -> Path:
        """Held by the project's agent."""
        return self.state / "agent.lock"

    def outbox_lock(self, rollout: str) -> Path:
        """Held by whoever tells people of a rollout that is over."""
        return self.locks / f"outbox-{rollout}"

    def environment(self, name: str) -> Path:
        """Replicas, proxy and logs of one environment."""
        return self.state / name

    def run(self, name: str) -> Path:
        """A short folder for sockets: a unix socket's path has at most 107 bytes.

        The one that was made first, as long as it is there: XDG_RUNTIME_DIR differs between a
        terminal, sudo and cron, and all of them must find the same proxy.
        """
        short = hashlib.sha256(str(self.environment(name)).encode()).hexdigest()[:10]
        made = self._run_link(name)
        if made.is_symlink():
            folder = made.readlink()
            # A copied project has a copied link: it must not find the original's processes.
            if folder.name.endswith(f"-{short}") and folder.is_dir():
                return folder
        return _run_parent() / f"rollout-{_user()}-{short}"

    def _run_link(self, name: str) -> Path:
        return self.environment(name) / "run"

    def make_run(self, name: str) -> None:
        """Make the folder for sockets, and note it. Broken when others can enter it."""
        folder, link = self.run(name), self._run_link(name)
        try:
            folder.mkdir(mode=0o700, exist_ok=True)
            found = folder.lstat()
            link.parent.mkdir(parents=True, exist_ok=True)
            if not link.is_symlink() or link.readlink() != folder:
                fresh = link.with_name(f".run.{os.getpid()}")
                fresh.symlink_to(folder)
                fresh.replace(link)
        except OSError as error:
            raise Broken(
                f"the folder for sockets {folder} cannot be made: {error.strerror}",
                "set XDG_RUNTIME_DIR to a folder of your own with a short path",
            ) from error
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
            raise Broken(
                f"{folder} is not a folder that only this user can enter",
                "remove it, or set XDG_RUNTIME_DIR to a folder of your own",
            )


def _user() -> int:
    """Windows has no numbers for users; nothing is started there."""
    return os.getuid() if hasattr(os, "getuid") else 0


def _run_parent() -> Path:
    """XDG_RUNTIME_DIR, but not a login's own: that one is deleted when its user logs out."""
    tmp = Path("/tmp")  # noqa: S108 - the folder in it is made 0700 and checked
    named = os.environ.get("XDG_RUNTIME_DIR")
    return Path(named) if named and not Path(named).is_relative_to("/run/user") else tmp


def find_root(start: Path) -> Path:
    """The nearest folder upwards with a rollout.toml, or else with a journal.

    BadInput when there is neither. A rollout.toml that was lost must not hide what runs.
    """
    for mark in ("rollout.toml", *_JOURNALS):
        for folder in (start, *start.parents):
            if (folder / mark).exists():
                return folder.resolve()
    raise BadInput(
        f"there is no rollout.toml in {start} or above it",
        "go to your project's folder, or name it: --root FOLDER",
    )


def check_root(named: Path) -> Path:
    """The folder that was named, without symbolic links. BadInput when it is no project's."""
    root = named.resolve()
    if not any((root / mark).exists() for mark in ("rollout.toml", *_JOURNALS)):
        raise BadInput(
            f"there is no rollout.toml in {root}",
            "name the folder that has it: --root FOLDER",
        )
    return root


def open_journal(places: Places, *, look_only: bool = False, patient: bool = False) -> "Journal":
    """The journal. `look_only`: nothing is created or changed; `patient`: for a guard."""
    place = places.journal
    if look_only:
        return open_to_look(place, patient=patient)
    if sys.platform == "win32":
        raise NotPossible(
            "on Windows nothing can be deployed: it takes processes, locks and sockets as Linux "
            "and macOS have them; dry runs and checks work, and nothing was changed",
            "run this on Linux or macOS; in WSL it works too",
        )
    journal = open_to_write(place, places.locks, patient=patient)
    note(place)
    return journal


def open_ports(places: Places, spec: Spec, journal: "Journal") -> "Ports":
    """All ports of one environment. Opens nothing yet."""
    from guarded_rollout.adapters.alembic import AlembicMigrator
    from guarded_rollout.adapters.archive import ZipArchive
    from guarded_rollout.adapters.builds.builder import VenvBuilder
    from guarded_rollout.adapters.clock import SystemClock
    from guarded_rollout.adapters.copies import CheckedCopies
    from guarded_rollout.adapters.envoy import EnvoyTraffic
    from guarded_rollout.adapters.host import SystemHost
    from guarded_rollout.adapters.migration_lint import MigrationLint, dialect_of
    from guarded_rollout.adapters.papers import PaperFiles
    from guarded_rollout.adapters.processes.kept import Kept
    from guarded_rollout.adapters.processes.stage import ProcessStage
    from guarded_rollout.adapters.processes.target import ProcessTarget
    from guarded_rollout.adapters.set_aside import AsideFiles
    from guarded_rollout.adapters.web import HttpWeb
    from guarded_rollout.notify.github import IssueTracker
    from guarded_rollout.notify.port import Notifier
    from guarded_rollout.ports import Ports

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
        stage=ProcessStage(folder / "trials", run, clock),
        traffic=EnvoyTraffic(
            folder=folder / "envoy",
            run_dir=run,
            listen=(environment.listen_host, environment.listen_port),
            health_path=spec.service.health_path,
            supervisor=Kept(folder / "proxy", clock),
            sticky=environment.sticky,
            pin=environment.pin,
            clock=clock,
        ),
        database=database,
        migrator=AlembicMigrator(
            database, url_variable(spec), folder / "logs", places.locks, clock
        ),
        lint=MigrationLint(dialect_of(database)),
        archive=ZipArchive(places.root, clock, spec.service.name, places.state / "checksums.json"),
        aside=AsideFiles(places.root),
        copies=CheckedCopies(places.root, spec.service.name, clock),
        web=HttpWeb(clock),
        host=SystemHost(places.root),
        notices=Notifier(places.root, clock),
        tracker=IssueTracker(places.root, clock),
        papers=PaperFiles(places.root),
    )


def open_database(places: Places, spec: Spec) -> "Database":
    """The service's database."""
    from guarded_rollout.adapters.clock import SystemClock

    address = spec.environment.database
    if address.kind == "sqlite" and address.path is not None:
        from guarded_rollout.adapters.sqlite import SqliteDatabase

        return SqliteDatabase(places.root / address.path, SystemClock())
    if address.kind == "postgresql":
        from guarded_rollout.adapters.postgres import Access, PostgresDatabase

        return PostgresDatabase(Access.of(address), SystemClock())
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
