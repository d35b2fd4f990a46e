"""The data of a world in memory: its database, migrations, backups."""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path

from guarded_rollout.core.changes import Change, Record, What, counted
from guarded_rollout.core.migration_findings import Finding, TableSeen
from guarded_rollout.core.problems import Broken
from guarded_rollout.core.retention import Backup
from guarded_rollout.core.spec import CopyPlace, Migrations
from guarded_rollout.ports import (
    Applied,
    AsideNote,
    BackupRequest,
    Built,
    Compared,
    Control,
    Database,
    Dumped,
    Kept,
    Place,
    Ran,
    Table,
    Unpacked,
)
from guarded_rollout.testing.copies import FakePlace
from guarded_rollout.testing.world import World


@dataclass(frozen=True)
class FakeDatabase:
    """ports.Database: one table, `things`, whose rows are the world's."""

    world: World

    def url(self) -> str:
        return "sqlite:////data/toy.db"

    def environment(self) -> Mapping[str, str]:
        return {}

    def held(self) -> tuple[str | None, dict[str, str]]:
        """Revision and rows."""
        return self.world.schema, self.world.things

    def hold(self, revision: str | None, things: Mapping[str, str]) -> None:
        """Have these instead."""
        self.world.schema = revision
        self.world.things = dict(things)

    def prepare(self) -> None:
        """Nothing to make."""

    def exists(self) -> bool:
        if "database" in self.world.fails:
            raise self.world.fails["database"]
        return self.held()[0] is not None

    def revision(self) -> str | None:
        return self.held()[0]

    def rows(self) -> Mapping[str, int]:
        return {"things": len(self.held()[1])}

    def size(self) -> int:
        return 0

    def schema(self) -> tuple[str, ...]:
        return (f"schema {self.held()[0]}",)

    def tables(self) -> Mapping[str, TableSeen]:
        return {"things": TableSeen(len(self.held()[1]), 0, {"id": "text", "name": "text"})}

    def blank(self, table: str) -> Mapping[str, str | None]:
        del table
        return {"id": None, "name": None}

    @contextmanager
    def records(
        self,
        table: str,
        columns: tuple[str, ...],
        control: Control,
        *,
        beside: tuple[str, ...] = (),
    ) -> Iterator[Iterator[Record]]:
        del table, columns, control, beside
        yield (Record((key,), {"id": key, "name": name}) for key, name in self._sorted())

    def _sorted(self) -> list[tuple[str, str]]:
        return sorted(self.held()[1].items(), key=lambda item: item[0].encode())

    def apply(self, changes: Iterable[Change], control: Control, *, whole: bool = False) -> Applied:
        del control, whole  # nothing conflicts here
        counts = dict.fromkeys(What, 0)
        revision, things = self.held()
        for change in changes:
            counts[change.what] += 1
            key = change.key[0] or ""
            things.pop(key, None)
            if change.now is not None:
                things[key] = change.now["name"] or ""
        self.hold(revision, things)
        return Applied(counts[What.ADDED], counts[What.CHANGED], counts[What.REMOVED])

    def restore(self, dump: Path, control: Control, *, over: str | None = None) -> None:
        del control
        self.world.act("restore", f"{dump.name} over {over}" if over else dump.name)
        self.hold(*self.world.dumps[dump.name])

    def keep_as_it_is(self, folder: Path, stamp: str, control: Control) -> str | None:
        del stamp, control
        self.world.act("keep as it is", folder.name)
        return str(folder)

    def fingerprint(self, control: Control) -> Mapping[str, Table]:
        del control
        if "reading" in self.world.fails:
            raise self.world.fails["reading"]
        digest = hashlib.sha256(repr(self._sorted()).encode()).hexdigest()[:32]
        return {"things": Table(len(self.held()[1]), digest)}

    def dump(
        self, to: Path, control: Control, whole: Callable[[Path], None] = lambda _: None
    ) -> Dumped:
        del to, control, whole
        return Dumped(self.rows(), self.schema())

    def prove(self, dump: Path) -> Mapping[str, int]:
        return {"things": len(self.world.dumps[dump.name][1])}

    def scratch(self, purpose: str) -> "FakeScratch":
        self.world.scratches.clear()
        self.world.act("scratch", purpose)
        made = FakeScratch(self.world, f"sqlite:////data/toy_{purpose}.db")
        self.world.scratches[made.url()] = made
        return made

    def alone(self, who: str) -> AbstractContextManager[None]:
        del who
        return nullcontext()


@dataclass(frozen=True)
class FakeScratch(FakeDatabase):
    """ports.Scratch."""

    address: str
    inside: dict[str, tuple[str | None, dict[str, str]]] = field(default_factory=dict)

    def url(self) -> str:
        return self.address

    def held(self) -> tuple[str | None, dict[str, str]]:
        return self.inside.get("it", (None, {}))

    def hold(self, revision: str | None, things: Mapping[str, str]) -> None:
        self.inside["it"] = (revision, dict(things))

    def fill(self, dump: Path, control: Control) -> None:
        del control
        self.world.act("fill", self.address)
        self.hold(*self.world.dumps[dump.name])

    def compare(self, dump: Path, control: Control) -> Compared:
        del control
        same = self.held()[1] == self.world.dumps[dump.name][1]
        return Compared(() if same else ("table things has other contents",), contents=True)

    def discard(self) -> None:
        self.world.scratches.pop(self.address, None)
        self.world.ledger.append(f"discard {self.address}")


@dataclass(frozen=True)
class FakeMigrator:
    """ports.Migrator. Knobs: `fails["migrate"]`, `fails["unmigrate on scratch"]` and so on."""

    world: World
    database: FakeDatabase

    def on(self, database: Database) -> "FakeMigrator":
        assert isinstance(database, FakeDatabase), "one world has one kind of database"
        return FakeMigrator(self.world, database)

    def up(self, built: Built, migrations: Migrations, control: Control) -> tuple[Ran, ...]:
        del migrations, control
        return self._move("migrate", built.head)

    def down(
        self, built: Built, migrations: Migrations, to: str | None, control: Control
    ) -> tuple[Ran, ...]:
        del built, migrations, control
        return self._move("unmigrate", to)

    def _move(self, verb: str, to: str | None) -> tuple[Ran, ...]:
        revision, things = self.database.held()
        if revision == to:
            return ()
        where = "" if type(self.database) is FakeDatabase else " on scratch"
        self.world.act(f"{verb}{where}", f"{to}")
        self.database.hold(to, things)
        return (Ran("ALTER TABLE things ADD COLUMN more", 1.0),)

    def preview(self, built: Built, migrations: Migrations) -> str:
        del built, migrations
        return "ALTER TABLE things ADD COLUMN more"


@dataclass(frozen=True)
class FakeLint:
    """ports.Lint."""

    world: World

    def lint(self, sql: str, tables: Mapping[str, TableSeen]) -> tuple[Finding, ...]:
        del sql, tables
        return self.world.findings


@dataclass(frozen=True)
class FakeArchive:
    """ports.Archive."""

    world: World

    def create(self, request: BackupRequest, database: Database, control: Control) -> Backup:
        del control
        self.world.act("snapshot" if request.safety else "backup", request.environment)
        prefix = "before-restore_" if request.safety else ""
        backup = Backup(
            file=f"backups/{prefix}toy_{request.environment}_{len(self.world.dumps)}.zip",
            environment=request.environment,
            created=self.world.clock.now(),
            size=1000,
            sha256="0" * 64,
            verified=True,
            release=request.release,
            schema=database.revision(),
            rows=database.rows(),
        )
        assert isinstance(database, FakeDatabase), "one world has one kind of database"
        revision, things = database.held()
        self.world.dumps[Path(backup.file).name] = (revision, dict(things))
        if not request.safety:
            self.world.backups.append(backup)
        return backup

    def verify(self, file: Path, environment: str, database: Database) -> Backup:
        del database
        for backup in self.world.backups:
            if file.name == Path(backup.file).name and backup.environment == environment:
                return replace(backup, verified=True)
        raise Broken(f"{file} is no backup of {environment}", "rollout backup list")

    @contextmanager
    def unpacked(self, file: Path, environment: str, database: Database) -> Iterator[Unpacked]:
        backup = self.verify(file, environment, database)
        yield Unpacked(backup, file if backup.schema is not None else None)

    def backups(self) -> tuple[Backup, ...]:
        return tuple(reversed(self.world.backups))

    def remove(self, backup: Backup) -> None:
        self.world.backups.remove(backup)


@dataclass(frozen=True)
class FakeAside:
    """ports.Aside."""

    world: World

    def keep(self, note: AsideNote, changes: Iterable[Change], control: Control) -> Kept:
        del control
        found = tuple(changes)
        name = f"backups/set-aside_{note.environment}_{len(self.world.aside)}.jsonl"
        self.world.act("set-aside", note.environment)
        self.world.aside[name] = (note, found)
        return Kept(name, "0" * 64, counted(found))

    @contextmanager
    def read(self, file: Path, environment: str) -> Iterator[tuple[AsideNote, Iterator[Change]]]:
        del environment
        note, found = self.world.aside[f"backups/{file.name}"]
        yield note, iter(found)


@dataclass(frozen=True)
class FakeCopies:
    """ports.Copies. Knob: `fails["copy <place>"]`."""

    world: World

    def at(self, place: CopyPlace) -> Place:
        held = self.world.copies.setdefault(place.name, {})
        return FakePlace(
            place.name, self.world.root, held, lambda: self.world.act(f"copy {place.name}")
        )
