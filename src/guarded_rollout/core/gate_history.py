"""A recorded rollout, judged again: by the gates it ran with, or by others."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import msgspec

from guarded_rollout.core.calibration import Noise
from guarded_rollout.core.canonical import canonical
from guarded_rollout.core.facts import Fact, Judged, Lane, Observed
from guarded_rollout.core.gates import Answer, Gates, Verdict, overall
from guarded_rollout.core.judging import Weighed, judge_all, weigh
from guarded_rollout.core.plan import Plan
from guarded_rollout.core.rollout import advance, verdicts
from guarded_rollout.core.schedule import next_look
from guarded_rollout.core.series import Observation, Series
from guarded_rollout.core.spec import WatchPolicy
from guarded_rollout.core.state import State, plan_of


@dataclass(frozen=True, slots=True)
class Fired:
    """When a gate breached first (seconds of watching; None: never), and what it said.

    `verdict`: that breach, or what it said last.
    """

    gate: str
    at: float | None
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Difference:
    """The first judgement that a replay does not repeat. `number` from 1; verdicts as JSON."""

    number: int
    elapsed: float
    recorded: str
    replayed: str


@dataclass(frozen=True, slots=True)
class Replayed:
    """A recorded watch, judged again. `judged`: how often, by the gates.

    `probed`: judgements of the probes, whose rounds are not in the journal: they are not repeated.
    """

    seconds: float
    observations: int
    judged: int
    probed: int
    fired: tuple[Fired, ...]
    difference: Difference | None = None


@dataclass(frozen=True, slots=True)
class Ending:
    """What would have ended the watch first: at which second, rolled back or held, and why."""

    at: float
    rolls_back: bool
    reason: str


@dataclass(frozen=True, slots=True)
class Otherwise:
    """A recorded watch under other gates. `ending` None: none of them would have ended it."""

    seconds: float
    observations: int
    judged: int
    fired: tuple[Fired, ...]
    ending: Ending | None


def replayed(facts: Iterable[Fact]) -> Replayed:
    """Under the gates it ran with. Raises ImpossibleFact for facts that do not fold."""
    state, difference = State(), None
    observations = judged = probed = 0
    fired: dict[str, Fired] = {}
    for fact in facts:
        if isinstance(fact, Judged) and fact.lane is Lane.GATES:
            judged += 1
            own = Judged(state.elapsed, verdicts(state))
            note(fired, own)
            if difference is None and canonical(own) != canonical(fact):
                difference = _difference(judged, fact, own)
        elif isinstance(fact, Judged):
            probed += 1
        elif isinstance(fact, Observed):
            observations += 1
        state = advance(state, fact)
    return Replayed(state.elapsed, observations, judged, probed, tuple(fired.values()), difference)


def otherwise(facts: Iterable[Fact], gates: Gates, watch: WatchPolicy) -> Otherwise:
    """Under other gates, with their own looks. The shares of a canary stay as they were.

    What a breach would have changed is not in the record: every gate is asked to its end.
    """
    state = State()
    seen: list[tuple[Observation, int]] = []
    for fact in facts:
        state = advance(state, fact)
        if isinstance(fact, Observed):
            seen.append((fact.seen, state.stage))
    plan = plan_of(state)
    environment = replace(plan.spec.environment, gates=gates, watch=watch)
    plan = replace(plan, spec=replace(plan.spec, environment=environment))
    return judged_anew(plan, seen, state.weighed.noise)


def judged_anew(
    plan: Plan, seen: Iterable[tuple[Observation, int]], noise: tuple[Noise, ...] = ()
) -> Otherwise:
    """Observations, each with the stage of the canary at which it was made, under a plan's gates.

    Beyond the window the looks are the recorded ones.
    """
    watch, weighed = plan.spec.environment.watch, Weighed(noise=noise)
    series: Series = ()
    seconds, looks, judged = 0.0, 0, 0
    fired: dict[str, Fired] = {}
    ending: Ending | None = None
    for recorded, stage in seen:
        due = next_look(watch.schedule, seconds)
        looked = recorded.elapsed >= due if due is not None else recorded.look is not None
        looks += looked
        one = replace(recorded, look=looks if looked else None)
        after = weigh(plan, weighed, one, stage)
        news, weighed = after.breaches > weighed.breaches, after
        series, seconds = (*series, one), one.elapsed
        if not looked and not news:
            continue
        judged += 1
        own = Judged(seconds, judge_all(plan, weighed, series, seconds, stage))
        note(fired, own)
        ending = ending or _ending(own, one, watch)
    return Otherwise(seconds, len(series), judged, tuple(fired.values()), ending)


def note(fired: dict[str, Fired], judged: Judged) -> None:
    """Keep each gate's first breach, or else its newest answer."""
    for verdict in judged.verdicts:
        before = fired.get(verdict.gate)
        if before is not None and before.at is not None:
            continue
        at = judged.elapsed if verdict.answer is Answer.BREACH else None
        fired[verdict.gate] = Fired(verdict.gate, at, verdict)


def watched(facts: Sequence[Fact]) -> tuple[Observation, ...]:
    """What was seen."""
    return tuple(fact.seen for fact in facts if isinstance(fact, Observed))


def _difference(number: int, fact: Judged, own: Judged) -> Difference:
    """The first verdict that is not the same, with the time where that differs."""
    if own.elapsed == fact.elapsed and len(own.verdicts) == len(fact.verdicts):
        pairs = zip(fact.verdicts, own.verdicts, strict=True)
        recorded, again = next((a, b) for a, b in pairs if canonical(a) != canonical(b))
        return Difference(number, fact.elapsed, _text(recorded), _text(again))
    return Difference(number, fact.elapsed, _text(fact), _text(own))


def _text(value: Verdict | Judged) -> str:
    return msgspec.json.encode(value, order="deterministic").decode()


def _ending(judged: Judged, seen: Observation, watch: WatchPolicy) -> Ending | None:
    if overall(judged.verdicts) is not Answer.BREACH:
        return None
    worst = [verdict for verdict in judged.verdicts if verdict.answer is Answer.BREACH]
    sick = seen.both_sick(down=judged.lane is Lane.DOWN)
    back = watch.auto_rollback and not sick and any(verdict.blames for verdict in worst)
    reason = "; ".join(f"{verdict.gate}: {verdict.reason}" for verdict in worst)
    return Ending(judged.elapsed, back, reason)
