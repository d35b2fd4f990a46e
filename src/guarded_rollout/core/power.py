"""What the gates of an environment can find at its traffic, how soon, and at what price.

Simulated with the gates' own code. One gate is followed, the one on failures or the one on
durations; what the others would add is left out, so the answer is on the cautious side. Polls grow
by 2 % of the time that passed: the answer is late by at most as much.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median

from guarded_rollout.core.evidence import GateEvidence, Watch, update
from guarded_rollout.core.evidence_counters import Rise
from guarded_rollout.core.evidence_gates import Gate, Kind, rising_shares
from guarded_rollout.core.evidence_process import capital
from guarded_rollout.core.evidence_signals import Signal
from guarded_rollout.core.judging import watches
from guarded_rollout.core.plan import Plan
from guarded_rollout.core.problems import NotPossible
from guarded_rollout.core.regressions import (
    Regression,
    Traffic,
    bound,
    failing,
    own_regressions,
    regressions,
)
from guarded_rollout.core.sample_deploy import sample_deploy
from guarded_rollout.core.simulated_traffic import Chance, binomial, multinomial, poisson
from guarded_rollout.core.spec import EVERYBODY, Stage

TEN_FOLD = 10.0
BAKE = 300.0
SHARES = (1.0, 2.0, 5.0, 10.0, 15.0, 20.0, 25.0, 35.0, 50.0)
"""The percentages that are tried for the first stage of a canary."""

SURE = 0.9
"""How often a stage must find a ten-fold failure rate within its bake time."""

_RUNS, _SLOW_RUNS, _FEW_RUNS = 80, 16, 8
_GROWTH = 0.02

Seeds = Callable[[int], Chance]
"""A new source of chance for each run, by its number."""


@dataclass(frozen=True, slots=True)
class Found:
    """One regression. Seconds are infinite for the runs that did not find it.

    Fields:
        seconds: until found, run by run, sorted.
        failed: the median of the candidate's failed requests until then (or the watch's end).
        asked: the same of all its requests.
        bound: what no test can beat on average, seconds.
        hourly: of events, how many come per replica; they are what `failed` counts.
    """

    what: str
    rate: float | None
    seconds: tuple[float, ...]
    failed: float
    asked: float
    bound: float
    hourly: float | None = None

    @property
    def share(self) -> float:
        """How often it was found."""
        return sum(math.isfinite(at) for at in self.seconds) / len(self.seconds)

    def within(self, part: float) -> float:
        """Seconds within which `part` of all runs found it."""
        return self.seconds[max(0, math.ceil(part * len(self.seconds)) - 1)]


@dataclass(frozen=True, slots=True)
class _Setting:
    """Where it is asked."""

    plan: Plan
    watch: Watch
    seeds: Seeds


def power(
    plan: Plan, traffic: Traffic, seeds: Seeds, own: Mapping[str, Traffic] | None = None
) -> tuple[Found, ...]:
    """What is found within the watch. NotPossible where thresholds judge, which promise nothing.

    `plan`: its first stage says whether both arms have users; `traffic.share` how many. `own`: of
    the service's own metrics, by the gate's name.
    """
    environment = plan.spec.environment
    setting = _Setting(plan, _watch(plan), seeds)
    questions = [
        *regressions(setting.watch, traffic),
        *own_regressions(setting.watch, environment.gates.custom, own or {}),
    ]
    horizon = environment.watch.schedule.duration
    return tuple(_found(setting, question, horizon) for question in questions)


def proposed(plan: Plan, traffic: Traffic, seeds: Seeds) -> tuple[Stage, ...]:
    """The stages of a canary: the first finds ten-fold failures within its bake; then they grow.

    Empty: not even half of the traffic shows them in that time. Everybody comes by itself.
    """
    environment = plan.spec.environment
    bake = max(BAKE, environment.gates.evidence.bake if environment.gates.evidence else 0.0)
    low, high = 0, len(SHARES)
    while low < high:
        middle = (low + high) // 2
        stage = Stage(SHARES[middle], bake)
        if _finds(plan, replace(traffic, share=stage.percent / 100.0), stage, seeds):
            high = middle
        else:
            low = middle + 1
    if low == len(SHARES):
        return ()
    shares = [SHARES[low]]
    while shares[-1] < 50.0:
        shares.append(min(50.0, shares[-1] * 5.0))
    return tuple(Stage(share, bake) for share in shares)


def _finds(plan: Plan, traffic: Traffic, stage: Stage, seeds: Seeds) -> bool:
    environment = plan.spec.environment
    canary = sample_deploy(
        environment.name, environment.gates, environment.watch, (stage, EVERYBODY)
    )
    setting = _Setting(canary, _watch(canary), seeds)
    question = failing(setting.watch, traffic, TEN_FOLD)
    return _found(setting, question, stage.bake_seconds).share >= SURE


def _watch(plan: Plan) -> Watch:
    """The gates that may blame the candidate at the first stage."""
    comparing, limiting = watches(plan)
    watch = comparing or limiting
    if watch is None:
        raise NotPossible(
            f"thresholds judge in {plan.spec.environment.name}: they promise nothing to compute",
            'write "judge": "evidence" into the gates file',
        )
    return watch


def _found(setting: _Setting, question: Regression, horizon: float) -> Found:
    rules = setting.plan.spec.environment.gates.evidence
    assert rules is not None, "a gate that weighs evidence has rules"
    least = bound(rules, question)
    about_durations = question.rate is None and question.hourly is None
    runs = _SLOW_RUNS if about_durations else _RUNS
    if not math.isfinite(least):  # what is allowed is found with at most α, however long
        runs = _FEW_RUNS
    ends = [
        _run(setting.watch, question, _polls(setting, question, setting.seeds(run), horizon))
        for run in range(runs)
    ]
    return Found(
        question.what,
        question.rate,
        tuple(sorted(at for at, _, _ in ends)),
        float(median(failed for _, failed, _ in ends)),
        float(median(asked for _, _, asked in ends)),
        least,
        question.hourly,
    )


def _polls(
    setting: _Setting, question: Regression, chance: Chance, horizon: float
) -> Iterator[Rise]:
    """Requests arrive evenly; who gets them and how they end is drawn."""
    traffic, every = question.traffic, setting.plan.spec.environment.watch.scrape_seconds
    at, before = 0.0, 0
    while at < horizon:
        seconds = min(max(every, question.gate.every, _GROWTH * at), horizon - at)
        at += seconds
        if question.gate.kind is Kind.EVENTS:
            yield _events(question, chance, at, seconds)
            continue
        total = int(traffic.per_second * at) - before
        before += total
        n = binomial(chance, total, traffic.share) if traffic.share < 1.0 else total
        paired = question.gate.paired
        yield Rise(
            at,
            seconds,
            _counts(chance, n, question.gate, question.ours),
            _counts(chance, total - n, question.gate, question.theirs) if paired else None,
            traffic.bounds,
        )


def _events(question: Regression, chance: Chance, at: float, seconds: float) -> Rise:
    """One replica in each arm."""
    ours = float(poisson(chance, question.ours[0] * seconds)), 1.0
    theirs = float(poisson(chance, question.theirs[0] * seconds)), 1.0
    return Rise(at, seconds, ours, theirs if question.gate.paired else None)


def _counts(chance: Chance, n: int, gate: Gate, shares: Sequence[float]) -> tuple[float, ...]:
    if gate.signal is Signal.REQUESTS:
        return float(n), float(binomial(chance, n, shares[1]))
    return tuple(map(float, multinomial(chance, n, shares)))


def _run(watch: Watch, question: Regression, polls: Iterator[Rise]) -> tuple[float, int, int]:
    """When it was found, and the candidate's failed and all requests until then."""
    gate = question.gate
    part = gate.weight / sum(other.weight for other in watch.gates)
    enough = 1.0 / watch.rules.alpha / part
    own, failed, asked = GateEvidence(reference=gate.reference), 0.0, 0.0
    for rise in polls:
        own = update(gate, watch.rules, own, rise)
        match gate.signal:
            case Signal.REQUESTS:
                asked, failed = asked + rise.candidate[0], failed + rise.candidate[1]
            case Signal.EVENTS:
                failed += rise.candidate[0]
            case _:
                asked += sum(rise.candidate)
        if capital(own.process, watch.rules, rising_shares(gate)) >= enough:
            return rise.elapsed, int(failed), int(asked)
    return math.inf, int(failed), int(asked)
