"""Releases and traffic of a world in memory."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from guarded_rollout.core.problems import Broken, Busy
from guarded_rollout.core.series import Histogram, HostSeen, ProxyReading, Reading
from guarded_rollout.core.spec import Check, MetricNames, Release, Service
from guarded_rollout.ports import (
    Address,
    Answered,
    Built,
    Control,
    Launch,
    Replica,
    Route,
)
from guarded_rollout.testing.world import World

BOUNDS = (0.1, 1.0, 2.0, 5.0)


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
            self.world.printed[release.name] = launch.replicas
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

    def logs(self, release: Release) -> Mapping[str, Path]:
        folder = self.world.root / "printed"
        numbers = range(self.world.printed.get(release.name, 0))
        return {f"{release.name}-{n}": folder / f"{release.name}-{n}.log" for n in numbers}

    def stop(self, release: Release, drain_seconds: float) -> None:
        del drain_seconds
        if release.name in self.world.started:
            self.world.act("stop", release.name)
            del self.world.started[release.name]


@dataclass(frozen=True)
class FakeTrial:
    """ports.Trial."""

    where: Path
    how: str | None

    def socket(self) -> Path:
        return self.where

    def log(self) -> Path:
        return Path("/logs/trial")

    def ended(self) -> str | None:
        return self.how


@dataclass(frozen=True)
class FakeStage:
    """ports.Stage. A trial knows its schema by the database's address in its environment."""

    world: World

    @contextmanager
    def try_out(self, launch: Launch) -> Iterator[FakeTrial]:
        name = launch.built.release.name
        socket = Path("/stage") / f"{name}.sock"
        url = next(value for key, value in launch.env if key.endswith("DATABASE_URL"))
        self.world.act("try", name)
        self.world.trials[str(socket)] = url
        try:
            yield FakeTrial(socket, "exit 1" if name in self.world.dead else None)
        finally:
            del self.world.trials[str(socket)]


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
            for arm, share in (
                (route.canary, route.percent),
                (route.control, route.control_percent),
            ):
                told += f", {share:g} % {arm.release}" if arm is not None else ""
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
class FakeWeb:
    """ports.Web."""

    world: World

    def _release(self, address: Address) -> str | None:
        if address.socket is not None:
            return address.socket.stem.rsplit("-", 1)[0]
        return self.world.serving()

    def get(self, address: Address, path: str, timeout: float) -> Answered:
        del path, timeout
        world = self.world
        if address.socket is not None and str(address.socket) in world.trials:
            release: str | None = address.socket.stem
            schema = world.scratches[world.trials[str(address.socket)]].revision()
        else:
            release, schema = self._release(address), world.schema
            if release not in world.started:
                release = None
        if release is None or release in world.dead:
            return Answered(None, b"", 0.1, "connection refused")
        ill = release in world.sick or (release, schema) in world.unfit
        return Answered(503 if ill else 200, b"{}", 1.0)

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
