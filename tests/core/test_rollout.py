"""The state machine: what may happen, what never may, and that crashes change nothing."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guarded_rollout.core.actions import Judge, Perform, Stop, WaitForPerson, Watch, next_action
from guarded_rollout.core.facts import (
    AFTERWARDS,
    KINDS,
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
    decode,
    encode,
)
from guarded_rollout.core.gates import Answer, Verdict
from guarded_rollout.core.plan import Kind, Plan, Situation, Step, Way, Wish, make_plan
from guarded_rollout.core.problems import NotPossible, Why
from guarded_rollout.core.rollout import (
    ATTEMPTS,
    ImpossibleFact,
    advance,
    replay,
    verdicts,
)
from guarded_rollout.core.spec import EVERYBODY, AtTheEnd, Stage, WatchPolicy
from guarded_rollout.core.state import ENDINGS, Hold, Phase, State, exit_code
from guarded_rollout.core.transitions import TABLE
from guarded_rollout.core.ways import way_back, ways_of
from guarded_rollout.testing import examples

TOUCHING = {Step.MIGRATE, Step.START, Step.SHIFT}
EVERY_WAY = ((Way.FLIP, Way.DOWN, Way.RESTORE), (Way.DOWN, Way.RESTORE), (Way.RESTORE,))


def done(step: Step, ways: tuple[Way, ...] = EVERY_WAY[0], *, verified: bool = True) -> StepDone:
    """A step's success, with what its readers need."""
    match step:
        case Step.BACKUP:
            return StepDone(step, {"verified": verified, "file": "backups/toy.zip"})
        case Step.REHEARSE:
            because = {way: f"no {way}" for way in Way if way not in ways}
            return StepDone(step, {"ways": list(ways), "because": because})
        case Step.MIGRATE:
            return StepDone(step, {"moved": True})
        case _:
            return StepDone(step)


@dataclass
class World:
    """What a run leaves behind: effects counted once each, whatever was asked twice."""

    broken: frozenset[Step] = frozenset()
    sick_from: float | None = None
    baseline_sick: bool = False
    ways: tuple[Way, ...] = EVERY_WAY[0]
    done: list[Step] = field(default_factory=list)

    def perform(self, step: Step) -> Fact:
        if step in self.broken:
            return StepFailed(step, Why(f"{step} does not work here", "mend it"))
        if step not in self.done:
            self.done.append(step)
        return done(step, self.ways)


class PowerCut(Exception):
    """The controller is gone."""


def drive(
    plan: Plan, world: World, journal: list[Fact], cut: Callable[[str], None] = lambda _: None
) -> State:
    """A controller in small: read the journal, do what the core says, write facts down."""

    def write(fact: Fact) -> None:
        cut("before")
        journal.append(fact)
        cut("after")

    if not journal:
        write(Started(plan, "ops"))
    elif not replay(journal).ended:
        journal.append(Adopted("ops-2"))
    for _ in range(500):
        state = replay(journal)
        match next_action(state):
            case Stop() | WaitForPerson():
                return state
            case Perform(step=step, attempt=attempt):
                write(StepBegan(step, attempt))
                outcome = world.perform(step)
                write(outcome)
            case Watch(until=until):
                if state.phase is Phase.HOLDING and state.looks > 20:
                    return state
                sick = world.sick_from is not None and until >= world.sick_from
                requests = until * 10
                write(
                    Observed(
                        examples.seen(
                            until,
                            look=state.looks + 1,
                            healthy=not sick,
                            baseline_healthy=not world.baseline_sick,
                            requests=requests,
                            failed=requests if sick else 0,
                        )
                    )
                )
            case Judge():
                write(Judged(state.elapsed, verdicts(state)))
    raise AssertionError("the rollout never came to rest")


SCENARIOS = {
    "a good release is promoted": (World(), Phase.DONE),
    "a migration that fails": (World(broken=frozenset({Step.MIGRATE})), Phase.ROLLED_BACK),
    "a release that does not start": (World(broken=frozenset({Step.START})), Phase.ROLLED_BACK),
    "a release that fails its smoke": (World(broken=frozenset({Step.SMOKE})), Phase.ROLLED_BACK),
    "a shift that fails": (World(broken=frozenset({Step.SHIFT})), Phase.ROLLED_BACK),
    "a release that turns sick": (World(sick_from=30), Phase.ROLLED_BACK),
    "no backup": (World(broken=frozenset({Step.BACKUP})), Phase.REFUSED),
    "preflight fails": (World(broken=frozenset({Step.PREFLIGHT})), Phase.REFUSED),
    "both versions sick": (World(sick_from=30, baseline_sick=True), Phase.HOLDING),
    "the way back fails": (
        World(sick_from=30, broken=frozenset({Step.RETURN})),
        Phase.STUCK,
    ),
    "tidying up fails": (World(broken=frozenset({Step.PRUNE})), Phase.DONE),
    "a rehearsal that fails": (World(broken=frozenset({Step.REHEARSE})), Phase.REFUSED),
    "no way back, and nobody allowed it": (World(ways=EVERY_WAY[2]), Phase.REFUSED),
    "a way down only, and nobody allowed it": (World(ways=EVERY_WAY[1]), Phase.REFUSED),
}


@pytest.mark.parametrize("name", SCENARIOS)
def test_each_story_ends_as_told(name):
    """Every scenario comes to rest where its title says."""
    told, ending = SCENARIOS[name]
    world = replace(told, done=[])
    assert drive(examples.plan(), world, []).phase is ending


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_ending_does_not_depend_on_where_the_power_goes(name):
    """Cut before or after every single fact, once and twice over: same ending, same effects."""
    told, ending = SCENARIOS[name]
    reference: list[Fact] = []
    quiet = replace(told, done=[])
    drive(examples.plan(), quiet, reference)
    cuts = 2 * len(reference)
    for first in range(cuts):
        world = replace(told, done=[])
        journal: list[Fact] = []
        for at in (first, 3):
            countdown = iter(range(at, -1, -1))

            def cut(_: str, left=countdown) -> None:
                if next(left, 1) == 0:
                    raise PowerCut

            try:
                drive(examples.plan(), world, journal, cut)
            except PowerCut:
                continue
        state = drive(examples.plan(), world, journal)
        assert state.phase is ending, f"cut at {first}"
        assert world.done == quiet.done, f"cut at {first}"


def test_a_pair_the_table_does_not_have_raises():
    """Every (phase, fact) pair is either in the table or impossible."""
    plan = examples.plan()
    samples = {
        Started: Started(plan, "ops"),
        StepBegan: StepBegan(Step.BUILD, 1),
        StepDone: StepDone(Step.BUILD),
        StepFailed: StepFailed(Step.BUILD, Why("no")),
        Observed: Observed(examples.seen(1.0)),
        Judged: Judged(1.0, ()),
        RollbackAsked: RollbackAsked("ops", "why"),
        PromoteAsked: PromoteAsked("ops", "why"),
        PauseAsked: PauseAsked("ops", "why"),
        ResumeAsked: ResumeAsked("ops", "why"),
        Adopted: Adopted("ops"),
        Acknowledged: Acknowledged("ops"),
        Notified: Notified("r1:1:deploy-start", "slack", "delivered"),
    }
    assert set(samples) == set(KINDS.values())
    for phase in Phase:
        for kind, fact in samples.items():
            if kind not in TABLE[phase]:
                with pytest.raises(ImpossibleFact, match=str(phase)):
                    advance(State(phase=phase, plan=plan), fact)


def test_every_live_phase_of_the_table_can_reach_an_ending():
    """No phase is a trap, and endings are final."""
    reaches = set(ENDINGS)
    for _ in Phase:
        reaches |= {p for p in Phase if any(to & reaches for to in TABLE[p].values())}
    assert reaches == set(Phase)
    for phase in ENDINGS:
        assert TABLE[phase] == {fact: {phase} for fact in AFTERWARDS}


CHOICES = st.lists(st.integers(0, 15), min_size=1, max_size=60)


def wander(
    choices: list[int], policy: WatchPolicy, kind: Kind, *, first: bool, canary: bool
) -> list[State]:
    """A random but possible life of a rollout: what the engine, the world and people might do."""
    plan = examples.plan(kind, policy, first=first)
    plan = examples.canary(plan) if canary else plan
    state = advance(State(), Started(plan, "ops"))
    lived = [state]
    for choice in choices:
        fact: Fact
        action = next_action(state)
        if choice >= 14:
            fact = (PauseAsked, ResumeAsked)[choice - 14]("ann", "wait")
        elif choice >= 11:
            fact = RollbackAsked("ann", "no good", (None, Way.RESTORE, Way.DOWN)[choice - 11])
        elif choice == 10 and state.phase in {Phase.WATCHING, Phase.HOLDING}:
            fact = PromoteAsked("ann", "good enough")
        elif choice == 9 and not state.ended:
            fact = Adopted("next controller")
        elif state.running is not None and choice % 2:
            fact = done(state.running, EVERY_WAY[choice % 3], verified=choice > 2)
        elif state.running is not None:
            fact = StepFailed(state.running, Why("broke"))
        elif isinstance(action, Perform):
            fact = StepBegan(action.step, action.attempt)
        elif isinstance(action, Watch):
            fact = Observed(
                examples.seen(action.until, look=state.looks + 1, baseline_healthy=choice != 4)
            )
        elif isinstance(action, Judge):
            answer = (Answer.PASS, Answer.BREACH, Answer.UNKNOWN)[choice % 3]
            lane = Lane.DOWN if choice == 7 else Lane.GATES
            fact = Judged(state.elapsed, (Verdict("gate", answer, "said so"),), lane)
        else:
            continue
        try:
            state = advance(state, fact)
        except ImpossibleFact:
            continue
        lived.append(state)
    return lived


LIVES = {
    "choices": CHOICES,
    "kind": st.sampled_from(Kind),
    "auto": st.booleans(),
    "extend": st.sampled_from([0.0, 40.0]),
    "unknown": st.sampled_from(AtTheEnd),
    "first": st.booleans(),
    "canary": st.booleans(),
}


def a_life(choices, kind, auto, extend, unknown, first, canary) -> list[State]:
    policy = WatchPolicy(examples.SHORT, auto, extend_seconds=extend, unknown=unknown)
    first = first and kind is not Kind.ROLLBACK
    return wander(choices, policy, kind, first=first, canary=canary)


@given(**LIVES)
def test_no_user_is_touched_without_a_finished_verified_backup(
    choices, kind, auto, extend, unknown, first, canary
):
    """Whatever happens, migrate, start and shift only begin after a verified backup."""
    for state in a_life(choices, kind, auto, extend, unknown, first, canary):
        if state.begun & TOUCHING:
            assert state.outcomes[Step.BACKUP]["verified"] is True


@given(**LIVES)
def test_every_state_that_can_be_lived_can_end(choices, kind, auto, extend, unknown, first, canary):
    """From wherever a rollout is, working steps and a person who decides bring it to an ending."""
    state = a_life(choices, kind, auto, extend, unknown, first, canary)[-1]
    for _ in range(60):
        action = next_action(state)
        if isinstance(action, Stop):
            break
        if state.running is not None:
            state = advance(state, done(state.running))
        elif isinstance(action, Perform):
            state = advance(state, StepBegan(action.step, action.attempt))
        elif state.phase is Phase.STUCK:
            state = advance(state, RollbackAsked("ann", "again"))
        elif isinstance(action, Judge):
            state = advance(state, Judged(state.elapsed, ()))
        else:
            state = advance(state, PromoteAsked("ann", "take it"))
    assert state.ended


@given(**LIVES)
def test_traffic_that_was_shifted_goes_back_before_the_candidate_stops(
    choices, kind, auto, extend, unknown, first, canary
):
    """On every way back the traffic moves first."""
    for state in a_life(choices, kind, auto, extend, unknown, first, canary):
        if state.phase is Phase.RETURNING and Step.SHIFT in state.begun:
            left = list(state.queue)
            if Step.RETURN in left:
                assert left.index(Step.RETURN) < left.index(Step.STOP_CANDIDATE)


@pytest.mark.parametrize("kind", Kind)
def test_facts_survive_their_journal_byte_for_byte(kind):
    """Facts encode to canonical bytes and back; the same bytes again."""
    for fact in (
        Started(examples.plan(kind), "ops"),
        Observed(examples.seen(3.5, look=1)),
        StepDone(Step.BACKUP, {"file": "backups/x.zip", "size": 3, "nested": [1, {"a": None}]}),
        Judged(30, verdicts(watching())),
        Adopted("x"),
    ):
        name, body = encode(fact)
        assert decode(name, body) == fact
        assert encode(decode(name, body)) == (name, body)


def watching(
    policy: WatchPolicy | None = None,
    *,
    first: bool = False,
    ways: tuple[Way, ...] = EVERY_WAY[0],
) -> State:
    """A deploy of NEW that has just been shifted. What has no flip was allowed."""
    plan = replace(examples.plan(policy=policy, first=first), forward_only="read by ann")
    state = advance(State(), Started(plan, "ops"))
    while isinstance(action := next_action(state), Perform):
        state = advance(state, StepBegan(action.step, action.attempt))
        state = advance(state, done(action.step, ways))
    assert state.phase is Phase.WATCHING
    return state


def judged(state: State, answer: Answer, elapsed: float, lane: Lane = Lane.GATES) -> State:
    state = advance(state, Observed(examples.seen(elapsed, look=state.looks + 1)))
    verdict = Verdict("p95HashTime", answer, "2500 ms", 2500, 2000, 40)
    return advance(state, Judged(elapsed, (verdict,), lane))


def test_a_breach_names_its_gate_and_numbers():
    """The reason of a rollback carries the gate and what it saw."""
    state = judged(watching(), Answer.BREACH, 10)
    assert state.phase is Phase.RETURNING
    assert state.reason == "p95HashTime: 2500 ms"


def test_unknown_at_the_end_is_never_a_pass():
    """An unanswered gate at the end of the window holds the rollout for a person."""
    state = judged(watching(), Answer.UNKNOWN, 60)
    assert (state.phase, state.hold) == (Phase.HOLDING, Hold.UNKNOWN)
    assert exit_code(state) == 3


def test_unknown_at_the_end_extends_first_and_a_later_pass_promotes():
    """With `extendMinutes` the watch goes on; a pass inside the extension promotes."""
    policy = WatchPolicy(examples.SHORT, auto_rollback=True, extend_seconds=60)
    state = judged(watching(policy), Answer.UNKNOWN, 60)
    assert state.phase is Phase.WATCHING
    assert judged(state, Answer.PASS, 80).phase is Phase.FINISHING


def test_unknown_at_the_end_can_roll_back():
    """`unknownAtEnd: roll-back` decides without a person."""
    policy = WatchPolicy(examples.SHORT, auto_rollback=True, unknown=AtTheEnd.ROLL_BACK)
    assert judged(watching(policy), Answer.UNKNOWN, 60).phase is Phase.RETURNING


def test_a_pass_before_the_end_promotes_nobody():
    """Promotion waits for the end of the window."""
    assert judged(watching(), Answer.PASS, 50).phase is Phase.WATCHING


def test_a_breach_without_auto_rollback_waits_and_a_pass_does_not_overrule_it():
    """In staging a person decides; a later pass does not promote what breached."""
    state = judged(watching(examples.watch(auto_rollback=False)), Answer.BREACH, 20)
    assert (state.phase, state.hold) == (Phase.HOLDING, Hold.BREACH)
    assert judged(state, Answer.PASS, 60).phase is Phase.HOLDING


def test_traffic_never_ping_pongs_between_two_sick_versions():
    """When the old version is sick too, nothing moves and a person is asked."""
    sick = examples.seen(10, look=1, healthy=False, baseline_healthy=False)
    state = advance(watching(), Observed(sick))
    state = advance(state, Judged(10, (Verdict("health", Answer.BREACH, "down"),)))
    assert (state.phase, state.hold) == (Phase.HOLDING, Hold.BOTH_SICK)
    recovered = judged(state, Answer.BREACH, 20)
    assert recovered.phase is Phase.RETURNING


@pytest.mark.parametrize(
    ("lane", "serving", "phase"),
    [
        (Lane.DOWN, 1, Phase.RETURNING),
        (Lane.DOWN, 0, Phase.HOLDING),
        (Lane.DOWN, None, Phase.HOLDING),
        (Lane.GATES, 1, Phase.HOLDING),
    ],
)
def test_one_old_replica_is_better_than_a_candidate_that_serves_nobody(lane, serving, phase):
    """A flaky check of the old version must not hold users on a version that is down."""
    sick = examples.seen(10, look=1, healthy=False, baseline_healthy=False)
    seen = replace(sick, baseline=replace(sick.baseline, serving=serving))
    state = advance(watching(), Observed(seen))
    state = advance(state, Judged(10, (Verdict("down", Answer.BREACH, "down"),), lane))
    assert state.phase is phase


def test_a_rollback_that_fails_is_never_forgotten():
    """After three attempts it is stuck, live, and goes on when a person says so."""
    state = judged(watching(), Answer.BREACH, 10)
    for attempt in range(1, ATTEMPTS + 1):
        state = advance(state, StepBegan(Step.RETURN, attempt))
        state = advance(state, StepFailed(Step.RETURN, Why("the proxy is gone")))
    assert state.phase is Phase.STUCK
    assert "the proxy is gone" in state.reason
    assert not state.ended
    again = advance(state, RollbackAsked("ann", "proxy is back"))
    assert next_action(again) == Perform(Step.RETURN, 1, look_first=False)


def test_a_rollback_that_is_asked_in_a_step_waits_for_the_step():
    """The ask is kept over the step's end, and over a crash in the step."""
    state = advance(State(), Started(examples.plan(), "ops"))
    state = advance(state, StepBegan(Step.PREFLIGHT, 1))
    state = advance(state, StepDone(Step.PREFLIGHT))
    state = advance(state, StepBegan(Step.BUILD, 1))
    asked = advance(state, RollbackAsked("ann", "wrong version"))
    assert asked.phase is Phase.PREPARING
    assert advance(asked, StepDone(Step.BUILD)).phase is Phase.REFUSED
    assert advance(asked, Adopted("next")).phase is Phase.REFUSED


def test_a_first_deployment_is_taken_out_again_when_it_is_bad():
    """Without an old version the way back is: no route, no candidate."""
    state = judged(watching(first=True), Answer.BREACH, 10)
    assert state.queue == (Step.RETURN, Step.STOP_CANDIDATE, Step.REPORT)


def test_a_backup_that_was_not_verified_ends_the_rollout():
    """It is done, and it proves nothing: nothing else begins."""
    state = advance(State(), Started(examples.plan(), "ops"))
    for step in (Step.PREFLIGHT, Step.BUILD, Step.BACKUP):
        state = advance(state, StepBegan(step, 1))
        state = advance(state, done(step, verified=False))
    assert (state.phase, state.reason) == (Phase.REFUSED, "the backup was not verified")


def test_a_rollback_that_leads_nowhere_is_refused_when_it_is_asked():
    """Monitoring the first release has nothing to go back to once it is ending."""
    state = advance(State(), Started(examples.plan(Kind.MONITOR, first=True), "ops"))
    state = advance(state, StepBegan(Step.PREFLIGHT, 1))
    state = advance(state, StepDone(Step.PREFLIGHT))
    state = advance(state, PromoteAsked("ann", "fine"))
    with pytest.raises(ImpossibleFact, match="nothing to go back to"):
        advance(state, RollbackAsked("ann", "no"))


def test_a_plan_that_touched_nobody_needs_no_way_back():
    """Preflight, build and backup leave nothing that a user could notice."""
    begun = frozenset({Step.PREFLIGHT, Step.BUILD, Step.BACKUP})
    for way in Way:
        assert way_back(examples.plan(), begun, way, EVERY_WAY[0]) == ()


def test_a_manual_rollback_done_is_a_success():
    """Exit 0 when it was asked for, 2 when the guard did it."""
    state = advance(State(), Started(examples.plan(Kind.ROLLBACK), "ann", "slow"))
    assert state.phase is Phase.RETURNING
    while isinstance(action := next_action(state), Perform):
        state = advance(state, StepBegan(action.step, action.attempt))
        state = advance(state, StepDone(action.step))
    assert (state.phase, exit_code(state)) == (Phase.ROLLED_BACK, 0)


def test_a_rollback_to_nothing_is_refused_with_what_to_do_instead():
    """The first release has no predecessor."""
    with pytest.raises(NotPossible, match="no earlier release"):
        examples.plan(Kind.ROLLBACK, first=True)


def test_a_plan_without_migrations_does_not_migrate():
    """The step is left out, not skipped."""
    spec = examples.spec()
    bare = replace(spec, service=replace(spec.service, migrations=None))
    plan = make_plan(Kind.DEPLOY, bare, examples.NEW, Situation(serving=examples.OLD))
    assert Step.MIGRATE not in plan.forward


def test_equal_plans_have_equal_digests_and_any_change_gives_another():
    """A sign-off bound to a digest is void once anything changes."""
    assert examples.plan().digest == examples.plan().digest
    assert (
        examples.plan().digest != examples.plan(policy=examples.watch(examples.PRODUCTION)).digest
    )


def left(state: State) -> tuple[Step, ...]:
    """The steps of a way back, until the confirmation that all of them share."""
    return state.queue[: state.queue.index(Step.CONFIRM)]


@pytest.mark.parametrize(
    ("ways", "steps"),
    [
        (EVERY_WAY[0], (Step.RETURN, Step.STOP_CANDIDATE)),
        (EVERY_WAY[1], (Step.UNMIGRATE, Step.RETURN, Step.STOP_CANDIDATE)),
    ],
)
def test_a_breach_takes_the_safest_way_that_was_proven(ways, steps):
    """A flip where the old release lives with the schema; the schema goes first where not."""
    state = judged(watching(ways=ways), Answer.BREACH, 10)
    assert state.phase is Phase.RETURNING
    assert left(state) == steps


def test_a_breach_without_a_way_back_restores_nothing_by_itself():
    """Rows are a person's to give up: it holds, also when a rollback is asked for plainly."""
    state = judged(watching(ways=EVERY_WAY[2]), Answer.BREACH, 10)
    assert (state.phase, state.hold) == (Phase.HOLDING, Hold.NO_WAY_BACK)
    asked = advance(state, RollbackAsked("ann", "please"))
    assert (asked.phase, asked.hold) == (Phase.HOLDING, Hold.NO_WAY_BACK)
    restored = advance(asked, RollbackAsked("ann", "the rows are set aside", Way.RESTORE))
    assert left(restored)[:4] == (Step.CLOSE, Step.SET_ASIDE, Step.RESTORE, Step.RETURN)


@given(**LIVES)
def test_a_restore_is_only_ever_asked_for_and_closes_first(
    choices, kind, auto, extend, unknown, first, canary
):
    """No fact but a person's leads to it; nobody writes between the rows and the restore."""
    for state in a_life(choices, kind, auto, extend, unknown, first, canary):
        if Step.RESTORE in state.queue:
            assert state.way is Way.RESTORE
        if Step.RESTORE in state.begun:
            assert {Step.CLOSE, Step.SET_ASIDE} <= state.begun


@given(**LIVES)
def test_the_schema_goes_down_only_where_that_was_proven(
    choices, kind, auto, extend, unknown, first, canary
):
    """And before a release that was never proven on the new schema gets traffic."""
    for state in a_life(choices, kind, auto, extend, unknown, first, canary):
        if state.running is Step.UNMIGRATE and state.plan.kind in {Kind.DEPLOY, Kind.MIGRATE}:
            assert Way.DOWN in ways_of(state.outcomes[Step.REHEARSE])


def test_what_a_plan_cannot_do_is_refused_with_what_to_do_instead():
    """A rollback without a proven way, a way down that is none, a restore without a backup."""
    spec, none = examples.spec(), Situation(examples.NEW, examples.OLD, ways=(Way.RESTORE,))
    with pytest.raises(NotPossible, match=r"no way back .* was proven") as told:
        make_plan(Kind.ROLLBACK, spec, examples.NEW, none)
    assert "--restore-data" in told.value.why.hint
    flips = Situation(examples.NEW, examples.OLD)
    with pytest.raises(NotPossible, match="no way down"):
        make_plan(Kind.ROLLBACK, spec, examples.NEW, flips, Wish(way=Way.DOWN))
    with pytest.raises(NotPossible, match="no backup"):
        make_plan(Kind.ROLLBACK, spec, examples.NEW, flips, Wish(way=Way.RESTORE))


def test_a_schema_that_a_person_wants_down_goes_after_the_traffic_where_it_can():
    """Both releases live with it: users are on the old one before anything moves."""
    state = advance(watching(), RollbackAsked("ann", "schema too", Way.DOWN))
    assert left(state) == (Step.RETURN, Step.STOP_CANDIDATE, Step.UNMIGRATE)


def test_a_way_down_that_was_not_proven_cannot_be_asked_for():
    """Neither of a rollout that flips, nor of one that may only restore."""
    for ways in ((Way.FLIP, Way.RESTORE), (Way.RESTORE,)):
        with pytest.raises(ImpossibleFact, match="no way down"):
            advance(watching(ways=ways), RollbackAsked("ann", "schema too", Way.DOWN))


def test_an_old_version_that_is_sick_on_the_new_schema_is_no_shared_fault():
    """It was proven that it needs the old schema: the way back brings that first."""
    sick = examples.seen(10, look=1, healthy=False, baseline_healthy=False)
    state = advance(watching(ways=EVERY_WAY[1]), Observed(sick))
    state = advance(state, Judged(10, (Verdict("health", Answer.BREACH, "down"),)))
    assert state.phase is Phase.RETURNING


def in_canary(*stages: Stage, policy: WatchPolicy | None = None) -> State:
    """A canary of NEW whose first share has just been shifted."""
    plan = examples.canary(examples.plan(policy=policy), *stages)
    state = advance(State(), Started(plan, "ops"))
    while isinstance(action := next_action(state), Perform):
        state = advance(state, StepBegan(action.step, action.attempt))
        state = advance(state, done(action.step))
    return state


def shifted(state: State) -> State:
    """The shift of an advancing canary is done."""
    state = advance(state, StepBegan(Step.SHIFT, 1))
    return advance(state, StepDone(Step.SHIFT))


def test_a_canary_goes_on_when_its_stage_is_baked_and_every_gate_passes():
    """Share by share; promoted at the window's end, from the last one."""
    state = in_canary(Stage(5, 10), Stage(50, 20))
    assert judged(state, Answer.PASS, 5).stage == 0
    state = judged(state, Answer.PASS, 10)
    assert (state.phase, state.stage) == (Phase.ADVANCING, 1)
    state = shifted(state)
    assert (state.phase, state.stage_since) == (Phase.WATCHING, 10)
    assert judged(state, Answer.PASS, 20).stage == 1
    state = shifted(judged(state, Answer.PASS, 30))
    assert state.stage == 2
    assert judged(state, Answer.PASS, 50).phase is Phase.WATCHING
    assert judged(state, Answer.PASS, 60).phase is Phase.FINISHING


def test_a_canary_never_goes_on_because_nobody_knows():
    """Unknown keeps the share; at the window's end a person is asked."""
    state = judged(in_canary(Stage(5, 10)), Answer.UNKNOWN, 30)
    assert (state.phase, state.stage) == (Phase.WATCHING, 0)
    assert judged(state, Answer.UNKNOWN, 60).hold is Hold.UNKNOWN


def test_a_paused_canary_stays_where_it_is_and_still_goes_back():
    """Pause stops what is good, not what protects."""
    state = advance(in_canary(Stage(5, 10)), PauseAsked("ann", "lunch"))
    assert judged(state, Answer.PASS, 60).stage == 0
    assert judged(state, Answer.BREACH, 20).phase is Phase.RETURNING
    state = advance(state, ResumeAsked("ann", "back"))
    assert judged(state, Answer.PASS, 60).phase is Phase.ADVANCING


def test_a_canary_that_breaches_goes_back_from_any_share():
    """While it advances too, once the shift that was begun is over."""
    state = judged(in_canary(Stage(5, 10)), Answer.PASS, 10)
    state = advance(state, StepBegan(Step.SHIFT, 1))
    state = advance(state, RollbackAsked("ann", "customers call"))
    assert state.phase is Phase.ADVANCING
    assert advance(state, StepDone(Step.SHIFT)).phase is Phase.RETURNING
    assert advance(state, StepFailed(Step.SHIFT, Why("no replica"))).phase is Phase.RETURNING


def test_a_shift_that_fails_in_mid_canary_is_tried_again_and_then_goes_back():
    """Nothing moved: the baseline still has the others."""
    state = judged(in_canary(Stage(5, 10)), Answer.PASS, 10)
    for attempt in range(1, ATTEMPTS + 1):
        assert state.phase is Phase.ADVANCING
        state = advance(state, StepBegan(Step.SHIFT, attempt))
        state = advance(state, StepFailed(Step.SHIFT, Why("the proxy is gone")))
    assert state.phase is Phase.RETURNING


def test_a_first_deployment_has_nobody_to_share_users_with():
    """Whatever the strategy says."""
    plan = examples.canary(examples.plan(first=True))
    assert plan.stages == (EVERYBODY,)
