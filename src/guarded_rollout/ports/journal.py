"""Every fact of every rollout, and who may write."""

from dataclasses import dataclass
from typing import Protocol

from guarded_rollout.core.facts import Fact, Started
from guarded_rollout.core.problems import Broken


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the journal."""

    seq: int
    rollout: str
    at: float
    fact: Fact
    hash: str


@dataclass(frozen=True, slots=True)
class Known:
    """A rollout as the journal lists it. `ended`: the ending phase, None while it lives."""

    rollout: str
    environment: str
    kind: str
    began: float
    ended: str | None


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to write for an environment. `fence` rises with every claim."""

    environment: str
    owner: str
    fence: int


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds an environment's lease, and until when (Unix seconds, the journal's clock)."""

    owner: str
    pid: int
    until: float
    alive: bool


class Behind(Exception):  # noqa: N818 - not an error: read on and decide again
    """Somebody appended since you last read."""


class Away(Broken):
    """The journal's server does not answer now. What was being written may have been: ask again.

    The same append on the same journal object finds out, and is never written twice.
    """


@dataclass(frozen=True, slots=True)
class Audit:
    """The result of checking the hash chain. `broken_at`: the first entry that does not fit."""

    entries: int
    rollouts: int
    broken_at: int | None
    problem: str | None
    head: str


class Journal(Protocol):
    """Append-only, hash-chained, fsynced. See docs/decisions.md for the rules it keeps."""

    def begin(self, environment: str, rollout: str, fact: Started, *, exclusive: bool) -> Entry:
        """Open a rollout. Busy names the active one when `exclusive` and there is one."""

    def append(
        self, lease: Lease | None, rollout: str, fact: Fact, *, after: int, ended: str | None = None
    ) -> Entry:
        """Append one fact. `after`: the rollout's last entry known to the caller, else Behind.

        With a stale lease: Busy, and nothing is written. Without one only what anybody may say
        (facts.BY_ANYBODY) is accepted, and afterwards facts.AFTERWARDS. `ended` closes the rollout
        in the same commit.
        """

    def entries(self, rollout: str, after: int = 0) -> tuple[Entry, ...]:
        """Look: the rollout's entries with a higher seq, in order."""

    def active(self, environment: str) -> Known | None:
        """Look: the environment's exclusive rollout that has not ended."""

    def known(self, environment: str | None = None) -> tuple[Known, ...]:
        """Look: rollouts, newest first."""

    def claim(self, environment: str, owner: str) -> Lease:
        """Take the lease. Busy says who holds it, until when."""

    def renew(self, lease: Lease) -> None:
        """Heartbeat. Busy when the lease is lost."""

    def release(self, lease: Lease) -> None:
        """Give it back. Lost already: no error."""

    def holder(self, environment: str) -> Holder | None:
        """Look: who holds the lease; None when nobody does."""

    def verify(self) -> Audit:
        """Look: walk the chain from the first entry."""
