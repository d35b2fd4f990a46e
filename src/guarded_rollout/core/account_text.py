"""The parts that a deployment report and an incident have in common, as Markdown."""

from collections.abc import Sequence

from guarded_rollout.core.account import Account, Statement, Utc
from guarded_rollout.core.fact_text import STEP_TEXT, fact_lines, minutes, size_text
from guarded_rollout.core.gate_history import Fired
from guarded_rollout.core.markdown import block, span, table
from guarded_rollout.core.plan import Step
from guarded_rollout.core.plots import Plot, plots
from guarded_rollout.core.spec import Release

HEAD, TAIL = 150, 350
"""As many lines of a timeline are shown from its beginning and from its end."""


def release_text(release: Release | None) -> str:
    """Name and whole digest."""
    if release is None:
        return "nothing"
    return f"{span(release.name)}, digest {span(release.digest)}"


def facts_lines(account: Account, utc: Utc) -> list[str]:
    """What it was about."""
    environment = account.plan.spec.environment
    first = account.asked[0]
    where = f"{environment.listen_host}:{environment.listen_port}"
    why = f": {span(first.reason)}" if first.reason else ""
    took = minutes(round(account.last - account.began))
    return [
        f"- Rollout: {span(account.rollout)}, plan {span(account.plan.digest)}",
        f"- Environment: {span(environment.name)}, {span(where)}, {span(environment.strategy)}",
        f"- Release: {span(account.plan.spec.service.name)} {release_text(account.plan.candidate)}",
        f"- Baseline: {release_text(account.plan.baseline)}",
        f"- Begun by {span(first.by)} at {utc(account.began)}{why}",
        f"- Last entry at {utc(account.last)}, after {took}",
    ]


def backup_lines(account: Account) -> list[str]:
    """The backup, its checksum, and the ways back."""
    lines = ["## Backup and ways back", ""]
    backup = account.backup
    if backup is None:
        used = account.plan.use_backup
        lines.append(f"- Backup: {span(used)}" if used else "- No backup was made.")
    else:
        size = f", {size_text(backup['size'])}" if "size" in backup else ""
        lines.append(f"- Backup: {span(backup.get('file', ''))}{size}")
        if backup.get("sha256"):
            lines.append(f"- SHA-256: {span(backup['sha256'])}")
        for copy in backup.get("copies", ()):
            state = "copied" if copy["copied"] else span(copy["problem"] or "not copied")
            lines.append(f"- Copy at {span(copy['place'])}: {state}")
    because = account.state.outcomes.get(Step.REHEARSE, {}).get("because", {})
    lines.append(f"- Ways back: {', '.join(map(span, account.ways)) or 'none is proven'}")
    lines += [f"- No {span(way)}: {span(why)}" for way, why in because.items()]
    return [*lines, ""]


def gate_lines(fired: Sequence[Fired]) -> list[str]:
    """Each gate's first breach, or else its newest answer."""
    if not fired:
        return ["No gate was judged.", ""]
    rows = [
        (one.gate, one.verdict.answer, _at(one), one.verdict.reason)
        for one in sorted(fired, key=lambda one: one.at is None)
    ]
    return [*table(("gate", "answer", "breached after", "numbers"), rows), ""]


def _at(one: Fired) -> str:
    return "" if one.at is None else minutes(round(one.at))


def plot_lines(account: Account) -> list[str]:
    """The watch in letters."""
    found = plots(account.seen)
    if not found:
        return ["Nothing was counted during the watch.", ""]
    names = {False: account.plan.candidate.name, True: "baseline"}
    if account.plan.baseline is not None:
        names[True] = account.plan.baseline.name
    wide = max(len(name) for name in names.values())
    lines: list[str] = []
    for what in dict.fromkeys(plot.what for plot in found):
        lines += [what, *(_plot(plot, names, wide) for plot in found if plot.what == what)]
    last = minutes(round(account.state.elapsed))
    return [*block([*lines, f"from the left: the first of {last} of watching"]), ""]


def _plot(plot: Plot, names: dict[bool, str], wide: int) -> str:
    return f"  {names[plot.baseline]:<{wide}}  {plot.line}  {plot.numbers}"


def statement_lines(statements: Sequence[Statement]) -> list[str]:
    """What the migration ran."""
    if not statements:
        return ["The schema was not changed.", ""]
    rows = [
        (one.sql, _ms(one.rehearsed), _ms(one.ran), ", ".join(one.locks) or "none seen")
        for one in statements
    ]
    return [*table(("statement", "rehearsed", "ran", "strong locks"), rows), ""]


def _ms(value: float | None) -> str:
    return "" if value is None else f"{value:.0f} ms"


def step_lines(account: Account, utc: Utc) -> list[str]:
    """Each attempt at a step, and how long it took."""
    rows = [
        (
            one.step,
            STEP_TEXT[one.step],
            utc(one.began),
            "" if one.ended is None else minutes(round(one.ended - one.began, 1)),
            f"{one.outcome}: {one.why}" if one.why else one.outcome,
        )
        for one in account.steps
    ]
    return [*table(("step", "what", "began", "took", "outcome"), rows), ""]


def asked_lines(account: Account, utc: Utc) -> list[str]:
    """Who asked what."""
    rows = [(utc(one.at), one.by, one.command, one.reason) for one in account.asked]
    return [*table(("when", "who", "asked", "why"), rows), ""]


def told_lines(account: Account, utc: Utc) -> list[str]:
    """What came of the notices."""
    if not account.told:
        return ["Nobody was told yet.", ""]
    rows = [
        (utc(at), one.notice.rpartition(":")[2], one.channel, one.status, one.attempts, one.reason)
        for at, one in account.told
    ]
    return [*table(("when", "notice", "channel", "status", "attempts", "reason"), rows), ""]


def timeline(account: Account, utc: Utc) -> list[str]:
    """The journal as lines; of the gates those that do not pass."""
    return [
        f"{utc(at)}  {text}"
        for _, at, fact in account.lines
        for text in fact_lines(fact, brief=True)
    ]


def timeline_lines(account: Account, utc: Utc) -> list[str]:
    """The same as a block; of a long one its beginning and its end."""
    lines = timeline(account, utc)
    left_out = len(lines) - HEAD - TAIL
    if left_out > 0:
        see = f"rollout watch --env {account.environment} has them"
        lines = [*lines[:HEAD], f"... {left_out} lines are left out: {see}", *lines[-TAIL:]]
    return [*block(lines), ""]
