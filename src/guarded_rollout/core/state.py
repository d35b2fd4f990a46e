"""Where a rollout is: its journal, folded."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from guarded_rollout.core.facts import Outcome
from guarded_rollout.core.gates import Verdict
from guarded_rollout.core.judging import NOTHING, Weighed
from guarded_rollout.core.plan import Kind, Plan, Step, Way
from guarded_rollout.core.series import Series


class Phase(StrEnum):
    """Where a rollout is. The last three are endings."""

    NEW = "new"
    PREPARING = "preparing"
    WATCHING = "watching"
    ADVANCING = "advancing"
    HOLDING = "holding"
    FINISHING = "finishing"
    RETURNING = "returning"
    STUCK = "stuck"
    DONE = "done"
    ROLLED_BACK = "rolled-back"
    REFUSED = "refused"


ENDINGS = frozenset({Phase.DONE, Phase.ROLLED_BACK, Phase.REFUSED})


class Hold(StrEnum):
    """Why a rollout waits for a person."""

    UNKNOWN = "unknown"
    BREACH = "breach"
    BOTH_SICK = "both-sick"
    NO_WAY_BACK = "no-way-back"
    UNWELL = "unwell"


@dataclass(frozen=True, slots=True)
class State:
    """A rollout, folded. `queue`: the steps left in this phase; `running`: begun, not yet done.

    `series`: what thresholds can still ask for; `weighed`: the evidence of all that was seen.
    `way`: the one that is gone back, or that a person asked for. `stage`: of the canary, watched
    since `stage_since` seconds of watching. `acknowledged`: who has seen what went wrong.
    """

    phase: Phase = Phase.NEW
    plan: Plan | None = None
    queue: tuple[Step, ...] = ()
    running: Step | None = None
    attempt: int = 0
    begun: frozenset[Step] = frozenset()
    outcomes: Mapping[Step, Outcome] = field(default_factory=dict)
    series: Series = ()
    weighed: Weighed = NOTHING
    elapsed: float = 0.0
    looks: int = 0
    judge_due: bool = False
    verdicts: tuple[Verdict, ...] = ()
    hold: Hold | None = None
    asked: str | None = None
    way: Way | None = None
    stage: int = 0
    stage_since: float = 0.0
    paused: bool = False
    reason: str = ""
    leftovers: tuple[str, ...] = ()
    acknowledged: str | None = None

    @property
    def ended(self) -> bool:
        """Nothing more can happen."""
        return self.phase in ENDINGS


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


def plan_of(state: State) -> Plan:
    """The plan that it was started with."""
    assert state.plan is not None, "a rollout has a plan from its first fact on"
    return state.plan


def backup_of(state: State) -> str | None:
    """The backup that this rollout would put back: a file, relative to the root."""
    if state.plan is not None and state.plan.kind is Kind.ROLLBACK:
        return state.plan.use_backup
    file: str | None = state.outcomes.get(Step.BACKUP, {}).get("file")
    return file
