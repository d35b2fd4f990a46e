"""Evidence for a rollout: one state, folded over observations; one α for all gates together.

    state = start(watch)
    state = observe(watch, state, observation)      # every scrape
    verdicts(watch, state)                          # pass, breach or unknown, gate by gate

The state holds JSON values only and resumes bit for bit. Numbers that cannot be trusted leave the
capital as it was: they are neither a pass nor a breach.
"""

from dataclasses import dataclass, replace
from typing import NamedTuple

from guarded_rollout.core.evidence_counters import UNSEEN, Rise, Track, follow
from guarded_rollout.core.evidence_gates import (
    Gate,
    Kind,
    Placed,
    falling_shares,
    finite_limit,
    place,
    rising_shares,
)
from guarded_rollout.core.evidence_process import (
    ROBUST,
    UNTOUCHED,
    Process,
    Rules,
    capital,
    excluded,
    step,
)
from guarded_rollout.core.evidence_signals import Signal
from guarded_rollout.core.gates import Answer, Verdict
from guarded_rollout.core.problems import BadInput
from guarded_rollout.core.series import Observation, focused


@dataclass(frozen=True, slots=True)
class Watch:
    """The gates that may blame the candidate, and the rules that they share."""

    gates: tuple[Gate, ...]
    rules: Rules = ROBUST


class GateEvidence(NamedTuple):
    """One gate's state. `candidate` and `baseline`: bad and all trials counted so far.

    `fresh`: seconds of watching at its newest sample. `blind`: why the last poll said nothing.
    """

    track: Track = UNSEEN
    process: Process = UNTOUCHED
    reference: tuple[float, ...] = ()
    candidate: tuple[int, int] = (0, 0)
    baseline: tuple[int, int] = (0, 0)
    fresh: float | None = None
    blind: str = "nothing was seen yet"


@dataclass(frozen=True, slots=True)
class Evidence:
    """All gates' states, in the watch's order. `breached`: when 1/α was reached, and by whom."""

    gates: tuple[GateEvidence, ...]
    elapsed: float = 0.0
    breached: float | None = None
    blamed: str | None = None


def start(watch: Watch) -> Evidence:
    """Nothing seen yet. Raises `BadInput` for a watch that promises nothing."""
    if not watch.gates or sum(gate.weight for gate in watch.gates) <= 0:
        raise BadInput("No evidence gate has a weight.", "Give at least one gate a weight above 0.")
    if len({gate.name for gate in watch.gates}) < len(watch.gates):
        raise BadInput("Two evidence gates have one name.", "Give each gate its own name.")
    for gate in watch.gates:
        if not finite_limit(gate) or gate.weight < 0:
            raise BadInput(
                f"The gate {gate.name} has limit {gate.limit} and weight {gate.weight}.",
                "A rate lies between 0 and 1, other limits and weights are at least 0.",
            )
    return Evidence(tuple(GateEvidence(reference=gate.reference) for gate in watch.gates))


def observe(watch: Watch, state: Evidence, seen: Observation) -> Evidence:
    """The state after one more observation. Pure; the same observations give the same bytes."""
    gates = []
    for gate, own in zip(watch.gates, state.gates, strict=True):
        if own.track.elapsed is not None and seen.elapsed - own.track.elapsed < gate.every:
            gates.append(own)
            continue
        own_seen = focused(seen, gate.source) if gate.source else seen
        track, rise = follow(own.track, own_seen, gate.signal, paired=gate.paired)
        gates.append(_after(gate, watch.rules, own, track, rise))
    return _weighed(watch, Evidence(tuple(gates), seen.elapsed, state.breached, state.blamed))


def update(gate: Gate, rules: Rules, own: GateEvidence, rise: Rise) -> GateEvidence:
    """One gate's state after what rose in one poll."""
    return _after(gate, rules, own, own.track, rise)


def _after(
    gate: Gate, rules: Rules, own: GateEvidence, track: Track, rise: Rise | str
) -> GateEvidence:
    """One gate's state after one poll: `track` is where its counters stand now."""
    if isinstance(rise, str):
        return _blind(own, track, rise)
    began = rise.elapsed - rise.seconds
    placed = place(
        gate, rules, rise, own.reference, hard=began < rules.grace, turn=own.process.polls
    )
    if isinstance(placed, str):
        return _blind(own, track, placed)
    dispersion = gate.dispersion.at(placed.per_second)
    return GateEvidence(
        track=track,
        process=step(own.process, rules, placed.bets, began=began, dispersion=dispersion),
        reference=_pooled(own.reference, rise) if gate.kind is Kind.LATENCY else own.reference,
        candidate=_sum(own.candidate, placed.candidate),
        baseline=_sum(own.baseline, placed.baseline),
        fresh=rise.elapsed,
        blind="",
    )


def _blind(own: GateEvidence, track: Track, why: str) -> GateEvidence:
    if track is own.track and why == own.blind:
        return own
    return own._replace(track=track, blind=why)


def evidence(watch: Watch, state: Evidence) -> float:
    """M of the whole rollout: 1 at the start; at least 1/α means roll back."""
    return sum(_shares(watch, state))


def verdicts(watch: Watch, state: Evidence, now: float | None = None) -> tuple[Verdict, ...]:
    """Each gate's answer. The blamed gate breaches; a pass excludes what is not tolerated.

    `now`: seconds of watching, if later than the newest observation; samples grow stale by it.
    """
    at = state.elapsed if now is None else max(now, state.elapsed)
    return tuple(
        _verdict(watch, state, gate, own, at)
        for gate, own in zip(watch.gates, state.gates, strict=True)
    )


def _verdict(watch: Watch, state: Evidence, gate: Gate, own: GateEvidence, now: float) -> Verdict:
    rules = watch.rules
    m = capital(own.process, rules, rising_shares(gate))
    against = excluded(own.process, falling_shares())
    counted = f"{own.candidate[0]} of {own.candidate[1]} in the candidate"
    if gate.kind is Kind.QUEUE:
        came, moved = own.candidate
        counted = f"above {gate.limit:g} items {came} came and {moved - came} left"
    if gate.paired:
        counted += f", {own.baseline[0]} of {own.baseline[1]} in the baseline"

    def say(answer: Answer, why: str, *, settled: bool = True) -> Verdict:
        limit, trials = 1.0 / rules.alpha, own.candidate[1]
        return Verdict(gate.name, answer, f"{why} ({counted})", m, limit, trials, settled)

    if state.blamed == gate.name:
        at = f"at {state.breached:g} s"
        return say(Answer.BREACH, f"evidence of harm, {m:.3g} to one {at}")
    if own.fresh is None or now - own.fresh > rules.stale:
        return say(Answer.UNKNOWN, own.blind or f"no sample for {rules.stale:g} s")
    fewest = min(own.candidate[1], own.baseline[1]) if gate.paired else own.candidate[1]
    if fewest < gate.minimum:
        return say(Answer.UNKNOWN, f"too few, {gate.minimum} are needed")
    if now >= rules.bake and against >= 1.0 / rules.beta:
        return say(Answer.PASS, f"harm is excluded, {against:.3g} to one")
    doubt = f"harm is not excluded yet, {against:.3g} to one"
    if now < rules.bake:
        doubt = f"it bakes for {rules.bake:g} s"
    # To exclude what comes once an hour takes hours: nobody waits for that.
    settled = gate.kind is Kind.EVENTS and now >= rules.bake
    return say(Answer.UNKNOWN if gate.strict else Answer.PASS, doubt, settled=settled)


def _shares(watch: Watch, state: Evidence) -> list[float]:
    total = sum(gate.weight for gate in watch.gates)
    return [
        gate.weight / total * capital(own.process, watch.rules, rising_shares(gate))
        for gate, own in zip(watch.gates, state.gates, strict=True)
    ]


def _weighed(watch: Watch, state: Evidence) -> Evidence:
    if state.breached is not None:
        return state
    shares = _shares(watch, state)
    if sum(shares) < 1.0 / watch.rules.alpha:
        return state
    worst = max(range(len(shares)), key=shares.__getitem__)
    return replace(state, breached=state.elapsed, blamed=watch.gates[worst].name)


def _pooled(reference: tuple[float, ...], rise: Rise) -> tuple[float, ...]:
    both = tuple(a + b for a, b in zip(rise.candidate, rise.baseline or (), strict=True))
    if len(reference) != len(both):
        return both
    return tuple(a + b for a, b in zip(reference, both, strict=True))


def _sum(a: tuple[int, int], b: tuple[int, int]) -> tuple[int, int]:
    return a[0] + b[0], a[1] + b[1]


__all__ = [
    "Evidence",
    "Gate",
    "GateEvidence",
    "Kind",
    "Placed",
    "Rules",
    "Signal",
    "Watch",
    "evidence",
    "observe",
    "start",
    "update",
    "verdicts",
]
