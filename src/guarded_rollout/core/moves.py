"""The moves between phases: on, to more users, to a person, to the end, back."""

from dataclasses import replace

from guarded_rollout.core.plan import Step, Way
from guarded_rollout.core.state import Hold, Phase, State, plan_of
from guarded_rollout.core.ways import automatic, proven, way_back


def next_step(state: State) -> State:
    """This step is behind it."""
    return replace(state, queue=state.queue[1:], running=None, attempt=0)


def when_empty(state: State) -> State:
    """The phase that follows when no step is left."""
    if state.queue:
        return state
    if state.phase is Phase.PREPARING and plan_of(state).watches:
        return replace(state, phase=Phase.WATCHING)
    if state.phase is Phase.ADVANCING:
        return replace(state, phase=Phase.WATCHING, stage_since=state.elapsed)
    if state.phase is Phase.RETURNING:
        return replace(state, phase=Phase.ROLLED_BACK)
    return replace(state, phase=Phase.DONE)


def finish(state: State) -> State:
    """The candidate stays: its last steps. All users first, where a person promotes a canary.

    A smoke check that failed and was promoted all the same is not asked again.
    """
    plan = plan_of(state)
    last = len(plan.stages) - 1
    shift = (Step.SHIFT,) if state.stage < last else ()
    seen = state.begun & {Step.SMOKE_USERS}
    queue = (*shift, *(step for step in plan.finish if step not in seen))
    after = replace(state, phase=Phase.FINISHING, queue=queue, stage=last)
    return replace(after, hold=None, running=None, attempt=0)


def advance_stage(state: State) -> State:
    """The next share of users."""
    return replace(
        state,
        phase=Phase.ADVANCING,
        queue=(Step.SHIFT,),
        running=None,
        attempt=0,
        hold=None,
        stage=state.stage + 1,
    )


def hold(state: State, why: Hold, reason: str) -> State:
    """Nothing moves until a person decides, or the gates do."""
    return replace(state, phase=Phase.HOLDING, hold=why, reason=reason)


def go_back(state: State, reason: str) -> State:
    """Undo what was begun. When nothing a user could notice began, the rollout is refused."""
    way, queue = steps_back(state)
    if not queue and state.phase in {Phase.WATCHING, Phase.ADVANCING, Phase.HOLDING}:
        still = replace(state, queue=(), running=None, attempt=0, asked=None, way=None)
        return hold(still, Hold.NO_WAY_BACK, reason)
    after = replace(
        state, queue=queue, running=None, attempt=0, asked=None, reason=reason, hold=None, way=way
    )
    return replace(after, phase=Phase.RETURNING if queue else Phase.REFUSED)


def way_of(state: State) -> Way | None:
    """The way that a rollback would take now; None: there is none that was proven."""
    return steps_back(state)[0]


def steps_back(state: State) -> tuple[Way | None, tuple[Step, ...]]:
    """The way that is taken, and its steps; none where no way is proven.

    Before users are on the candidate the old release still serves. Then FLIP is right even if it
    was not proven: it moves nothing, and confirms whether that release is well.
    """
    plan = plan_of(state)
    ways = proven(plan, state.begun, state.outcomes)
    way = state.way or automatic(ways)
    if way is None and state.phase is Phase.PREPARING:
        way = Way.FLIP
    if way is None:
        return None, ()
    return way, way_back(plan, state.begun, way, ways)
