"""What changed in a rollout, in a sentence for people."""

from guarded_rollout.core.fact_text import minutes
from guarded_rollout.core.facts import Fact, PauseAsked, ResumeAsked, Started
from guarded_rollout.core.gates import Answer
from guarded_rollout.core.plan import Kind, Plan
from guarded_rollout.core.report import ending_lines
from guarded_rollout.core.spec import EVERYBODY
from guarded_rollout.core.state import Phase, State

TOLD = frozenset({Kind.DEPLOY, Kind.MONITOR, Kind.ROLLBACK, Kind.MIGRATE, Kind.DOWN})
"""The others change nothing that anybody waits for."""

Said = tuple[str, str]
"""A type of notice and its sentence."""


def news(before: State, fact: Fact, after: State) -> list[Said]:
    """What this fact changed that somebody waits for; nothing for a look."""
    plan = after.plan
    if plan is None or plan.kind not in TOLD:
        return []
    match fact:
        case Started(by=by, without_signoffs=why):
            alone = f"{by} goes on without the sign-offs that are missing: {why}."
            return [*([("error", alone)] if why else []), _started(plan)]
        case PauseAsked(by=by, reason=reason):
            return [("watch", f"Paused by {by}: {reason}. The share stays, a breach rolls back.")]
        case ResumeAsked(by=by, reason=reason):
            return [("watch", f"Goes on, asked by {by}: {reason}.")]
        case _ if before.phase is not after.phase:
            return _moved(before, plan, after)
        case _:
            return []


def _started(plan: Plan) -> Said:
    name = plan.spec.environment.name
    old = plan.baseline.name if plan.baseline else "nothing"
    new = plan.candidate.name
    match plan.kind:
        case Kind.ROLLBACK if plan.candidate == plan.baseline:
            return "rollback-start", f"{new} comes again."
        case Kind.ROLLBACK:
            return "rollback-start", f"{new} is taken back, {old} comes again."
        case Kind.MONITOR:
            return "watch", f"{new} is watched."
        case Kind.DOWN:
            return "info", f"{new} is taken down: nothing will serve {name}."
        case Kind.MIGRATE:
            return "deploy-start", f"The schema of {name} is migrated for {new}."
        case _:
            return "deploy-start", f"{new} is to take the place of {old}."


def _moved(before: State, plan: Plan, after: State) -> list[Said]:  # noqa: PLR0911 - one per phase
    name, environment = plan.candidate.name, plan.spec.environment
    match after.phase:
        case Phase.WATCHING:
            share = plan.stages[after.stage].percent
            some = f"{share:g} % of the users are"
            users = "Everybody is" if share == EVERYBODY.percent else some
            window = minutes(environment.watch.schedule.duration)
            return [("watch", f"{users} on {name}; it is watched for {window}.")]
        case Phase.HOLDING:
            breach = [("gate-breach", _breach(after))] if _breaching(after) else []
            return [*breach, ("hold", f"Nothing goes on before a person decides: {after.reason}.")]
        case Phase.RETURNING if before.phase is not Phase.NEW:
            breach = [("gate-breach", _breach(after))] if _breaching(after) else []
            return [*breach, ("rollback-start", f"Traffic goes back: {after.reason}.")]
        case Phase.STUCK:
            return [("rollback-failure", f"The way back failed: {after.reason}.")]
        case Phase.ROLLED_BACK:
            serves = plan.baseline.name if plan.baseline else "nothing"
            return [("rollback-success", f"{serves} serves again, because {after.reason}.")]
        case Phase.REFUSED:
            return [("deploy-failure", f"Refused, and nothing was changed: {after.reason}.")]
        case Phase.DONE if plan.kind is Kind.MONITOR:
            return [("window-complete", f"{name} stays: {after.reason}.")]
        case Phase.DONE if plan.kind is Kind.DOWN:
            return [("info", f"Nothing serves {environment.name} any more: {name} was taken down.")]
        case Phase.DONE:
            why = f" {after.reason[:1].upper()}{after.reason[1:]}." if after.reason else ""
            return [("deploy-success", f"{ending_lines(after, '')[0]}.{why}")]
        case _:
            return []


def _breaching(state: State) -> bool:
    return any(verdict.answer is Answer.BREACH for verdict in state.verdicts)


def _breach(state: State) -> str:
    gates = [verdict.gate for verdict in state.verdicts if verdict.answer is Answer.BREACH]
    return f"{', '.join(gates)} breached after {minutes(round(state.elapsed))} of watching."
