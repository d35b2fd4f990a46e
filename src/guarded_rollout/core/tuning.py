"""What the watches of some days say about the gates: distance to the limits, false alarms, gaps."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from guarded_rollout.core.account import Account, Utc
from guarded_rollout.core.evidence_signals import Signal
from guarded_rollout.core.fact_text import minutes
from guarded_rollout.core.facts import Acknowledged, Judged
from guarded_rollout.core.gates import Answer, Verdict
from guarded_rollout.core.markdown import block, span, table
from guarded_rollout.core.recorded_traffic import counted
from guarded_rollout.core.state import Phase
from guarded_rollout.core.suggestion import Suggestion

HARMLESS = ("harmless", "false alarm", "false positive")
"""How the reason of an acknowledgement begins that takes the blame from a release."""

ENOUGH_WATCHES = 3
"""Fewer say more about one release than about the gates."""


@dataclass(frozen=True, slots=True)
class Nearness:
    """One gate in one watch. `worst`: its value nearest to the limit, or beyond it; its own unit.

    None: the gate has no single value, or nothing was counted.
    """

    gate: str
    judged: int
    unknown: int
    breached: bool
    worst: float | None
    limit: float | None
    last: str

    @property
    def share(self) -> float | None:
        """Of the limit, in percent; None: it cannot be said."""
        if self.worst is None or not self.limit:
            return None
        return 100.0 * self.worst / self.limit


@dataclass(frozen=True, slots=True)
class Watched:
    """One watch. `harmless`: who or what says that going back was a false alarm; empty: nobody."""

    rollout: str
    release: str
    began: float
    phase: Phase
    seconds: float
    requests: int
    gates: tuple[Nearness, ...]
    harmless: str = ""


@dataclass(frozen=True, slots=True)
class Tuning:
    """All of it. `since`, `until`: Unix seconds. `paste`: for the gates file."""

    environment: str
    since: float
    until: float
    watched: tuple[Watched, ...]
    suggestions: tuple[Suggestion, ...]
    paste: Mapping[str, Any]

    @property
    def false_alarms(self) -> tuple[Watched, ...]:
        """Rollbacks of releases that did no harm."""
        return tuple(one for one in self.watched if one.harmless)

    @property
    def gaps(self) -> tuple[str, ...]:
        """What there is too little of."""
        return tuple(_gaps(self))


def watched_in(accounts: Sequence[Account]) -> tuple[Watched, ...]:
    """The watches among the rollouts, all up to now: a later one may clear a release."""
    return tuple(_watched(one, accounts) for one in accounts if one.seen)


def _watched(account: Account, later: Sequence[Account]) -> Watched:
    requests = counted(account.seen, Signal.PROXY_REQUESTS).sums
    plain = counted(account.seen, Signal.REQUESTS).sums
    return Watched(
        rollout=account.rollout,
        release=account.plan.candidate.name,
        began=account.began,
        phase=account.phase,
        seconds=account.state.elapsed,
        requests=int((requests or plain or (0.0,))[0]),
        gates=tuple(_nearness(account)),
        harmless=_harmless(account, later),
    )


def _nearness(account: Account) -> Iterable[Nearness]:
    by_gate: dict[str, list[Verdict]] = {}
    for _, _, fact in account.lines:
        if isinstance(fact, Judged):
            for verdict in fact.verdicts:
                by_gate.setdefault(verdict.gate, []).append(verdict)
    for gate, verdicts in by_gate.items():
        known = [verdict for verdict in verdicts if verdict.value is not None]
        worst = max(known, key=lambda verdict: verdict.value or 0.0, default=None)
        yield Nearness(
            gate=gate,
            judged=len(verdicts),
            unknown=sum(verdict.answer is Answer.UNKNOWN for verdict in verdicts),
            breached=any(verdict.answer is Answer.BREACH for verdict in verdicts),
            worst=worst.value if worst else None,
            limit=worst.limit if worst else verdicts[-1].limit,
            last=verdicts[-1].reason,
        )


def _harmless(account: Account, later: Sequence[Account]) -> str:
    """Why a rollback was a false alarm; empty: nothing says so."""
    if account.phase is not Phase.ROLLED_BACK:
        return ""
    for _, _, fact in account.lines:
        if isinstance(fact, Acknowledged) and fact.reason.lower().startswith(HARMLESS):
            return f"{fact.by}: {fact.reason}"
    for other in later:
        same = other.plan.candidate == account.plan.candidate and other.plan.watches
        if same and other.began > account.began and other.phase is Phase.DONE:
            return f"promoted later by {other.rollout}"
    return ""


def _gaps(tuning: Tuning) -> Iterable[str]:
    if len(tuning.watched) < ENOUGH_WATCHES:
        told = f"{len(tuning.watched)} watches; {ENOUGH_WATCHES} say something about the gates"
        yield told
    for one in tuning.watched:
        blind = [gate.gate for gate in one.gates if gate.unknown == gate.judged]
        if blind:
            yield f"{one.rollout}: never enough for {', '.join(blind)}"
    for found in tuning.suggestions:
        if found.value is None:
            yield f"{found.key}: {found.why}"


def tuning_page(tuning: Tuning, utc: Utc) -> str:
    """For people, as Markdown."""
    span_of_time = f"{utc(tuning.since)} to {utc(tuning.until)}"
    lines = [
        f"# Gates of {span(tuning.environment)}, {span_of_time}",
        "",
        f"{len(tuning.watched)} watches, {len(tuning.false_alarms)} false alarms.",
        "",
        "## What was watched",
        "",
        *_watch_lines(tuning.watched, utc),
        "## How far from the limits",
        "",
        "100 % is the limit. Evidence has none of its own: its numbers are in the last answer.",
        "",
        *_near_lines(tuning.watched),
        "## False alarms",
        "",
        *_alarm_lines(tuning.false_alarms),
        "## What `rollout gates suggest` proposes",
        "",
        *_suggestion_lines(tuning),
        "## What there is too little of",
        "",
        *([f"- {span(gap, 2000)}" for gap in tuning.gaps] or ["Nothing."]),
        "",
    ]
    return "\n".join(lines)


def _watch_lines(watched: Sequence[Watched], utc: Utc) -> list[str]:
    if not watched:
        return ["Nothing.", ""]
    rows = [
        (
            one.rollout,
            one.release,
            utc(one.began),
            one.phase,
            minutes(round(one.seconds)),
            one.requests,
        )
        for one in watched
    ]
    head = ("rollout", "release", "began", "ended", "watched", "requests of the candidate")
    return [*table(head, rows), ""]


def _near_lines(watched: Sequence[Watched]) -> list[str]:
    rows = [
        (
            one.rollout,
            near.gate,
            "" if near.share is None else f"{near.share:.0f} %",
            "breached" if near.breached else f"{near.unknown} of {near.judged} unknown",
            near.last,
        )
        for one in watched
        for near in one.gates
    ]
    if not rows:
        return ["No gate was judged.", ""]
    return [*table(("rollout", "gate", "of its limit", "answers", "last answer"), rows), ""]


def _alarm_lines(alarms: Sequence[Watched]) -> list[str]:
    if not alarms:
        known = ", ".join(span(word) for word in HARMLESS)
        return [f"None is known. An acknowledgement that begins with {known} names one.", ""]
    rows = [(one.rollout, one.release, one.harmless) for one in alarms]
    return [*table(("rollout", "release", "who says so"), rows), ""]


def _suggestion_lines(tuning: Tuning) -> list[str]:
    rows = [
        (
            one.key,
            f"{one.value:g} {one.unit}" if one.value is not None else "too little history",
            one.why,
        )
        for one in tuning.suggestions
    ]
    text = json.dumps(tuning.paste, indent=2).splitlines()
    pasted = [*block(text), ""] if any(tuning.paste.get("environments", {}).values()) else []
    return [*table(("key", "value", "why"), rows), "", *pasted]
