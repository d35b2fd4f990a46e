"""What recorded observations say about the traffic: counts of one arm, poll by poll.

The counters are followed as evidence follows them: what cannot be trusted is left out.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from guarded_rollout.core.evidence_counters import UNSEEN, follow
from guarded_rollout.core.evidence_signals import ASKED, Signal
from guarded_rollout.core.series import ArmSeen, Observation


@dataclass(frozen=True, slots=True)
class Counted:
    """One signal of one arm. `polls`: what rose in each, as in `Rise.candidate`; `seconds`: all."""

    seconds: float = 0.0
    polls: tuple[tuple[float, ...], ...] = ()
    bounds: tuple[float, ...] = ()

    @property
    def sums(self) -> tuple[float, ...]:
        """All polls together; empty without any."""
        return tuple(map(sum, zip(*self.polls, strict=True)))

    @property
    def trials(self) -> tuple[int, int]:
        """(bad, all) of requests."""
        return (int(self.sums[1]), int(self.sums[0])) if self.polls else (0, 0)


def counted(
    observations: Iterable[Observation],
    signal: Signal,
    *,
    baseline: bool = False,
    instance: str | None = None,
) -> Counted:
    """The candidate's counts, or the baseline's; of one replica, if `instance` names it."""
    track, seconds = UNSEEN, 0.0
    polls: list[tuple[float, ...]] = []
    bounds: tuple[float, ...] = ()
    for seen in observations:
        arm = seen.baseline if baseline else seen.candidate
        if arm is None:
            continue
        if instance is not None:
            arm = _only(arm, instance)
        track, rise = follow(track, Observation(seen.elapsed, arm), signal, paired=False)
        if isinstance(rise, str):
            continue
        if rise.bounds != bounds:
            polls, seconds, bounds = [], 0.0, rise.bounds  # other buckets: they cannot be added
        polls.append(rise.candidate)
        seconds += rise.seconds
    return Counted(seconds, tuple(polls), bounds)


def per_second(observations: Sequence[Observation], signal: Signal) -> float | None:
    """Requests of both arms per second; None: they were not counted."""
    both = [counted(observations, signal, baseline=baseline) for baseline in (False, True)]
    if not both[0].seconds:
        return None
    asked = (one.sums[:1] if signal in ASKED else one.sums for one in both if one.seconds)
    return sum(sum(sums) for sums in asked) / max(one.seconds for one in both)


def newest_bounds(observations: Sequence[Observation]) -> tuple[float, ...] | None:
    """The buckets of the newest observation that has a histogram; seconds."""
    for seen in reversed(observations):
        for reading in seen.candidate.readings:
            if reading.durations is not None:
                return reading.durations.bounds
    return None


def instances(observations: Iterable[Observation]) -> tuple[str, ...]:
    """The candidate's replicas."""
    return tuple(
        dict.fromkeys(
            reading.instance for seen in observations for reading in seen.candidate.readings
        )
    )


def _only(arm: ArmSeen, instance: str) -> ArmSeen:
    return replace(arm, readings=tuple(it for it in arm.readings if it.instance == instance))
