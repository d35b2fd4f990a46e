"""An incident: a rollout that went back by itself, holds, or is stuck. A projection of its journal.

The journal is all there is to it: the files can be made again at any time.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import msgspec

from guarded_rollout.core.account import Account, Utc, account_of
from guarded_rollout.core.account_text import (
    asked_lines,
    backup_lines,
    facts_lines,
    gate_lines,
    plot_lines,
    release_text,
    statement_lines,
    timeline,
    timeline_lines,
    told_lines,
)
from guarded_rollout.core.announcing import INCIDENTS, Line, incident_name, read
from guarded_rollout.core.fact_text import minutes
from guarded_rollout.core.markdown import span
from guarded_rollout.core.plots import plots
from guarded_rollout.core.redact import redact_value
from guarded_rollout.core.report import ending_lines
from guarded_rollout.core.rollout import advance
from guarded_rollout.core.shown_text import plain
from guarded_rollout.core.spec import Release
from guarded_rollout.core.state import Phase, State

LONGEST_TEXT = 20_000


class Cause(StrEnum):
    """What made it an incident. Later it may be more than that: held, then taken back."""

    WENT_BACK = "went back by itself"
    HELD = "held"
    STUCK = "got stuck on its way back"


@dataclass(frozen=True, slots=True)
class Attached:
    """One replica's log beside the incident. `file` below its folder; empty: `note` says why."""

    release: str
    replica: str
    file: str
    bytes: int
    note: str = ""


@dataclass(frozen=True, slots=True)
class Incident:
    """`since`: Unix seconds. `why`: at that moment. `acknowledged`: when and by whom, or None."""

    account: Account
    cause: Cause
    since: float
    why: str
    acknowledged: tuple[float, str] | None = None

    @property
    def name(self) -> str:
        """For people, and of its files."""
        return incident_name(self.account.rollout)

    @property
    def folder(self) -> str:
        """Of the logs, below the root."""
        return f"{INCIDENTS}/{self.name}"

    @property
    def title(self) -> str:
        """One line without markup."""
        plan = self.account.plan
        what = f"{plan.spec.service.name} {plan.candidate.name}"
        return f"{self.name}: {what} in {self.account.environment} {self.cause}"


def incident_of(rollout: str, lines: Iterable[Line]) -> Incident | None:
    """The incident of a journal; None: nothing went wrong by itself."""
    every = tuple(lines)
    story = read(rollout, every)
    if story.incident is None:
        return None
    number, since = story.incident
    state = State()
    for at, _, fact in every:
        state = advance(state, fact)
        if at == number:
            break
    causes = {Phase.HOLDING: Cause.HELD, Phase.STUCK: Cause.STUCK}
    acks = [(ack.at, story.state.acknowledged or "") for ack in story.acks]
    return Incident(
        account=account_of(rollout, every),
        cause=causes.get(state.phase, Cause.WENT_BACK),
        since=since,
        why=state.reason,
        acknowledged=acks[-1] if acks else None,
    )


def incident_page(incident: Incident, attached: Sequence[Attached], utc: Utc) -> str:
    """For people, as Markdown."""
    account = incident.account
    return "\n".join(
        [
            *incident_summary(incident, utc),
            "## Logs",
            "",
            *_log_lines(incident, attached),
            "",
            "## Who was told",
            "",
            *told_lines(account, utc),
            "## Timeline (UTC)",
            "",
            *timeline_lines(account, utc),
        ]
    )


def incident_summary(incident: Incident, utc: Utc) -> list[str]:
    """All but the timeline and the logs: what an issue has room for."""
    account = incident.account
    return [
        f"# {incident.name}",
        "",
        " ".join(_story(incident, utc)),
        "",
        "## What to do now",
        "",
        *(f"- {line}" for line in to_do(incident)),
        "",
        "## What it was about",
        "",
        *facts_lines(account, utc),
        "",
        "## The gates",
        "",
        *gate_lines(account.fired),
        *plot_lines(account),
        *backup_lines(account),
        "## Who asked what",
        "",
        *asked_lines(account, utc),
        "## The migration",
        "",
        *statement_lines(account.statements),
    ]


def _story(incident: Incident, utc: Utc) -> list[str]:
    """What happened, in sentences."""
    account, plan = incident.account, incident.account.plan
    name, service = span(plan.candidate.name), span(plan.spec.service.name)
    told = [f"{name} of {service} in {span(account.environment)} {incident.cause}"]
    watched = account.state.elapsed
    told[0] += f" after {minutes(round(watched))} of watching" if watched else ""
    told[0] += f", at {utc(incident.since)}, because {span(incident.why, 2000)}."
    match account.phase:
        case Phase.ROLLED_BACK:
            serves = span(plan.baseline.name) if plan.baseline else "nothing"
            told.append(f"{serves} serves again, since {utc(account.returned)}.")
        case Phase.DONE:
            told.append(f"It was promoted all the same: {span(account.state.reason, 2000)}.")
        case Phase.STUCK if incident.cause is not Cause.STUCK:
            told.append(f"Then it got stuck: {span(account.state.reason, 2000)}.")
        case Phase.RETURNING:
            told.append("It is on its way back.")
        case _:
            told.append(f"It is {account.phase} now.")
    if incident.acknowledged is not None:
        at, by = incident.acknowledged
        told.append(f"{span(by)} is on it since {utc(at)}.")
    return told


def to_do(incident: Incident) -> list[str]:
    """What a person should do now, as Markdown."""
    account, name = incident.account, incident.account.environment
    lines: list[str] = []
    if account.phase in {Phase.HOLDING, Phase.STUCK}:
        lines += [span(line, 2000) for line in ending_lines(account.state, account.rollout)]
    elif account.phase is Phase.ROLLED_BACK:
        lines.append("Users are on the old version. Find the cause before the next deployment.")
    elif account.phase is Phase.DONE:
        lines.append("Nothing is urgent: a person took it as it is.")
    else:
        lines.append(f"Follow it: {span(f'rollout watch --env {name}')}")
    lines += [f"Left over: {span(text)}" for text in account.state.leftovers]
    if incident.acknowledged is None and account.phase is not Phase.DONE:
        ack = f"rollout ack --env {name} --reason WHAT"
        lines.append(f"Say that you are on it: {span(ack)}; nobody else is called then.")
    again = f"rollout gates replay --env {name} {account.rollout}"
    lines.append(f"Judge it again, also by other gates: {span(again)}")
    lines.append(f"Write down the root cause: {span(f'{INCIDENTS}/{incident.name}-rca.md')}")
    return lines


def _log_lines(incident: Incident, attached: Sequence[Attached]) -> list[str]:
    if not attached:
        return ["No log was found on this machine."]
    return [
        f"- {span(one.release)}, replica {span(one.replica)}: "
        + (f"{span(f'{incident.name}/{one.file}')}, {one.bytes} bytes" if one.file else "none")
        + (f" ({span(one.note)})" if one.note else "")
        for one in attached
    ]


def incident_document(incident: Incident, attached: Sequence[Attached], utc: Utc) -> dict[str, Any]:
    """For machines: JSON values, redacted."""
    account, plan = incident.account, incident.account.plan
    document = {
        "incident": incident.name,
        "rollout": account.rollout,
        "cause": incident.cause.name.lower().replace("_", "-"),
        "since": incident.since,
        "why": incident.why,
        "environment": account.environment,
        "service": plan.spec.service.name,
        "candidate": msgspec.to_builtins(plan.candidate),
        "baseline": msgspec.to_builtins(plan.baseline),
        "began": account.began,
        "last": account.last,
        "phase": account.phase,
        "reason": account.state.reason,
        "acknowledged": msgspec.to_builtins(incident.acknowledged),
        "gates": msgspec.to_builtins(account.fired),
        "plots": msgspec.to_builtins(plots(account.seen)),
        "backup": msgspec.to_builtins(account.backup),
        "ways": msgspec.to_builtins(account.ways),
        "asked": msgspec.to_builtins(account.asked),
        "statements": msgspec.to_builtins(account.statements),
        "told": msgspec.to_builtins(account.told),
        "logs": msgspec.to_builtins(attached),
        "timeline": timeline(account, utc),
    }
    redacted: dict[str, Any] = redact_value(cleaned(document))
    return redacted


def cleaned(value: Any) -> Any:  # noqa: ANN401 - any JSON value in, the same shape out
    """A JSON value without control characters and without endless text."""
    if isinstance(value, str):
        return plain(value, LONGEST_TEXT)
    if isinstance(value, Mapping):
        return {plain(str(key), 200): cleaned(member) for key, member in value.items()}
    if isinstance(value, (list, tuple)):
        return [cleaned(member) for member in value]
    return value


def rca_values(incident: Incident, utc: Utc) -> dict[str, str]:
    """The names that `templates/incident/rca.md` may use; Markdown."""
    account, plan = incident.account, incident.account.plan
    release: Release = plan.candidate
    return {
        "incident": incident.name,
        "environment": span(account.environment),
        "service": span(plan.spec.service.name),
        "release": release_text(release),
        "baseline": release_text(plan.baseline),
        "cause": str(incident.cause),
        "why": span(incident.why, 2000),
        "since": utc(incident.since),
        "began": utc(account.began),
        "initiator": span(account.asked[0].by),
        "rollout": span(account.rollout),
        "page": f"[{incident.name}.md]({incident.name}.md)",
    }
