"""How long one LIGHT gate takes, in bounds: error steps and latencies, at the shift and later."""

import math
import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from statistics import fmean, median
from typing import Any

import single
from scenes import durations
from single import FAILURES, LATENCY, Split

from guarded_rollout.core.evidence_gates import Gate
from guarded_rollout.core.evidence_process import LIGHT
from guarded_rollout.core.information import compared, mixed, seconds_at_least

STEPS = (
    (50, 0.05, 0.005, 0.02),
    (50, 0.05, 0.005, 0.1),
    (500, 0.05, 0.005, 0.01),
    (500, 0.5, 0.005, 0.1),
    (50, 0.5, 0.005, 0.01),
    (50, 0.5, 0.005, 0.02),
    (20, 0.1, 0.01, 0.05),
    (100, 0.05, 0.001, 0.02),
    (5, 0.5, 0.01, 0.2),
)
"""Requests per second, the candidate's share, the usual failure rate, the new one."""

HEALTHY = durations(0.05, 0.6)
SLOWER = (
    ("x 1.2", durations(0.06, 0.6)),
    ("x 1.5", durations(0.075, 0.6)),
    ("5 % eight times", durations(0.05, 0.6, 0.05, 8.0)),
    ("1 % eight times", durations(0.05, 0.6, 0.01, 8.0)),
)
SOON = 15.0
"""Bounds below so many seconds are left out: there one poll decides."""

SPLITS = ((50, 0.05), (20, 0.5))


@dataclass(frozen=True, slots=True)
class Question:
    """One gate and one regression. `run`: when it was found and the failures, by a run's seed."""

    what: str
    part: str
    onset: float
    bound: float
    run: Callable[[random.Random], tuple[float | None, int]]


@cache
def questions() -> tuple[Question, ...]:
    """All that are asked, in order."""
    steps = [_step(*step, onset) for onset in (0.0, 600.0) for step in STEPS]
    return (*steps, *(_slower(name, worse, *at) for name, worse in SLOWER for at in SPLITS))


def answered(number: int, seed: str, run: int) -> tuple[float | None, int]:
    """One run of one question."""
    return questions()[number].run(random.Random(f"{seed}/delays/{number}/{run}"))


def added(question: Question, ends: list[tuple[float | None, int]]) -> dict[str, Any]:
    """Delays in bounds; a run that found nothing counts as one of 3,600 s."""
    delays = [(3600.0 if end is None else end) - question.onset for end, _ in ends]
    true = [delay for delay in delays if delay > 0]
    return {
        "what": question.what,
        "part": question.part,
        "onset": question.onset,
        "bound": question.bound,
        "runs": len(ends),
        "missed": sum(end is None for end, _ in ends),
        "too_early": len(delays) - len(true),
        "mean": fmean(true) / question.bound,
        "median": median(true) / question.bound,
        "failed": median(cost for _, cost in ends),
    }


def _step(requests: float, share: float, usual: float, bad: float, onset: float) -> Question:
    split = Split(requests, share)
    return Question(
        f"{requests}/s, {100 * share:g} %, {100 * usual:g} to {100 * bad:g} %",
        "failures",
        onset,
        seconds_at_least(LIGHT.alpha, compared(bad, usual, share, 1.0), requests),
        lambda rng: single.until(FAILURES, LIGHT, single.failed(rng, split, usual, bad, onset)),
    )


def _slower(name: str, worse: tuple[float, ...], requests: float, share: float) -> Question:
    split = Split(requests, share)
    known: Gate = replace(LATENCY, reference=tuple(2000.0 * part for part in HEALTHY))
    bound = math.log(1.0 / LIGHT.alpha) / mixed(worse, HEALTHY, share) / requests
    return Question(
        f"{requests}/s, {100 * share:g} %, {name}",
        "latency",
        0.0,
        bound,
        lambda rng: single.until(known, LIGHT, single.fallen(rng, split, HEALTHY, worse)),
    )
