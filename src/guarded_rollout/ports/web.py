"""Requests over HTTP."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from guarded_rollout.core.series import Reading
from guarded_rollout.core.spec import Check, MetricNames


@dataclass(frozen=True, slots=True)
class Address:
    """Where to send a request: a unix socket or a port on a host."""

    socket: Path | None = None
    host: str = "127.0.0.1"
    port: int = 0


@dataclass(frozen=True, slots=True)
class Answered:
    """What came back. `status` None: nothing did, `problem` says why. `ms` is the time it took.

    `headers`: names in lower case, in the answer's order.
    """

    status: int | None
    body: bytes
    ms: float
    problem: str | None = None
    headers: tuple[tuple[str, str], ...] = ()


class Web(Protocol):
    """HTTP requests of the guard itself: probes, scrapes, smoke checks. Never raises."""

    def get(self, address: Address, path: str, timeout: float) -> Answered:
        """GET."""

    def check(self, address: Address, check: Check, body: bytes | None) -> Answered:
        """Send a smoke check's request."""

    def metrics(
        self, address: Address, path: str, names: MetricNames, instance: str, timeout: float
    ) -> Reading | str:
        """Scrape Prometheus text. A string says why there is no reading."""
