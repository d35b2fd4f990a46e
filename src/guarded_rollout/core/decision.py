"""The decision: what the gates' verdicts mean for the rollout."""

from dataclasses import replace

from guarded_rollout.core.facts import Judged, Lane
from guarded_rollout.core.gates import Answer, overall
from guarded_rollout.core.judging import notice
from guarded_rollout.core.moves import advance_stage, finish, go_back, hold, way_of
from guarded_rollout.core.plan import Way
from guarded_rollout.core.spec import AtTheEnd
from guarded_rollout.core.state import Hold, Phase, State, plan_of

SHARED_SECONDS = 60.0
"""A limit that is crossed while both versions serve holds the rollout after this at the latest."""

_FOR_A_PERSON = frozenset({Hold.BREACH, Hold.NO_WAY_BACK, Hold.UNWELL})
"""Gates that pass do not end these."""


def decide(state: State, fact: Judged) -> State:
    """One rule per line of `docs/reference`, in the order of their force."""
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
    stages, environment = plan_of(state).stages, plan_of(state).spec.environment
    gates, watched = environment.gates, elapsed - state.stage_since
    settled = gates.evidence is not None and all(verdict.settled for verdict in state.verdicts)
    soonest = gates.evidence.bake if gates.evidence is not None else 0.0
    if watched < stages[state.stage].bake_seconds and not (settled and watched >= soonest):
        return state
    if state.stage + 1 < len(stages):
        return advance_stage(state)
    more = notice(plan_of(state), state.weighed)
    if settled and gates.early and elapsed >= soonest:
        return finish(replace(state, reason=f"every gate passes and has excluded harm{more}"))
    if elapsed < environment.watch.schedule.duration:
        return state
    return finish(replace(state, reason=f"every gate passes at the end of the window{more}"))


def _not_known(state: State, elapsed: float, reason: str) -> State:
    """The share stays as it is; when the window and its extension are over somebody decides."""
    watch = plan_of(state).spec.environment.watch
    if state.phase is Phase.HOLDING or elapsed < watch.schedule.duration + watch.extend_seconds:
        return state
    if watch.unknown is AtTheEnd.ROLL_BACK:
        return go_back(state, reason)
    return hold(state, Hold.UNKNOWN, reason)


def _breached(state: State, reason: str, lane: Lane) -> State:
    """Back, unless the old version is sick too (never ping-pong) or a person wants to decide.

    Where the old version does not live with the new schema, its health says nothing yet.
    """
    sick = bool(state.series) and state.series[-1].both_sick(down=lane is Lane.DOWN)
    if sick and way_of(state) is Way.FLIP:
        return hold(state, Hold.BOTH_SICK, f"both versions are sick, nothing was moved: {reason}")
    if not plan_of(state).spec.environment.watch.auto_rollback:
        return hold(state, Hold.BREACH, f"autoRollback is off here: {reason}")
    return go_back(state, reason)


def _shared(state: State, reason: str) -> State:
    """A limit is crossed while the candidate is no worse than the version beside it.

    The comparison needs about as many requests as the limit did, and so gets as long again.
    """
    limits = state.weighed.limits
    crossed = (limits.breached if limits is not None else None) or 0.0
    if state.phase is Phase.HOLDING or state.elapsed < crossed + min(crossed, SHARED_SECONDS):
        return state
    return hold(state, Hold.BOTH_SICK, f"both versions may share the fault, see: {reason}")
