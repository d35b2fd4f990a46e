"""What people are told of a rollout: its journal, projected to notices.

One notice for each change of what is going on, none for a look. A notice's key names the fact that
it comes from, so a second projection gives the same keys; what was said of these keys afterwards
(`Notified`) is all there is to an outbox.
"""

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

from guarded_rollout.core.fact_text import minutes
from guarded_rollout.core.facts import (
    Acknowledged,
    Fact,
    Notified,
    Observed,
    PauseAsked,
    PromoteAsked,
    ResumeAsked,
    RollbackAsked,
    Started,
)
from guarded_rollout.core.gates import Answer
from guarded_rollout.core.host_alerts import alert_text, alerting
from guarded_rollout.core.news import TOLD, news
from guarded_rollout.core.notice import Notice
from guarded_rollout.core.plan import Kind
from guarded_rollout.core.redact import redact
from guarded_rollout.core.rollout import advance
from guarded_rollout.core.series import Observation
from guarded_rollout.core.state import Phase, State, plan_of

ESCALATIONS = (15 * 60.0, 30 * 60.0, 60 * 60.0)
"""Seconds after which an incident that nobody acknowledged is told again."""

_NEW = State()

Line = tuple[int, float, Fact]
"""An entry of the journal: its number, its time (Unix seconds), its fact."""


@dataclass(frozen=True, slots=True)
class Story:
    """A rollout's journal so far, and what was said about it.

    Fields:
        last: the number of the newest entry.
        began: when; `by`: who began it.
        notices: all that is to be told, oldest first, each with the number of its fact.
        asked: a person asked for the way back.
        alarm: since when a person is wanted and none has come; None: nobody is.
        full: what the machine has too little of.
        told: (key, channel) of what was delivered or given up.
        incident: since when it went wrong by itself: it held, went back unasked, or got stuck.
        acks: who said that they are on it; for whoever follows the incident.
    """

    rollout: str
    last: int = 0
    state: State = _NEW
    began: float = 0.0
    by: str = ""
    notices: tuple[Notice, ...] = ()
    asked: bool = False
    alarm: tuple[int, float] | None = None
    told: frozenset[tuple[str, str]] = frozenset()
    full: frozenset[str] = frozenset()
    incident: tuple[int, float] | None = None
    acks: tuple[Notice, ...] = ()

    @property
    def environment(self) -> str:
        """Where; empty before the first fact."""
        return self.state.plan.spec.environment.name if self.state.plan else ""


def tell(story: Story, line: Line) -> Story:
    """The story after one more entry."""
    number, at, fact = line
    story = replace(story, last=number)
    if isinstance(fact, Notified):
        return replace(story, told=story.told | {(fact.notice, fact.channel)})
    before, after = story.state, advance(story.state, fact)
    if isinstance(fact, Started):
        story = replace(story, began=at, by=fact.by)
    asked = story.asked or isinstance(fact, RollbackAsked) or _is_rollback(after)
    story = replace(story, state=after, asked=asked)
    if story.incident is None and _goes_wrong(before, after, asked=asked):
        story = replace(story, incident=(number, at))
    if isinstance(fact, Acknowledged) and story.incident is not None:
        story = replace(story, acks=(*story.acks, _ack(story, number, at, fact)))
    if isinstance(fact, Observed):
        return _with_machine(story, number, at, fact.seen)
    fresh = tuple(_notice(story, number, at, *said) for said in news(before, fact, after))
    return replace(story, notices=story.notices + fresh, alarm=_alarm(story, line, before))


def _with_machine(story: Story, number: int, at: float, seen: Observation) -> Story:
    """The machine is looked at with the gates; what begins to run out is told."""
    plan = story.state.plan
    if seen.host is None or plan is None:
        return story
    limits = plan.spec.environment.watch.host
    full = alerting(seen.host, limits, story.full)
    fresh = full - story.full
    text = alert_text(fresh, seen.host, limits)
    notices = (_notice(story, number, at, "warning", text),) if fresh else ()
    return replace(story, full=full, notices=story.notices + notices)


def read(rollout: str, lines: Iterable[Line]) -> Story:
    """The whole story."""
    story = Story(rollout)
    for line in lines:
        story = tell(story, line)
    return story


def due(story: Story, now: float) -> tuple[Notice, ...]:
    """All that is to be told by now: the notices, and an alarm that nobody has answered."""
    if story.alarm is None:
        return story.notices
    number, since = story.alarm
    late = [seconds for seconds in ESCALATIONS if now - since >= seconds]
    return story.notices + tuple(
        replace(
            _notice(story, number, since + seconds, "escalation", _unanswered(story, seconds)),
            key=f"{story.rollout}:{number}:escalation-{seconds / 60:.0f}",
        )
        for seconds in late
    )


OF_INCIDENT = frozenset(
    {"hold", "rollback-start", "rollback-success", "rollback-failure"}
    | {"deploy-success", "window-complete", "escalation"}
)
"""The types of notices that are news of an incident."""


def due_of_incident(story: Story, now: float) -> tuple[Notice, ...]:
    """The news of the incident by now, oldest first; none without one."""
    if story.incident is None:
        return ()
    since = story.incident[1]
    news = [one for one in due(story, now) if one.type in OF_INCIDENT and one.at >= since]
    return tuple(sorted((*news, *story.acks), key=lambda one: one.at))


def next_due(story: Story, now: float) -> float | None:
    """When there will be something new to tell without a new entry; None: never."""
    if story.alarm is None:
        return None
    later = [story.alarm[1] + seconds for seconds in ESCALATIONS]
    return next((at for at in later if at > now), None)


def _notice(story: Story, number: int, at: float, kind: str, message: str) -> Notice:
    plan = plan_of(story.state)
    ended = story.state.ended
    return Notice(
        type=kind,
        environment=plan.spec.environment.name,
        message=message,
        at=at,
        service=plan.spec.service.name,
        version=plan.candidate.name,
        initiator=story.by,
        duration=minutes(round(at - story.began)) if ended else "",
        evidence=_evidence(story.state),
        look=(incident_file(story.rollout),) if story.incident and kind in OF_INCIDENT else (),
        rollout=story.rollout,
        key=f"{story.rollout}:{number}:{kind}",
    )


INCIDENTS = "incidents"
"""The folder of what people read of incidents, below the root."""

_FILE_NAME = re.compile(r"[A-Za-z0-9._-]{1,120}")


def incident_name(rollout: str) -> str:
    """Of its files, and for people. What a file cannot be called, or must not, has a digest."""
    if _FILE_NAME.fullmatch(rollout) and redact(rollout) == rollout:
        return f"INC-{rollout}"
    return f"INC-{hashlib.sha256(rollout.encode('utf-8', 'backslashreplace')).hexdigest()[:24]}"


def incident_file(rollout: str) -> str:
    """Where people read of it, below the root."""
    return f"{INCIDENTS}/{incident_name(rollout)}.md"


def _goes_wrong(before: State, after: State, *, asked: bool) -> bool:
    """The moment at which a rollout becomes an incident: by itself, and after it was begun."""
    if before.phase is after.phase or before.phase is Phase.NEW or after.plan is None:
        return False
    if after.plan.kind not in TOLD:
        return False
    return after.phase in {Phase.HOLDING, Phase.STUCK} or (
        after.phase is Phase.RETURNING and not asked
    )


def _ack(story: Story, number: int, at: float, fact: Acknowledged) -> Notice:
    why = f": {fact.reason}" if fact.reason else ""
    return _notice(story, number, at, "info", f"{fact.by} is on it{why}.")


def _evidence(state: State) -> tuple[str, ...]:
    """What does not pass; when everything does, everything."""
    worse = [verdict for verdict in state.verdicts if verdict.answer is not Answer.PASS]
    shown = worse or state.verdicts
    return tuple(f"{verdict.gate}: {verdict.answer}, {verdict.reason}" for verdict in shown)


def _alarm(story: Story, line: Line, before: State) -> tuple[int, float] | None:
    """A person is wanted from the first thing that went wrong until somebody does something."""
    number, at, fact = line
    state = story.state
    if isinstance(fact, Acknowledged | PromoteAsked | RollbackAsked | PauseAsked | ResumeAsked):
        return None
    if before.phase is state.phase or state.plan is None:
        return story.alarm
    wanted = state.phase in {Phase.HOLDING, Phase.STUCK} or (
        state.phase is Phase.ROLLED_BACK and not story.asked
    )
    if wanted and state.acknowledged is None:
        return story.alarm or (number, at)
    return None if state.phase is Phase.DONE else story.alarm


def _is_rollback(state: State) -> bool:
    return state.plan is not None and state.plan.kind is Kind.ROLLBACK


def _unanswered(story: Story, seconds: float) -> str:
    since = minutes(round(seconds))
    return f"Nobody has acknowledged for {since}: {story.state.reason or story.state.phase}."
