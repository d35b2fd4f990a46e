"""What happened, told to people: lines for a screen or a log."""

from collections.abc import Mapping
from typing import Any

from guarded_rollout.core.facts import (
    Acknowledged,
    Adopted,
    Fact,
    Judged,
    Lane,
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
from guarded_rollout.core.gates import Answer, overall
from guarded_rollout.core.plan import Step
from guarded_rollout.core.series import Observation

_MARK = {Answer.PASS: "pass", Answer.BREACH: "BREACH", Answer.UNKNOWN: "unknown"}

SQL_SHOWN = 120
_AS_USUAL = frozenset({"delivered", "skipped"})

STEP_TEXT = {
    Step.PREFLIGHT: "check source, disk, port and database",
    Step.BUILD: "build the release into its own folder",
    Step.BACKUP: "back up database and configuration, read it back, verify",
    Step.REHEARSE: "restore the backup elsewhere, migrate up and down, try both releases on it",
    Step.MIGRATE: "migrate the schema",
    Step.START: "start the candidate beside the old version",
    Step.SMOKE: "smoke checks on the candidate, before any user",
    Step.SMOKE_USERS: "smoke checks through the proxy, as users are answered",
    Step.CALIBRATE: "measure how much the old version varies by itself",
    Step.SHIFT: "shift traffic in one change, old version warm",
    Step.RETIRE: "drain and stop the old version",
    Step.PRUNE: "remove expired backups and releases that no environment uses",
    Step.CLOSE: "take all traffic away and stop both releases: users get 503",
    Step.TAKE_DOWN: "take all traffic away, stop every replica and the proxy",
    Step.SET_ASIDE: "write the rows since the backup into a file, and a safety snapshot",
    Step.RESTORE: "put the backup in the database's place",
    Step.UNMIGRATE: "migrate the schema down",
    Step.RETURN: "traffic back to the old version in one change",
    Step.STOP_CANDIDATE: "drain and stop the candidate",
    Step.CONFIRM: "3 consecutive OK through the proxy",
    Step.SMOKE_BASELINE: "smoke checks on the old version",
    Step.REPORT: "write the report",
}


def minutes(seconds: float) -> str:
    """`90` is `1 min 30 s`."""
    whole, rest = divmod(seconds, 60)
    parts = ([f"{whole:g} min"] if whole else []) + ([f"{rest:g} s"] if rest or not whole else [])
    return " ".join(parts)


def fact_lines(  # noqa: C901, PLR0911, PLR0912 - one per kind
    fact: Fact, *, brief: bool = False
) -> list[str]:
    """What a fact looks like on a screen; empty for what only machines read.

    `brief`: of the gates only those that do not pass, of notices only those that did not arrive.
    """
    match fact:
        case Started(plan=plan, by=by, reason=reason):
            why = f" ({reason})" if reason else ""
            return [f"{plan.kind} of {plan.candidate.name} started by {by}{why}", *_agreed(fact)]
        case StepBegan(step=step, attempt=attempt):
            again = f" (attempt {attempt})" if attempt > 1 else ""
            return [f"{step:<15} {STEP_TEXT[step]}{again}"]
        case StepDone(step=step, outcome=outcome):
            more = _more_lines(step, outcome)
            return [f"{step:<15} done{_outcome_text(step, outcome)}", *more]
        case StepFailed(step=step, why=why):
            return [f"{step:<15} FAILED: {why.what}", *([f"  -> {why.hint}"] if why.hint else [])]
        case Observed(seen=seen):
            return [] if seen.look is None else [_look_line(seen)]
        case Judged(verdicts=verdicts, lane=lane):
            head = "probes" if lane is Lane.DOWN else "gates"
            shown = [v for v in verdicts if not brief or v.answer is not Answer.PASS]
            lines = [f"  {v.gate:<22} {_MARK[v.answer]:<8} {v.reason}" for v in shown]
            return [*lines, f"  {head}: {_MARK[overall(verdicts)]}"]
        case RollbackAsked(by=by, reason=reason, way=way, give_up_rows=given_up):
            how = f" ({way})" if way else ""
            more = [f"  gives up the rows since the backup: {given_up}"] if given_up else []
            return [f"rollback{how} asked by {by}: {reason}", *more]
        case PromoteAsked(by=by, reason=reason):
            return [f"promotion asked by {by}: {reason}"]
        case PauseAsked(by=by, reason=reason):
            return [f"paused by {by}: {reason}"]
        case ResumeAsked(by=by, reason=reason):
            return [f"goes on, asked by {by}: {reason}"]
        case Adopted(by=by):
            return [f"resumed by {by}"]
        case Acknowledged(by=by, reason=reason):
            return [f"acknowledged by {by}{f': {reason}' if reason else ''}"]
        case Notified(channel=channel, status=status, notice=key, reason=why):
            told = f"notice {key.rpartition(':')[2]} to {channel}: {status}{why and f', {why}'}"
            return [] if brief and status in _AS_USUAL else [told]


def _agreed(fact: Started) -> list[str]:
    lines = [
        f"  signed off by {one.statement.who} ({one.statement.account}, {one.key or one.source})"
        for one in fact.signoffs
    ]
    if fact.without_signoffs:
        lines.append(f"  WITHOUT THE SIGN-OFFS THAT ARE MISSING: {fact.without_signoffs}")
    return lines


def _outcome_text(  # noqa: C901, PLR0911 - one per step
    step: Step, outcome: dict[str, Any]
) -> str:
    match step:
        case Step.BACKUP:
            return f": {outcome['file']} ({size_text(outcome['size'])}, verified)"
        case Step.REHEARSE:
            return f": ways back: {', '.join(outcome['ways'])}"
        case Step.RESTORE:
            return f": {outcome['file']}, {sum(outcome['rows'].values())} rows"
        case Step.CLOSE | Step.TAKE_DOWN:
            return f": stopped {', '.join(outcome['stopped']) or 'nothing, nothing ran'}"
        case Step.MIGRATE | Step.UNMIGRATE:
            moved = f"{outcome['from']} -> {outcome['to']}" if outcome["moved"] else "nothing to do"
            return f": {moved}"
        case Step.SHIFT if outcome.get("percent", 100.0) < 100.0:
            return f": {outcome['percent']:g} % of the users are on {outcome['to']}"
        case Step.SHIFT | Step.RETURN:
            return f": traffic goes to {outcome['to'] or 'nobody'}"
        case Step.CONFIRM:
            return f": {outcome['consecutive_ok']} consecutive OK"
        case Step.REPORT if outcome.get("problems"):
            return f", but not written: {'; '.join(outcome['problems'])}"
        case Step.PRUNE:
            return (
                f": {len(outcome['backups'])} backups, {len(outcome.get('releases', ()))} releases"
            )
        case _:
            return ""


def _noise_text(outcome: dict[str, Any]) -> str:
    measured = f"{outcome['polls']} samples of {outcome['between']}"
    if not outcome["noise"]:
        return f"nothing was counted ({measured})"
    noise = [it for it in outcome["noise"] if it["factor"] > 1.0]
    if not noise:
        return f"no more noise than that of independent requests ({measured})"
    told = ", ".join(f"{it['signal']} vary {it['factor']:.2g} times as much" for it in noise)
    return f"{told} as independent requests would ({measured})"


def _more_lines(step: Step, outcome: dict[str, Any]) -> list[str]:  # noqa: PLR0911 - one per step
    match step:
        case Step.BACKUP:
            return _copy_lines(outcome)
        case Step.REHEARSE:
            return _rehearsal_lines(outcome)
        case Step.CALIBRATE:
            return [f"  {_noise_text(outcome)}"]
        case Step.SET_ASIDE if outcome.get("given_up") is not None:
            kept = outcome["kept"] or "nothing, there was no database"
            return [
                f"  not compared, the rows since the backup are given up: {outcome['given_up']}",
                f"  kept as it is  {kept}",
            ]
        case Step.SET_ASIDE if outcome["file"] is None:
            return ["  there was no database: nothing to set aside"]
        case Step.SET_ASIDE:
            return [
                *(f"  {text}" for text in lost_lines(outcome["rows"])),
                f"  rows  {outcome['file']}",
                f"  all   {outcome['snapshot']}",
                f"  -> {outcome['reapply']}",
            ]
        case _:
            return []


def lost_lines(rows: Mapping[str, Mapping[str, int]]) -> list[str]:
    """What a restore takes out of the database, per table and per `What`."""
    if not rows:
        return ["no row changed since the backup"]
    return [
        f"{table}: " + ", ".join(f"{count} {what}" for what, count in sorted(counts.items()))
        for table, counts in sorted(rows.items())
    ]


def _rehearsal_lines(outcome: dict[str, Any]) -> list[str]:
    lines = []
    if outcome["restored"]:
        restored = outcome["restored"]
        lines.append(
            f"  the backup comes back: {restored['rows']} rows in {restored['tables']} tables"
        )
    if not outcome["pending"]:
        return [*lines, f"  {outcome['note']}"]
    lines.append(f"  schema {outcome['from']} -> {outcome['to']}:")
    for ran in outcome["statements"]:
        locks = f", {', '.join(ran['locks'])}" if ran["locks"] else ""
        lines.append(f"    {ran['ms']:.0f} ms{locks}: {_one_line(ran['sql'])}")
    more = outcome["statements_in_all"] - len(outcome["statements"])
    lines += [f"    and {more} statements more"] if more else []
    lines += [f"  no {way}: {why}" for way, why in outcome["because"].items()]
    lines += [
        f"  {found['severity']}: {found['why']}: {found['statement']}\n  -> {found['recipe']}"
        for found in outcome["findings"]
    ]
    return lines


def _one_line(sql: str) -> str:
    text = " ".join(sql.split())
    return text if len(text) <= SQL_SHOWN else f"{text[: SQL_SHOWN - 3]}..."


def _copy_lines(outcome: dict[str, Any]) -> list[str]:
    lines = []
    for copy in outcome.get("copies", ()):
        if copy["copied"]:
            how = "copied to" if copy["sent"] else "was already at"
            lines.append(f"  {how} {copy['place']}, verified")
        if copy["problem"]:
            lines.append(f"  WARNING: {copy['problem']}\n  -> {copy['hint']}")
    return lines


def size_text(size: int) -> str:
    """Bytes for people."""
    return f"{size / 2**20:.1f} MB" if size >= 2**20 else f"{size / 1024:.1f} kB"


def _look_line(seen: Observation) -> str:
    arm = seen.candidate
    health = {True: "OK", False: "FAILED", None: "nobody could ask"}[arm.healthy]
    requests = f", {arm.proxy.requests:.0f} requests" if arm.proxy else ""
    rescued = f", {arm.proxy.rescued:.0f} rescued" if arm.proxy and arm.proxy.rescued else ""
    problems = f"; sources: {'; '.join(arm.problems)}" if arm.problems else ""
    at = minutes(round(seen.elapsed))
    return f"look {seen.look} at {at}: health {health}{requests}{rescued}{_machine(seen)}{problems}"


def _machine(seen: Observation) -> str:
    used = [
        f"{name} {value:.0f} %"
        for name in ("cpu", "memory", "disk")
        if seen.host is not None and (value := getattr(seen.host, name)) is not None
    ]
    return f", {', '.join(used)}" if used else ""
