"""Releases on disk, and the processes that run them."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from guarded_rollout.core.spec import Release, Service
from guarded_rollout.ports.clock import Control


@dataclass(frozen=True, slots=True)
class Built:
    """A release on disk: read-only, named by its digest. `head`: the schema revision it needs."""

    release: Release
    folder: Path
    head: str | None


class Builder(Protocol):
    """Makes releases from source."""

    def describe(self, service: Service, source: Path) -> Release:
        """Look: the release this source would give. Reads, never writes."""

    def built(self, release: Release) -> Built | None:
        """Look: the release on disk, whole, or None."""

    def build(self, service: Service, source: Path, release: Release, control: Control) -> Built:
        """Build it into its own folder, all or nothing. BadInput if the source changed since."""

    def releases(self, service: str) -> tuple[Release, ...]:
        """Look: what is on disk."""

    def remove(self, release: Release) -> None:
        """Delete it. No release, no error."""


@dataclass(frozen=True, slots=True)
class Launch:
    """What to run. `{python} {folder} {socket} {replica}` in argv are filled in per replica."""

    built: Built
    argv: tuple[str, ...]
    env: tuple[tuple[str, str], ...]
    replicas: int


@dataclass(frozen=True, slots=True)
class Replica:
    """One supervised process. `restarts`: how often its supervisor started it again."""

    name: str
    socket: Path
    alive: bool
    pid: int | None
    restarts: int
    last_exit: str | None
    log: Path


class Target(Protocol):
    """Runs releases. Replicas outlive whoever started them."""

    def start(self, launch: Launch) -> tuple[Replica, ...]:
        """See to it that these replicas are supervised. Running ones are adopted, not restarted."""

    def replicas(self, release: Release) -> tuple[Replica, ...]:
        """Look: the release's replicas, by name; empty when it is not started."""

    def started(self, service: str) -> tuple[Release, ...]:
        """Look: the releases that have replicas, running or dying."""

    def stop(self, release: Release, drain_seconds: float) -> None:
        """SIGTERM, wait for the drain, then SIGKILL. Not running: no error."""

    def logs(self, release: Release) -> Mapping[str, Path]:
        """Look: by replica what it prints, or what it last printed before it was stopped."""
