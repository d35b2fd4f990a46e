"""What happened. Facts are appended to the journal and never change; the state is their fold."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import msgspec

from guarded_rollout.core.canonical import canonical
from guarded_rollout.core.gates import Verdict
from guarded_rollout.core.plan import Plan, Step, Way
from guarded_rollout.core.problems import Why
from guarded_rollout.core.series import Observation
from guarded_rollout.core.statement import SignOff

Outcome = dict[str, Any]
"""What a step reports: JSON values only."""


class Lane(StrEnum):
    """Who judged: the gates at a look, or the probes that run every second."""

    GATES = "gates"
    DOWN = "down"


@dataclass(frozen=True, slots=True)
class Started:
    """A rollout began with this plan. From here on the configuration is not read again.

    `machine`: where its replicas run, when only that machine can reach them; empty: not known.
    `signoffs`: those that counted. `without_signoffs`: why it goes without those that are missing.
    """

    plan: Plan
    by: str
    reason: str = ""
    machine: str = ""
    signoffs: tuple[SignOff, ...] = ()
    without_signoffs: str = ""


@dataclass(frozen=True, slots=True)
class StepBegan:
    """The intent, committed before the effect."""

    step: Step
    attempt: int


@dataclass(frozen=True, slots=True)
class StepDone:
    """The outcome, committed after the effect."""

    step: Step
    outcome: Outcome = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StepFailed:
    """The effect did not come about."""

    step: Step
    why: Why


@dataclass(frozen=True, slots=True)
class Observed:
    """Something was seen during the watch."""

    seen: Observation


@dataclass(frozen=True, slots=True)
class Judged:
    """The verdicts at `elapsed` seconds of watching."""

    elapsed: float
    verdicts: tuple[Verdict, ...]
    lane: Lane = Lane.GATES


@dataclass(frozen=True, slots=True)
class RollbackAsked:
    """A person wants the old version back. There is no cancel: this runs the same steps.

    `way` None: the safest that was proven. `give_up_rows`: as in `Plan`.
    """

    by: str
    reason: str
    way: Way | None = None
    give_up_rows: str | None = None


@dataclass(frozen=True, slots=True)
class PromoteAsked:
    """A person takes the candidate as it is."""

    by: str
    reason: str


@dataclass(frozen=True, slots=True)
class PauseAsked:
    """A person wants the share to stay as it is. The watch goes on; a breach still rolls back."""

    by: str
    reason: str


@dataclass(frozen=True, slots=True)
class ResumeAsked:
    """A person lets a paused rollout go on."""

    by: str
    reason: str


@dataclass(frozen=True, slots=True)
class Adopted:
    """A controller found this rollout without one and carries on."""

    by: str


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """A person has seen what went wrong: nobody else needs to be called."""

    by: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Notified:
    """What came of a notice on one channel. `notice`: its key; `status`: in the notifier's words.

    A projection of the journal minus these is the outbox.
    """

    notice: str
    channel: str
    status: str
    attempts: int = 0
    reason: str = ""


Fact = (
    Started
    | StepBegan
    | StepDone
    | StepFailed
    | Observed
    | Judged
    | RollbackAsked
    | PromoteAsked
    | PauseAsked
    | ResumeAsked
    | Adopted
    | Acknowledged
    | Notified
)

AFTERWARDS = (Acknowledged, Notified)
"""What can still be said of a rollout that has ended. It moves nothing."""

ASKS = (RollbackAsked, PromoteAsked, PauseAsked, ResumeAsked)
"""What people ask for."""

BY_ANYBODY = (*ASKS, *AFTERWARDS)
"""These need no lease."""

KINDS: dict[str, type[Fact]] = {
    "started": Started,
    "step-began": StepBegan,
    "step-done": StepDone,
    "step-failed": StepFailed,
    "observed": Observed,
    "judged": Judged,
    "rollback-asked": RollbackAsked,
    "promote-asked": PromoteAsked,
    "pause-asked": PauseAsked,
    "resume-asked": ResumeAsked,
    "adopted": Adopted,
    "acknowledged": Acknowledged,
    "notified": Notified,
}
_NAMES = {fact: name for name, fact in KINDS.items()}


def encode(fact: Fact) -> tuple[str, bytes]:
    """The fact's kind and its canonical JSON: equal facts give equal bytes."""
    return _NAMES[type(fact)], canonical(fact)


def decode(kind: str, body: bytes) -> Fact:
    """The fact again. Raises ValueError for an unknown kind or a body that does not fit it."""
    if kind not in KINDS:
        raise ValueError(f"unknown kind of fact: {kind!r}")
    fact: Fact = msgspec.json.decode(body, type=KINDS[kind])
    return fact
