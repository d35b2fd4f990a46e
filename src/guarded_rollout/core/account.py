"""A rollout's journal as people tell it: what was done, when, by whom, with which numbers.

A deployment report and an incident are two ways to write the same account down.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from guarded_rollout.core.announcing import Line
from guarded_rollout.core.facts import (
    Acknowledged,
    Adopted,
    Judged,
    Notified,
    Observed,
    PauseAsked,
    PromoteAsked,
    ResumeAsked,
    RollbackAsked,
    Started,
    StepBegan,
    StepDone,
    StepFailed,
)
from guarded_rollout.core.gate_history import Fired, note
from guarded_rollout.core.plan import Kind, Plan, Step, Way
from guarded_rollout.core.report import ending_of
from guarded_rollout.core.rollout import advance
from guarded_rollout.core.series import Observation
from guarded_rollout.core.state import Phase, State
from guarded_rollout.core.ways import proven

Utc = Callable[[float], str]
"""Unix seconds to text that says UTC: the core has no clock."""


@dataclass(frozen=True, slots=True)
class StepTaken:
    """One attempt at a step. `ended` None: nobody wrote down its end. `why`: of its failure."""

    step: Step
    began: float
    ended: float | None = None
    why: str = ""

    @property
    def outcome(self) -> str:
        """In one word."""
        return "failed" if self.why else "done" if self.ended is not None else "not finished"


@dataclass(frozen=True, slots=True)
class Asked:
    """What somebody wanted. `command`: as it is typed."""

    at: float
    by: str
    command: str
    reason: str


@dataclass(frozen=True, slots=True)
class Statement:
    """Of a migration; milliseconds. `rehearsed`: on the scratch database; `ran`: on the real one.

    `locks`: as they were seen in the rehearsal.
    """

    sql: str
    rehearsed: float | None
    ran: float | None
    locks: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Account:
    """A rollout so far.

    Fields:
        last: when the newest entry was written.
        steps: attempts, in their order; `shares`: (when, percent of the users) of a canary.
        fired: each gate's first breach, or else its newest answer.
        told: when, and what came of which notice on which channel.
    """

    rollout: str
    plan: Plan
    began: float
    last: float
    state: State
    steps: tuple[StepTaken, ...] = ()
    asked: tuple[Asked, ...] = ()
    shares: tuple[tuple[float, float], ...] = ()
    fired: tuple[Fired, ...] = ()
    told: tuple[tuple[float, Notified], ...] = ()
    seen: tuple[Observation, ...] = ()
    lines: tuple[Line, ...] = field(default=(), repr=False)

    @property
    def environment(self) -> str:
        """Its name."""
        return self.plan.spec.environment.name

    @property
    def phase(self) -> Phase:
        """Where it is: in its last step, the report's, the ending that follows it."""
        return self.at_its_end.phase

    @property
    def at_its_end(self) -> State:
        """The state, with the ending that nothing can change any more."""
        writing = self.state.queue == (Step.REPORT,)
        return replace(self.state, phase=ending_of(self.state)) if writing else self.state

    @property
    def returned(self) -> float:
        """When traffic was back; the newest entry's time where it had never left."""
        back = [one.ended for one in self.steps if one.step is Step.RETURN and not one.why]
        return next((at for at in reversed(back) if at is not None), self.last)

    @property
    def backup(self) -> Mapping[str, Any] | None:
        """What the backup step has said: file, sha256, size; None: none was made."""
        return self.state.outcomes.get(Step.BACKUP)

    @property
    def ways(self) -> tuple[Way, ...]:
        """The ways back that are proven."""
        return proven(self.plan, self.state.begun, self.state.outcomes)

    @property
    def statements(self) -> tuple[Statement, ...]:
        """Of the migration, as far as the journal keeps them."""
        tried = self.state.outcomes.get(Step.REHEARSE, {}).get("statements", ())
        ran = self.state.outcomes.get(Step.MIGRATE, {}).get("statements", ())
        return tuple(_statements(tried, ran))


def account_of(rollout: str, lines: Iterable[Line]) -> Account:
    """The account of a whole journal, oldest line first. ValueError without a beginning."""
    every = tuple(lines)
    if not every or not isinstance(every[0][2], Started):
        raise ValueError(f"the journal of {rollout} does not begin with its start")
    state = State()
    fired: dict[str, Fired] = {}
    for _, _, fact in every:
        state = advance(state, fact)
        if isinstance(fact, Judged):
            note(fired, fact)
    plan = every[0][2].plan
    return Account(
        rollout=rollout,
        plan=plan,
        began=every[0][1],
        last=every[-1][1],
        state=state,
        steps=_steps(every),
        asked=tuple(_asked(plan, every)),
        shares=tuple(_shares(every)),
        fired=tuple(fired.values()),
        told=tuple((at, fact) for _, at, fact in every if isinstance(fact, Notified)),
        seen=tuple(fact.seen for _, _, fact in every if isinstance(fact, Observed)),
        lines=every,
    )


def _steps(lines: Sequence[Line]) -> tuple[StepTaken, ...]:
    taken: list[StepTaken] = []
    for _, at, fact in lines:
        if isinstance(fact, StepBegan):
            taken.append(StepTaken(fact.step, at))
        elif isinstance(fact, StepDone | StepFailed) and taken:
            why = fact.why.what if isinstance(fact, StepFailed) else ""
            taken[-1] = StepTaken(taken[-1].step, taken[-1].began, at, why)
    return tuple(taken)


def _shares(lines: Sequence[Line]) -> Iterable[tuple[float, float]]:
    for _, at, fact in lines:
        if isinstance(fact, StepDone) and fact.step is Step.SHIFT:
            yield at, float(fact.outcome.get("percent", 100.0))


_COMMANDS = {Kind.BACKUP: "backup create"}
_WAYS = {Way.DOWN: " --schema-down", Way.RESTORE: " --restore-data"}


def _asked(  # noqa: C901 - one per kind of asking
    plan: Plan, lines: Sequence[Line]
) -> Iterable[Asked]:
    where = f"--env {plan.spec.environment.name}"
    for _, at, fact in lines:
        match fact:
            case Started(by=by, reason=reason):
                how = _WAYS.get(plan.way, "") if plan.way is not None else ""
                kind = _COMMANDS.get(plan.kind, str(plan.kind))
                yield Asked(at, by, f"rollout {kind} {where}{how}", reason)
                for one in fact.signoffs:
                    who = f"{one.statement.who} ({one.statement.account})"
                    reason = one.statement.reason
                    how = (
                        f"approved {one.commit[:12]}" if one.commit else f"rollout approve {where}"
                    )
                    yield Asked(one.statement.at, who, how, reason)
                if fact.without_signoffs:
                    missing = "went without the sign-offs that are missing"
                    yield Asked(at, by, missing, fact.without_signoffs)
            case RollbackAsked(by=by, reason=reason, way=way):
                how = _WAYS.get(way, "") if way is not None else ""
                yield Asked(at, by, f"rollout rollback {where}{how}", reason)
            case PromoteAsked(by=by, reason=reason):
                yield Asked(at, by, f"rollout promote {where}", reason)
            case PauseAsked(by=by, reason=reason):
                yield Asked(at, by, f"rollout pause {where}", reason)
            case ResumeAsked(by=by, reason=reason):
                yield Asked(at, by, f"rollout resume {where}", reason)
            case Acknowledged(by=by, reason=reason):
                yield Asked(at, by, f"rollout ack {where}", reason)
            case Adopted(by=by):
                yield Asked(at, by, "a new guard went on", "")
            case _:
                pass


def _statements(
    tried: Sequence[Mapping[str, Any]], ran: Sequence[Mapping[str, Any]]
) -> Iterable[Statement]:
    for at in range(max(len(tried), len(ran))):
        one = tried[at] if at < len(tried) else None
        two = ran[at] if at < len(ran) else None
        if one and two and one["sql"] != two["sql"]:
            yield Statement(one["sql"], one["ms"], None, tuple(one.get("locks", ())))
            one = None
        of = one or two
        assert of is not None, "one of them has so many"
        yield Statement(
            sql=of["sql"],
            rehearsed=one["ms"] if one else None,
            ran=two["ms"] if two else None,
            locks=tuple(one.get("locks", ())) if one else (),
        )
