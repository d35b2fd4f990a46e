"""A world in memory behind every port, for tests of the engine and of your own adapters' users.

It outlives controllers, as the real one does, and keeps a ledger of every effect.
"""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path

from guarded_rollout.core.problems import Broken, Busy, Problem
from guarded_rollout.core.retention import Backup
from guarded_rollout.core.series import Histogram, HostSeen, ProxyReading, Reading
from guarded_rollout.core.spec import Check, CopyPlace, MetricNames, Migrations, Release, Service
from guarded_rollout.ports import (
    Address,
    Answered,
    BackupRequest,
    Built,
    Clock,
    Control,
    Database,
    Dumped,
    Journal,
    Launch,
    Place,
    Ports,
    Replica,
    Route,
    Table,
    Unpacked,
)
from guarded_rollout.testing import examples
from guarded_rollout.testing.copies import FakePlace, HeldCopy

BOUNDS = (0.1, 1.0, 2.0, 5.0)


@dataclass
class World:
    """What is there, what is broken, and what was done.

    Knobs: `fails` maps a verb (`"build"`, `"backup"`, `"migrate"`, `"route"`, ...) to the problem
    it raises; `sick` names releases that are not healthy, `dead` ones whose processes are gone;
    `failing` and `slow` are shares of requests per release name; `blind` stops the metrics.
    """

    clock: Clock
    root: Path
    candidate: Release = examples.NEW
    fails: dict[str, Problem] = field(default_factory=dict)
    sick: set[str] = field(default_factory=set)
    dead: set[str] = field(default_factory=set)
    failing: dict[str, float] = field(default_factory=dict)
    slow: dict[str, float] = field(default_factory=dict)
    queue: float = 0.0
    blind: bool = False
    built: set[Release] = field(default_factory=set)
    started: dict[str, tuple[Release, int]] = field(default_factory=dict)
    schema: str | None = "0001"
    head: str = "0002"
    backups: list[Backup] = field(default_factory=list)
    copies: dict[str, dict[str, HeldCopy]] = field(default_factory=dict)
    routed: Route | None = None
    proxy: bool = False
    ledger: list[str] = field(default_factory=list)

    def act(self, verb: str, what: str = "") -> None:
        """An effect: raise what the test asked for, or write it down."""
        if verb in self.fails:
            raise self.fails[verb]
        self.ledger.append(f"{verb} {what}".strip())

    def serving(self) -> str | None:
        """The release that users reach."""
        return self.routed.to.release if self.routed and self.routed.to else None


@dataclass(frozen=True)
class FakeBuilder:
    """ports.Builder."""

    world: World

    def describe(self, service: Service, source: Path) -> Release:
        del service, source
        return self.world.candidate

    def built(self, release: Release) -> Built | None:
        found = release in self.world.built
        return Built(release, Path("/releases") / release.name, self.world.head) if found else None

    def build(self, service: Service, source: Path, release: Release, control: Control) -> Built:
        del service, source, control
        if release not in self.world.built:
            self.world.act("build", release.name)
            self.world.built.add(release)
        return Built(release, Path("/releases") / release.name, self.world.head)

    def releases(self, service: str) -> tuple[Release, ...]:
        return tuple(r for r in self.world.built if r.service == service)

    def remove(self, release: Release) -> None:
        self.world.built.discard(release)


@dataclass(frozen=True)
class FakeTarget:
    """ports.Target."""

    world: World

    def start(self, launch: Launch) -> tuple[Replica, ...]:
        release = launch.built.release
        if release.name not in self.world.started:
            self.world.act("start", release.name)
            self.world.started[release.name] = (release, launch.replicas)
        return self.replicas(release)

    def replicas(self, release: Release) -> tuple[Replica, ...]:
        _, count = self.world.started.get(release.name, (release, 0))
        alive = release.name not in self.world.dead
        return tuple(
            Replica(
                name=f"{release.name}-{number}",
                socket=Path("/run") / f"{release.name}-{number}.sock",
                alive=alive,
                pid=1000 + number if alive else None,
                restarts=0 if alive else 3,
                last_exit=None if alive else "exit 1",
                log=Path("/logs") / release.name,
            )
            for number in range(count)
        )

    def started(self, service: str) -> tuple[Release, ...]:
        return tuple(r for r, _ in self.world.started.values() if r.service == service)

    def stop(self, release: Release, drain_seconds: float) -> None:
        del drain_seconds
        if release.name in self.world.started:
            self.world.act("stop", release.name)
            del self.world.started[release.name]


@dataclass(frozen=True)
class FakeTraffic:
    """ports.Traffic."""

    world: World

    def check_port(self) -> None:
        if "check_port" in self.world.fails:
            raise self.world.fails["check_port"]

    def start(self) -> None:
        self.world.proxy = True

    def running(self) -> bool:
        return self.world.proxy

    def route(self, route: Route) -> None:
        live = self.world.routed
        if live is not None and route.fence < live.fence:
            raise Busy(f"fence {route.fence} is older than {live.fence}", "another guard took over")
        for arm in (route.to, route.canary):
            if arm is not None and arm.release in self.world.sick | self.world.dead:
                raise Broken(f"{arm.release} has no healthy replica", "look at its log")
        if live is None or replace(route, fence=live.fence) != live:
            told = route.to.release if route.to else "nobody"
            if route.canary is not None:
                told += f", {route.percent:g} % {route.canary.release}"
            self.world.act("route", told)
        self.world.routed = route

    def routed(self) -> Route | None:
        return self.world.routed

    def drain(self, release: str, seconds: float) -> bool:
        del release, seconds
        return True

    def readings(self) -> Mapping[str, ProxyReading]:
        requests = self.world.clock.monotonic() * 10
        return {name: ProxyReading("e", requests, 0, 0, 0, 0) for name in self.world.started}

    def tidy(self) -> None:
        """Nothing grows here."""

    def stop(self) -> None:
        self.world.proxy = False


@dataclass(frozen=True)
class FakeDatabase:
    """ports.Database."""

    world: World

    def url(self) -> str:
        return "sqlite:////data/toy.db"

    def prepare(self) -> None:
        """Nothing to make."""

    def exists(self) -> bool:
        if "database" in self.world.fails:
            raise self.world.fails["database"]
        return self.world.schema is not None

    def revision(self) -> str | None:
        return self.world.schema

    def rows(self) -> Mapping[str, int]:
        return {"things": 3}

    def environment(self) -> Mapping[str, str]:
        return {}

    def size(self) -> int:
        return 0

    def schema(self) -> tuple[str, ...]:
        return (f"schema {self.world.schema}",)

    def fingerprint(self, control: Control) -> Mapping[str, Table]:
        del control
        return {name: Table(rows, "0" * 32) for name, rows in self.rows().items()}

    def dump(self, to: Path, control: Control) -> Dumped:
        del to
        return Dumped(self.fingerprint(control), self.schema())

    def prove(self, dump: Path) -> Mapping[str, int]:
        del dump
        return self.rows()

    def scratch(self, purpose: str) -> "FakeScratch":
        self.world.act("scratch", purpose)
        return FakeScratch(self.world)

    def alone(self, who: str) -> AbstractContextManager[None]:
        del who
        return nullcontext()


@dataclass(frozen=True)
class FakeScratch(FakeDatabase):
    """ports.Scratch."""

    def fill(self, dump: Path, control: Control) -> None:
        del dump, control
        self.world.act("fill", "scratch")

    def discard(self) -> None:
        self.world.act("discard", "scratch")


@dataclass(frozen=True)
class FakeMigrator:
    """ports.Migrator."""

    world: World

    def up(self, built: Built, migrations: Migrations, control: Control) -> None:
        del migrations, control
        if self.world.schema != built.head:
            self.world.act("migrate", built.head or "")
            self.world.schema = built.head

    def preview(self, built: Built, migrations: Migrations) -> str:
        del built, migrations
        return "ALTER TABLE things ADD COLUMN more"


@dataclass(frozen=True)
class FakeArchive:
    """ports.Archive."""

    world: World

    def create(self, request: BackupRequest, database: Database, control: Control) -> Backup:
        self.world.act("backup", request.environment)
        backup = Backup(
            file=f"backups/toy_{request.environment}_{len(self.world.backups)}.zip",
            environment=request.environment,
            created=self.world.clock.now(),
            size=1000,
            sha256="0" * 64,
            verified=True,
            release=request.release,
            schema=database.revision(),
            rows=database.rows(),
            hashes={name: table.hash for name, table in database.fingerprint(control).items()},
        )
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
        yield Unpacked(self.verify(file, environment, database), self.world.root / "dump")

    def backups(self) -> tuple[Backup, ...]:
        return tuple(reversed(self.world.backups))

    def remove(self, backup: Backup) -> None:
        self.world.backups.remove(backup)


@dataclass(frozen=True)
class FakeCopies:
    """ports.Copies. Knob: `fails["copy <place>"]`."""

    world: World

    def at(self, place: CopyPlace) -> Place:
        held = self.world.copies.setdefault(place.name, {})
        return FakePlace(
            place.name, self.world.root, held, lambda: self.world.act(f"copy {place.name}")
        )


@dataclass(frozen=True)
class FakeWeb:
    """ports.Web."""

    world: World

    def _release(self, address: Address) -> str | None:
        if address.socket is not None:
            return address.socket.stem.rsplit("-", 1)[0]
        return self.world.serving()

    def get(self, address: Address, path: str, timeout: float) -> Answered:
        del path, timeout
        release = self._release(address)
        if release is None or release in self.world.dead or release not in self.world.started:
            return Answered(None, b"", 0.1, "connection refused")
        return Answered(503 if release in self.world.sick else 200, b"{}", 1.0)

    def check(self, address: Address, check: Check, body: bytes | None) -> Answered:
        del body
        return self.get(address, check.path, 1.0)

    def metrics(
        self, address: Address, path: str, names: MetricNames, instance: str, timeout: float
    ) -> Reading | str:
        del path, names, timeout
        release = self._release(address)
        if self.world.blind or release is None or release in self.world.dead:
            return "connection refused"
        total = float(int(self.world.clock.monotonic() * 20))
        bad = total * self.world.failing.get(release, 0.0)
        quick = total * (1 - self.world.slow.get(release, 0.0))
        durations = Histogram(BOUNDS, (quick, quick, quick, total, total))
        return Reading(instance, bad, total, durations, self.world.queue)


@dataclass(frozen=True)
class FakeHost:
    """ports.Host."""

    free: int = 10 * 2**30

    def seen(self) -> HostSeen:
        return HostSeen(10.0, 20.0, 30.0)

    def free_bytes(self) -> int:
        return self.free


def ports_of(world: World, journal: Journal) -> Ports:
    """All ports on one world."""
    return Ports(
        root=world.root,
        clock=world.clock,
        journal=journal,
        builder=FakeBuilder(world),
        target=FakeTarget(world),
        traffic=FakeTraffic(world),
        database=FakeDatabase(world),
        migrator=FakeMigrator(world),
        archive=FakeArchive(world),
        copies=FakeCopies(world),
        web=FakeWeb(world),
        host=FakeHost(),
    )
