"""The deployment report: a rollout for people who were not there, as Markdown."""

from guarded_rollout.core.account import Account, Utc
from guarded_rollout.core.account_text import (
    asked_lines,
    backup_lines,
    facts_lines,
    gate_lines,
    plot_lines,
    statement_lines,
    step_lines,
    told_lines,
)
from guarded_rollout.core.fact_text import minutes
from guarded_rollout.core.markdown import span, table
from guarded_rollout.core.plan import Kind
from guarded_rollout.core.report import ending_lines
from guarded_rollout.core.spec import EVERYBODY


def deployment_page(account: Account, utc: Utc) -> str:
    """All of it. What was not part of such a rollout has no section."""
    state, plan = account.state, account.plan
    ended = ending_lines(account.at_its_end, account.rollout)
    lines = [
        f"# {plan.kind.capitalize()} report: {span(account.environment)}",
        "",
        *(f"- {span(line.strip(), 2000)}" for line in ended),
        *([f"- Because {span(state.reason, 2000)}"] if state.reason else []),
        "",
        "## What it was about",
        "",
        *facts_lines(account, utc),
        "",
        "## Steps",
        "",
        *step_lines(account, utc),
    ]
    if plan.kind not in {Kind.MONITOR, Kind.DOWN}:
        lines += ["## The migration", "", *statement_lines(account.statements)]
        lines += backup_lines(account)
    if len(account.shares) > 1 or len(plan.stages) > 1:
        lines += ["## Stages", "", *_stage_lines(account, utc)]
    if plan.watches:
        watched = minutes(round(state.elapsed))
        lines += ["## The watch", "", f"Watched for {watched}, {state.looks} looks.", ""]
        lines += [*gate_lines(account.fired), *plot_lines(account)]
    lines += ["## Who asked what", "", *asked_lines(account, utc)]
    lines += ["## Who was told", "", *told_lines(account, utc)]
    return "\n".join(lines)


def _stage_lines(account: Account, utc: Utc) -> list[str]:
    rows = [(f"{percent:g} %", utc(at)) for at, percent in account.shares]
    planned = ", ".join(f"{stage.percent:g} %" for stage in account.plan.stages)
    reached = account.shares[-1][1] if account.shares else 0.0
    told = "" if reached == EVERYBODY.percent else " It did not come to the last one."
    return [f"Planned: {planned}.{told}", "", *table(("share of the users", "since"), rows), ""]
