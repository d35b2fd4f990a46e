"""A plan is data before it is deeds: dry run prints what deploy performs."""

import hashlib
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import assert_never

from guarded_rollout.core.canonical import canonical
from guarded_rollout.core.problems import NotPossible
from guarded_rollout.core.spec import EVERYBODY, Release, Spec, Stage, Strategy


class Step(StrEnum):
    """One thing the engine does. Each is safe to ask for twice: it looks before it acts."""

    PREFLIGHT = "preflight"
    BUILD = "build"
    BACKUP = "backup"
    REHEARSE = "rehearse"
    MIGRATE = "migrate"
    START = "start"
    SMOKE = "smoke"
    SMOKE_USERS = "smoke-users"
    CALIBRATE = "calibrate"
    SHIFT = "shift"
    RETIRE = "retire"
    PRUNE = "prune"
    CLOSE = "close"
    TAKE_DOWN = "take-down"
    SET_ASIDE = "set-aside"
    RESTORE = "restore"
    UNMIGRATE = "unmigrate"
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
    REHEARSE = "rehearse"
    BACKUP = "backup"
    DOWN = "down"


class Way(StrEnum):
    """How the old version comes back, safest first.

    FLIP: traffic only; the old release lives with the new schema.
    DOWN: the schema goes down too, because the old release does not live with the new one.
    RESTORE: a backup takes the database's place. Only ever asked for by a person: rows that were
        written since are set aside, not kept.
    """

    FLIP = "flip"
    DOWN = "flip-and-down"
    RESTORE = "restore"


@dataclass(frozen=True, slots=True)
class Situation:
    """What is there now, and how it came to be.

    Fields:
        serving: None: nothing was deployed, or it was taken down.
        previous: the release that served before `serving`.
        schema: the database's revision.
        ways: the ways back from `serving` to `previous` that were proven before it was deployed.
        schema_before: the revision that `previous` ran on.
    """

    serving: Release | None
    previous: Release | None = None
    schema: str | None = None
    ways: tuple[Way, ...] = (Way.FLIP,)
    schema_before: str | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything a rollout will do, frozen.

    Fields:
        schema_before: the revision that the baseline runs on; the way down leads there.
        use_backup: a verified backup: of a deploy, instead of a new one; of a rollback by
            RESTORE, the one that takes the database's place.
        ways: the ways back that are known when the plan is made. A deploy proves its own.
        way: the one that a person chose for a rollback; None: the safest that was proven.
        forward_only: why a release without a proven way back may be deployed; None: it may not.
        give_up_rows: why RESTORE need not read the database that it replaces; None: it must.
    """

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
    ways: tuple[Way, ...] = (Way.FLIP,)
    way: Way | None = None
    forward_only: str | None = None
    give_up_rows: str | None = None

    @property
    def digest(self) -> str:
        """SHA-256 of the plan; sign-offs are bound to it."""
        return hashlib.sha256(canonical(self)).hexdigest()

    @property
    def stages(self) -> tuple[Stage, ...]:
        """The shares that users are moved by. One where nothing is moved, or nothing served."""
        environment = self.spec.environment
        by_share = environment.strategy is Strategy.CANARY and Step.SHIFT in self.forward
        return environment.stages if by_share and self.baseline is not None else (EVERYBODY,)

    @property
    def control(self) -> Release | None:
        """Fresh processes of the old version, for the time in which both versions serve."""
        if self.baseline is None or not self.spec.environment.control or len(self.stages) == 1:
            return None
        return replace(self.baseline, control=True)

    def compares(self, stage: int) -> bool:
        """Whether both versions have users at this stage."""
        return self.stages[stage].percent < EVERYBODY.percent


_REHEARSE = (Step.PREFLIGHT, Step.BUILD, Step.BACKUP, Step.REHEARSE)
_DEPLOY = (*_REHEARSE, Step.MIGRATE, Step.START, Step.SMOKE, Step.CALIBRATE, Step.SHIFT)
_BACK = (Step.RETURN, Step.STOP_CANDIDATE, Step.CONFIRM, Step.SMOKE_BASELINE, Step.REPORT)


@dataclass(frozen=True, slots=True)
class Wish:
    """What the person who asks for a plan chose. See `Plan` for the fields' meaning."""

    use_backup: str | None = None
    forward_only: str | None = None
    way: Way | None = None
    give_up_rows: str | None = None


def make_plan(
    kind: Kind, spec: Spec, candidate: Release, situation: Situation, wish: Wish | None = None
) -> Plan:
    """The plan for `kind`. Raises NotPossible with what to do instead."""
    wish = wish or Wish()
    looks_back = kind in {Kind.MONITOR, Kind.ROLLBACK}
    baseline = situation.previous if looks_back else situation.serving
    name = spec.environment.name
    if kind is Kind.ROLLBACK and baseline is None:
        raise NotPossible(
            f"{name} has no earlier release to go back to",
            f"deploy the version you want: rollout deploy --env {name} --source FOLDER",
        )
    if kind in {Kind.MONITOR, Kind.DOWN} and situation.serving is None:
        raise NotPossible(
            f"nothing is deployed in {name}", f"deploy first: rollout deploy --env {name}"
        )
    if kind is Kind.ROLLBACK:
        _check_way(spec, situation, wish)
    forward, finish, back = _steps(kind, spec, baseline)
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
        schema_before=situation.schema_before if looks_back else situation.schema,
        use_backup=wish.use_backup,
        ways=situation.ways if looks_back else (Way.FLIP,),
        way=wish.way,
        forward_only=wish.forward_only,
        give_up_rows=wish.give_up_rows,
    )


def _steps(  # noqa: PLR0911 - one per kind
    kind: Kind, spec: Spec, baseline: Release | None
) -> tuple[tuple[Step, ...], tuple[Step, ...], tuple[Step, ...]]:
    """Forward, to finish, and back by a flip of traffic."""
    match kind:
        case Kind.DEPLOY:
            return (
                tuple(step for step in _DEPLOY if step not in _unneeded(spec, baseline)),
                (Step.SMOKE_USERS, Step.RETIRE, Step.PRUNE, Step.REPORT),
                _BACK if baseline else (Step.RETURN, Step.STOP_CANDIDATE, Step.REPORT),
            )
        case Kind.MONITOR:
            return (Step.PREFLIGHT,), (Step.REPORT,), _BACK if baseline else ()
        case Kind.ROLLBACK:
            return (), (), _BACK
        case Kind.MIGRATE:
            back = (Step.CONFIRM, Step.REPORT) if baseline else (Step.REPORT,)
            return (*_REHEARSE, Step.MIGRATE), (), back
        case Kind.REHEARSE:
            return _REHEARSE, (), ()
        case Kind.BACKUP:
            return (Step.BACKUP,), (), ()
        case Kind.DOWN:
            return (Step.TAKE_DOWN,), (), _BACK
        case _:
            assert_never(kind)


def _unneeded(spec: Spec, baseline: Release | None) -> set[Step]:
    gates = spec.environment.gates
    unneeded = set() if spec.service.migrations else {Step.MIGRATE}
    if baseline is None or gates.evidence is None or not gates.evidence.calibrate:
        unneeded.add(Step.CALIBRATE)
    return unneeded


def _check_way(spec: Spec, situation: Situation, wish: Wish) -> None:
    """A rollback needs a way that was proven, or a backup that a person wants back."""
    name = spec.environment.name
    between = f"from {_name(situation.serving)} to {_name(situation.previous)}"
    if wish.way is None and not {Way.FLIP, Way.DOWN} & set(situation.ways):
        raise NotPossible(
            f"no way back {between} was proven: the old release does not live with the new "
            "schema, and there is no way down",
            "repair it forwards, or put the backup back, which first says what rows it sets "
            f"aside: rollout rollback --env {name} --restore-data",
        )
    if wish.way is Way.DOWN and Way.DOWN not in situation.ways:
        raise NotPossible(
            f"no way down {between} was proven",
            f"go back without it: rollout rollback --env {name}",
        )
    if wish.way is Way.RESTORE and wish.use_backup is None:
        raise NotPossible(
            f"there is no backup of {name} to put back",
            f"see what is there: rollout backup list --env {name}",
        )


def _name(release: Release | None) -> str:
    return release.name if release else "nothing"
