"""The state machine: `advance` folds one fact into the state.

`transitions.TABLE` says which fact can happen in which phase and which phases may follow,
`decision.decide` what verdicts mean, `moves` how a rollout goes from phase to phase, and
`actions.next_action` reads off the state what to do. There is nothing else: a controller that
starts after a crash replays the journal and asks `next_action`.
"""

from collections.abc import Iterable
from dataclasses import replace
from types import MappingProxyType

from guarded_rollout.core.calibration import noise_of
from guarded_rollout.core.decision import decide
from guarded_rollout.core.facts import (
    Acknowledged,
    Adopted,
    Fact,
    Judged,
    Notified,
    Observed,
    Outcome,
    PauseAsked,
    PromoteAsked,
    ResumeAsked,
    RollbackAsked,
    Started,
    StepBegan,
    StepDone,
    StepFailed,
)
from guarded_rollout.core.gates import Verdict
from guarded_rollout.core.judging import judge_all, weigh
from guarded_rollout.core.moves import (
    finish,
    go_back,
    hold,
    next_step,
    steps_back,
    when_empty,
)
from guarded_rollout.core.plan import Kind, Step, Way
from guarded_rollout.core.series import Observation, window
from guarded_rollout.core.state import Hold, Phase, State, backup_of, plan_of
from guarded_rollout.core.transitions import TABLE
from guarded_rollout.core.ways import proven, refusal

ATTEMPTS = 3
"""How often a step of the way back, or of tidying up, is tried before a person is needed."""


class ImpossibleFact(Exception):  # noqa: N818 - it names what was tried, not an error class
    """This fact cannot happen in this state: the journal or the engine is wrong."""


def replay(facts: Iterable[Fact]) -> State:
    """The state after these facts."""
    state = State()
    for fact in facts:
        state = advance(state, fact)
    return state


def advance(state: State, fact: Fact) -> State:
    """Fold one fact into the state. Raises ImpossibleFact for a fact that cannot happen now."""
    may_follow = TABLE[state.phase].get(type(fact))
    if may_follow is None:
        raise ImpossibleFact(f"{type(fact).__name__} cannot happen while {state.phase}")
    after = _fold(state, fact)
    if after.phase not in may_follow:
        raise ImpossibleFact(
            f"{type(fact).__name__} cannot lead from {state.phase} to {after.phase}"
        )
    return after


def _fold(  # noqa: C901, PLR0911, PLR0912 - one case per kind of fact
    state: State, fact: Fact
) -> State:
    match fact:
        case Started(plan=plan, reason=reason):
            if plan.kind is Kind.ROLLBACK:
                return go_back(replace(state, plan=plan, way=plan.way), reason)
            return replace(state, phase=Phase.PREPARING, plan=plan, queue=plan.forward)
        case StepBegan(step=step, attempt=attempt):
            return _began(state, step, attempt)
        case StepDone(step=step, outcome=outcome):
            return _done(state, step, outcome)
        case StepFailed(step=step, why=why):
            return _failed(state, step, str(why.what))
        case Observed(seen=seen):
            return _observed(state, seen)
        case Judged():
            return decide(replace(state, judge_due=False, verdicts=fact.verdicts), fact)
        case RollbackAsked(by=by, reason=reason, way=way):
            return _asked_back(state, f"asked by {by}: {reason}", way)
        case PromoteAsked(by=by, reason=reason):
            return finish(replace(state, reason=f"promoted by {by}: {reason}"))
        case PauseAsked():
            return replace(state, paused=True)
        case ResumeAsked():
            return replace(state, paused=False)
        case Acknowledged(by=by):
            return replace(state, acknowledged=by)
        case Notified():
            return state
        case Adopted():
            return go_back(state, state.asked) if state.asked is not None else state


def _observed(state: State, seen: Observation) -> State:
    """Judged at every look, and at once when the evidence reaches its bound."""
    plan = plan_of(state)
    weighed = weigh(plan, state.weighed, seen, state.stage)
    return replace(
        state,
        series=window((*state.series, seen), _memory(state)),
        weighed=weighed,
        elapsed=max(state.elapsed, seen.elapsed),
        looks=state.looks if seen.look is None else seen.look,
        judge_due=seen.look is not None or weighed.breaches > state.weighed.breaches,
    )


def verdicts(state: State) -> tuple[Verdict, ...]:
    """What every gate says now. A replay of the journal gives the same."""
    return judge_all(plan_of(state), state.weighed, state.series, state.elapsed, state.stage)


def _asked_back(state: State, asked: str, way: Way | None) -> State:
    if state.phase is Phase.RETURNING:
        return state
    if way is Way.RESTORE and backup_of(state) is None:
        raise ImpossibleFact("there is no backup to put back yet")
    if way is Way.DOWN and way not in proven(plan_of(state), state.begun, state.outcomes):
        raise ImpossibleFact("no way down was proven")
    if state.phase is Phase.STUCK and way is None:
        return replace(_again(state), reason=f"{state.reason}; {asked}")
    after = replace(state, way=way)
    if state.phase is Phase.FINISHING and not steps_back(after)[1]:
        raise ImpossibleFact("there is nothing to go back to, and the rollout is ending")
    if state.running is not None:
        return replace(after, asked=asked)
    return go_back(after, asked)


def _again(state: State) -> State:
    """What got stuck is tried once more from where it was."""
    return replace(state, phase=Phase.RETURNING, running=None, attempt=0)


def _began(state: State, step: Step, attempt: int) -> State:
    if not state.queue or step is not state.queue[0]:
        raise ImpossibleFact(f"{step} is not the next step of {state.queue}")
    if attempt != state.attempt + 1:
        raise ImpossibleFact(f"attempt {attempt} of {step} after attempt {state.attempt}")
    changes_users = step in {Step.MIGRATE, Step.START, Step.SHIFT}
    if changes_users and not state.outcomes.get(Step.BACKUP, {}).get("verified"):
        raise ImpossibleFact(f"{step} without a finished, verified backup")
    return replace(state, running=step, attempt=attempt, begun=state.begun | {step})


def _done(state: State, step: Step, outcome: Outcome) -> State:
    if step is not state.running:
        raise ImpossibleFact(f"{step} was not begun")
    after = replace(next_step(state), outcomes=MappingProxyType({**state.outcomes, step: outcome}))
    if state.asked is not None:
        return go_back(after, state.asked)
    if step is Step.BACKUP and not outcome.get("verified"):
        return go_back(after, "the backup was not verified")
    if step is Step.CALIBRATE:
        after = replace(after, weighed=replace(after.weighed, noise=noise_of(outcome)))
    if step is Step.REHEARSE and (why := refusal(plan_of(state), outcome)) is not None:
        return go_back(after, why)
    return when_empty(after)


def _failed(state: State, step: Step, what: str) -> State:
    if step is not state.running:
        raise ImpossibleFact(f"{step} was not begun")
    if state.asked is not None:
        return go_back(state, state.asked)
    if state.phase is not Phase.PREPARING and state.attempt < ATTEMPTS:
        return replace(state, running=None)
    if state.phase in {Phase.PREPARING, Phase.ADVANCING}:
        return go_back(state, f"{step}: {what}")
    if state.phase is Phase.RETURNING:
        return replace(
            state,
            phase=Phase.STUCK,
            running=None,
            attempt=0,
            reason=f"{state.reason}; then the way back failed at {step}: {what}",
        )
    if step is Step.SMOKE_USERS:
        still = replace(state, queue=(), running=None, attempt=0)
        return hold(still, Hold.UNWELL, f"users are not answered as the spec wants: {what}")
    return when_empty(replace(next_step(state), leftovers=(*state.leftovers, f"{step}: {what}")))


def _memory(state: State) -> float:
    """How many seconds of observations any gate can still ask for."""
    environment = plan_of(state).spec.environment
    gates, schedule = environment.gates, environment.watch.schedule
    looks = (gates.health.threshold + 2) * max(schedule.first_every, schedule.then_every)
    return max(gates.failure_rate.window, gates.duration.window, looks)
