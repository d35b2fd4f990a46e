"""The regressions that `power` asks for: of failures, of durations, of the service's own metrics.

Each names the gate that may find it, and how the candidate's and the baseline's counts fall.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from guarded_rollout.core.evidence import Watch
from guarded_rollout.core.evidence_bets import scaled
from guarded_rollout.core.evidence_gates import Gate, Kind
from guarded_rollout.core.evidence_process import Rules
from guarded_rollout.core.evidence_signals import Signal
from guarded_rollout.core.gates import COMPARED, CustomGate, CustomKind
from guarded_rollout.core.information import alone, compared, mixed, seconds_at_least
from guarded_rollout.core.simulated_traffic import slower, with_tail

TIMES = (2.0, 4.0, 10.0, 40.0)
"""The failure rates that are asked for, in multiples of the usual one."""

OWN_TIMES = (4.0, 10.0)
"""The same of the service's own metrics; of events in multiples of the limit."""

_HOUR = 3600.0


@dataclass(frozen=True, slots=True)
class Traffic:
    """Requests per second of both arms, the candidate's share (0 to 1), how many fail usually.

    `durations`: how they usually fall into the buckets with these `bounds`; empty: not known.
    Of events `per_second` is how often one comes usually, per replica.
    """

    per_second: float
    share: float
    failures: float
    durations: tuple[float, ...] = ()
    bounds: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Regression:
    """One question. `ours`, `theirs`: the shares of (good, bad) requests, or of the buckets; of
    events how many come per second.

    `rate`: of the candidate's failures; `hourly`: of its events. Both None: about durations.
    """

    what: str
    gate: Gate
    traffic: Traffic
    ours: tuple[float, ...]
    theirs: tuple[float, ...]
    rate: float | None = None
    hourly: float | None = None


def regressions(watch: Watch, traffic: Traffic) -> Iterator[Regression]:
    """Of the gates that every service has."""
    for times in TIMES:
        yield failing(watch, traffic, times)
    if traffic.durations:
        kinds = {Kind.LATENCY, Kind.QUANTILE}
        gate = next(g for g in watch.gates if g.kind in kinds)
        yield from _slower("durations", gate, traffic)
        tail = with_tail(traffic.durations, traffic.bounds, 0.05, 10.0)
        yield Regression("1 of 20 takes 10 times", gate, traffic, tail, traffic.durations)


def failing(watch: Watch, traffic: Traffic, times: float) -> Regression:
    """So many times the usual failures."""
    kinds = {Kind.FAILURES, Kind.RATE}
    gate = next(g for g in watch.gates if g.kind in kinds and g.signal is Signal.REQUESTS)
    return _failing("failures", gate, traffic, times)


def own_regressions(
    watch: Watch, custom: tuple[CustomGate, ...], seen: Mapping[str, Traffic]
) -> Iterator[Regression]:
    """Of the service's own metrics whose traffic is known, where a gate may blame by them."""
    gates = {gate.name: gate for gate in watch.gates}
    for own in custom:
        gate = gates.get(own.name, gates.get(f"{own.name}{COMPARED}"))
        traffic = seen.get(own.name)
        if gate is None or traffic is None:
            continue
        if own.kind is CustomKind.QUANTILE:
            yield from _slower(own.name, gate, traffic)
        elif own.kind is CustomKind.RATE:
            for times in OWN_TIMES:
                yield _failing(own.name, gate, traffic, times)
        else:
            for times in OWN_TIMES:
                hourly = times * own.threshold
                yield Regression(
                    f"{own.name} {times:g} times",
                    gate,
                    traffic,
                    (hourly / _HOUR,),
                    (traffic.per_second,),
                    hourly=hourly,
                )


def _failing(what: str, gate: Gate, traffic: Traffic, times: float) -> Regression:
    base = traffic.failures
    rate = min(0.99, times * base)
    return Regression(
        f"{what} {times:g} times", gate, traffic, (1.0 - rate, rate), (1.0 - base, base), rate
    )


def _slower(what: str, gate: Gate, traffic: Traffic) -> Iterator[Regression]:
    for factor in (1.5, 3.0):
        moved = slower(traffic.durations, traffic.bounds, factor)
        yield Regression(f"{what} {factor:g} times", gate, traffic, moved, traffic.durations)


def bound(rules: Rules, asked: Regression) -> float:
    """Seconds that every test needs which keeps the same promise: α, margin, limit, dispersion."""
    gate, traffic, rate = asked.gate, asked.traffic, asked.rate or 0.0
    told, per_second = 0.0, traffic.per_second
    match gate.kind:
        case Kind.FAILURES:
            told = compared(rate, traffic.failures, traffic.share, rules.margin)
        case Kind.LATENCY:
            told = mixed(asked.ours, asked.theirs, traffic.share)
        case Kind.QUANTILE:
            above = sum(
                share
                for share, low in zip(asked.ours, (0.0, *traffic.bounds), strict=True)
                if low >= gate.limit
            )
            told = traffic.share * alone(above, 1.0 - gate.quantile)
        case Kind.EVENTS:
            told, per_second = _of_events(rules, asked), 1.0
        case _:
            told = traffic.share * alone(rate, gate.limit)
    return seconds_at_least(rules.alpha, told / gate.dispersion.factor, per_second)


def _of_events(rules: Rules, asked: Regression) -> float:
    """Per second: Poisson against the limit, or which arm an event falls on."""
    (ours,), (theirs,) = asked.ours, asked.theirs
    if asked.gate.paired:
        both = ours + theirs
        return both * alone(ours / both, scaled(0.5, rules.margin))
    limit = asked.gate.limit / _HOUR
    return ours * math.log(ours / limit) - ours + limit if ours > limit else 0.0
