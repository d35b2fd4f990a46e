"""The A/A period: how much the old version varies by itself, before anybody meets the new one."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from guarded_rollout.core.evidence_bets import Table
from guarded_rollout.core.evidence_counters import UNSEEN, Rise, follow
from guarded_rollout.core.evidence_dispersion import from_tables, from_trials
from guarded_rollout.core.evidence_process import Dispersion
from guarded_rollout.core.evidence_signals import ASKED, Signal, marks
from guarded_rollout.core.series import Series

_SIGNALS = (Signal.REQUESTS, Signal.PROXY_REQUESTS, Signal.DURATIONS)


@dataclass(frozen=True, slots=True)
class Noise:
    """One signal's dispersion. `factor` and `per_second`: see `Dispersion`."""

    signal: Signal
    factor: float
    per_second: float


def calibrated(series: Series) -> tuple[Noise, ...]:
    """What equal arms did, signal by signal; a signal that was hardly seen is left out.

    With two arms their difference is measured. One alone is compared with itself over time: that
    takes a common drift for noise, so it finds later than it could and blames no more.
    """
    found = ((signal, _dispersion(series, signal)) for signal in _SIGNALS)
    return tuple(
        Noise(signal, round(dispersion.factor, 3), round(dispersion.per_second, 3))
        for signal, dispersion in found
        if dispersion is not None
    )


def noise_of(outcome: dict[str, Any]) -> tuple[Noise, ...]:
    """What the step CALIBRATE wrote down."""
    return tuple(
        Noise(Signal(it["signal"]), float(it["factor"]), float(it["per_second"]))
        for it in outcome.get("noise", ())
    )


def _dispersion(series: Series, signal: Signal) -> Dispersion | None:
    paired = all(seen.baseline is not None and marks(seen.baseline, signal) for seen in series)
    rises = list(_rises(series, signal, paired=paired))
    seconds = sum(rise.seconds for rise in rises)
    if not seconds:
        return None
    cut = None if signal in ASKED else _middle(rises)
    ours = [_trials(rise.candidate, cut) for rise in rises]
    if not paired:
        return from_trials(ours, seconds)
    theirs = [_trials(rise.baseline or (), cut) for rise in rises]
    return from_tables([Table(*a, *b) for a, b in zip(ours, theirs, strict=True)], seconds)


def _rises(series: Series, signal: Signal, *, paired: bool) -> Iterable[Rise]:
    track = UNSEEN
    for seen in series:
        track, rise = follow(track, seen, signal, paired=paired)
        if isinstance(rise, Rise):
            yield rise


def _trials(counts: tuple[float, ...], cut: int | None) -> tuple[int, int]:
    """(bad, all). Of durations, those in the buckets above `cut` count as bad."""
    if cut is None:
        return int(counts[1]), int(counts[0])
    return int(sum(counts[cut + 1 :])), int(sum(counts))


def _middle(rises: list[Rise]) -> int:
    """The bucket above which about half of all durations lie."""
    sums = [sum(column) for column in zip(*(rise.candidate for rise in rises), strict=True)]
    half, below = sum(sums) / 2, list(accumulate(sums))
    return min(range(len(sums)), key=lambda bucket: abs(below[bucket] - half))
