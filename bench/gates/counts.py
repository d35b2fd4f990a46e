"""What a peer's metrics store makes of the observations: counts of each arm between scrapes.

Read with the product's own rules for counters, which treat resets and late readings at least as
well as PromQL's `increase` does: no peer loses because of how its numbers are read.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from product import noise_of
from scenes import BOUNDS
from streams import Rollout, Seen

from guarded_rollout.core.calibration import Noise
from guarded_rollout.core.evidence_counters import UNSEEN, follow
from guarded_rollout.core.evidence_signals import Signal
from guarded_rollout.core.series import ArmSeen, Observation


@dataclass(frozen=True, slots=True)
class Counts:
    """Of one arm: requests, failures, and durations per bucket."""

    asked: float = 0.0
    failed: float = 0.0
    buckets: tuple[float, ...] = (0.0,) * (len(BOUNDS) + 1)

    @property
    def rate(self) -> float | None:
        """The share that failed; None without requests."""
        return self.failed / self.asked if self.asked else None

    @property
    def p95(self) -> float | None:
        """Seconds, evenly inside a bucket as PromQL's `histogram_quantile` has it."""
        rank, below = 0.95 * sum(self.buckets), 0.0
        if not rank:
            return None
        for low, high, count in zip((0.0, *BOUNDS), BOUNDS, self.buckets, strict=False):
            if below + count >= rank:
                return low + (high - low) * (rank - below) / count
            below += count
        return BOUNDS[-1]


@dataclass(frozen=True, slots=True)
class Poll:
    """What was counted up to `elapsed` seconds. None: the arm was not read."""

    elapsed: float
    candidate: Counts | None
    baseline: Counts | None


def polls(seen: Seen) -> tuple[Poll, ...]:
    """One for each observation after the first, in order."""
    ours, theirs = _Arm(), _Arm()
    found = []
    for one, _ in seen:
        assert one.baseline is not None, "every scene has two arms"
        candidate = ours.read(one.elapsed, one.candidate)
        found.append(Poll(one.elapsed, candidate, theirs.read(one.elapsed, one.baseline)))
    return tuple(found[1:])


@dataclass(frozen=True, slots=True)
class Measured:
    """What a peer knows of a rollout: the A/A period's polls and noise, and the watch's polls."""

    aa: tuple[Poll, ...]
    watch: tuple[Poll, ...]
    noise: tuple[Noise, ...]


def measured(rollout: Rollout) -> Measured:
    """Everything read once, for all peers."""
    return Measured(polls(rollout.aa), polls(rollout.seen), noise_of(rollout.aa))


def between(
    polls_: Iterable[Poll], since: float, until: float
) -> tuple[Counts | None, Counts | None]:
    """Both arms' counts later than `since` and up to `until`; None where nothing was read."""
    inside = [poll for poll in polls_ if since < poll.elapsed <= until]
    return (
        _sum([poll.candidate for poll in inside if poll.candidate is not None]),
        _sum([poll.baseline for poll in inside if poll.baseline is not None]),
    )


def _sum(counts: Sequence[Counts]) -> Counts | None:
    if not counts:
        return None
    return Counts(
        sum(one.asked for one in counts),
        sum(one.failed for one in counts),
        tuple(map(sum, zip(*(one.buckets for one in counts), strict=True))),
    )


class _Arm:
    """Follows one arm's two signals."""

    def __init__(self) -> None:
        self.requests = self.durations = UNSEEN

    def read(self, elapsed: float, arm: ArmSeen) -> Counts | None:
        alone = Observation(elapsed, arm)
        self.requests, asked = follow(self.requests, alone, Signal.REQUESTS, paired=False)
        self.durations, took = follow(self.durations, alone, Signal.DURATIONS, paired=False)
        if isinstance(asked, str) or isinstance(took, str):
            return None
        total, bad = asked.candidate
        return Counts(total, bad, took.candidate)
