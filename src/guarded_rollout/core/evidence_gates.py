"""What each evidence gate counts, against which null, and the bets it places on one poll."""

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from guarded_rollout.core import evidence_profiles as profiles
from guarded_rollout.core.evidence_bets import (
    FALLING,
    FALLING_SHARES,
    RISING,
    RISING_SHARES,
    Bets,
    Table,
    events,
    histograms,
    scaled,
    trials,
    two_arms,
)
from guarded_rollout.core.evidence_counters import Rise
from guarded_rollout.core.evidence_process import EVEN, Dispersion, Rules
from guarded_rollout.core.evidence_signals import Signal

_HARD_RISING = (1.6, 5.0)

_COLD = 4.0
"""Inside the grace durations may differ by so many times the hard margin: caches are cold."""

_RICH = 30
"""n·m/(n + m) from which on a poll is rich."""


class Kind(StrEnum):
    """The null that the rising side is against."""

    RATE = "rate"
    """The candidate's failures are at most `limit` of its requests."""
    QUANTILE = "quantile"
    """The candidate's `quantile` is at most `limit` seconds."""
    FAILURES = "failures"
    """The candidate's odds of failure are at most the margin times the baseline's."""
    LATENCY = "latency"
    """The candidate is stochastically no slower than the baseline, the margin allowed for."""
    EVENTS = "events"
    """Restarts: no more per replica and second than the margin times the baseline's.

    Without a baseline: at most `limit` per replica and hour.
    """
    QUEUE = "queue"
    """While the queue is above `limit` items no more come than leave."""


@dataclass(frozen=True, slots=True)
class Gate:
    """One evidence gate. `weight`: its part of the capital. `reference`: A/A counts per bucket.

    `every`: seconds of counting that one bet needs; observations in between are put together.
    `minimum`: trials of each arm without which nothing is known. `strict`: a pass needs harm
    excluded; else it needs enough trials without a breach, and is not settled before.
    `source`: the custom metric that it reads; empty: the usual ones.
    """

    name: str
    kind: Kind
    signal: Signal
    limit: float = 0.0
    quantile: float = 0.95
    weight: float = 1.0
    every: float = 0.0
    paired: bool = True
    dispersion: Dispersion = EVEN
    reference: tuple[float, ...] = ()
    minimum: int = 0
    strict: bool = True
    source: str = ""


class Placed(NamedTuple):
    """A poll's bets, and how many of the candidate's and baseline's trials they are about."""

    bets: Bets
    candidate: tuple[int, int]
    baseline: tuple[int, int]
    per_second: float


def rising_shares(gate: Gate) -> tuple[float, ...]:
    """How the gate's capital is divided over its bets."""
    if gate.kind is Kind.LATENCY:
        return profiles.shares(failures=gate.signal is Signal.OUTCOMES)
    return RISING_SHARES


def falling_shares() -> tuple[float, ...]:
    """The same for the falling side, in every row."""
    return FALLING_SHARES


def place(
    gate: Gate, rules: Rules, rise: Rise, reference: Sequence[float], *, hard: bool, turn: int = 0
) -> Placed | str:
    """The bets on what rose, or why none can be placed. `hard`: inside the grace period.

    `turn`: how many polls were bet on before.
    """
    match gate.kind:
        case Kind.RATE | Kind.QUANTILE:
            return _one_arm(gate, rules, rise, hard=hard)
        case Kind.FAILURES:
            return _failures(rules, rise, hard=hard)
        case Kind.LATENCY:
            return _latency(gate, rules, rise, reference, hard=hard, turn=turn)
        case Kind.EVENTS:
            return _events(gate, rules, rise, hard=hard)
        case Kind.QUEUE:
            return _queue(gate, rules, rise, hard=hard)


def _one_arm(gate: Gate, rules: Rules, rise: Rise, *, hard: bool) -> Placed | str:
    if gate.kind is Kind.RATE:
        d, x = int(rise.candidate[0]), int(rise.candidate[1])
        perhaps, q = x, gate.limit
    else:
        at = bisect_left(rise.bounds, gate.limit)
        if at == len(rise.bounds):
            return f"no bucket reaches {gate.limit:g} s"
        d, x = int(sum(rise.candidate)), int(sum(rise.candidate[at + 1 :]))
        # Inside the limit's bucket nobody knows: no fault when blaming, one when excluding.
        perhaps = x
        if rise.bounds[at] > gate.limit:
            perhaps = int(sum(rise.candidate[at:]))
        q = 1.0 - gate.quantile
    if d == 0:
        return "no requests"
    null, multipliers = (scaled(q, rules.hard_margin), _HARD_RISING) if hard else (q, RISING)
    return Placed(
        Bets(trials(x, d, null, multipliers), (trials(perhaps, d, q, FALLING),)),
        (x, d),
        (0, 0),
        d / rise.seconds,
    )


def _failures(rules: Rules, rise: Rise, *, hard: bool) -> Placed | str:
    if rise.baseline is None:
        return "no baseline"
    n, x = int(rise.candidate[0]), int(rise.candidate[1])
    m, y = int(rise.baseline[0]), int(rise.baseline[1])
    if not n or not m:
        return "no requests in both arms"
    margin, multipliers = (rules.hard_margin, _HARD_RISING) if hard else (rules.margin, RISING)
    bets = two_arms(Table(x, n, y, m), margin, multipliers, rules.tolerated, FALLING)
    return Placed(bets, (x, n), (y, m), n * m / (n + m) / rise.seconds)


def _latency(
    gate: Gate, rules: Rules, rise: Rise, reference: Sequence[float], *, hard: bool, turn: int
) -> Placed | str:
    if rise.baseline is None:
        return "no baseline"
    n, m = int(sum(rise.candidate)), int(sum(rise.baseline))
    if not n or not m:
        return "no requests in both arms"
    learned = reference if len(reference) == len(rise.candidate) else (0.0,) * len(rise.candidate)
    plan = profiles.plan(learned, rules.margin, failures=gate.signal is Signal.OUTCOMES)
    ours, theirs = _grouped(rise.candidate, plan), _grouped(rise.baseline, plan)
    if hard:
        rising = histograms(ours, theirs, _COLD * rules.hard_margin, plan.hard)
    else:
        rising = histograms(ours, theirs, rules.margin, plan.profiles)
    # Where a poll holds many requests, the rows take turns: harm is excluded soon all the same.
    rows, rich = len(plan.boundaries), n * m >= _RICH * (n + m)
    tables = [
        Table(0, n, 0, m)
        if at is None or (rich and row != turn % rows)
        else Table(sum(ours[at:]), n, sum(theirs[at:]), m)
        for row, at in enumerate(plan.boundaries)
    ]
    falling = [two_arms(table, 1.0, (), rules.tolerated, FALLING).falling[0] for table in tables]
    top = plan.boundaries[-1]
    bad = (0, 0) if top is None else (sum(ours[top:]), sum(theirs[top:]))
    return Placed(
        Bets(rising, tuple(falling)),
        (bad[0], n),
        (bad[1], m),
        n * m / (n + m) / rise.seconds,
    )


def _grouped(counts: Sequence[float], plan: profiles.Plan) -> list[int]:
    groups = [0] * plan.groups
    for count, group in zip(counts, plan.group_of, strict=True):
        groups[group] += int(count)
    return groups


def _events(gate: Gate, rules: Rules, rise: Rise, *, hard: bool) -> Placed | str:
    x, alive = int(rise.candidate[0]), rise.candidate[1]
    tolerable = gate.limit / 3600.0 * alive * rise.seconds
    falling = (events(x, tolerable, FALLING),)
    multipliers = _HARD_RISING if hard else RISING
    margin = rules.hard_margin if hard else rules.margin
    if rise.baseline is None:
        expected = tolerable * (rules.hard_margin if hard else 1.0)
        return Placed(Bets(events(x, expected, multipliers), falling), (x, 0), (0, 0), 0.0)
    y, others = int(rise.baseline[0]), rise.baseline[1]
    q = scaled(alive / (alive + others), margin)
    return Placed(Bets(trials(x, x + y, q, multipliers), falling), (x, 0), (y, 0), 0.0)


def _queue(gate: Gate, rules: Rules, rise: Rise, *, hard: bool) -> Placed | str:
    came, left, before = rise.candidate
    short = before <= gate.limit
    x, d = (0, 0) if short else (int(came), int(came + left))
    margin, multipliers = (rules.hard_margin, _HARD_RISING) if hard else (1.0, RISING)
    rising = trials(x, d, scaled(0.5, margin), multipliers)
    falling = trials(x, 1 if short else d, scaled(0.5, rules.tolerated), FALLING)
    return Placed(Bets(rising, (falling,)), (x, d), (0, 0), 0.0)


def finite_limit(gate: Gate) -> bool:
    """Whether the gate's limit can be a null at all."""
    if gate.kind is Kind.RATE:
        return 0.0 < gate.limit < 1.0
    return math.isfinite(gate.limit) and gate.limit >= 0.0
