"""A plan is data before it is deeds: dry run prints what deploy performs."""

import hashlib
from dataclasses import dataclass
from enum import StrEnum
from typing import assert_never

from guarded_rollout.core.canonical import canonical
from guarded_rollout.core.problems import NotPossible
from guarded_rollout.core.spec import Release, Spec


class Step(StrEnum):
    """One thing the engine does. Each is safe to ask for twice: it looks before it acts."""

    PREFLIGHT = "preflight"
    BUILD = "build"
    BACKUP = "backup"
    MIGRATE = "migrate"
    START = "start"
    SMOKE = "smoke"
    SHIFT = "shift"
    RETIRE = "retire"
    PRUNE = "prune"
    RETURN = "return"
    STOP_CANDIDATE = "stop-candidate"
    CONFIRM = "confirm"
    SMOKE_BASELINE = "smoke-baseline"
    REPORT = "report"


class Kind(StrEnum):
    """What a rollout is for."""

    DEPLOY = "deploy"
    MONITOR = "monitor"
    ROLLBACK = "rollback"
    MIGRATE = "migrate"
    BACKUP = "backup"


@dataclass(frozen=True, slots=True)
class Situation:
    """What is there now. `previous`: the release that served before `serving`."""

    serving: Release | None
    previous: Release | None = None
    schema: str | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything a rollout will do, frozen. `use_backup`: a verified one to use instead."""

    kind: Kind
    spec: Spec
    candidate: Release
    baseline: Release | None
    forward: tuple[Step, ...]
    watches: bool
    finish: tuple[Step, ...]
    back: tuple[Step, ...]
    schema_before: str | None = None
    use_backup: str | None = None

    @property
    def digest(self) -> str:
        """SHA-256 of the plan; sign-offs are bound to it."""
        return hashlib.sha256(canonical(self)).hexdigest()


_DEPLOY = (
    Step.PREFLIGHT,
    Step.BUILD,
    Step.BACKUP,
    Step.MIGRATE,
    Step.START,
    Step.SMOKE,
    Step.SHIFT,
)
_BACK = (Step.RETURN, Step.STOP_CANDIDATE, Step.CONFIRM, Step.SMOKE_BASELINE, Step.REPORT)


def make_plan(
    kind: Kind,
    spec: Spec,
    candidate: Release,
    situation: Situation,
    use_backup: str | None = None,
) -> Plan:
    """The plan for `kind`. Raises NotPossible with what to do instead."""
    baseline = situation.serving if kind in {Kind.DEPLOY, Kind.MIGRATE} else situation.previous
    if kind is Kind.ROLLBACK and baseline is None:
        raise NotPossible(
            f"{spec.environment.name} has no earlier release to go back to",
            "deploy the version you want: rollout deploy --env "
            f"{spec.environment.name} --source FOLDER",
        )
    if kind in {Kind.MONITOR, Kind.ROLLBACK} and situation.serving is None:
        raise NotPossible(
            f"nothing is deployed in {spec.environment.name}",
            f"deploy first: rollout deploy --env {spec.environment.name}",
        )
    forward: tuple[Step, ...]
    finish: tuple[Step, ...] = ()
    back: tuple[Step, ...] = ()
    match kind:
        case Kind.DEPLOY:
            forward = tuple(s for s in _DEPLOY if s is not Step.MIGRATE or spec.service.migrations)
            finish = (Step.RETIRE, Step.PRUNE, Step.REPORT)
            back = _BACK if baseline else (Step.RETURN, Step.STOP_CANDIDATE, Step.REPORT)
        case Kind.MONITOR:
            forward, finish = (Step.PREFLIGHT,), (Step.REPORT,)
            back = _BACK if baseline else ()
        case Kind.ROLLBACK:
            forward, back = (), _BACK
        case Kind.MIGRATE:
            forward = (Step.PREFLIGHT, Step.BUILD, Step.BACKUP, Step.MIGRATE)
            back = (Step.CONFIRM, Step.REPORT) if baseline else (Step.REPORT,)
        case Kind.BACKUP:
            forward = (Step.BACKUP,)
        case _:
            assert_never(kind)
    if candidate == baseline:  # deployed again: the processes to stop are the ones that serve
        back = tuple(step for step in back if step is not Step.STOP_CANDIDATE)
    return Plan(
        kind=kind,
        spec=spec,
        candidate=candidate,
        baseline=baseline,
        forward=forward,
        watches=kind in {Kind.DEPLOY, Kind.MONITOR},
        finish=finish,
        back=back,
        schema_before=situation.schema,
        use_backup=use_backup,
    )


def way_back(plan: Plan, begun: frozenset[Step]) -> tuple[Step, ...]:
    """The steps that undo what was begun, traffic first. Empty: no user could notice anything."""
    if plan.kind in {Kind.MONITOR, Kind.ROLLBACK}:
        return plan.back
    touched = begun & {Step.MIGRATE, Step.START, Step.SHIFT}
    if not touched:
        return ()
    unneeded: set[Step] = set()
    if Step.SHIFT not in begun:
        unneeded.add(Step.RETURN)
    if Step.START not in begun:
        unneeded.add(Step.STOP_CANDIDATE)
    return tuple(step for step in plan.back if step not in unneeded)
