"""Which release users get."""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from guarded_rollout.core.problems import BadInput
from guarded_rollout.core.series import ProxyReading
from guarded_rollout.ports.releases import Launch


@dataclass(frozen=True, slots=True)
class Arm:
    """The replicas that traffic can be sent to, by the release's name."""

    release: str
    sockets: tuple[Path, ...]


@dataclass(frozen=True, slots=True)
class Route:
    """Where traffic goes: all of it to `to`; `standby` is kept warm and answers when `to` is gone.

    `to` None: nothing is deployed, the proxy answers 503. `fence`: the lease that asked.
    With `canary`, `percent` of the users go there, in steps of 0.1, the others to `to`, which is
    the baseline and answers when the canary is gone. `control`: gets as many users as the canary,
    as far as there are any left. BadInput for a share that cannot be.
    """

    to: Arm | None
    standby: Arm | None
    fence: int
    canary: Arm | None = None
    percent: float = 0.0
    control: Arm | None = None

    @property
    def control_percent(self) -> float:
        """The control's share of the users."""
        return min(self.percent, 100.0 - self.percent) if self.control is not None else 0.0

    def __post_init__(self) -> None:
        """See to it that the share is one."""
        if self.canary is None:
            if self.control is not None:
                raise BadInput(f"{self.control.release} controls nothing: there is no canary")
            if self.percent != 0:
                raise BadInput(f"{self.percent:g} % of the users go to no release")
            return
        if self.to is None or self.to.release == self.canary.release:
            raise BadInput(
                f"{self.canary.release} cannot be a canary of {self.to and self.to.release}",
                "a canary needs another release beside it as its baseline",
            )
        tenths = self.percent * 10
        if not 0 < self.percent < 100 or abs(tenths - round(tenths)) > 1e-6:
            raise BadInput(
                f"{self.percent!r} % of the users cannot go to {self.canary.release}",
                "choose a share from 0.1 to 99.9, in steps of 0.1",
            )


class Trial(Protocol):
    """A release on trial: one process, in nobody's traffic."""

    def socket(self) -> Path:
        """Where it answers."""

    def log(self) -> Path:
        """What it prints."""

    def ended(self) -> str | None:
        """Look: how it ended; None while it runs. It is not started again."""


class Stage(Protocol):
    """Where releases are tried out, apart from those that users reach."""

    def try_out(self, launch: Launch) -> AbstractContextManager[Trial]:
        """Run one replica of it while inside. It ends when left, or with whoever started it."""


class Traffic(Protocol):
    """The proxy in front of the replicas."""

    def check_port(self) -> None:
        """Look: Broken, naming who, when something else listens on the proxy's port."""

    def start(self) -> None:
        """See to it that the proxy runs with its last good routes. Broken if its port is taken."""

    def running(self) -> bool:
        """Look: the proxy answers."""

    def route(self, route: Route) -> None:
        """Shift in one change; returns when the proxy has taken it up. A stale fence is refused.

        Broken when the proxy rejects it, or `to` or the canary has no healthy replica: then
        nothing has moved.
        """

    def routed(self) -> Route | None:
        """Look: the route that is live in the proxy; None when the proxy does not run."""

    def drain(self, release: str, seconds: float) -> bool:
        """Wait until the release has no request in flight. False: it still has after `seconds`."""

    def readings(self) -> Mapping[str, ProxyReading]:
        """Look: the proxy's counters per release name; all arms are read together."""

    def tidy(self) -> None:
        """Keep what the proxy writes to disk bounded."""

    def stop(self) -> None:
        """End the proxy. Not running: no error."""
