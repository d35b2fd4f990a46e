"""Who is blamed, who waits, and what is never a pass: whole watches on evidence, folded."""

import random
from dataclasses import dataclass, field, replace

import pytest

from guarded_rollout.core.actions import Judge, Watch, next_action
from guarded_rollout.core.canonical import canonical
from guarded_rollout.core.decision import SHARED_SECONDS
from guarded_rollout.core.evidence import evidence, start
from guarded_rollout.core.evidence_process import ROBUST
from guarded_rollout.core.facts import Fact, Judged, Observed, PauseAsked, decode, encode
from guarded_rollout.core.gates import Answer, CustomGate, CustomKind, DurationGate, Verdict
from guarded_rollout.core.judging import watches
from guarded_rollout.core.plan import Plan, Step, Way
from guarded_rollout.core.rollout import advance, verdicts
from guarded_rollout.core.schedule import Schedule
from guarded_rollout.core.series import ArmSeen, Histogram, Observation, ProxyReading, Reading
from guarded_rollout.core.spec import AtTheEnd, Stage, WatchPolicy
from guarded_rollout.core.state import Hold, Phase, State
from guarded_rollout.testing import examples

BOUNDS = (0.1, 0.5, 1.0, 2.0, 5.0)
RULES = replace(ROBUST, grace=0.0, bake=60.0)
WINDOW = Schedule(duration=900, first_every=30, first_for=300, then_every=60)
SHARES = (Stage(50.0, 300.0),)


@dataclass
class Arm:
    """Counters of one version: `rate` of its requests fail, `slow` of them take 3 s."""

    requests: int = 100
    rate: float = 0.01
    slow: float = 0.01
    healthy: bool | None = True
    total: int = 0
    bad: int = 0
    tardy: int = 0
    chance: random.Random = field(default_factory=lambda: random.Random(7))

    def poll(self) -> ArmSeen:
        self.total += self.requests
        self.bad += sum(self.chance.random() < self.rate for _ in range(self.requests))
        self.tardy += sum(self.chance.random() < self.slow for _ in range(self.requests))
        quick = float(self.total - self.tardy)
        durations = Histogram(BOUNDS, (quick,) * 4 + (float(self.total),) * 2)
        return ArmSeen(
            healthy=self.healthy,
            replicas_alive=1,
            readings=(Reading("a", float(self.bad), float(self.total), durations, 0.0),),
            proxy=ProxyReading("e", float(self.total), float(self.bad), 0.0, 0.0, 0.0),
        )


def plan_of(*stages: Stage, early: bool = False, rules=RULES, **policy) -> Plan:
    """A deploy that evidence judges; with `stages` a canary."""
    plan = examples.plan(policy=WatchPolicy(WINDOW, **{"auto_rollback": True, **policy}))
    gates = replace(examples.gates(), evidence=rules, early=early)
    environment = replace(plan.spec.environment, gates=gates)
    plan = replace(plan, spec=replace(plan.spec, environment=environment))
    return examples.canary(plan, *stages) if stages else plan


def watched(plan: Plan) -> State:
    """Just shifted, with every way back proven."""
    outcomes = {
        Step.BACKUP: {"verified": True, "file": "backups/toy.zip"},
        Step.REHEARSE: {"ways": list(Way), "because": {}},
        Step.MIGRATE: {"moved": True},
    }
    return State(Phase.WATCHING, plan, begun=frozenset(plan.forward), outcomes=outcomes)


def watch(
    state: State, candidate: Arm, baseline: Arm | None, *, polls: int = 400, blind=lambda seen: seen
) -> tuple[State, list[Fact]]:
    """Polls every 5 s until the watch is over, somebody must decide, or the share grows."""
    facts: list[Fact] = []

    def write(fact: Fact) -> None:
        nonlocal state
        facts.append(fact)
        state = advance(state, fact)

    for _ in range(polls):
        action = next_action(state)
        if isinstance(action, Judge):
            write(Judged(state.elapsed, verdicts(state)))
        elif isinstance(action, Watch):
            at = state.elapsed + 5.0
            look = state.looks + 1 if at >= action.until else None
            seen = Observation(
                at, candidate.poll(), baseline.poll() if baseline else None, look=look
            )
            write(Observed(blind(seen)))
        if state.phase is not Phase.WATCHING:
            break
    return state, facts


def shared(state: State) -> State:
    """The next share is routed."""
    return replace(state, phase=Phase.WATCHING, queue=(), stage_since=state.elapsed)


def by_name(state: State) -> dict[str, Verdict]:
    return {verdict.gate: verdict for verdict in verdicts(state)}


FAULTS = {
    "in nobody": (0.01, 0.01, Phase.ADVANCING, None),
    "in the candidate only": (0.2, 0.01, Phase.RETURNING, None),
    "in both": (0.2, 0.2, Phase.HOLDING, Hold.BOTH_SICK),
    "in the baseline only": (0.01, 0.2, Phase.ADVANCING, None),
}


@pytest.mark.parametrize("where", FAULTS)
def test_a_fault_of_both_holds_and_only_the_candidates_own_goes_back(where):
    """A dependency that both share breaks the limit for both; nothing is gained by going back."""
    ours, theirs, phase, hold = FAULTS[where]
    state, _ = watch(watched(plan_of(*SHARES)), Arm(rate=ours), Arm(rate=theirs))
    assert (state.phase, state.hold) == (phase, hold), state.reason


def test_a_limit_that_both_cross_leaves_the_comparison_as_long_again():
    """Whichever comes to its bound first, a fault of the candidate alone goes back."""
    state, _ = watch(watched(plan_of(*SHARES)), Arm(rate=0.2), Arm(rate=0.2))
    limits = state.weighed.limits
    assert limits is not None
    assert limits.breached is not None
    assert state.elapsed >= limits.breached + min(limits.breached, SHARED_SECONDS)
    state, _ = watch(watched(plan_of(*SHARES)), Arm(rate=0.2), Arm(rate=0.01, requests=8))
    assert state.phase is Phase.RETURNING, state.reason
    limits = state.weighed.limits
    assert limits is not None
    assert limits.breached is not None, "the limit was first"
    assert limits.breached < state.elapsed


def test_the_end_says_that_the_old_version_was_the_sick_one():
    """It is promoted, and whoever reads the report learns why failures went down."""
    candidate, baseline = Arm(), Arm(rate=0.2)
    state, _ = watch(watched(plan_of(*SHARES)), candidate, baseline)
    state, _ = watch(shared(state), candidate, replace(baseline, requests=0))
    assert state.phase is Phase.FINISHING
    assert "the old version failed" in state.reason


@pytest.mark.parametrize("rate", [0.2, 0.5, 1.0])
def test_alone_the_limits_decide(rate):
    """All at once, or a single instance: there is nobody to compare with."""
    state, facts = watch(watched(plan_of()), Arm(rate=rate), None)
    assert state.phase is Phase.RETURNING
    assert "extractionFailureRate" in state.reason
    judged = facts[-1]
    assert isinstance(judged, Judged)
    assert judged.elapsed <= 60


def test_a_breach_does_not_wait_for_the_next_look():
    """Looks come every minute here; the evidence is asked at each scrape."""
    calm = Schedule(duration=900, first_every=300, first_for=900, then_every=300)
    plan = plan_of()
    policy = replace(plan.spec.environment.watch, schedule=calm)
    environment = replace(plan.spec.environment, watch=policy)
    plan = replace(plan, spec=replace(plan.spec, environment=environment))
    state, _ = watch(watched(plan), Arm(rate=0.5), None)
    assert state.phase is Phase.RETURNING
    assert state.elapsed < 60


def test_slow_releases_go_back_alone_and_compared():
    """The 95th percentile alone; the whole histogram where there is somebody to compare with."""
    state, _ = watch(watched(plan_of()), Arm(slow=0.3), None)
    assert state.phase is Phase.RETURNING
    assert "p95HashTime" in state.reason
    state, _ = watch(watched(plan_of(*SHARES)), Arm(slow=0.04), Arm(slow=0.002))
    assert state.phase is Phase.RETURNING
    assert "durationsCompared" in state.reason


def test_harm_that_is_excluded_brings_the_next_share_sooner():
    """Not before the bake time; without exclusion the stage's own time counts."""
    soon, _ = watch(watched(plan_of(Stage(50.0, 600.0))), Arm(rate=0.02), Arm(rate=0.02))
    assert soon.phase is Phase.ADVANCING
    assert 60 <= soon.elapsed < 600
    few = watched(plan_of(Stage(50.0, 600.0)))
    late, _ = watch(few, Arm(requests=10, rate=0.0), Arm(requests=10, rate=0.0))
    assert late.phase is Phase.ADVANCING
    assert late.elapsed >= 600


def test_nobody_is_promoted_early_unless_that_is_wanted():
    """The documents watch for an hour."""
    state, _ = watch(watched(plan_of()), Arm(), None)
    assert state.phase is Phase.FINISHING
    assert state.elapsed >= WINDOW.duration
    state, _ = watch(watched(plan_of(early=True)), Arm(), None)
    assert state.phase is Phase.FINISHING
    assert RULES.bake <= state.elapsed < 120
    assert "excluded harm" in state.reason


def test_a_paused_rollout_still_goes_back():
    """Pause stops the share, not the guard."""
    paused = advance(watched(plan_of(*SHARES)), PauseAsked("ann", "lunch"))
    state, _ = watch(paused, Arm(), Arm())
    assert state.phase is Phase.WATCHING
    state, _ = watch(paused, Arm(rate=0.3), Arm())
    assert state.phase is Phase.RETURNING


def without(**parts):
    """Every reading of the candidate lacks these."""

    def blind(seen):
        readings = tuple(replace(it, **parts) for it in seen.candidate.readings)
        return replace(seen, candidate=replace(seen.candidate, readings=readings))

    return blind


def nothing_read(seen):
    problems = ("a: connection refused",)
    arm = replace(seen.candidate, readings=(), proxy=None, problems=problems)
    return replace(seen, candidate=arm)


def no_proxy(seen):
    return replace(seen, candidate=replace(seen.candidate, proxy=None))


def no_baseline(seen):
    return replace(seen, baseline=replace(seen.baseline, readings=(), proxy=None))


def stands_still(seen):
    """The source answers, always the same."""
    first = Arm().poll()
    return replace(seen, candidate=first, baseline=first)


NAN = float("nan")
NO_BASELINE = "no data for the baseline"
SILENT = {
    "zero measurements": (Arm(requests=0), lambda seen: seen),
    "not a number": (Arm(), without(bad=NAN)),
    "not a number for the total": (Arm(), without(total=NAN)),
    "errors are not counted": (Arm(), without(bad=None)),
    "no data for the candidate": (Arm(), nothing_read),
    NO_BASELINE: (Arm(), no_baseline),
    "one source cannot be read": (Arm(), no_proxy),
    "durations are missing": (Arm(), without(durations=None)),
    "durations without buckets": (Arm(), without(durations=Histogram((), (9.0,)))),
    "a source that stands still": (Arm(), stands_still),
    "sparse requests": (
        Arm(requests=1),
        lambda seen: seen if seen.elapsed < 50 else nothing_read(seen),
    ),
    "more failures than requests": (Arm(), without(bad=1e9)),
    "infinitely many requests": (Arm(), without(total=float("inf"))),
    "negative counts": (Arm(), without(bad=-1.0)),
}


@pytest.mark.parametrize(
    ("what", "canary"),
    [
        (what, canary)
        for what in SILENT
        for canary in (False, True)
        if canary or what != NO_BASELINE
    ],
)
def test_what_cannot_be_known_is_never_a_pass_and_never_a_rollback(what, canary):
    """An outage of a source holds the rollout where it is, for a person."""
    arm, blind = SILENT[what]
    stages = SHARES if canary else ()
    state, facts = watch(watched(plan_of(*stages)), replace(arm), Arm(), blind=blind)
    assert (state.phase, state.hold) == (Phase.HOLDING, Hold.UNKNOWN), state.reason
    for fact in facts:
        if isinstance(fact, Judged):
            answers = {verdict.answer for verdict in fact.verdicts}
            assert Answer.UNKNOWN in answers
            assert Answer.BREACH not in answers


def test_the_environment_decides_what_unknown_means_at_the_end():
    """Extended, then held or returned."""
    plan = plan_of(unknown=AtTheEnd.ROLL_BACK, extend_seconds=100.0)
    state, _ = watch(watched(plan), Arm(), None, blind=nothing_read)
    assert state.phase is Phase.RETURNING
    assert state.elapsed >= WINDOW.duration + 100


def test_live_verdicts_are_those_of_a_replay_and_a_resumed_watch_goes_on_bit_for_bit():
    """Each fact goes through its journal's bytes, as after a crash between any two polls."""
    begun = watched(plan_of(*SHARES))
    _, facts = watch(begun, Arm(rate=0.03), Arm(rate=0.01))
    assert len(facts) > 20
    state = resumed = begun
    for fact in facts:
        state = advance(state, fact)
        resumed = advance(resumed, decode(*encode(fact)))
        assert canonical(resumed.weighed) == canonical(state.weighed)
        if isinstance(next_action(resumed), Judge):
            again = Judged(resumed.elapsed, verdicts(resumed))
            assert encode(again) == encode(facts[facts.index(fact) + 1])


def test_both_watches_together_spend_one_alpha():
    """Most for the comparison, the rest for the limits; all of it where nobody is compared."""
    comparing, limiting = watches(plan_of(*SHARES))
    assert comparing is not None
    assert limiting is not None
    assert comparing.rules.alpha + limiting.rules.alpha == pytest.approx(RULES.alpha)
    alone, whole = watches(plan_of())
    assert alone is None
    assert whole is not None
    assert whole.rules.alpha == RULES.alpha


def test_thresholds_judge_where_they_are_wanted():
    """The documents' rules, to the letter."""
    state, _ = watch(watched(plan_of(rules=None)), Arm(rate=0.2), None)
    assert state.phase is Phase.RETURNING
    assert set(by_name(state)) == {
        "healthFailures",
        "extractionFailureRate",
        "p95HashTime",
        "lowConfidenceQueue",
    }


CUSTOM = {
    "rate": (CustomGate("own", CustomKind.RATE, "m", 5.0), {"bad": 0.3, "total": 1.0}),
    "quantile": (CustomGate("own", CustomKind.QUANTILE, "m", 2000.0), {"slow": 0.3}),
    "event": (CustomGate("own", CustomKind.EVENT, "m", 2.0), {"bad": 0.01}),
    "level": (CustomGate("own", CustomKind.LEVEL, "m", 10.0), {"queue": 11.0}),
    "low level": (CustomGate("own", CustomKind.LEVEL, "m", 10.0, below=True), {"queue": 9.0}),
}


def own_reading(arm: Arm, kind: str, parts: dict[str, float]) -> Reading:
    """The custom metric of an arm whose own parts are such shares of its requests."""
    if kind == "quantile":
        quick = arm.total * (1.0 - parts["slow"])
        durations = Histogram(BOUNDS, (quick,) * 4 + (float(arm.total),) * 2)
        return Reading("a", durations=durations)
    if "queue" in parts:
        return Reading("a", queue=parts["queue"])
    return Reading("a", **{name: float(int(arm.total * part)) for name, part in parts.items()})


def with_own(candidate: Arm, baseline: Arm, kind: str, parts, baseline_parts):
    """Every observation carries the custom metric of both arms."""

    def add(seen: Observation) -> Observation:
        def arm(whole: ArmSeen, own: Reading) -> ArmSeen:
            return replace(
                whole, readings=tuple(replace(it, custom={"own": own}) for it in whole.readings)
            )

        ours = arm(seen.candidate, own_reading(candidate, kind, parts))
        if seen.baseline is None:
            return replace(seen, candidate=ours)
        theirs = own_reading(baseline, kind, baseline_parts)
        return replace(seen, candidate=ours, baseline=arm(seen.baseline, theirs))

    return add


def custom_plan(gate: CustomGate, *stages: Stage) -> Plan:
    return with_gates(plan_of(*stages), custom=(gate,))


def with_gates(plan: Plan, **parts) -> Plan:
    """The same with other gates."""
    gates = replace(plan.spec.environment.gates, **parts)
    environment = replace(plan.spec.environment, gates=gates)
    return replace(plan, spec=replace(plan.spec, environment=environment))


HARMLESS = {"bad": 0.0, "total": 1.0, "slow": 0.0}


@pytest.mark.parametrize("name", CUSTOM)
def test_a_metric_of_the_services_own_brings_a_release_back(name):
    """Alone by its limit; its absence is unknown; what is harmless passes."""
    gate, parts = CUSTOM[name]
    kind = gate.kind.value
    arm = Arm()
    state, _ = watch(
        watched(custom_plan(gate)), arm, None, blind=with_own(arm, arm, kind, parts, parts)
    )
    assert state.phase is Phase.RETURNING
    assert "own" in state.reason
    state, _ = watch(watched(custom_plan(gate)), Arm(), None)
    assert (state.phase, state.hold) == (Phase.HOLDING, Hold.UNKNOWN)
    arm, harmless = Arm(), {key: HARMLESS.get(key, 10.0) for key in parts}
    state, _ = watch(
        watched(custom_plan(gate)), arm, None, blind=with_own(arm, arm, kind, harmless, harmless)
    )
    assert state.phase is Phase.FINISHING, state.reason


@pytest.mark.parametrize("name", ["rate", "quantile", "event"])
def test_a_metric_of_the_services_own_is_compared(name):
    """Worse than the old version goes back, below its limit too; the same in both does not."""
    gate, parts = CUSTOM[name]
    gate = replace(gate, threshold={"rate": 60.0, "quantile": 5000.0, "event": 9999.0}[name])
    kind = gate.kind.value
    for theirs, phase in ((HARMLESS, Phase.RETURNING), (parts, Phase.ADVANCING)):
        candidate, baseline = Arm(), Arm()
        other = {key: theirs[key] for key in parts}
        blind = with_own(candidate, baseline, kind, parts, other)
        state, _ = watch(watched(custom_plan(gate, *SHARES)), candidate, baseline, blind=blind)
        assert state.phase is phase, state.reason
        if phase is Phase.RETURNING:
            assert "ownCompared" in state.reason


def test_a_comparison_of_a_handful_of_requests_is_unknown():
    """`minimumSamples`, in both arms."""
    state, _ = watch(watched(plan_of(*SHARES)), Arm(requests=1), Arm(), polls=12)
    found = by_name(state)["failuresCompared"]
    assert found.answer is Answer.UNKNOWN
    assert "too few, 20 are needed" in found.reason
    state, _ = watch(watched(plan_of(*SHARES)), Arm(requests=10), Arm(requests=10), polls=12)
    assert by_name(state)["failuresCompared"].answer is Answer.PASS


def test_inside_the_limits_bucket_nobody_is_blamed_and_nothing_is_excluded():
    """A third takes between 1 and 2 s, and the limit is 1.5 s."""
    plan = with_gates(plan_of(), duration=DurationGate(1500.0, 900.0))
    arm = Arm(slow=0.0)

    def between(seen: Observation) -> Observation:
        total, quick = float(arm.total), float(arm.total * 2 // 3)
        durations = Histogram(BOUNDS, (quick, quick, quick, total, total, total))
        return without(durations=durations)(seen)

    state, _ = watch(watched(plan), arm, None, blind=between)
    assert (state.phase, state.hold) == (Phase.HOLDING, Hold.UNKNOWN), state.reason
    assert by_name(state)["p95HashTime"].answer is Answer.UNKNOWN


def queued(came: float, went: float, *, start: float = 600.0, **broken):
    """Per poll so many come to the queue and leave it; every replica reports the whole queue."""

    def add(seen: Observation) -> Observation:
        polls = seen.elapsed / 5.0
        arrived, gone = 1000.0 + came * polls, 400.0 + went * polls
        own = {"queue": start + arrived - gone - 600.0, "arrived": arrived, "left": gone}
        own = {**own, **{key: value(polls) for key, value in broken.items()}}
        one = tuple(replace(it, **own) for it in seen.candidate.readings)
        two = tuple(replace(it, instance="b") for it in one)
        return replace(seen, candidate=replace(seen.candidate, readings=(*one, *two)))

    return add


QUEUES = {
    "it grows": (queued(4, 1), Phase.RETURNING),
    "nobody decides at all": (queued(2, 0), Phase.RETURNING),
    "people keep up": (queued(3, 3), Phase.FINISHING),
    "nothing moves": (queued(0, 0), Phase.FINISHING),
    "it is worked off": (queued(1, 4, start=900.0), Phase.FINISHING),
    "it grows below the floor": (queued(1, 0, start=10.0), Phase.FINISHING),
}
GROWTH = 500.0


@pytest.mark.parametrize("how", QUEUES)
def test_a_queue_that_grows_above_its_floor_goes_back(how):
    """Long before its own limit, which stays: 1000 items."""
    blind, phase = QUEUES[how]
    state, _ = watch(watched(with_gates(plan_of(), growth=GROWTH)), Arm(), None, blind=blind)
    assert state.phase is phase, state.reason
    if phase is Phase.RETURNING:
        assert "queueGrowth" in state.reason
        assert by_name(state)["lowConfidenceQueue"].answer is Answer.PASS


def test_a_queue_that_grows_while_both_serve_holds():
    """They share it: nobody knows whose items they are."""
    plan = with_gates(plan_of(*SHARES), growth=GROWTH)
    state, _ = watch(watched(plan), Arm(), Arm(), blind=queued(4, 1))
    assert (state.phase, state.hold) == (Phase.HOLDING, Hold.BOTH_SICK), state.reason


NO_QUEUE = {
    "no arrivals": {"arrived": lambda _: None},
    "no departures": {"left": lambda _: None},
    "not a number": {"arrived": lambda _: NAN},
    "infinite": {"left": lambda _: float("inf")},
    "negative": {"arrived": lambda _: -1.0},
    "counters that fall": {"arrived": lambda polls: 9000.0 - polls},
}


@pytest.mark.parametrize("how", NO_QUEUE)
def test_a_queue_that_cannot_be_followed_is_unknown(how):
    """The length alone says nothing about growth; neither a pass nor a rollback."""
    plan = with_gates(plan_of(), growth=GROWTH)
    state, _ = watch(watched(plan), Arm(), None, blind=queued(0, 0, **NO_QUEUE[how]))
    assert (state.phase, state.hold) == (Phase.HOLDING, Hold.UNKNOWN), state.reason
    assert by_name(state)["queueGrowth"].answer is Answer.UNKNOWN


@pytest.mark.parametrize("stages", [(), SHARES], ids=["alone", "canary"])
def test_growth_takes_its_part_of_the_one_alpha(stages):
    """All capital of a watch is one at the start, however many gates there are."""
    for watch_of in watches(with_gates(plan_of(*stages), growth=GROWTH)):
        if watch_of is not None:
            assert evidence(watch_of, start(watch_of)) == pytest.approx(1.0)
    alphas = [it.rules.alpha for it in watches(with_gates(plan_of(*stages), growth=GROWTH)) if it]
    assert sum(alphas) == pytest.approx(RULES.alpha)
