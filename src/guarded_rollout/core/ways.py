"""The rollback planner: which ways back there are, and which steps each of them takes."""

from collections.abc import Mapping

from guarded_rollout.core.facts import Outcome
from guarded_rollout.core.plan import Kind, Plan, Step, Way

Steps = tuple[Step, ...]

AUTOMATIC = (Way.FLIP, Way.DOWN)
"""What the tool takes by itself, safest first. No row is lost on either."""


def proven(plan: Plan, begun: frozenset[Step], outcomes: Mapping[Step, Outcome]) -> tuple[Way, ...]:
    """The ways back as far as they are known now.

    Before the schema was touched traffic is all there is to bring back; afterwards it is what
    the rehearsal has proven.
    """
    if plan.kind in {Kind.MONITOR, Kind.ROLLBACK}:
        return plan.ways
    untouched = Step.MIGRATE not in begun or outcomes.get(Step.MIGRATE, {}).get("moved") is False
    if untouched or Step.REHEARSE not in outcomes:
        return plan.ways
    return ways_of(outcomes[Step.REHEARSE])


def ways_of(rehearsal: Outcome) -> tuple[Way, ...]:
    """What a rehearsal has proven."""
    return tuple(Way(way) for way in rehearsal["ways"])


def automatic(ways: tuple[Way, ...]) -> Way | None:
    """The safest way that needs no person; None: there is none."""
    return next((way for way in AUTOMATIC if way in ways), None)


def refusal(plan: Plan, rehearsal: Outcome) -> str | None:
    """Why this release may not be deployed after its rehearsal; None: it may.

    The old release serves while the schema moves, so a release without FLIP stops users even if
    it is good.
    """
    ways = ways_of(rehearsal)
    allowed = plan.forward_only is not None or plan.spec.environment.allow_forward_only
    if Way.FLIP in ways or allowed:
        return None
    label = "it has a way down only" if Way.DOWN in ways else "it is forward-only"
    why = "; ".join(rehearsal["because"].values())
    return (
        f"{label}: {why}. Change it to expand and contract, or give up the way back: "
        "--forward-only REASON, which is written down"
    )


def way_back(plan: Plan, begun: frozenset[Step], way: Way, ways: tuple[Way, ...]) -> Steps:
    """The steps that undo what was begun. Empty: no user could notice anything.

    `ways`: what is proven. With FLIP among them traffic goes first. Otherwise the schema does:
    the old release cannot answer on the new one, so the gap is one route change and not a
    migration. On RESTORE nobody writes between the last row that is set aside and the return.
    """
    flip = _flip(plan, begun)
    if not flip or way is Way.FLIP:
        return flip
    if way is Way.RESTORE:
        later = flip if Step.RETURN in flip else (Step.RETURN, *flip)
        return (Step.CLOSE, Step.SET_ASIDE, Step.RESTORE, *later)
    moves = {Step.RETURN, Step.STOP_CANDIDATE} if Way.FLIP in ways else set()
    first = tuple(step for step in flip if step in moves)
    return (*first, Step.UNMIGRATE, *flip[len(first) :])


def _flip(plan: Plan, begun: frozenset[Step]) -> Steps:
    if plan.kind in {Kind.MONITOR, Kind.ROLLBACK}:
        return plan.back
    if plan.kind is Kind.DOWN:
        return plan.back if Step.TAKE_DOWN in begun else ()
    if not begun & {Step.MIGRATE, Step.START, Step.SHIFT}:
        return ()
    unneeded: set[Step] = set()
    lent = plan.control is not None and Step.CALIBRATE in begun
    if Step.SHIFT not in begun and not lent:
        unneeded.add(Step.RETURN)
    if Step.START not in begun:
        unneeded.add(Step.STOP_CANDIDATE)
    return tuple(step for step in plan.back if step not in unneeded)
