"""What was seen, as a series: windows, gaps, counter resets, histogram quantiles.

A *counter* only rises, or falls when its process restarted (a reset: it began again from zero).
Instances are replicas; each is followed by itself, so a restart of one is no reset of another.
Reference for the reset rule: Prometheus, `increase()`.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise

CANDIDATE = "candidate"
BASELINE = "baseline"


@dataclass(frozen=True, slots=True)
class Histogram:
    """A cumulative histogram. `bounds` in seconds, ascending, without +Inf.

    `counts[i]` samples were at most `bounds[i]`; the last count is the total.
    """

    bounds: tuple[float, ...]
    counts: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Reading:
    """One scrape of one replica's metrics. None: the source did not give that number.

    `arrived`, `left`: what ever came to the queue and left it, in all replicas together.
    `custom`: by the gate's name, each as a reading of its own. `queue` is then any level.
    """

    instance: str
    bad: float | None = None
    total: float | None = None
    durations: Histogram | None = None
    queue: float | None = None
    custom: Mapping[str, "Reading"] = field(default_factory=dict)
    arrived: float | None = None
    left: float | None = None


@dataclass(frozen=True, slots=True)
class ProxyReading:
    """The proxy's counters for one arm. `rescued`: answered by the other arm instead."""

    epoch: str
    requests: float
    errors: float
    retried: float
    rescued: float
    active: float
    durations: Histogram | None = None


@dataclass(frozen=True, slots=True)
class ArmSeen:
    """One arm at one moment.

    Fields:
        healthy: every replica answered well in the last round of probes. None: nobody could ask.
        problems: sources that failed.
        serving: replicas that answered well in that round. None: nobody could ask.
    """

    healthy: bool | None
    probes_ok: int = 0
    probes_failed: int = 0
    replicas_alive: int = 0
    restarts: int = 0
    readings: tuple[Reading, ...] = ()
    proxy: ProxyReading | None = None
    problems: tuple[str, ...] = ()
    serving: int | None = None


@dataclass(frozen=True, slots=True)
class HostSeen:
    """The machine, in percent used."""

    cpu: float | None = None
    memory: float | None = None
    disk: float | None = None


@dataclass(frozen=True, slots=True)
class Observation:
    """What was seen at `elapsed` seconds of watching. `look`: its number, if it is one."""

    elapsed: float
    candidate: ArmSeen
    baseline: ArmSeen | None = None
    host: HostSeen | None = None
    look: int | None = None

    def both_sick(self, *, down: bool) -> bool:
        """The old version is no place to go back to from this candidate.

        `down`: it serves nobody. Then one replica that answers is better.
        """
        old = self.baseline
        return old is not None and old.healthy is False and not (down and old.serving)


Series = tuple[Observation, ...]


def focused(seen: Observation, custom: str) -> Observation:
    """The observation with the readings of one custom metric in the place of the usual ones."""

    def arm(whole: ArmSeen) -> ArmSeen:
        own = tuple(it.custom[custom] for it in whole.readings if custom in it.custom)
        return replace(whole, readings=own)

    baseline = arm(seen.baseline) if seen.baseline is not None else None
    return replace(seen, candidate=arm(seen.candidate), baseline=baseline)


def window(series: Series, seconds: float) -> Series:
    """The observations of the last `seconds`, plus the one just before: a counter needs a start."""
    if not series:
        return ()
    since = series[-1].elapsed - seconds
    first_inside = next(i for i, seen in enumerate(series) if seen.elapsed >= since)
    return series[max(0, first_inside - 1) :]


def increase(values: Iterable[float]) -> float:
    """How much a counter rose over its samples; a fall is a restart from zero."""
    rose = 0.0
    before: float | None = None
    for value in values:
        if before is not None:
            rose += value - before if value >= before else value
        before = value
    return rose


def candidate_increase(series: Series, of: Callable[[Reading], float | None]) -> float | None:
    """One counter's rise, summed over the candidate's replicas; None if never sampled twice."""
    by_instance: dict[str, list[float]] = {}
    for seen in series:
        for reading in seen.candidate.readings:
            value = of(reading)
            if value is not None and math.isfinite(value):
                by_instance.setdefault(reading.instance, []).append(value)
    if not any(len(values) > 1 for values in by_instance.values()):
        return None
    return sum(increase(values) for values in by_instance.values())


def candidate_durations(series: Series) -> Histogram | None:
    """The durations of the candidate's work inside the series, summed over its replicas.

    Replicas whose buckets differ cannot be added: None.
    """
    by_instance: dict[str, list[Histogram]] = {}
    for seen in series:
        for reading in seen.candidate.readings:
            if reading.durations is not None:
                by_instance.setdefault(reading.instance, []).append(reading.durations)
    several = [found for found in by_instance.values() if len(found) > 1]
    bounds = {histogram.bounds for found in by_instance.values() for histogram in found}
    if not several or len(bounds) != 1:
        return None
    sums = [_rise(found) for found in several]
    return Histogram(bounds.pop(), tuple(map(sum, zip(*sums, strict=True))))


def _rise(found: list[Histogram]) -> tuple[float, ...]:
    """Per bucket; a reset shows in the total, and then every bucket began again."""
    total = [0.0] * len(found[0].counts)
    for before, after in pairwise(found):
        restarted = after.counts[-1] < before.counts[-1]
        for i, count in enumerate(after.counts):
            total[i] += count if restarted else max(0.0, count - before.counts[i])
    return tuple(total)


@dataclass(frozen=True, slots=True)
class Bracket:
    """A quantile read from buckets lies in (above, up_to], seconds; `samples` were counted."""

    above: float
    up_to: float
    samples: int


def quantile(histogram: Histogram, q: float) -> Bracket | None:
    """The nearest-rank `q` quantile's bucket; None without samples.

    Nearest rank: the sample number ceil(q * n). Buckets know it only up to their bounds,
    so the answer is an interval, never an interpolation that looks more exact than it is.
    """
    samples = histogram.counts[-1]
    if samples <= 0:
        return None
    rank = math.ceil(q * samples)
    edges = (0.0, *histogram.bounds, math.inf)
    slot = next(i for i, count in enumerate(histogram.counts) if count >= rank)
    return Bracket(edges[slot], edges[slot + 1], int(samples))
