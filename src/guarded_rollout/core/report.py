"""A rollout told to people: lines for a screen or a log, and one JSON document."""

from collections.abc import Sequence
from typing import Any

import msgspec

from guarded_rollout.core.facts import (
    Adopted,
    Fact,
    Judged,
    Lane,
    Observed,
    PromoteAsked,
    RollbackAsked,
    Started,
    StepBegan,
    StepDone,
    StepFailed,
)
from guarded_rollout.core.gates import Answer, overall
from guarded_rollout.core.plan import Kind, Plan, Step
from guarded_rollout.core.redact import redact_value
from guarded_rollout.core.rollout import (
    ENDINGS,
    Phase,
    State,
    exit_code,
    missing_copies,
    replay,
)
from guarded_rollout.core.series import Observation

_MARK = {Answer.PASS: "pass", Answer.BREACH: "BREACH", Answer.UNKNOWN: "unknown"}

STEP_TEXT = {
    Step.PREFLIGHT: "check source, disk, port and database",
    Step.BUILD: "build the release into its own folder",
    Step.BACKUP: "back up database and configuration, read it back, verify",
    Step.MIGRATE: "migrate the schema",
    Step.START: "start the candidate beside the old version",
    Step.SMOKE: "smoke checks on the candidate, before any user",
    Step.SHIFT: "shift all traffic in one change, old version warm",
    Step.RETIRE: "drain and stop the old version",
    Step.PRUNE: "remove expired backups and releases that no environment uses",
    Step.RETURN: "traffic back to the old version in one change",
    Step.STOP_CANDIDATE: "drain and stop the candidate",
    Step.CONFIRM: "3 consecutive OK through the proxy",
    Step.SMOKE_BASELINE: "smoke checks on the old version",
    Step.REPORT: "write the report",
}


def plan_lines(plan: Plan) -> list[str]:
    """The plan as it is printed by --dry-run and before a deploy."""
    environment = plan.spec.environment
    watch = environment.watch
    came_from = plan.baseline.name if plan.baseline else "nothing (first deployment)"
    listen = f"{environment.listen_host}:{environment.listen_port}"
    lines = [
        f"{plan.kind} {plan.spec.service.name} {plan.candidate.name} in {environment.name}",
        f"  from     {came_from}",
        f"  traffic  {environment.strategy}, {listen}, {environment.replicas} replicas",
        f"  schema   {plan.schema_before or 'none yet'}",
    ]
    if plan.use_backup:
        lines.append(f"  backup   uses {plan.use_backup} instead of a new one")
    lines += [f"  step     {step:<15} {STEP_TEXT[step]}" for step in plan.forward]
    if Step.BACKUP in plan.forward:
        lines += [f"  copy     of the backup to {place.name}" for place in environment.copies]
    if plan.watches:
        schedule = watch.schedule
        lines.append(
            f"  watch    {minutes(schedule.duration)}: a look every {schedule.first_every:g} s for "
            f"{minutes(schedule.first_for)}, then every {schedule.then_every:g} s; "
            f"probes every {watch.probe_seconds:g} s"
        )
        if watch.synthetic_per_second:
            lines.append(
                f"  traffic  {watch.synthetic_per_second:g} smoke requests per second are sent "
                "during the watch"
            )
        lines += [f"  gate     {text}" for text in _gate_lines(plan)]
        lines.append(
            "  breach   "
            + ("rolls back by itself" if watch.auto_rollback else "waits for a person")
        )
    lines += [f"  then     {step:<15} {STEP_TEXT[step]}" for step in plan.finish]
    lines += [f"  undo     {step:<15} {STEP_TEXT[step]}" for step in plan.back]
    lines += [f"  warning  {warning}" for warning in plan.spec.warnings]
    lines.append(f"  digest   {plan.digest}")
    return lines


def _gate_lines(plan: Plan) -> list[str]:
    gates = plan.spec.environment.gates
    rate, duration = gates.failure_rate, gates.duration
    rate_within = f"within {minutes(rate.window)}, at least {rate.minimum} requests"
    p95_within = f"within {minutes(duration.window)}, at least {duration.minimum} samples"
    return [
        f"{gates.health.name}: more than {gates.health.threshold} failed looks in a row",
        f"{rate.name}: more than {rate.threshold:g} % {rate_within}",
        f"{duration.name}: p95 above {duration.threshold:g} ms {p95_within}",
        f"{gates.queue.name}: more than {gates.queue.threshold:g} items",
    ]


def minutes(seconds: float) -> str:
    """`90` is `1 min 30 s`."""
    whole, rest = divmod(seconds, 60)
    parts = ([f"{whole:g} min"] if whole else []) + ([f"{rest:g} s"] if rest or not whole else [])
    return " ".join(parts)


def fact_lines(fact: Fact, *, brief: bool = False) -> list[str]:  # noqa: PLR0911 - one per kind
    """What a fact looks like on a screen; empty for what only machines read.

    `brief`: of the gates only those that do not pass.
    """
    match fact:
        case Started(plan=plan, by=by, reason=reason):
            why = f" ({reason})" if reason else ""
            return [f"{plan.kind} of {plan.candidate.name} started by {by}{why}"]
        case StepBegan(step=step, attempt=attempt):
            again = f" (attempt {attempt})" if attempt > 1 else ""
            return [f"{step:<15} {STEP_TEXT[step]}{again}"]
        case StepDone(step=step, outcome=outcome):
            return [f"{step:<15} done{_outcome_text(step, outcome)}", *_copy_lines(outcome)]
        case StepFailed(step=step, why=why):
            return [f"{step:<15} FAILED: {why.what}", *([f"  -> {why.hint}"] if why.hint else [])]
        case Observed(seen=seen):
            return [] if seen.look is None else [_look_line(seen)]
        case Judged(verdicts=verdicts, lane=lane):
            head = "probes" if lane is Lane.DOWN else "gates"
            shown = [v for v in verdicts if not brief or v.answer is not Answer.PASS]
            lines = [f"  {v.gate:<22} {_MARK[v.answer]:<8} {v.reason}" for v in shown]
            return [*lines, f"  {head}: {_MARK[overall(verdicts)]}"]
        case RollbackAsked(by=by, reason=reason):
            return [f"rollback asked by {by}: {reason}"]
        case PromoteAsked(by=by, reason=reason):
            return [f"promotion asked by {by}: {reason}"]
        case Adopted(by=by):
            return [f"resumed by {by}"]


def _outcome_text(step: Step, outcome: dict[str, Any]) -> str:
    match step:
        case Step.BACKUP:
            return f": {outcome['file']} ({size_text(outcome['size'])}, verified)"
        case Step.MIGRATE:
            moved = f"{outcome['from']} -> {outcome['to']}" if outcome["moved"] else "nothing to do"
            return f": {moved}"
        case Step.SHIFT | Step.RETURN:
            return f": traffic goes to {outcome['to'] or 'nobody'}"
        case Step.CONFIRM:
            return f": {outcome['consecutive_ok']} consecutive OK"
        case Step.PRUNE:
            return (
                f": {len(outcome['backups'])} backups, {len(outcome.get('releases', ()))} releases"
            )
        case _:
            return ""


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
    return f"look {seen.look} at {at}: health {health}{requests}{rescued}{problems}"


def ending_lines(state: State, rollout: str) -> list[str]:
    """How it stands at the end, and what to do next."""
    plan = state.plan
    assert plan is not None, "a rollout has a plan from its first fact on"
    environment = plan.spec.environment.name
    name = plan.candidate.name
    left = [f"  left over: {text}" for text in state.leftovers]
    match state.phase:
        case Phase.DONE:
            said = {
                Kind.DEPLOY: f"promoted: {name} serves {environment}",
                Kind.MONITOR: f"clean: {name} stays in {environment}",
                Kind.MIGRATE: f"migrated the schema of {environment} for {name}",
                Kind.BACKUP: f"backed up {environment}",
            }
            lost = [f"  a person is needed: no copy at {name}" for name in missing_copies(state)]
            return [said.get(plan.kind, "done"), *lost, *left]
        case Phase.ROLLED_BACK:
            serves = plan.baseline.name if plan.baseline else "nothing"
            return [f"rolled back: {serves} serves {environment}", f"  because {state.reason}"]
        case Phase.REFUSED:
            return [f"refused, nothing was changed: {state.reason}"]
        case Phase.HOLDING:
            return [
                f"holding, a person is needed: {state.reason}",
                f"  take it: rollout promote --env {environment} --reason WHY",
                f"  undo it: rollout rollback --env {environment} --reason WHY",
            ]
        case Phase.STUCK:
            return [
                f"stuck, a person is needed: {state.reason}",
                f"  mend what it names, then: rollout rollback --env {environment} --reason WHY",
            ]
        case _:
            return [f"{state.phase}: rollout watch --env {environment} ({rollout})"]


def ending_of(state: State) -> Phase:
    """The ending this rollout has, or the one its last steps lead to."""
    if state.phase in ENDINGS:
        return state.phase
    ahead = {Phase.FINISHING: Phase.DONE, Phase.RETURNING: Phase.ROLLED_BACK}
    return ahead.get(state.phase, state.phase)


def report(rollout: str, at: Sequence[float], facts: Sequence[Fact]) -> dict[str, Any]:
    """The rollout as one JSON document. `at`: Unix seconds of each fact. Redacted."""
    state = replay(facts)
    plan = state.plan
    assert plan is not None, "a rollout has a plan from its first fact on"
    judged = [
        {"at": when, **msgspec.to_builtins(fact)}
        for when, fact in zip(at, facts, strict=True)
        if isinstance(fact, Judged)
    ]
    steps = [
        {
            "at": when,
            "kind": "failed" if isinstance(fact, StepFailed) else "done",
            **msgspec.to_builtins(fact),
        }
        for when, fact in zip(at, facts, strict=True)
        if isinstance(fact, StepDone | StepFailed)
    ]
    ending = ending_of(state)
    document = {
        "rollout": rollout,
        "kind": plan.kind,
        "environment": plan.spec.environment.name,
        "service": plan.spec.service.name,
        "candidate": msgspec.to_builtins(plan.candidate),
        "baseline": msgspec.to_builtins(plan.baseline),
        "plan_digest": plan.digest,
        "began": at[0],
        "last": at[-1],
        "phase": ending,
        "reason": state.reason,
        "exit_code": exit_code(state) if ending is state.phase else _code(ending, plan),
        "watched_seconds": state.elapsed,
        "looks": state.looks,
        "verdicts": msgspec.to_builtins(state.verdicts),
        "judged": judged,
        "steps": steps,
        "leftovers": list(state.leftovers),
    }
    redacted: dict[str, Any] = redact_value(document)
    return redacted


def _code(ending: Phase, plan: Plan) -> int:
    return exit_code(State(phase=ending, plan=plan))
