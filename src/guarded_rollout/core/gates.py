"""The documents' four threshold gates. Each answers pass, breach or unknown, with its numbers.

A gate with too few samples is *unknown*: it neither passes nor breaches.
Every limit is strict: `threshold: 2` for health means the third failure in a row breaches.
"""

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import assert_never

from guarded_rollout.core.evidence_process import Rules
from guarded_rollout.core.series import (
    Series,
    candidate_durations,
    candidate_increase,
    focused,
    quantile,
    window,
)


class Answer(StrEnum):
    """What a gate says."""

    PASS = "pass"  # noqa: S105 - a verdict
    BREACH = "breach"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Verdict:
    """One gate's answer and the numbers behind it, in the unit that `reason` names.

    `settled`: the answer needs no more time. `blames`: a breach is the candidate's fault; where
    both versions serve, a limit that is crossed may be the fault of something that both share.
    """

    gate: str
    answer: Answer
    reason: str
    value: float | None = None
    limit: float | None = None
    samples: int = 0
    settled: bool = True
    blames: bool = True


@dataclass(frozen=True, slots=True)
class HealthGate:
    """Breach after more than `threshold` looks in a row at which the candidate was not healthy."""

    threshold: int
    name: str = "healthFailures"


@dataclass(frozen=True, slots=True)
class FailureRateGate:
    """Breach when more than `threshold` percent failed within the last `window` seconds."""

    threshold: float
    window: float
    minimum: int = 20
    name: str = "extractionFailureRate"


@dataclass(frozen=True, slots=True)
class DurationGate:
    """Breach when the 95th percentile within `window` seconds is above `threshold` milliseconds."""

    threshold: float
    window: float
    minimum: int = 20
    name: str = "p95HashTime"


@dataclass(frozen=True, slots=True)
class QueueGate:
    """Breach when more than `threshold` items wait for a person."""

    threshold: float
    name: str = "lowConfidenceQueue"


COMPARED = "Compared"
"""How a gate that compares with the old version ends its name."""

QUEUE_GROWTH = "queueGrowth"
"""The gate on more items coming to the queue than leaving it."""

GATE_NAMES = (
    "healthFailures",
    "extractionFailureRate",
    "p95HashTime",
    "lowConfidenceQueue",
    QUEUE_GROWTH,
    "userErrors",
    "restarts",
    "failuresCompared",
    "userErrorsCompared",
    "durationsCompared",
    "restartsCompared",
)
"""The names that no metric of the service's own may have."""


class CustomKind(StrEnum):
    """What a number of the service's own is."""

    RATE = "rate"
    """A counter whose one label tells bad from good; percent."""
    QUANTILE = "quantile"
    """A histogram in seconds; milliseconds at the 95th percentile."""
    EVENT = "event"
    """A counter of what should not happen; per replica and hour."""
    LEVEL = "level"
    """A gauge, in its own unit."""


@dataclass(frozen=True, slots=True)
class CustomGate:
    """A gate on a metric of the service's own.

    Fields:
        metric: its name; `label`: `label=value` of what is bad, for rates.
        compare: with the old version too, where both serve. It must have the metric then.
        below: breach below the threshold instead of above; levels only.
    """

    name: str
    kind: CustomKind
    metric: str
    threshold: float
    label: str = ""
    compare: bool = True
    below: bool = False


Gate = HealthGate | FailureRateGate | DurationGate | QueueGate | CustomGate


@dataclass(frozen=True, slots=True)
class Gates:
    """The four gates of one environment, and how they are judged.

    Fields:
        evidence: what failures and durations are judged by; None: by their thresholds alone.
        restarts: how many per replica and hour are no fault.
        dispersion: how much more counts vary here than those of independent requests, at least 1.
        growth: items above which the queue may not grow; None: growth is not judged.
        early: promote before the window's end, once every gate has excluded harm.
        custom: of the service's own metrics; evidence judges all but levels.
    """

    health: HealthGate
    failure_rate: FailureRateGate
    duration: DurationGate
    queue: QueueGate
    evidence: Rules | None = None
    restarts: float = 1.0
    dispersion: float = 1.0
    early: bool = False
    custom: tuple[CustomGate, ...] = ()
    growth: float | None = None

    def all(self) -> tuple[Gate, ...]:
        """In the order in which they are reported."""
        return (self.health, self.failure_rate, self.duration, self.queue)

    def levels(self) -> tuple[Gate, ...]:
        """The custom ones without sampling noise: thresholds judge these in any case."""
        return tuple(gate for gate in self.custom if gate.kind is CustomKind.LEVEL)


def judge(gate: Gate, series: Series) -> Verdict:
    """One gate's verdict. Pure: the same series always gets the same verdict."""
    match gate:
        case HealthGate():
            return _health(gate, series)
        case FailureRateGate():
            return _failure_rate(gate, series)
        case DurationGate():
            return _duration(gate, series)
        case QueueGate():
            return _level(gate, series, "{:.0f} items wait (limit {:g})")
        case CustomGate():
            own = tuple(focused(seen, gate.name) for seen in series[-1:])
            least = "at least" if gate.below else "at most"
            return _level(gate, own, f"it stands at {{:g}} ({least} {{:g}})", below=gate.below)
        case _:
            assert_never(gate)


def overall(verdicts: tuple[Verdict, ...]) -> Answer:
    """One breach is a breach; without one, one unknown is unknown; nothing judged is unknown."""
    answers = {verdict.answer for verdict in verdicts}
    if Answer.BREACH in answers:
        return Answer.BREACH
    return Answer.PASS if answers == {Answer.PASS} else Answer.UNKNOWN


def _unknown(gate: Gate, reason: str, samples: int = 0) -> Verdict:
    return Verdict(gate.name, Answer.UNKNOWN, reason, None, gate.threshold, samples)


def _health(gate: HealthGate, series: Series) -> Verdict:
    asked = [
        seen.candidate.healthy
        for seen in series
        if seen.look is not None and seen.candidate.healthy is not None
    ]
    if not asked:
        return _unknown(gate, "no health check was answered or refused yet")
    failed = 0
    for healthy in reversed(asked):
        if healthy:
            break
        failed += 1
    breached = failed > gate.threshold
    return Verdict(
        gate.name,
        Answer.BREACH if breached else Answer.PASS,
        f"{failed} failed health checks in a row (limit: more than {gate.threshold})",
        float(failed),
        gate.threshold,
        len(asked),
    )


def _failure_rate(gate: FailureRateGate, series: Series) -> Verdict:
    recent = window(series, gate.window)
    total = candidate_increase(recent, lambda reading: reading.total)
    bad = candidate_increase(recent, lambda reading: reading.bad)
    minutes = f"{gate.window / 60:g} min"
    if total is None or bad is None:
        return _unknown(gate, f"no two samples of the counters within {minutes}")
    samples = int(total)
    if samples < gate.minimum:
        return _unknown(
            gate, f"{samples} requests within {minutes}, {gate.minimum} are needed", samples
        )
    percent = 100.0 * bad / total
    return Verdict(
        gate.name,
        Answer.BREACH if percent > gate.threshold else Answer.PASS,
        f"{percent:.1f} % failed "
        f"({bad:.0f} of {total:.0f} within {minutes}, limit {gate.threshold:g} %)",
        percent,
        gate.threshold,
        samples,
    )


def _duration(gate: DurationGate, series: Series) -> Verdict:
    histogram = candidate_durations(window(series, gate.window))
    p95 = quantile(histogram, 0.95) if histogram is not None else None
    minutes = f"{gate.window / 60:g} min"
    if p95 is None:
        return _unknown(gate, f"no durations within {minutes}")
    if p95.samples < gate.minimum:
        return _unknown(
            gate, f"{p95.samples} samples within {minutes}, {gate.minimum} are needed", p95.samples
        )
    above, up_to = p95.above * 1000, p95.up_to * 1000
    numbers = (
        f"p95 is between {above:g} and {up_to:g} ms "
        f"({p95.samples} samples within {minutes}, limit {gate.threshold:g} ms)"
    )
    if above >= gate.threshold:
        return Verdict(gate.name, Answer.BREACH, numbers, above, gate.threshold, p95.samples)
    if up_to <= gate.threshold:
        return Verdict(gate.name, Answer.PASS, numbers, up_to, gate.threshold, p95.samples)
    return _unknown(gate, f"{numbers}: the limit lies inside a bucket, add it to the buckets")


def _level(
    gate: QueueGate | CustomGate, series: Series, text: str, *, below: bool = False
) -> Verdict:
    last = series[-1].candidate.readings if series else ()
    levels = [
        reading.queue
        for reading in last
        if reading.queue is not None and math.isfinite(reading.queue)
    ]
    if not levels:
        return _unknown(gate, "no replica reported it")
    # Replicas share one queue, and the newest count is the highest while it grows.
    worst = min(levels) if below else max(levels)
    breached = worst < gate.threshold if below else worst > gate.threshold
    return Verdict(
        gate.name,
        Answer.BREACH if breached else Answer.PASS,
        text.format(worst, gate.threshold),
        worst,
        gate.threshold,
        len(levels),
    )
