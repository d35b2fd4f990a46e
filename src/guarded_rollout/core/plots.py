"""Small plots of a watch, in letters: requests, failures and durations of both versions."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate

from guarded_rollout.core.evidence_signals import Signal
from guarded_rollout.core.recorded_traffic import Counted, counted
from guarded_rollout.core.series import Histogram, Observation, quantile

COLUMNS = 48
GAP = "·"
"""Where nothing was counted."""

_BARS = "▁▂▃▄▅▆▇█"


@dataclass(frozen=True, slots=True)
class Plot:
    """One number of one version over the watch.

    Fields:
        values: one per column, oldest first; None: nothing was counted there.
        line: the same as bars from zero to `most`, which both versions share.
    """

    what: str
    unit: str
    baseline: bool
    values: tuple[float | None, ...]
    line: str
    most: float

    @property
    def numbers(self) -> str:
        """Least, most and newest, for people."""
        known = [value for value in self.values if value is not None]
        if not known:
            return "nothing was counted"
        return f"{min(known):.3g} to {max(known):.3g} {self.unit}, at the end {known[-1]:.3g}"


def sparkline(values: Iterable[float | None], most: float) -> str:
    """Bars from zero to `most`."""
    return "".join(_bar(value, most) for value in values)


def plots(seen: Sequence[Observation], columns: int = COLUMNS) -> tuple[Plot, ...]:
    """Of a watch, the candidate's before the baseline's; what was never counted has no plot."""
    if not seen:
        return ()
    parts = _parts(seen, columns)
    found: list[Plot] = []
    for what, unit, signal, number in _NUMBERS:
        arms = {
            baseline: tuple(number(counted(part, signal, baseline=baseline)) for part in parts)
            for baseline in (False, True)
        }
        most = max((v for values in arms.values() for v in values if v is not None), default=0.0)
        found += [
            Plot(what, unit, baseline, values, sparkline(values, most), most)
            for baseline, values in arms.items()
            if any(value is not None for value in values)
        ]
    return tuple(found)


def _parts(seen: Sequence[Observation], columns: int) -> list[tuple[Observation, ...]]:
    """The observations by time; each part begins with the last one before it: counters need that.

    With less observations than columns each has its own.
    """
    columns = min(columns, max(1, len(seen) - 1))
    first, last = seen[0].elapsed, seen[-1].elapsed
    wide = (last - first) / columns or 1.0
    parts: list[list[Observation]] = [[] for _ in range(columns)]
    before = seen[0]
    for one in seen[1:]:
        at = min(columns - 1, max(0, math.ceil((one.elapsed - first) / wide - 1e-9) - 1))
        if not parts[at]:
            parts[at].append(before)
        parts[at].append(one)
        before = one
    return [tuple(part) for part in parts]


def _rate(one: Counted) -> float | None:
    return one.sums[0] / one.seconds if one.polls and one.seconds else None


def _failed(one: Counted) -> float | None:
    bad, every = one.trials
    return 100.0 * bad / every if every else None


def _p95(one: Counted) -> float | None:
    """The upper bound of its bucket; of the last one, that bucket's lower bound."""
    if not one.polls:
        return None
    bracket = quantile(Histogram(one.bounds, tuple(accumulate(one.sums))), 0.95)
    if bracket is None:
        return None
    return 1000.0 * (bracket.up_to if math.isfinite(bracket.up_to) else bracket.above)


_NUMBERS: tuple[tuple[str, str, Signal, Callable[[Counted], float | None]], ...] = (
    ("requests of users", "per s", Signal.PROXY_REQUESTS, _rate),
    ("errors that users saw", "%", Signal.PROXY_REQUESTS, _failed),
    ("work that failed", "%", Signal.REQUESTS, _failed),
    ("p95 of the work, its bucket", "ms", Signal.DURATIONS, _p95),
)


def _bar(value: float | None, most: float) -> str:
    if value is None:
        return GAP
    if most <= 0:
        return _BARS[0]
    return _BARS[round(min(value, most) / most * (len(_BARS) - 1))]
