"""What an observation costs: the default pair of gates, and all gates of a rollout. CPU time."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from parameters import Family
from product import DOCUMENTS
from ranges import FIELDS, Range
from scenes import drawn
from single import FAILURES, LATENCY
from streams import recorded

from guarded_rollout.core.evidence import Watch, observe, start
from guarded_rollout.core.evidence_process import ROBUST
from guarded_rollout.core.judging import NOTHING, weigh
from guarded_rollout.core.sample_deploy import sample_deploy
from guarded_rollout.core.schedule import Schedule
from guarded_rollout.core.series import Observation
from guarded_rollout.core.spec import EVERYBODY, Stage, WatchPolicy


def measured(rounds: int, seed: str) -> list[dict[str, Any]]:
    """The best of several rounds over 60 observations of a service with 500 requests/s."""
    readings = _readings(seed)
    cases: list[tuple[str, Callable[[Sequence[Observation]], None]]] = [
        ("failures", _watched(Watch((FAILURES,)))),
        ("failures + latency each 10 s", _watched(Watch((FAILURES, replace(LATENCY, every=10.0))))),
        ("failures + latency each 5 s", _watched(Watch((FAILURES, LATENCY)))),
        ("rollout, all at once", _folded((EVERYBODY,))),
        ("rollout, canary", _folded((Stage(5.0, 300.0), EVERYBODY))),
    ]
    return [{"what": name, "seconds": _best(fold, readings, rounds)} for name, fold in cases]


def _readings(seed: str) -> Sequence[Observation]:
    """Five minutes, 5 % on the candidate, a look every 5 s."""
    fixed = {"window": 300.0, "aa": 60.0, "scrape": 5.0, "requests": 500.0, "share": 0.05}
    ranges = {name: field.usual for name, field in FIELDS.items()}
    ranges |= {name: Range(value, value) for name, value in fixed.items()}
    scene = drawn(Family("speed", 1, 0, ("failures",), ranges), 0, seed, regressed=False)
    return [seen for seen, _ in recorded(scene, seed).seen]


def _watched(watch: Watch) -> Callable[[Sequence[Observation]], None]:
    def fold(readings: Sequence[Observation]) -> None:
        state = start(watch)
        for seen in readings:
            state = observe(watch, state, seen)

    return fold


def _folded(stages: tuple[Stage, ...]) -> Callable[[Sequence[Observation]], None]:
    """All gates, as they are folded from a rollout's journal."""
    policy = WatchPolicy(Schedule(3600.0, 30.0, 300.0, 120.0), auto_rollback=True)
    plan = sample_deploy("production", replace(DOCUMENTS, evidence=ROBUST), policy, stages)

    def fold(readings: Sequence[Observation]) -> None:
        weighed = NOTHING
        for seen in readings:
            weighed = weigh(plan, weighed, seen, 0)

    return fold


def _best(
    fold: Callable[[Sequence[Observation]], None], readings: Sequence[Observation], rounds: int
) -> float:
    best = math.inf
    for _ in range(rounds):
        began = time.process_time()
        fold(readings)
        best = min(best, (time.process_time() - began) / len(readings))
    return best
