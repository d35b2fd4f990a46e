"""The fast lane: is the candidate down? A rule that flaky health checks do not set off.

A *round* asks every replica once; it fails when none answers well. After a failed round the
rounds come every quarter of a second. Down means `ROUNDS` failed rounds in a row, or two when
the supervisor says that no replica's process is alive.

The false alarm, stated: with health checks that fail one time in ten, independently, eight
failures in a row begin at a given round with probability 1e-8: 4e-5 in an hour of probing each
second, for a single replica, and far less with two.
"""

from dataclasses import dataclass

ROUNDS = 8
ROUNDS_WHEN_DEAD = 2
CONFIRM_SECONDS = 0.25


@dataclass(frozen=True, slots=True)
class Round:
    """One round of probes: how many replicas answered well, how many did not, how many live."""

    ok: int
    failed: int
    alive: int

    @property
    def good(self) -> bool:
        """At least one replica serves."""
        return self.ok > 0


@dataclass(frozen=True, slots=True)
class Pulse:
    """The fold over rounds."""

    failed_in_a_row: int = 0
    last: Round | None = None

    def after(self, latest: Round) -> "Pulse":
        """One more round."""
        return Pulse(0 if latest.good else self.failed_in_a_row + 1, latest)

    @property
    def down(self) -> bool:
        """The candidate serves nobody."""
        if self.last is None or self.last.good:
            return False
        needed = ROUNDS_WHEN_DEAD if self.last.alive == 0 else ROUNDS
        return self.failed_in_a_row >= needed

    def pause(self, normal: float) -> float:
        """Seconds until the next round: the normal pause, shorter while in doubt."""
        return CONFIRM_SECONDS if self.failed_in_a_row else normal
