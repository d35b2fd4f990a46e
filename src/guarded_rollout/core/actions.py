"""What to do next, read off the state."""

from dataclasses import dataclass

from guarded_rollout.core.plan import Step
from guarded_rollout.core.schedule import next_look
from guarded_rollout.core.state import Phase, State, plan_of


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


def _due(state: State) -> float:
    """After the window (extended, or held) the calm cadence goes on."""
    schedule = plan_of(state).spec.environment.watch.schedule
    due = next_look(schedule, state.elapsed)
    if due is not None:
        return due
    past = state.elapsed - schedule.duration
    return schedule.duration + (past // schedule.then_every + 1) * schedule.then_every
