"""How often a gate rolls back a release at the edge of its null, where the promise is tightest.

Without margin, cap and φ, which only lower it; `margin` has the margin and the grace. Each run
draws its own traffic from the parameters of its kind.
"""

import math
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import intervals
import single
from parameters import Family
from ranges import Range
from scenes import BOUNDS, Scene, drawn, durations
from single import FAILURES, LATENCY, OUTCOMES, Split

from guarded_rollout.core.evidence_bets import scaled
from guarded_rollout.core.evidence_counters import Rise
from guarded_rollout.core.evidence_gates import Gate, Kind
from guarded_rollout.core.evidence_process import LIGHT, ROBUST, Rules
from guarded_rollout.core.evidence_signals import Signal

Case = tuple[Gate, Rules, Iterator[Rise]]
_FLOOR = 100.0


def alarm(kind: str, ranges: Mapping[str, Range], seed: str, number: int) -> bool:
    """Whether this harmless rollout is rolled back."""
    scene = drawn(Family(kind, 0, 0, ("failures",), ranges), number, seed, regressed=False)
    rng = random.Random(f"{seed}/alarms/{kind}/{number}")
    gate, rules, rises = CASES[kind](scene, rng)
    return single.until(gate, rules, rises)[0] is not None


def added(runs: int, false: int) -> dict[str, Any]:
    """One kind's figures, with the interval of Clopper and Pearson (97.5 % on each side)."""
    return {
        "runs": runs,
        "false": false,
        "low": intervals.at_least(false, runs),
        "high": intervals.at_most(false, runs),
    }


def _split(scene: Scene) -> Split:
    return Split(scene.requests, scene.share, scene.scrape, scene.window)


def _rate(scene: Scene, rng: random.Random) -> Case:
    gate = replace(FAILURES, kind=Kind.RATE, limit=scene.failures, paired=False)
    split = Split(scene.requests * scene.share, 1.0, scene.scrape, scene.window)
    return gate, LIGHT, single.failed(rng, split, scene.failures, scene.failures)


def _quantile(scene: Scene, rng: random.Random) -> Case:
    """The limit is the boundary at about the 95th percentile, its quantile what lies below."""
    parts = durations(scene.median, scene.spread)
    below = [math.fsum(parts[: at + 1]) for at in range(len(BOUNDS))]
    at = min(range(len(BOUNDS)), key=lambda i: abs(below[i] - 0.95))
    gate = Gate(
        "quantile",
        Kind.QUANTILE,
        Signal.DURATIONS,
        limit=BOUNDS[at],
        quantile=below[at],
        paired=False,
    )
    split = Split(scene.requests * scene.share, 1.0, scene.scrape, scene.window)
    return gate, LIGHT, single.fallen(rng, split, parts, parts)


def _failures(scene: Scene, rng: random.Random) -> Case:
    return FAILURES, LIGHT, single.failed(rng, _split(scene), scene.failures, scene.failures)


def _margin(scene: Scene, rng: random.Random) -> Case:
    rules = replace(ROBUST, cap=None)
    worse = scaled(scene.failures, rules.margin)
    return FAILURES, rules, single.failed(rng, _split(scene), scene.failures, worse)


def _latency(scene: Scene, rng: random.Random) -> Case:
    parts = durations(scene.median, scene.spread)
    return LATENCY, LIGHT, single.fallen(rng, _split(scene), parts, parts)


def _outcomes(scene: Scene, rng: random.Random) -> Case:
    parts = durations(scene.median, scene.spread)
    both = (*((1.0 - scene.failures) * part for part in parts), scene.failures)
    return OUTCOMES, LIGHT, single.fallen(rng, _split(scene), both, both)


def _events(scene: Scene, rng: random.Random) -> Case:
    """Every second run has no baseline, and its limit is the true rate."""
    alone = scene.number % 2 == 0
    gate = Gate(
        "events",
        Kind.EVENTS,
        Signal.RESTARTS,
        limit=3600.0 * scene.failures,
        paired=not alone,
    )
    return gate, LIGHT, _restarts(scene, rng, alone=alone)


def _restarts(scene: Scene, rng: random.Random, *, alone: bool) -> Iterator[Rise]:
    ours, theirs = rng.randint(1, 5), rng.randint(1, 5)
    expected = scene.failures * scene.scrape
    for poll in range(int(scene.window / scene.scrape)):
        x, y = _poisson(rng, ours * expected), _poisson(rng, theirs * expected)
        baseline = None if alone else (float(y), float(theirs))
        yield Rise((poll + 1) * scene.scrape, scene.scrape, (float(x), float(ours)), baseline)


def _poisson(rng: random.Random, mean: float) -> int:
    found, at = 0, rng.expovariate(1.0)
    while at <= mean:
        found, at = found + 1, at + rng.expovariate(1.0)
    return found


def _queue(scene: Scene, rng: random.Random) -> Case:
    gate = Gate("queue", Kind.QUEUE, Signal.QUEUE, limit=_FLOOR, paired=False)
    return gate, LIGHT, _walk(scene, rng)


def _walk(scene: Scene, rng: random.Random) -> Iterator[Rise]:
    """Above the floor as many items come as leave."""
    mean = scene.requests * scene.scrape
    for poll in range(int(scene.window / scene.scrape)):
        came, left = _poisson(rng, mean), _poisson(rng, mean)
        moved = (float(came), float(left), 10.0 * _FLOOR)
        yield Rise((poll + 1) * scene.scrape, scene.scrape, moved)


CASES: Mapping[str, Callable[[Scene, random.Random], Case]] = {
    "rate": _rate,
    "quantile": _quantile,
    "failures": _failures,
    "margin": _margin,
    "latency": _latency,
    "outcomes": _outcomes,
    "events": _events,
    "queue": _queue,
}
