"""A rollout as a whole, told to people: its plan, its ending, and one JSON document."""

from collections.abc import Sequence
from typing import Any

import msgspec

from guarded_rollout.core.evidence_process import Rules
from guarded_rollout.core.fact_text import STEP_TEXT, minutes
from guarded_rollout.core.facts import (
    Fact,
    Judged,
    Started,
    StepDone,
    StepFailed,
)
from guarded_rollout.core.judging import watches
from guarded_rollout.core.plan import Kind, Plan, Step
from guarded_rollout.core.redact import redact_value
from guarded_rollout.core.rollout import replay
from guarded_rollout.core.spec import EVERYBODY, Stage
from guarded_rollout.core.stage_power import StageFinds, finds_lines
from guarded_rollout.core.state import (
    ENDINGS,
    Hold,
    Phase,
    State,
    exit_code,
    missing_copies,
    plan_of,
)
from guarded_rollout.core.ways import automatic, way_back


def plan_lines(plan: Plan, finds: Sequence[StageFinds] = ()) -> list[str]:
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
    stages = plan.stages
    if len(stages) > 1:
        early = environment.gates.evidence
        lines += [f"  share    {_stage_text(stage, early)}" for stage in stages]
        lines += [f"  power    {text}" for text in finds_lines(finds)]
    if plan.control is not None:
        lines.append(
            "  control  fresh processes of the old version get as many users, to be compared with"
        )
    if plan.use_backup:
        how = "puts back" if plan.kind is Kind.ROLLBACK else "uses"
        lines.append(f"  backup   {how} {plan.use_backup}")
    if plan.forward_only is not None:
        lines.append(f"  warning  may be without a way back: {plan.forward_only}")
    if plan.give_up_rows is not None:
        lines.append(f"  warning  gives up the rows since that backup: {plan.give_up_rows}")
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
            f"  alert    told above {watch.host.cpu:g} % of the machine's CPU in use, "
            f"{watch.host.memory:g} % of its memory, {watch.host.disk:g} % of its disk"
        )
        lines.append(
            "  breach   "
            + ("rolls back by itself" if watch.auto_rollback else "waits for a person")
        )
    lines += [f"  then     {step:<15} {STEP_TEXT[step]}" for step in plan.finish]
    lines += [f"  undo     {step:<15} {STEP_TEXT[step]}" for step in _undo(plan)]
    lines += [f"  warning  {warning}" for warning in plan.spec.warnings]
    lines.append(f"  digest   {plan.digest}")
    return lines


def _stage_text(stage: Stage, early: Rules | None) -> str:
    if stage.percent == EVERYBODY.percent:
        return "100 %, until the window ends"
    text = f"{stage.percent:g} %, for {minutes(stage.bake_seconds)} and until every gate passes"
    if early is None or early.bake >= stage.bake_seconds:
        return text
    return f"{text}; from {minutes(early.bake)} on sooner, if all exclude harm"


def _undo(plan: Plan) -> tuple[Step, ...]:
    """How it is undone as far as the plan knows: a deploy proves its ways in the rehearsal."""
    way = plan.way or automatic(plan.ways)
    everything = frozenset(plan.forward)
    return way_back(plan, everything, way, plan.ways) if way else ()


def _gate_lines(plan: Plan) -> list[str]:
    gates = plan.spec.environment.gates
    rate, duration = gates.failure_rate, gates.duration
    plain = (
        f"{gates.health.name}: more than {gates.health.threshold} failed looks in a row",
        f"{gates.queue.name}: more than {gates.queue.threshold:g} items",
    )
    if gates.evidence is None:
        rate_within = f"within {minutes(rate.window)}, at least {rate.minimum} requests"
        p95_within = f"within {minutes(duration.window)}, at least {duration.minimum} samples"
        return [
            *plain,
            f"{rate.name}: more than {rate.threshold:g} % {rate_within}",
            f"{duration.name}: p95 above {duration.threshold:g} ms {p95_within}",
        ]
    comparing, limiting = watches(plan)
    limits = ", ".join(gate.name for gate in limiting.gates) if limiting else ""
    lines = [
        *plain,
        f"{rate.name}, userErrors: evidence of more than {rate.threshold:g} %",
        f"{duration.name}: evidence of more than 5 % above {duration.threshold:g} ms",
        f"restarts: evidence of more than {gates.restarts:g} per replica and hour",
    ]
    if comparing is not None:
        names = ", ".join(gate.name for gate in comparing.gates)
        lines += [
            f"{names}: evidence of odds above {gates.evidence.margin:g} times the old version's",
            f"while both versions serve, {limits} hold the rollout instead of blaming",
        ]
    alpha = 100.0 * gates.evidence.alpha
    return [*lines, f"all evidence: rolls back at most {alpha:g} % of harmless releases"]


def ending_lines(state: State, rollout: str) -> list[str]:
    """How it stands at the end, and what to do next."""
    plan = plan_of(state)
    environment = plan.spec.environment.name
    name = plan.candidate.name
    left = [f"  left over: {text}" for text in state.leftovers]
    match state.phase:
        case Phase.DONE:
            said = {
                Kind.DEPLOY: f"promoted: {name} serves {environment}",
                Kind.MONITOR: f"clean: {name} stays in {environment}",
                Kind.MIGRATE: f"migrated the schema of {environment} for {name}",
                Kind.REHEARSE: f"rehearsed {name} for {environment}: nothing was changed",
                Kind.BACKUP: f"backed up {environment}",
                Kind.DOWN: f"taken down: nothing serves {environment}",
            }
            again = f"  -> again: rollout rollback --env {environment} --reason WHY"
            back = [again] if plan.kind is Kind.DOWN else []
            lost = [f"  a person is needed: no copy at {name}" for name in missing_copies(state)]
            return [said.get(plan.kind, "done"), *lost, *left, *back]
        case Phase.ROLLED_BACK:
            serves = plan.baseline.name if plan.baseline else "nothing"
            return [f"rolled back: {serves} serves {environment}", f"  because {state.reason}"]
        case Phase.REFUSED:
            return [f"refused, nothing was changed: {state.reason}"]
        case Phase.HOLDING:
            return [
                f"holding, a person is needed: {state.reason}",
                f"  take it: rollout promote --env {environment} --reason WHY",
                f"  undo it: rollout rollback --env {environment} --reason WHY"
                + (" --restore-data" if state.hold is Hold.NO_WAY_BACK else ""),
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
    plan = plan_of(state)
    begun = next(fact for fact in facts if isinstance(fact, Started))
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
        "signoffs": msgspec.to_builtins(begun.signoffs),
        "without_signoffs": begun.without_signoffs,
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
