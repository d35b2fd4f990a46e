"""The state machine. Everything that decides what a rollout does next lives in this file.

`TABLE` says which fact can happen in which phase and which phases may follow; `advance` folds one
fact into the state; `next_action` reads off the state what to do. There is nothing else: a
controller that starts after a crash replays the journal and asks `next_action`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from types import MappingProxyType

from guarded_rollout.core.facts import (
    Adopted,
    Fact,
    Judged,
    Lane,
    Observed,
    Outcome,
    PromoteAsked,
    RollbackAsked,
    Started,
    StepBegan,
    StepDone,
    StepFailed,
)
from guarded_rollout.core.gates import Answer, Verdict, overall
from guarded_rollout.core.plan import Kind, Plan, Step, way_back
from guarded_rollout.core.schedule import next_look
from guarded_rollout.core.series import Series, window
from guarded_rollout.core.spec import AtTheEnd


class Phase(StrEnum):
    """Where a rollout is. The last three are endings."""

    NEW = "new"
    PREPARING = "preparing"
    WATCHING = "watching"
    HOLDING = "holding"
    FINISHING = "finishing"
    RETURNING = "returning"
    STUCK = "stuck"
    DONE = "done"
    ROLLED_BACK = "rolled-back"
    REFUSED = "refused"


ENDINGS = frozenset({Phase.DONE, Phase.ROLLED_BACK, Phase.REFUSED})

_P = Phase
TABLE: Mapping[Phase, Mapping[type[Fact], frozenset[Phase]]] = MappingProxyType(
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
            Judged: frozenset({_P.WATCHING, _P.HOLDING, _P.FINISHING, _P.RETURNING}),
            RollbackAsked: frozenset({_P.RETURNING, _P.HOLDING}),
            PromoteAsked: frozenset({_P.FINISHING}),
            Adopted: frozenset({_P.WATCHING}),
        },
        _P.HOLDING: {
            Observed: frozenset({_P.HOLDING}),
            Judged: frozenset({_P.HOLDING, _P.FINISHING, _P.RETURNING}),
            RollbackAsked: frozenset({_P.RETURNING, _P.HOLDING}),
            PromoteAsked: frozenset({_P.FINISHING}),
            Adopted: frozenset({_P.HOLDING}),
        },
        _P.FINISHING: {
            StepBegan: frozenset({_P.FINISHING}),
            StepDone: frozenset({_P.FINISHING, _P.DONE, _P.RETURNING}),
            StepFailed: frozenset({_P.FINISHING, _P.DONE, _P.RETURNING}),
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

ATTEMPTS = 3
"""How often a step of the way back, or of tidying up, is tried before a person is needed."""


class ImpossibleFact(Exception):  # noqa: N818 - it names what was tried, not an error class
    """This fact cannot happen in this state: the journal or the engine is wrong."""


class Hold(StrEnum):
    """Why a rollout waits for a person."""

    UNKNOWN = "unknown"
    BREACH = "breach"
    BOTH_SICK = "both-sick"
    NO_WAY_BACK = "no-way-back"


@dataclass(frozen=True, slots=True)
class State:
    """A rollout, folded. `queue`: the steps left in this phase; `running`: begun, not yet done."""

    phase: Phase = Phase.NEW
    plan: Plan | None = None
    queue: tuple[Step, ...] = ()
    running: Step | None = None
    attempt: int = 0
    begun: frozenset[Step] = frozenset()
    outcomes: Mapping[Step, Outcome] = field(default_factory=dict)
    series: Series = ()
    elapsed: float = 0.0
    looks: int = 0
    judge_due: bool = False
    verdicts: tuple[Verdict, ...] = ()
    hold: Hold | None = None
    asked: str | None = None
    reason: str = ""
    leftovers: tuple[str, ...] = ()

    @property
    def ended(self) -> bool:
        """Nothing more can happen."""
        return self.phase in ENDINGS


@dataclass(frozen=True, slots=True)
class Perform:
    """Do this step. `look_first`: an earlier attempt began it, find out how far it came."""

    step: Step
    attempt: int
    look_first: bool


@dataclass(frozen=True, slots=True)
class Watch:
    """Look at the arms; the next look is due at `until` seconds of watching."""

    until: float


@dataclass(frozen=True, slots=True)
class Judge:
    """Judge what was seen and write the verdicts down."""


@dataclass(frozen=True, slots=True)
class WaitForPerson:
    """Nothing can be done without one."""


@dataclass(frozen=True, slots=True)
class Stop:
    """The rollout has ended."""


Action = Perform | Watch | Judge | WaitForPerson | Stop


def next_action(state: State) -> Action:
    """What to do now. Depends on the state alone."""
    if state.ended:
        return Stop()
    if state.phase in {Phase.STUCK, Phase.NEW}:
        return WaitForPerson()
    if state.phase in {Phase.WATCHING, Phase.HOLDING}:
        return Judge() if state.judge_due else Watch(_due(state))
    return Perform(state.queue[0], state.attempt + 1, look_first=state.attempt > 0)


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


def exit_code(state: State) -> int:
    """0 done, 1 refused before anything changed, 2 rolled back safely, 3 needs a person."""
    if state.phase is Phase.ROLLED_BACK:
        wanted = state.plan is not None and state.plan.kind is Kind.ROLLBACK
        return 0 if wanted else 2
    if state.phase is Phase.DONE and missing_copies(state):
        return 3
    return {Phase.DONE: 0, Phase.REFUSED: 1}.get(state.phase, 3)


def missing_copies(state: State) -> tuple[str, ...]:
    """The required places that a backup which was asked for did not reach."""
    if state.plan is None or state.plan.kind is not Kind.BACKUP:
        return ()
    copies = state.outcomes.get(Step.BACKUP, {}).get("copies", ())
    return tuple(copy["place"] for copy in copies if copy["required"] and not copy["copied"])


def _fold(state: State, fact: Fact) -> State:  # noqa: C901, PLR0911 - one case per kind of fact
    match fact:
        case Started(plan=plan, reason=reason):
            if plan.kind is Kind.ROLLBACK:
                return replace(
                    state, phase=Phase.RETURNING, plan=plan, queue=plan.back, reason=reason
                )
            return replace(state, phase=Phase.PREPARING, plan=plan, queue=plan.forward)
        case StepBegan(step=step, attempt=attempt):
            return _began(state, step, attempt)
        case StepDone(step=step, outcome=outcome):
            return _done(state, step, outcome)
        case StepFailed(step=step, why=why):
            return _failed(state, step, str(why.what))
        case Observed(seen=seen):
            series = window((*state.series, seen), _memory(state))
            return replace(
                state,
                series=series,
                elapsed=max(state.elapsed, seen.elapsed),
                looks=state.looks if seen.look is None else seen.look,
                judge_due=seen.look is not None,
            )
        case Judged():
            return _judged(replace(state, judge_due=False, verdicts=fact.verdicts), fact)
        case RollbackAsked(by=by, reason=reason):
            return _asked_back(state, f"asked by {by}: {reason}")
        case PromoteAsked(by=by, reason=reason):
            return _finish(replace(state, reason=f"promoted by {by}: {reason}"))
        case Adopted():
            return _go_back(state, state.asked) if state.asked is not None else state


def _asked_back(state: State, asked: str) -> State:
    if state.phase is Phase.RETURNING:
        return state
    if state.phase is Phase.FINISHING and not way_back(_plan(state), state.begun):
        raise ImpossibleFact("there is nothing to go back to, and the rollout is ending")
    if state.running is not None:
        return replace(state, asked=asked)
    return _go_back(state, f"{state.reason}; {asked}" if state.phase is Phase.STUCK else asked)


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
    return _when_empty(after)


def _failed(state: State, step: Step, what: str) -> State:
    if step is not state.running:
        raise ImpossibleFact(f"{step} was not begun")
    if state.asked is not None:
        return _go_back(state, state.asked)
    if state.phase is Phase.PREPARING:
        return _go_back(state, f"{step}: {what}")
    if state.attempt < ATTEMPTS:
        return replace(state, running=None)
    if state.phase is Phase.RETURNING:
        return replace(
            state,
            phase=Phase.STUCK,
            running=None,
            attempt=0,
            reason=f"{state.reason}; then the way back failed at {step}: {what}",
        )
    return _when_empty(replace(_next_step(state), leftovers=(*state.leftovers, f"{step}: {what}")))


def _next_step(state: State) -> State:
    return replace(state, queue=state.queue[1:], running=None, attempt=0)


def _when_empty(state: State) -> State:
    if state.queue:
        return state
    if state.phase is Phase.PREPARING and _plan(state).watches:
        return replace(state, phase=Phase.WATCHING)
    if state.phase is Phase.RETURNING:
        return replace(state, phase=Phase.ROLLED_BACK)
    return replace(state, phase=Phase.DONE)


def _finish(state: State) -> State:
    return replace(
        state, phase=Phase.FINISHING, queue=_plan(state).finish, hold=None, running=None, attempt=0
    )


def _hold(state: State, hold: Hold, reason: str) -> State:
    return replace(state, phase=Phase.HOLDING, hold=hold, reason=reason)


def _go_back(state: State, reason: str) -> State:
    """Undo what was begun. When nothing a user could notice began, the rollout is refused."""
    stuck = state.phase is Phase.STUCK
    queue = state.queue if stuck else way_back(_plan(state), state.begun)
    if not queue and state.phase in {Phase.WATCHING, Phase.HOLDING}:
        return _hold(replace(state, asked=None), Hold.NO_WAY_BACK, reason)
    after = replace(
        state, queue=queue, running=None, attempt=0, asked=None, reason=reason, hold=None
    )
    return replace(after, phase=Phase.RETURNING if queue else Phase.REFUSED)


def _judged(state: State, fact: Judged) -> State:
    """The decision. One rule per line of `docs/reference`, in the order of their force."""
    watch = _plan(state).spec.environment.watch
    answer = overall(fact.verdicts)
    worst = [verdict for verdict in fact.verdicts if verdict.answer is answer]
    reason = "; ".join(f"{verdict.gate}: {verdict.reason}" for verdict in worst)
    if answer is Answer.BREACH:
        return _breached(state, reason)
    over = fact.elapsed >= watch.schedule.duration
    if fact.lane is Lane.DOWN or not over or state.hold in {Hold.BREACH, Hold.NO_WAY_BACK}:
        return state
    if answer is Answer.PASS:
        return _finish(replace(state, reason="every gate passes at the end of the window"))
    if state.phase is Phase.HOLDING or (
        fact.elapsed < watch.schedule.duration + watch.extend_seconds
    ):
        return state
    if watch.unknown is AtTheEnd.ROLL_BACK:
        return _go_back(state, f"unknown at the end of the window: {reason}")
    return _hold(state, Hold.UNKNOWN, f"unknown at the end of the window: {reason}")


def _breached(state: State, reason: str) -> State:
    """Back, unless the old version is sick too (never ping-pong) or a person wants to decide."""
    seen = state.series[-1] if state.series else None
    if seen is not None and seen.baseline is not None and seen.baseline.healthy is False:
        return _hold(state, Hold.BOTH_SICK, f"both versions are sick, nothing was moved: {reason}")
    if not _plan(state).spec.environment.watch.auto_rollback:
        return _hold(state, Hold.BREACH, f"autoRollback is off here: {reason}")
    return _go_back(state, reason)


def _memory(state: State) -> float:
    """How many seconds of observations any gate can still ask for."""
    environment = _plan(state).spec.environment
    gates, schedule = environment.gates, environment.watch.schedule
    looks = (gates.health.threshold + 2) * max(schedule.first_every, schedule.then_every)
    return max(gates.failure_rate.window, gates.duration.window, looks)


def _due(state: State) -> float:
    """After the window (extended, or held) the calm cadence goes on."""
    schedule = _plan(state).spec.environment.watch.schedule
    due = next_look(schedule, state.elapsed)
    if due is not None:
        return due
    past = state.elapsed - schedule.duration
    return schedule.duration + (past // schedule.then_every + 1) * schedule.then_every
