"""The state machine. Everything that decides what a rollout does next lives in this file.

`TABLE` says which fact can happen in which phase and which phases may follow; `advance` folds one
fact into the state; `actions.next_action` reads off the state what to do. There is nothing else: a
controller that starts after a crash replays the journal and asks `next_action`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from types import MappingProxyType

from guarded_rollout.core.calibration import noise_of
from guarded_rollout.core.facts import (
    AFTERWARDS,
    Acknowledged,
    Adopted,
    Fact,
    Judged,
    Lane,
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
from guarded_rollout.core.gates import Answer, Verdict, overall
from guarded_rollout.core.judging import judge_all, notice, weigh
from guarded_rollout.core.plan import Kind, Plan, Step, Way
from guarded_rollout.core.series import Observation, window
from guarded_rollout.core.spec import AtTheEnd
from guarded_rollout.core.state import Hold, Phase, State, backup_of
from guarded_rollout.core.ways import automatic, proven, refusal, way_back

_P = Phase
_MOVES: Mapping[Phase, Mapping[type[Fact], frozenset[Phase]]] = MappingProxyType(
    {
        _P.NEW: {Started: frozenset({_P.PREPARING, _P.RETURNING})},
        _P.PREPARING: {
            StepBegan: frozenset({_P.PREPARING}),
            StepDone: frozenset({_P.PREPARING, _P.WATCHING, _P.DONE, _P.RETURNING, _P.REFUSED}),
            StepFailed: frozenset({_P.RETURNING, _P.REFUSED}),
            RollbackAsked: frozenset({_P.PREPARING, _P.RETURNING, _P.REFUSED}),
            Adopted: frozenset({_P.PREPARING, _P.RETURNING, _P.REFUSED}),
        },
        _P.WATCHING: {
            Observed: frozenset({_P.WATCHING}),
            Judged: frozenset({_P.WATCHING, _P.ADVANCING, _P.HOLDING, _P.FINISHING, _P.RETURNING}),
            RollbackAsked: frozenset({_P.RETURNING, _P.HOLDING}),
            PromoteAsked: frozenset({_P.FINISHING}),
            PauseAsked: frozenset({_P.WATCHING}),
            ResumeAsked: frozenset({_P.WATCHING}),
            Adopted: frozenset({_P.WATCHING}),
        },
        _P.ADVANCING: {
            StepBegan: frozenset({_P.ADVANCING}),
            StepDone: frozenset({_P.WATCHING, _P.HOLDING, _P.RETURNING}),
            StepFailed: frozenset({_P.ADVANCING, _P.HOLDING, _P.RETURNING}),
            RollbackAsked: frozenset({_P.ADVANCING, _P.HOLDING, _P.RETURNING}),
            PauseAsked: frozenset({_P.ADVANCING}),
            ResumeAsked: frozenset({_P.ADVANCING}),
            Adopted: frozenset({_P.ADVANCING, _P.HOLDING, _P.RETURNING}),
        },
        _P.HOLDING: {
            Observed: frozenset({_P.HOLDING}),
            Judged: frozenset({_P.HOLDING, _P.ADVANCING, _P.FINISHING, _P.RETURNING}),
            RollbackAsked: frozenset({_P.RETURNING, _P.HOLDING}),
            PromoteAsked: frozenset({_P.FINISHING}),
            Adopted: frozenset({_P.HOLDING}),
        },
        _P.FINISHING: {
            StepBegan: frozenset({_P.FINISHING}),
            StepDone: frozenset({_P.FINISHING, _P.DONE, _P.RETURNING}),
            StepFailed: frozenset({_P.FINISHING, _P.DONE, _P.HOLDING, _P.RETURNING}),
            RollbackAsked: frozenset({_P.FINISHING, _P.RETURNING}),
            Adopted: frozenset({_P.FINISHING, _P.RETURNING}),
        },
        _P.RETURNING: {
            StepBegan: frozenset({_P.RETURNING}),
            StepDone: frozenset({_P.RETURNING, _P.ROLLED_BACK}),
            StepFailed: frozenset({_P.RETURNING, _P.STUCK}),
            RollbackAsked: frozenset({_P.RETURNING}),
            Adopted: frozenset({_P.RETURNING}),
        },
        _P.STUCK: {
            RollbackAsked: frozenset({_P.RETURNING}),
            Adopted: frozenset({_P.STUCK}),
        },
        _P.DONE: {},
        _P.ROLLED_BACK: {},
        _P.REFUSED: {},
    }
)

TABLE: Mapping[Phase, Mapping[type[Fact], frozenset[Phase]]] = MappingProxyType(
    {
        phase: {**moves, **({fact: frozenset({phase}) for fact in AFTERWARDS})}
        if phase is not Phase.NEW
        else moves
        for phase, moves in _MOVES.items()
    }
)
"""With what may be said at any time."""

SHARED_SECONDS = 60.0
"""A limit that is crossed while both versions serve holds the rollout after this at the latest."""

_FOR_A_PERSON = frozenset({Hold.BREACH, Hold.NO_WAY_BACK, Hold.UNWELL})
"""Gates that pass do not end these."""

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
                return _go_back(replace(state, plan=plan, way=plan.way), reason)
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
            return _judged(replace(state, judge_due=False, verdicts=fact.verdicts), fact)
        case RollbackAsked(by=by, reason=reason, way=way):
            return _asked_back(state, f"asked by {by}: {reason}", way)
        case PromoteAsked(by=by, reason=reason):
            return _finish(replace(state, reason=f"promoted by {by}: {reason}"))
        case PauseAsked():
            return replace(state, paused=True)
        case ResumeAsked():
            return replace(state, paused=False)
        case Acknowledged(by=by):
            return replace(state, acknowledged=by)
        case Notified():
            return state
        case Adopted():
            return _go_back(state, state.asked) if state.asked is not None else state


def _observed(state: State, seen: Observation) -> State:
    """Judged at every look, and at once when the evidence reaches its bound."""
    plan = _plan(state)
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
    return judge_all(_plan(state), state.weighed, state.series, state.elapsed, state.stage)


def _asked_back(state: State, asked: str, way: Way | None) -> State:
    if state.phase is Phase.RETURNING:
        return state
    if way is Way.RESTORE and backup_of(state) is None:
        raise ImpossibleFact("there is no backup to put back yet")
    if way is Way.DOWN and way not in proven(_plan(state), state.begun, state.outcomes):
        raise ImpossibleFact("no way down was proven")
    if state.phase is Phase.STUCK and way is None:
        return replace(_again(state), reason=f"{state.reason}; {asked}")
    after = replace(state, way=way)
    if state.phase is Phase.FINISHING and not _steps_back(after)[1]:
        raise ImpossibleFact("there is nothing to go back to, and the rollout is ending")
    if state.running is not None:
        return replace(after, asked=asked)
    return _go_back(after, asked)


def _again(state: State) -> State:
    """What got stuck is tried once more from where it was."""
    return replace(state, phase=Phase.RETURNING, running=None, attempt=0)


def _plan(state: State) -> Plan:
    assert state.plan is not None, "every phase but NEW has a plan"
    return state.plan


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
    after = replace(_next_step(state), outcomes=MappingProxyType({**state.outcomes, step: outcome}))
    if state.asked is not None:
        return _go_back(after, state.asked)
    if step is Step.BACKUP and not outcome.get("verified"):
        return _go_back(after, "the backup was not verified")
    if step is Step.CALIBRATE:
        after = replace(after, weighed=replace(after.weighed, noise=noise_of(outcome)))
    if step is Step.REHEARSE and (why := refusal(_plan(state), outcome)) is not None:
        return _go_back(after, why)
    return _when_empty(after)


def _failed(state: State, step: Step, what: str) -> State:
    if step is not state.running:
        raise ImpossibleFact(f"{step} was not begun")
    if state.asked is not None:
        return _go_back(state, state.asked)
    if state.phase is not Phase.PREPARING and state.attempt < ATTEMPTS:
        return replace(state, running=None)
    if state.phase in {Phase.PREPARING, Phase.ADVANCING}:
        return _go_back(state, f"{step}: {what}")
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
        return _hold(still, Hold.UNWELL, f"users are not answered as the spec wants: {what}")
    return _when_empty(replace(_next_step(state), leftovers=(*state.leftovers, f"{step}: {what}")))


def _next_step(state: State) -> State:
    return replace(state, queue=state.queue[1:], running=None, attempt=0)


def _when_empty(state: State) -> State:
    if state.queue:
        return state
    if state.phase is Phase.PREPARING and _plan(state).watches:
        return replace(state, phase=Phase.WATCHING)
    if state.phase is Phase.ADVANCING:
        return replace(state, phase=Phase.WATCHING, stage_since=state.elapsed)
    if state.phase is Phase.RETURNING:
        return replace(state, phase=Phase.ROLLED_BACK)
    return replace(state, phase=Phase.DONE)


def _finish(state: State) -> State:
    """All users first, where a person promotes a canary: what users are answered is looked at next.

    A smoke check that failed and was promoted all the same is not asked again.
    """
    plan = _plan(state)
    last = len(plan.stages) - 1
    shift = (Step.SHIFT,) if state.stage < last else ()
    seen = state.begun & {Step.SMOKE_USERS}
    queue = (*shift, *(step for step in plan.finish if step not in seen))
    after = replace(state, phase=Phase.FINISHING, queue=queue, stage=last)
    return replace(after, hold=None, running=None, attempt=0)


def _hold(state: State, hold: Hold, reason: str) -> State:
    return replace(state, phase=Phase.HOLDING, hold=hold, reason=reason)


def _go_back(state: State, reason: str) -> State:
    """Undo what was begun. When nothing a user could notice began, the rollout is refused."""
    way, queue = _steps_back(state)
    if not queue and state.phase in {Phase.WATCHING, Phase.ADVANCING, Phase.HOLDING}:
        still = replace(state, queue=(), running=None, attempt=0, asked=None, way=None)
        return _hold(still, Hold.NO_WAY_BACK, reason)
    after = replace(
        state, queue=queue, running=None, attempt=0, asked=None, reason=reason, hold=None, way=way
    )
    return replace(after, phase=Phase.RETURNING if queue else Phase.REFUSED)


def way_of(state: State) -> Way | None:
    """The way that a rollback would take now; None: there is none that was proven."""
    return _steps_back(state)[0]


def _steps_back(state: State) -> tuple[Way | None, tuple[Step, ...]]:
    """The way that is taken, and its steps; none where no way is proven.

    Before users are on the candidate the old release still serves. Then FLIP is right even if it
    was not proven: it moves nothing, and confirms whether that release is well.
    """
    plan = _plan(state)
    ways = proven(plan, state.begun, state.outcomes)
    way = state.way or automatic(ways)
    if way is None and state.phase is Phase.PREPARING:
        way = Way.FLIP
    if way is None:
        return None, ()
    return way, way_back(plan, state.begun, way, ways)


def _judged(state: State, fact: Judged) -> State:
    """The decision. One rule per line of `docs/reference`, in the order of their force."""
    answer = overall(fact.verdicts)
    worst = [verdict for verdict in fact.verdicts if verdict.answer is answer]
    reason = "; ".join(f"{verdict.gate}: {verdict.reason}" for verdict in worst)
    if answer is Answer.BREACH:
        blamed = any(verdict.blames for verdict in worst)
        return _breached(state, reason, fact.lane) if blamed else _shared(state, reason)
    if fact.lane is Lane.DOWN or state.paused or state.hold in _FOR_A_PERSON:
        return state
    if answer is Answer.PASS:
        return _passed(state, fact.elapsed)
    return _not_known(state, fact.elapsed, f"unknown at the end of the window: {reason}")


def _passed(state: State, elapsed: float) -> State:
    """More users once the stage has been watched long enough; all are there at the end only."""
    stages, environment = _plan(state).stages, _plan(state).spec.environment
    gates, watched = environment.gates, elapsed - state.stage_since
    settled = gates.evidence is not None and all(verdict.settled for verdict in state.verdicts)
    soonest = gates.evidence.bake if gates.evidence is not None else 0.0
    if watched < stages[state.stage].bake_seconds and not (settled and watched >= soonest):
        return state
    if state.stage + 1 < len(stages):
        return _advance_stage(state)
    more = notice(_plan(state), state.weighed)
    if settled and gates.early and elapsed >= soonest:
        return _finish(replace(state, reason=f"every gate passes and has excluded harm{more}"))
    if elapsed < environment.watch.schedule.duration:
        return state
    return _finish(replace(state, reason=f"every gate passes at the end of the window{more}"))


def _not_known(state: State, elapsed: float, reason: str) -> State:
    """The share stays as it is; when the window and its extension are over somebody decides."""
    watch = _plan(state).spec.environment.watch
    if state.phase is Phase.HOLDING or elapsed < watch.schedule.duration + watch.extend_seconds:
        return state
    if watch.unknown is AtTheEnd.ROLL_BACK:
        return _go_back(state, reason)
    return _hold(state, Hold.UNKNOWN, reason)


def _advance_stage(state: State) -> State:
    return replace(
        state,
        phase=Phase.ADVANCING,
        queue=(Step.SHIFT,),
        running=None,
        attempt=0,
        hold=None,
        stage=state.stage + 1,
    )


def _breached(state: State, reason: str, lane: Lane) -> State:
    """Back, unless the old version is sick too (never ping-pong) or a person wants to decide.

    Where the old version does not live with the new schema, its health says nothing yet.
    """
    sick = bool(state.series) and state.series[-1].both_sick(down=lane is Lane.DOWN)
    if sick and way_of(state) is Way.FLIP:
        return _hold(state, Hold.BOTH_SICK, f"both versions are sick, nothing was moved: {reason}")
    if not _plan(state).spec.environment.watch.auto_rollback:
        return _hold(state, Hold.BREACH, f"autoRollback is off here: {reason}")
    return _go_back(state, reason)


def _shared(state: State, reason: str) -> State:
    """A limit is crossed while the candidate is no worse than the version beside it.

    The comparison needs about as many requests as the limit did, and so gets as long again.
    """
    limits = state.weighed.limits
    crossed = (limits.breached if limits is not None else None) or 0.0
    if state.phase is Phase.HOLDING or state.elapsed < crossed + min(crossed, SHARED_SECONDS):
        return state
    return _hold(state, Hold.BOTH_SICK, f"both versions may share the fault, see: {reason}")


def _memory(state: State) -> float:
    """How many seconds of observations any gate can still ask for."""
    environment = _plan(state).spec.environment
    gates, schedule = environment.gates, environment.watch.schedule
    looks = (gates.health.threshold + 2) * max(schedule.first_every, schedule.then_every)
    return max(gates.failure_rate.window, gates.duration.window, looks)
