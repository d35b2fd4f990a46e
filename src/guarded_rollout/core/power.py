"""What the gates of an environment can find at its traffic, how soon, and at what price.

Simulated with the gates' own code. One gate is followed, the one on failures or the one on
durations; what the others would add is left out, so the answer is on the cautious side. Polls grow
by 2 % of the time that passed: the answer is late by at most as much.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from statistics import median

from guarded_rollout.core.evidence import GateEvidence, Watch, update
from guarded_rollout.core.evidence_counters import Rise
from guarded_rollout.core.evidence_gates import Gate, Kind, rising_shares
from guarded_rollout.core.evidence_process import capital
from guarded_rollout.core.evidence_signals import Signal
from guarded_rollout.core.information import alone, compared, mixed, seconds_at_least
from guarded_rollout.core.judging import watches
from guarded_rollout.core.plan import Plan
from guarded_rollout.core.problems import NotPossible
from guarded_rollout.core.sample_deploy import sample_deploy
from guarded_rollout.core.simulated_traffic import (
    Chance,
    binomial,
    multinomial,
    slower,
    with_tail,
)
from guarded_rollout.core.spec import EVERYBODY, Stage

TIMES = (2.0, 4.0, 10.0, 40.0)
"""The failure rates that are asked for, in multiples of the usual one."""

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
class Traffic:
    """Requests per second of both arms, the candidate's share (0 to 1), how many fail usually.

    `durations`: how they usually fall into the buckets with these `bounds`; empty: not known.
    """

    per_second: float
    share: float
    failures: float
    durations: tuple[float, ...] = ()
    bounds: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Found:
    """One regression. Seconds are infinite for the runs that did not find it.

    Fields:
        seconds: until found, run by run, sorted.
        failed: the median of the candidate's failed requests until then (or the watch's end).
        asked: the same of all its requests.
        bound: what no test can beat on average, seconds.
    """

    what: str
    rate: float | None
    seconds: tuple[float, ...]
    failed: float
    asked: float
    bound: float

    @property
    def share(self) -> float:
        """How often it was found."""
        return sum(math.isfinite(at) for at in self.seconds) / len(self.seconds)

    def within(self, part: float) -> float:
        """Seconds within which `part` of all runs found it."""
        return self.seconds[max(0, math.ceil(part * len(self.seconds)) - 1)]


@dataclass(frozen=True, slots=True)
class _Asked:
    """One question: which gate, and how requests fall in the candidate and in the baseline.

    `rate`: of the candidate's failures; None: it is about durations.
    """

    what: str
    gate: Gate
    ours: tuple[float, ...]
    theirs: tuple[float, ...]
    rate: float | None = None


@dataclass(frozen=True, slots=True)
class _Setting:
    """Where it is asked."""

    plan: Plan
    watch: Watch
    traffic: Traffic
    seeds: Seeds


def power(plan: Plan, traffic: Traffic, seeds: Seeds) -> tuple[Found, ...]:
    """What is found within the watch. NotPossible where thresholds judge, which promise nothing.

    `plan`: its first stage says whether both arms have users; `traffic.share` how many.
    """
    horizon = plan.spec.environment.watch.schedule.duration
    setting = _Setting(plan, _watch(plan), traffic, seeds)
    questions = [_on_failures(setting, times) for times in TIMES]
    questions += [_on_durations(setting, *slow) for slow in _regressions(traffic)]
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
    setting = _Setting(canary, _watch(canary), traffic, seeds)
    question = _on_failures(setting, TEN_FOLD)
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


def _on_failures(setting: _Setting, times: float) -> _Asked:
    kinds = {Kind.FAILURES, Kind.RATE}
    gates = setting.watch.gates
    gate = next(g for g in gates if g.kind in kinds and g.signal is Signal.REQUESTS)
    base = setting.traffic.failures
    rate = min(0.99, times * base)
    return _Asked(f"failures {times:g} times", gate, (1.0 - rate, rate), (1.0 - base, base), rate)


def _on_durations(setting: _Setting, what: str, shares: tuple[float, ...]) -> _Asked:
    gate = next(g for g in setting.watch.gates if g.kind in {Kind.LATENCY, Kind.QUANTILE})
    return _Asked(what, gate, shares, setting.traffic.durations)


def _regressions(traffic: Traffic) -> Iterator[tuple[str, tuple[float, ...]]]:
    if not traffic.durations:
        return
    usual, bounds = traffic.durations, traffic.bounds
    yield "durations 1.5 times", slower(usual, bounds, 1.5)
    yield "durations 3 times", slower(usual, bounds, 3.0)
    yield "1 of 20 takes 10 times", with_tail(usual, bounds, 0.05, 10.0)


def _found(setting: _Setting, question: _Asked, horizon: float) -> Found:
    bound = _bound(setting, question)
    runs = _RUNS if question.rate is not None else _SLOW_RUNS
    if not math.isfinite(bound):  # what is allowed is found with at most α, however long
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
        bound,
    )


def _polls(setting: _Setting, question: _Asked, chance: Chance, horizon: float) -> Iterator[Rise]:
    """Requests arrive evenly; who gets them and how they end is drawn."""
    traffic, every = setting.traffic, setting.plan.spec.environment.watch.scrape_seconds
    at, before = 0.0, 0
    while at < horizon:
        seconds = min(max(every, question.gate.every, _GROWTH * at), horizon - at)
        at += seconds
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


def _counts(chance: Chance, n: int, gate: Gate, shares: Sequence[float]) -> tuple[float, ...]:
    if gate.signal is Signal.REQUESTS:
        return float(n), float(binomial(chance, n, shares[1]))
    return tuple(map(float, multinomial(chance, n, shares)))


def _run(watch: Watch, question: _Asked, polls: Iterator[Rise]) -> tuple[float, int, int]:
    """When it was found, and the candidate's failed and all requests until then."""
    gate = question.gate
    part = gate.weight / sum(other.weight for other in watch.gates)
    enough = 1.0 / watch.rules.alpha / part
    own, failed, asked = GateEvidence(reference=gate.reference), 0.0, 0.0
    for rise in polls:
        own = update(gate, watch.rules, own, rise)
        counts = gate.signal is Signal.REQUESTS
        asked += rise.candidate[0] if counts else sum(rise.candidate)
        failed += rise.candidate[1] if counts else 0.0
        if capital(own.process, watch.rules, rising_shares(gate)) >= enough:
            return rise.elapsed, int(failed), int(asked)
    return math.inf, int(failed), int(asked)


def _bound(setting: _Setting, question: _Asked) -> float:
    """Of every test that keeps the same promise: this α, margin, limit and dispersion."""
    gates, traffic = setting.plan.spec.environment.gates, setting.traffic
    rules, gate, rate = gates.evidence, question.gate, question.rate or 0.0
    assert rules is not None, "a gate that weighs evidence has rules"
    match gate.kind:
        case Kind.FAILURES:
            told = compared(rate, traffic.failures, traffic.share, rules.margin)
        case Kind.LATENCY:
            told = mixed(question.ours, question.theirs, traffic.share)
        case Kind.QUANTILE:
            above = sum(
                share
                for share, low in zip(question.ours, (0.0, *traffic.bounds), strict=True)
                if low >= gate.limit
            )
            told = traffic.share * alone(above, 1.0 - gate.quantile)
        case _:
            told = traffic.share * alone(rate, gate.limit)
    return seconds_at_least(rules.alpha, told / gates.dispersion, traffic.per_second)
