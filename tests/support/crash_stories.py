"""Rollouts to be killed in: each says what is there, what goes wrong, and what people do."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace

from crash_world import Failing, FileWorld

from guarded_rollout.core.facts import (
    Acknowledged,
    Fact,
    Notified,
    PauseAsked,
    PromoteAsked,
    ResumeAsked,
    RollbackAsked,
)
from guarded_rollout.core.plan import Kind, Plan, Step, Way, Wish, make_plan
from guarded_rollout.core.problems import Broken
from guarded_rollout.core.schedule import Schedule
from guarded_rollout.core.spec import AtTheEnd, Stage, WatchPolicy
from guarded_rollout.core.state import Phase, State
from guarded_rollout.engine.situation import backup_to_restore, read_situation
from guarded_rollout.testing import examples

OLD, NEW = examples.OLD.name, examples.NEW.name
QUICK = Schedule(duration=8, first_every=2, first_for=4, then_every=2)
LONG = replace(QUICK, duration=2000)
POLICY = WatchPolicy(QUICK, auto_rollback=True, scrape_seconds=2.0, extend_seconds=2000)
"""A machine that is busy gets more time to see enough."""

PATIENT = replace(POLICY, schedule=LONG)
"""For what ends the watch before its time."""

TERSE = replace(POLICY, extend_seconds=0.0)
"""Unknown at the end is held."""
STAGES = (Stage(5.0, 2.0), Stage(50.0, 2.0))
ADVANCE = f"route {OLD}, 50 %"
"""The route change of the canary's second stage."""


@dataclass(frozen=True)
class Turn:
    """Something happens when the rollout is in such a state. Once: what was done is not repeated.

    `fact` is what a person writes down; `name` is known to the world, which may turn with it.
    """

    name: str
    when: Callable[[State], bool]
    fact: Fact | None = None


@dataclass(frozen=True)
class Story:
    """One rollout.

    Fields:
        ending: the phase it ends in.
        before: the story that it begins after; None: nothing was deployed.
        tune: changes the plan.
        harm: makes the world as bad as the story wants it; called again after each turn.
        failing: effects that fail.
        turns: what happens meanwhile.
        since: a point after whose commit a first guard dies, and the kills begin; what comes
            before is another story's. None: the very beginning.
        until: the last point that is killed at; what comes after is another story's.
        spared: what a step that was called off need not have done: effects, or names in
            `FileWorld.ending`.
    """

    ending: Phase
    kind: Kind = Kind.DEPLOY
    before: str | None = "old"
    policy: WatchPolicy = POLICY
    way: Way | None = None
    tune: Callable[[Plan], Plan] = lambda plan: plan
    harm: Callable[[FileWorld], None] = lambda _: None
    failing: tuple[Failing, ...] = ()
    turns: tuple[Turn, ...] = ()
    since: str | None = None
    until: str | None = None
    spared: tuple[str, ...] = ()

    def plan(self, journal, world: FileWorld) -> Plan:
        """As the command line makes it."""
        situation = read_situation(journal, "production", world.schema)
        candidate = examples.OLD if self.before is None else examples.NEW
        world.candidate = candidate
        backup = backup_to_restore(journal, "production") if self.way is Way.RESTORE else None
        wish = Wish(use_backup=backup, way=self.way)
        spec = examples.spec(policy=self.policy)
        return self.tune(make_plan(self.kind, spec, candidate, situation, wish))


def runs(step: Step, phase: Phase | None = None) -> Callable[[State], bool]:
    """While this step runs."""
    return lambda state: state.running is step and phase in {None, state.phase}


def waits(step: Step, phase: Phase | None = None) -> Callable[[State], bool]:
    """Between two steps, this one is next."""
    return lambda state: (
        state.running is None
        and state.queue[:1] == (step,)
        and phase in {None, state.phase}
        and state.attempt == 0
    )


def in_phase(phase: Phase, seconds: float = 0.0) -> Callable[[State], bool]:
    """In this phase, after so many seconds of watching."""
    return lambda state: state.phase is phase and state.elapsed >= seconds


def canary(plan: Plan) -> Plan:
    return examples.canary(plan, *STAGES)


def controlled(plan: Plan) -> Plan:
    """With a control and a short A/A period; nobody is promoted early."""
    plan = examples.controlled(canary(plan))
    environment = plan.spec.environment
    rules = replace(environment.gates.evidence, calibrate=4.0, grace=1.0, bake=2.0)
    gates = replace(environment.gates, evidence=rules)
    return replace(plan, spec=replace(plan.spec, environment=replace(environment, gates=gates)))


def forward_only(plan: Plan) -> Plan:
    return replace(plan, forward_only="read by ann")


def one_way(world: FileWorld) -> None:
    """The old release does not live with the new schema."""
    world.unfit = {(OLD, "0002")}


NO_WAY_DOWN = Failing("unmigrate on scratch")


def blind(world: FileWorld) -> None:
    world.blind = "mended" not in world.turns


def failing_later(world: FileWorld) -> None:
    """From the turn on every fifth request fails; it saw nothing before."""
    world.blind = not world.turns
    world.failing = {NEW: 0.5} if "worse" in world.turns else {}


def fail_requests(world: FileWorld) -> None:
    world.failing = {NEW: 0.5}


def slow(world: FileWorld) -> None:
    world.slow = {NEW: 0.5}


def ill(world: FileWorld) -> None:
    world.sick = {NEW} if "ill" in world.turns and "mended" not in world.turns else set()


def all_ill(world: FileWorld) -> None:
    world.sick = {OLD, NEW} if "ill" in world.turns and "mended" not in world.turns else set()


def die(world: FileWorld) -> None:
    if "dead" in world.turns:
        world.dead = {NEW}


def late_rows(world: FileWorld) -> None:
    """Rows that were written after the backup that comes back."""
    if "late" not in world.turns:
        world.things = {"1": "a", "9": "late"}
        world.turns.add("late")
        world.save()


def no_room_for_reports(world: FileWorld) -> None:
    """A file stands where the reports' copies go."""
    place = world.root / "monitor_logs"
    shutil.rmtree(place, ignore_errors=True)
    place.write_text("")


def back(name: str, when: Callable[[State], bool], way: Way | None = None) -> Turn:
    return Turn(name, when, RollbackAsked("ann", name, way))


def promote(when: Callable[[State], bool]) -> Turn:
    return Turn("promote", when, PromoteAsked("ann", "looked by hand"))


def pause(when: Callable[[State], bool]) -> Turn:
    return Turn("pause", when, PauseAsked("ann", "lunch"))


def resume(when: Callable[[State], bool]) -> Turn:
    return Turn("resume", when, ResumeAsked("ann", "back again"))


def heard(*phases: Phase) -> tuple[Turn, ...]:
    """In each of these a notice reaches somebody, who says so."""
    return tuple(
        Turn(f"{what} while {phase}", in_phase(phase), fact)
        for phase in phases
        for what, fact in (
            ("told", Notified(str(phase), "slack", "delivered", 1)),
            ("seen", Acknowledged("ann", f"saw it while {phase}")),
        )
    )


DONE, BACK, REFUSED = Phase.DONE, Phase.ROLLED_BACK, Phase.REFUSED
PREPARING, WATCHING, ADVANCING = Phase.PREPARING, Phase.WATCHING, Phase.ADVANCING
HOLDING, RETURNING, STUCK = Phase.HOLDING, Phase.RETURNING, Phase.STUCK
FINISHING = Phase.FINISHING

BUILT = "preparing StepDone preparing build"
REHEARSED = "preparing StepDone preparing rehearse"
MIGRATED = "preparing StepDone preparing migrate"
STARTED = "preparing StepDone preparing start"
SMOKED = "preparing StepDone preparing smoke"
WATCHED = "preparing StepDone watching shift"
ADVANCED = "watching Judged advancing"
HELD = "watching Judged holding"
PASSED = "watching Judged finishing"
BREACHED = "watching Judged returning"

STORIES = {
    "old": Story(DONE, before=None, until="new Started preparing"),
    "good": Story(DONE, turns=heard(PREPARING)),
    "good as a canary with a control": Story(
        DONE,
        tune=controlled,
        turns=heard(WATCHING, ADVANCING, FINISHING, DONE),
        since=MIGRATED,
    ),
    "backup": Story(DONE, Kind.BACKUP),
    "rehearse": Story(DONE, Kind.REHEARSE),
    "migrate": Story(DONE, Kind.MIGRATE),
    "monitor": Story(DONE, Kind.MONITOR, before="good"),
    "monitor finds it slow": Story(BACK, Kind.MONITOR, before="good", policy=PATIENT, harm=slow),
    "rollback by traffic": Story(BACK, Kind.ROLLBACK, before="good"),
    "rollback with the schema": Story(BACK, Kind.ROLLBACK, before="good", way=Way.DOWN),
    "rollback by the backup": Story(
        BACK, Kind.ROLLBACK, before="good", way=Way.RESTORE, harm=late_rows
    ),
    "taken down": Story(DONE, Kind.DOWN, before="good"),
    "taking it down fails": Story(
        BACK, Kind.DOWN, before="good", failing=(Failing(f"stop {NEW}"),)
    ),
    "called off while it is taken down": Story(
        BACK,
        Kind.DOWN,
        before="good",
        turns=(back("no", runs(Step.TAKE_DOWN)),),
        spared=("route", "stop", "start"),
    ),
    "again after it was taken down": Story(BACK, Kind.ROLLBACK, before="taken down"),
    # Bad releases.
    "preflight fails": Story(
        REFUSED,
        harm=lambda world: world.fails.update(check_port=Broken("the port is taken")),
        turns=heard(REFUSED),
    ),
    "build fails": Story(REFUSED, failing=(Failing("build"),)),
    "migration fails in the rehearsal": Story(
        REFUSED, failing=(Failing("migrate on scratch"),), since=BUILT
    ),
    "no way back": Story(REFUSED, harm=one_way, failing=(NO_WAY_DOWN,), since=BUILT),
    "migration fails in production": Story(
        BACK, failing=(Failing("migrate 0002"),), since=REHEARSED
    ),
    "start fails": Story(BACK, failing=(Failing(f"start {NEW}"),), since=MIGRATED),
    "smoke fails": Story(BACK, harm=ill, turns=(Turn("ill", waits(Step.SMOKE)),), since=STARTED),
    "shift fails": Story(BACK, failing=(Failing(f"route {NEW}"),), since=SMOKED),
    "fails its gate": Story(BACK, policy=PATIENT, harm=fail_requests, since=WATCHED),
    "fails its gate as a canary": Story(
        BACK, policy=PATIENT, tune=controlled, harm=fail_requests, since=WATCHED
    ),
    "is slow": Story(BACK, policy=PATIENT, harm=slow, since=WATCHED, until=BREACHED),
    "down": Story(
        BACK,
        policy=PATIENT,
        harm=die,
        turns=(Turn("dead", in_phase(WATCHING, 1.0)),),
        since=WATCHED,
        until=BREACHED,
    ),
    "both versions are sick, then well again": Story(
        DONE,
        policy=PATIENT,
        harm=all_ill,
        turns=(
            Turn("ill", in_phase(WATCHING, 1.0)),
            Turn("mended", in_phase(HOLDING)),
            promote(in_phase(HOLDING)),
        ),
        since=WATCHED,
        until="holding PromoteAsked finishing",
    ),
    # Held, and what people do then.
    "held as unknown, then promoted": Story(
        DONE,
        policy=TERSE,
        harm=blind,
        turns=(*heard(HOLDING), promote(in_phase(HOLDING))),
        since=WATCHED,
        until="holding PromoteAsked finishing",
    ),
    "held as unknown, then rolled back": Story(
        BACK,
        policy=TERSE,
        harm=blind,
        turns=(back("no", in_phase(HOLDING)),),
        since=HELD,
        until="holding RollbackAsked returning",
    ),
    "held as unknown, then seen to be good": Story(
        DONE,
        policy=TERSE,
        harm=blind,
        turns=(Turn("mended", in_phase(HOLDING)),),
        since=HELD,
        until="holding Judged finishing",
    ),
    "held as unknown, then seen to be bad": Story(
        BACK,
        policy=TERSE,
        harm=failing_later,
        turns=(Turn("worse", in_phase(HOLDING)),),
        since=HELD,
        until="holding Judged returning",
    ),
    "a canary held as unknown, then seen to be good": Story(
        DONE,
        policy=TERSE,
        tune=canary,
        harm=blind,
        turns=(Turn("mended", in_phase(HOLDING)),),
        since=HELD,
        until="holding Judged advancing",
    ),
    "unknown is rolled back by itself": Story(
        BACK,
        policy=replace(TERSE, unknown=AtTheEnd.ROLL_BACK),
        harm=blind,
        since=WATCHED,
        until=BREACHED,
    ),
    # People.
    "rolled back in the watch": Story(
        BACK,
        policy=PATIENT,
        turns=(back("no", in_phase(WATCHING)),),
        since=WATCHED,
        until="watching RollbackAsked returning",
    ),
    "promoted in the watch": Story(
        DONE,
        policy=PATIENT,
        turns=(promote(in_phase(WATCHING)),),
        since=WATCHED,
        until="watching PromoteAsked finishing",
    ),
    "paused and resumed": Story(
        DONE,
        tune=canary,
        turns=(pause(in_phase(WATCHING)), resume(in_phase(WATCHING, 3.0))),
        since=WATCHED,
        until=ADVANCED,
    ),
    "paused and resumed while it advances": Story(
        DONE,
        tune=canary,
        turns=(
            pause(in_phase(ADVANCING)),
            resume(lambda state: state.paused and state.phase is ADVANCING),
        ),
        since=ADVANCED,
        until="advancing StepDone watching shift",
    ),
    "called off in a step that touched nothing": Story(
        REFUSED,
        turns=(back("no", runs(Step.BACKUP)),),
        since=BUILT,
        spared=("backup", "backups"),
    ),
    "called off before a step that touched nothing": Story(
        REFUSED,
        turns=(back("no", waits(Step.BACKUP)),),
        until="preparing RollbackAsked refused",
    ),
    "called off in a step": Story(
        BACK, turns=(back("no", runs(Step.START)),), since=MIGRATED, spared=("start", "stop")
    ),
    "called off before a step": Story(
        BACK,
        turns=(back("no", waits(Step.SMOKE)),),
        since=MIGRATED,
        until="preparing RollbackAsked returning",
    ),
    "called off while it advances": Story(
        BACK,
        tune=canary,
        turns=(back("no", runs(Step.SHIFT, ADVANCING)),),
        since=ADVANCED,
        until="advancing StepDone returning shift",
        spared=("route",),
    ),
    "called off before it advances": Story(
        BACK,
        tune=canary,
        turns=(back("no", waits(Step.SHIFT, ADVANCING)),),
        since=WATCHED,
        until="advancing RollbackAsked returning",
    ),
    "called off while it finishes": Story(
        BACK,
        turns=(back("no", runs(Step.RETIRE)),),
        since=PASSED,
        until="finishing StepDone returning retire",
        spared=("route", "stop", "start"),
    ),
    "called off between two steps of the finish": Story(
        BACK,
        turns=(back("no", waits(Step.PRUNE)),),
        since=PASSED,
        until="finishing RollbackAsked returning",
    ),
    "called off twice": Story(
        BACK,
        policy=PATIENT,
        harm=slow,
        turns=(back("me too", runs(Step.RETURN)),),
        since=BREACHED,
        until="returning StepDone returning return",
    ),
    # What fails late.
    "a stage fails three times": Story(
        BACK,
        tune=canary,
        failing=(Failing(ADVANCE),),
        since=ADVANCED,
        until="advancing StepFailed returning shift",
    ),
    "the old version cannot be stopped": Story(
        DONE, failing=(Failing(f"stop {OLD}"),), since=PASSED
    ),
    "the old version cannot be stopped, and is wanted back": Story(
        BACK,
        failing=(Failing(f"stop {OLD}"),),
        turns=(back("no", runs(Step.RETIRE)),),
        since=PASSED,
        until="finishing StepFailed returning retire",
        spared=("route",),
    ),
    "users are not answered well after the watch, promoted all the same": Story(
        DONE,
        harm=ill,
        turns=(
            Turn("ill", waits(Step.SMOKE_USERS, FINISHING)),
            Turn("mended", in_phase(HOLDING)),
            promote(in_phase(HOLDING)),
        ),
        since=PASSED,
        until="holding PromoteAsked finishing",
    ),
    "the last step of the finish fails": Story(
        DONE,
        tune=lambda plan: replace(plan, finish=(Step.RETIRE,)),
        failing=(Failing(f"stop {OLD}"),),
        since=PASSED,
    ),
    "the report cannot be written": Story(DONE, harm=no_room_for_reports, since=PASSED),
    "the way back is stuck, then mended": Story(
        BACK,
        policy=PATIENT,
        harm=slow,
        failing=(Failing(f"route {OLD}", until="again"),),
        turns=(*heard(RETURNING, STUCK, BACK), back("again", in_phase(STUCK))),
        since=BREACHED,
    ),
    # Forward only.
    "no way back, and asked for": Story(
        DONE,
        policy=PATIENT,
        tune=forward_only,
        harm=one_way,
        failing=(NO_WAY_DOWN,),
        turns=(
            back("no", in_phase(WATCHING)),
            back("I said no", in_phase(HOLDING)),
            promote(in_phase(HOLDING)),
        ),
        since=WATCHED,
        until="holding RollbackAsked holding",
    ),
    "no way back, then by the backup": Story(
        BACK,
        policy=PATIENT,
        tune=forward_only,
        harm=one_way,
        failing=(NO_WAY_DOWN,),
        turns=(
            back("no", in_phase(WATCHING)),
            back("by the backup", in_phase(HOLDING), Way.RESTORE),
        ),
        since="watching RollbackAsked holding",
    ),
    "no way back, called off while it advances": Story(
        DONE,
        tune=lambda plan: canary(forward_only(plan)),
        harm=one_way,
        failing=(NO_WAY_DOWN,),
        turns=(back("no", runs(Step.SHIFT, ADVANCING)), promote(in_phase(HOLDING))),
        since=ADVANCED,
        until="advancing StepDone holding shift",
        spared=("route",),
    ),
    "no way back, called off before it advances": Story(
        DONE,
        tune=lambda plan: canary(forward_only(plan)),
        harm=one_way,
        failing=(NO_WAY_DOWN,),
        turns=(back("no", waits(Step.SHIFT, ADVANCING)), promote(in_phase(HOLDING))),
        since=WATCHED,
        until="advancing RollbackAsked holding",
    ),
    "no way back, and a stage fails": Story(
        DONE,
        tune=lambda plan: canary(forward_only(plan)),
        harm=one_way,
        failing=(Failing(ADVANCE), NO_WAY_DOWN),
        turns=(promote(in_phase(HOLDING)),),
        since=ADVANCED,
        until="advancing StepFailed holding shift",
    ),
}
