"""What is wrong with gates that can be read: limits that see nothing, promises that do not hold.

Pure: what the traffic was is an argument. What cannot be known is a note, not a finding.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from guarded_rollout.core.evidence import GateEvidence, update
from guarded_rollout.core.evidence_counters import Rise
from guarded_rollout.core.evidence_gates import Gate, Kind, falling_shares
from guarded_rollout.core.evidence_process import Rules, excluded
from guarded_rollout.core.evidence_signals import Signal
from guarded_rollout.core.fact_text import minutes
from guarded_rollout.core.gates import QUEUE_GROWTH, CustomKind
from guarded_rollout.core.judging import watches
from guarded_rollout.core.plan import Plan
from guarded_rollout.core.suggestion import Suggestion

P95 = "qualityGates.p95HashTime.threshold"
STAGES = "stages"
ALPHA = "evidence.alpha"
CUSTOM = "custom"

_KEYS = {
    "extractionFailureRate": "qualityGates.extractionFailureRate.threshold",
    "userErrors": "qualityGates.extractionFailureRate.threshold",
    "p95HashTime": P95,
}
_RAREST = 1e-12


@dataclass(frozen=True, slots=True)
class Finding:
    """`key`: below the environment, as the gates file spells it; `stages[i]` of rollout.toml."""

    key: str
    what: str
    hint: str


@dataclass(frozen=True, slots=True)
class Metric:
    """What the journal knows of a metric of the service's own.

    Fields:
        bounds: of its histogram, seconds; None: it was never read, or is none.
        per_second: what it counted in both arms, in the newest rollout that was watched.
    """

    bounds: tuple[float, ...] | None = None
    per_second: float | None = None


@dataclass(frozen=True, slots=True)
class Recorded:
    """What the journal knows of an environment.

    Fields:
        bounds: of the service's histogram, seconds; None: no observation has one.
        per_second: requests of both arms by signal, in the newest rollout that was watched.
        dispersion: what `suggest` finds.
        custom: by the gate's name, for those that the newest watched rollout had.
    """

    bounds: tuple[float, ...] | None = None
    per_second: dict[Signal, float] = field(default_factory=dict)
    dispersion: Suggestion | None = None
    custom: dict[str, Metric] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Linted:
    """Findings must be mended; notes are what could not be checked, or has no effect."""

    findings: tuple[Finding, ...]
    notes: tuple[str, ...]


def lint(plan: Plan, recorded: Recorded, alphas: Sequence[str] = ()) -> Linted:
    """All findings for the environment of `plan`. `alphas`: every key that gives it an alpha."""
    findings: list[Finding] = []
    notes: list[str] = []
    _buckets(plan, recorded, findings, notes)
    _own_buckets(plan, recorded, findings, notes)
    _windows(plan, findings, notes)
    _traffic(plan, recorded, findings, notes)
    _alpha(plan, alphas, findings)
    _growth(plan, findings)
    _stages(plan, findings)
    _dispersion(plan, recorded, findings, notes)
    return Linted(tuple(findings), tuple(notes))


def requests_needed(gate: Gate, rules: Rules) -> int:
    """Requests without a failure, or above the limit, until the gate has excluded harm.

    The gate's own bets are folded, one small poll at a time: exact where a poll is one request,
    else a fiftieth of the way too many.
    """
    if gate.kind is Kind.RATE:
        gate = replace(gate, limit=max(_RAREST, gate.limit))
    q = gate.limit if gate.kind is Kind.RATE else 1.0 - gate.quantile
    step = max(1, int(0.02 * gate.dispersion.factor / q))
    light = replace(rules, grace=0.0)
    bounds = (gate.limit,) if gate.kind is Kind.QUANTILE else ()
    own, count = GateEvidence(), 0
    while excluded(own.process, falling_shares()) < 1.0 / rules.beta:
        count += step
        rise = Rise(float(count), float(step), (float(step), 0.0), None, bounds)
        own = update(gate, light, own, rise)
    return max(count, gate.minimum)


def _buckets(plan: Plan, recorded: Recorded, findings: list[Finding], notes: list[str]) -> None:
    limit = plan.spec.environment.gates.duration.threshold / 1000.0
    bounds = recorded.bounds
    if bounds is None:
        notes.append(
            "whether the p95 limit is a bucket's boundary cannot be known before a rollout "
            "was watched"
        )
        return
    findings += _off_bounds(P95, limit, bounds, "the service")


def _own_buckets(plan: Plan, recorded: Recorded, findings: list[Finding], notes: list[str]) -> None:
    """The same for the service's own metrics; one that nobody ever saw is a note."""
    for gate in plan.spec.environment.gates.custom:
        seen = recorded.custom.get(gate.name)
        if seen is None:
            notes.append(
                f"whether {gate.name} sees anything cannot be known: {gate.metric} was not read in "
                "the newest watched rollout"
            )
        elif gate.kind is CustomKind.QUANTILE and seen.bounds is not None:
            limit = gate.threshold / 1000.0
            findings += _off_bounds(_own_key(gate.name), limit, seen.bounds, gate.metric)


def _own_key(name: str) -> str:
    return f"{CUSTOM}.{name}.threshold"


def _off_bounds(key: str, limit: float, bounds: Sequence[float], whose: str) -> list[Finding]:
    """The finding that a limit in seconds is no boundary, or none."""
    if any(math.isclose(limit, bound) for bound in bounds):
        return []
    near = ", ".join(f"{1000 * bound:g}" for bound in _nearest(bounds, limit))
    what = f"{1000 * limit:g} ms is no boundary of {whose}'s buckets"
    if not bounds or limit > bounds[-1]:
        what = f"{1000 * limit:g} ms is above {whose}'s last bucket: the gate sees nothing"
    return [Finding(key, what, f"choose one of the nearest: {near} ms")]


def _nearest(bounds: Sequence[float], limit: float) -> list[float]:
    below = [bound for bound in bounds if bound < limit][-1:]
    return below + [bound for bound in bounds if bound > limit][:1]


def _windows(plan: Plan, findings: list[Finding], notes: list[str]) -> None:
    environment = plan.spec.environment
    gates, duration = environment.gates, environment.watch.schedule.duration
    for gate in (gates.failure_rate, gates.duration):
        if gate.window <= duration:
            continue
        what = f"looks back {minutes(gate.window)}, but the watch lasts {minutes(duration)}"
        if gates.evidence is not None:
            notes.append(f"{gate.name} {what}: no matter, evidence weighs the whole watch")
            continue
        hint = "shorten the window, or watch longer"
        findings.append(Finding(f"qualityGates.{gate.name}.timeWindow", what, hint))


def _traffic(plan: Plan, recorded: Recorded, findings: list[Finding], notes: list[str]) -> None:
    if not recorded.per_second:
        notes.append(
            "whether there is traffic enough for the gates to pass cannot be known before a "
            "rollout was watched"
        )
        return
    gates = plan.spec.environment.gates
    _, limiting = watches(plan)
    if limiting is None:
        _samples(plan, recorded, findings)
        return
    for gate in limiting.gates:
        key, rate = _key_and_rate(gate, recorded)
        if gate.strict and key is not None and rate is not None:
            said = _too_little(plan, gate, limiting.rules, rate * plan.stages[0].percent / 100.0)
            if said is not None:
                hint = "watch longer, raise the limit, or send requests: synthetic_per_second"
                if gates.dispersion > 1.0:
                    hint += "; a dispersion above 1 needs more of them"
                findings.append(Finding(key, said, hint))


def _key_and_rate(gate: Gate, recorded: Recorded) -> tuple[str | None, float | None]:
    """Where a gate's limit stands, and how often what it counts was counted per second."""
    if not gate.source:
        return _KEYS.get(gate.name), recorded.per_second.get(gate.signal)
    return _own_key(gate.source), recorded.custom.get(gate.source, Metric()).per_second


def _samples(plan: Plan, recorded: Recorded, findings: list[Finding]) -> None:
    """Thresholds need so many samples within their window."""
    environment = plan.spec.environment
    gates, share = environment.gates, plan.stages[0].percent / 100.0
    for gate, signal in (
        (gates.failure_rate, Signal.REQUESTS),
        (gates.duration, Signal.DURATIONS),
    ):
        rate = recorded.per_second.get(signal)
        window = min(gate.window, environment.watch.schedule.duration)
        if rate is not None and rate * share * window < gate.minimum:
            findings.append(
                Finding(
                    f"qualityGates.{gate.name}.timeWindow",
                    f"{gate.name} needs {gate.minimum} requests within {minutes(window)}, "
                    f"there were {rate * share:.3g} per second: it will stay unknown",
                    "lengthen the window, or lower minimumSamples",
                )
            )


def _too_little(plan: Plan, gate: Gate, rules: Rules, rate: float) -> str | None:
    watch = plan.spec.environment.watch
    longest = watch.schedule.duration + watch.extend_seconds
    needed = requests_needed(gate, rules)
    share = plan.stages[0].percent
    at = f"{rate:.3g} per second" + (f" at {share:g} % of the users" if share < 100.0 else "")
    within = f"{minutes(longest)} of watching, the extension included"
    if rate > 0.0 and rules.grace + needed / rate <= longest:
        return None
    return (
        f"{gate.name} passes after {needed} requests without a fault at the earliest; there were "
        f"{at}, too few for {within}"
    )


def _alpha(plan: Plan, alphas: Sequence[str], findings: list[Finding]) -> None:
    rules = plan.spec.environment.gates.evidence
    if len(alphas) > 1:
        findings.append(
            Finding(
                ALPHA,
                f"alpha is given in {len(alphas)} places: {', '.join(alphas)}",
                "one alpha covers all gates of a rollout: keep one",
            )
        )
    spent = sum(watch.rules.alpha for watch in watches(plan) if watch is not None)
    if rules is not None and spent > rules.alpha * (1.0 + 1e-9):
        findings.append(
            Finding(
                ALPHA,
                f"the gates spend {spent:g} together, {rules.alpha:g} is promised",
                "this is a fault of the tool: please report it with the file",
            )
        )


def _growth(plan: Plan, findings: list[Finding]) -> None:
    gates = plan.spec.environment.gates
    if gates.growth is not None and gates.growth >= gates.queue.threshold:
        findings.append(
            Finding(
                f"qualityGates.{QUEUE_GROWTH}.threshold",
                f"it looks above {gates.growth:g} items, and {gates.queue.name} breaches above "
                f"{gates.queue.threshold:g}",
                "choose a limit below that, so that growth is seen before the queue is too long",
            )
        )


def _stages(plan: Plan, findings: list[Finding]) -> None:
    rules = plan.spec.environment.gates.evidence
    if rules is None:
        return
    for number, stage in enumerate(plan.stages[:-1]):
        if stage.bake_seconds < rules.bake:
            findings.append(
                Finding(
                    f"{STAGES}[{number}].bake",
                    f"{stage.percent:g} % bake for {minutes(stage.bake_seconds)}, evidence for "
                    f"{minutes(rules.bake)}",
                    "give the stage as long as evidence.bake, or shorten that",
                )
            )


def _dispersion(plan: Plan, recorded: Recorded, findings: list[Finding], notes: list[str]) -> None:
    gates, found = plan.spec.environment.gates, recorded.dispersion
    if gates.evidence is None:
        return
    if found is None or found.value is None:
        why = found.why if found is not None else "no rollout ended done"
        notes.append(f"whether the dispersion is enough cannot be known: {why}")
    elif gates.dispersion < found.value - 1e-9:
        findings.append(
            Finding(
                "evidence.dispersion",
                f"{gates.dispersion:g} is below {found.value:g}: {found.why} "
                f"({found.rollouts} rollouts, {found.requests} requests)",
                f'write "dispersion": {found.value:g}, or healthy releases go back too often',
            )
        )
