"""The whole watch: verdicts, what is never a pass, resuming, and the promises, simulated."""

import math
import random
from dataclasses import replace

import msgspec
import pytest

from guarded_rollout.core.canonical import canonical
from guarded_rollout.core.evidence import Evidence, Watch, evidence, observe, start, verdicts
from guarded_rollout.core.evidence_gates import Gate, Kind
from guarded_rollout.core.evidence_process import LIGHT, ROBUST
from guarded_rollout.core.evidence_signals import Signal
from guarded_rollout.core.gates import Answer
from guarded_rollout.core.problems import BadInput
from guarded_rollout.core.series import ArmSeen, Histogram, Observation, Reading

BOUNDS = (0.05, 0.1, 0.2, 0.4)
FAILURES = Gate("failures", Kind.FAILURES, Signal.REQUESTS)
LATENCY = Gate("latency", Kind.LATENCY, Signal.DURATIONS)
RATE = Gate("rate", Kind.RATE, Signal.REQUESTS, limit=0.05, paired=False)
P95 = Gate("p95", Kind.QUANTILE, Signal.DURATIONS, limit=0.2, paired=False)
RESTARTS = Gate("restarts", Kind.EVENTS, Signal.RESTARTS, limit=12.0)
QUEUE = Gate("queue", Kind.QUEUE, Signal.QUEUE, limit=100.0, paired=False)
OUTCOMES = Gate("outcomes", Kind.LATENCY, Signal.OUTCOMES)
EVERY = (FAILURES, LATENCY, RATE, P95, RESTARTS, QUEUE, OUTCOMES)
HEALTHY = (0.5, 0.3, 0.15, 0.04, 0.01)
SLOW = (0.2, 0.25, 0.3, 0.2, 0.05)


class Arm:
    """Counters of one arm, driven by chance."""

    def __init__(self, rng, n, rate=0.01, shares=HEALTHY, restarts=0.0, queue=0.0):
        self.rng, self.n, self.rate, self.shares = rng, n, rate, shares
        self.crash, self.drift = restarts, queue
        self.total = self.bad = 0.0
        self.buckets = [0.0] * 5
        self.restarts, self.queue = 0, 200.0
        self.arrived, self.left = 900.0, 700.0

    def poll(self) -> ArmSeen:
        self.total += self.n
        self.bad += sum(self.rng.random() < self.rate for _ in range(self.n))
        for bucket in self.rng.choices(range(5), self.shares, k=self.n):
            self.buckets[bucket] += 1
        self.restarts += self.rng.random() < self.crash
        step = self.rng.choice((-1, 1)) + self.drift
        self.arrived, self.left = self.arrived + max(0.0, step), self.left + max(0.0, -step)
        self.queue = max(0.0, self.queue + step)
        cumulative = tuple(sum(self.buckets[: i + 1]) for i in range(5))
        durations = Histogram(BOUNDS, cumulative)
        queue = {"queue": self.queue, "arrived": self.arrived, "left": self.left}
        reading = Reading("a", self.bad, self.total, durations, **queue)
        return ArmSeen(healthy=True, replicas_alive=1, restarts=self.restarts, readings=(reading,))


def seen(candidate, baseline, polls, cadence=5.0) -> list[Observation]:
    return [
        Observation(k * cadence, candidate.poll(), baseline.poll() if baseline else None)
        for k in range(polls + 1)
    ]


def judged(watch, observations) -> Evidence:
    state = start(watch)
    for it in observations:
        state = observe(watch, state, it)
    return state


def answers(watch, observations, now=None) -> dict[str, Answer]:
    state = judged(watch, observations)
    return {it.gate: it.answer for it in verdicts(watch, state, now)}


def arms(seed, *, n=25, m=100, **candidate):
    rng = random.Random(seed)
    return Arm(rng, n, **candidate), Arm(rng, m)


@pytest.mark.parametrize(
    ("gate", "harm"),
    [
        (FAILURES, {"rate": 0.2}),
        (LATENCY, {"shares": SLOW}),
        (OUTCOMES, {"shares": SLOW}),
        (OUTCOMES, {"rate": 0.2}),
        (RATE, {"rate": 0.2}),
        (P95, {"shares": SLOW}),
        (RESTARTS, {"restarts": 0.5}),
        (QUEUE, {"queue": 3.0}),
    ],
)
def test_each_gate_finds_its_harm_and_leaves_a_healthy_release_alone(gate, harm):
    """The same gate, the same seed, with and without."""
    watch = Watch((gate,))
    bad = judged(watch, seen(*arms(7, **harm), 150))
    assert bad.blamed == gate.name
    assert bad.breached is not None
    assert verdicts(watch, bad)[0].answer is Answer.BREACH
    good = judged(watch, seen(*arms(7), 150))
    assert good.breached is None
    assert verdicts(watch, good)[0].answer is not Answer.BREACH


@pytest.mark.parametrize("gate", [FAILURES, LATENCY, OUTCOMES, RATE, RESTARTS])
def test_a_healthy_release_passes_early_but_not_before_it_has_baked(gate):
    """Harm is excluded long before the hour is over."""
    watch = Watch((gate,))
    observations = seen(*arms(11), 400)
    short = replace(watch, rules=replace(ROBUST, bake=3000.0))
    assert answers(watch, observations)[gate.name] is Answer.PASS
    assert answers(short, observations)[gate.name] is Answer.UNKNOWN


def test_a_queue_below_its_floor_passes():
    """It was read, and it is short."""
    watch = Watch((QUEUE,))
    candidate, baseline = arms(1)
    candidate.queue = 3.0
    assert answers(watch, seen(candidate, baseline, 200))["queue"] is Answer.PASS


def test_a_pass_grows_stale():
    """When nothing comes any more, what was excluded an hour ago is not known now."""
    observations = seen(*arms(11), 400)
    watch = Watch((FAILURES,))
    assert answers(watch, observations, 2030.0)["failures"] is Answer.PASS
    assert answers(watch, observations, 2100.0)["failures"] is Answer.UNKNOWN


@pytest.mark.parametrize(
    ("ours", "theirs", "blamed"),
    [(0.2, 0.2, False), (0.01, 0.2, False), (0.2, 0.01, True)],
    ids=["shared fault", "baseline only", "candidate only"],
)
def test_who_is_sick(ours, theirs, blamed):
    """The candidate is blamed for what it does worse than the baseline, for nothing else."""
    rng = random.Random(5)
    state = judged(
        Watch((FAILURES,)), seen(Arm(rng, 25, rate=ours), Arm(rng, 100, rate=theirs), 150)
    )
    assert (state.blamed == "failures") is blamed


def emptied(arm, **changes) -> ArmSeen:
    return replace(arm, readings=tuple(replace(it, **changes) for it in arm.readings))


def nothing(arm) -> ArmSeen:
    return ArmSeen(healthy=None, problems=("metrics: timed out",))


BROKEN = {
    "zero measurements": lambda it: replace(it, candidate=nothing(0), baseline=nothing(0)),
    "candidate source down": lambda it: replace(it, candidate=nothing(0)),
    "baseline source down": lambda it: replace(it, baseline=nothing(0)),
    "no data for the candidate's group": lambda it: replace(it, candidate=ArmSeen(healthy=True)),
    "no baseline at all": lambda it: replace(it, baseline=None),
    "not a number": lambda it: replace(
        it,
        candidate=emptied(
            it.candidate,
            bad=math.nan,
            total=math.nan,
            queue=math.nan,
            durations=Histogram(BOUNDS, (math.nan,) * 5),
        ),
    ),
    "failures not counted": lambda it: replace(it, candidate=emptied(it.candidate, bad=None)),
    "frozen": lambda it: replace(
        it, candidate=emptied(it.candidate, bad=1.0, total=9.0, durations=None, queue=200.0)
    ),
    "garbled": lambda it: replace(
        it,
        candidate=emptied(
            it.candidate, bad=1e9, total=1.0, durations=Histogram(BOUNDS, (9.0, 1.0, 1.0, 1.0, 1.0))
        ),
    ),
    "always reset": lambda it: replace(
        it,
        candidate=emptied(
            it.candidate,
            bad=0.0,
            total=20 * 0.4 ** (it.elapsed / 5),
            durations=Histogram(BOUNDS, (20 * 0.4 ** (it.elapsed / 5),) * 5),
        ),
    ),
}
BLIND = {
    "zero measurements": EVERY,
    "candidate source down": EVERY,
    "baseline source down": (FAILURES, LATENCY, OUTCOMES, RESTARTS),
    "no data for the candidate's group": (FAILURES, LATENCY, OUTCOMES, RATE, P95, QUEUE),
    "no baseline at all": (FAILURES, LATENCY, OUTCOMES, RESTARTS),
    "not a number": (FAILURES, LATENCY, OUTCOMES, RATE, P95, QUEUE),
    "failures not counted": (FAILURES, OUTCOMES, RATE),
    "frozen": (FAILURES, LATENCY, OUTCOMES, RATE, P95),
    "garbled": (FAILURES, LATENCY, OUTCOMES, RATE, P95),
    "always reset": (FAILURES, LATENCY, OUTCOMES, RATE, P95),
}


@pytest.mark.parametrize("name", BROKEN)
def test_no_broken_source_passes_or_rolls_back(name):
    """The silent passes of today's tools: each ends unknown, and says why."""
    watch = Watch(BLIND[name])
    healthy = seen(*arms(11), 400)
    for sound in (0, 1):
        state = judged(watch, [*healthy[:sound], *map(BROKEN[name], healthy[sound:])])
        assert state.breached is None
        for verdict in verdicts(watch, state):
            assert verdict.answer is Answer.UNKNOWN, verdict
            assert verdict.reason


@pytest.mark.parametrize("name", BROKEN)
def test_a_source_that_breaks_later_ends_unknown(name):
    """What was excluded before it broke is stale."""
    watch = Watch(BLIND[name])
    healthy = seen(*arms(11), 400)
    state = judged(watch, [*healthy[:300], *map(BROKEN[name], healthy[300:])])
    assert state.breached is None
    assert {it.answer for it in verdicts(watch, state)} == {Answer.UNKNOWN}


def test_sparse_failures_are_neither_a_pass_nor_a_breach():
    """Two requests a minute say nothing in ten minutes."""
    rng = random.Random(2)
    watch = Watch((FAILURES, RATE))
    observations = seen(Arm(rng, 1, rate=0.0), Arm(rng, 1, rate=0.0), 20, cadence=30.0)
    assert set(answers(watch, observations).values()) == {Answer.UNKNOWN}


def test_no_gate_is_no_watch():
    """No conditions, no weight, no limit: refused before anything starts."""
    for gates in ((), (replace(FAILURES, weight=0.0),), (replace(RATE, limit=0.0),)):
        with pytest.raises(BadInput):
            start(Watch(gates))
    with pytest.raises(BadInput):
        start(Watch((FAILURES, FAILURES)))
    with pytest.raises(BadInput):
        start(Watch((replace(P95, limit=math.nan),)))


@pytest.mark.parametrize("rate", [0.01, 0.2])
def test_a_watch_resumes_at_any_poll_bit_for_bit(rate):
    """Through JSON and back at every observation; equal bytes at the end and on the way."""
    watch = Watch(EVERY)
    healthy = seen(*arms(3, rate=rate), 40)
    observations = [
        BROKEN["not a number"](it) if k % 7 == 3 else it for k, it in enumerate(healthy)
    ]
    through = start(watch)
    way = []
    for it in observations:
        through = observe(watch, through, it)
        way.append(canonical(through))
        through = msgspec.json.decode(canonical(through), type=Evidence)
    straight = start(watch)
    for it, bytes_then in zip(observations, way, strict=True):
        straight = observe(watch, straight, it)
        assert canonical(straight) == bytes_then
    for cut in range(len(observations)):
        if cut % 9 == 0:
            state = msgspec.json.decode(way[cut], type=Evidence)
            for it in observations[cut + 1 :]:
                state = observe(watch, state, it)
            assert canonical(state) == way[-1]
            assert verdicts(watch, state) == verdicts(watch, straight)


def test_all_gates_share_one_alpha():
    """Weights divide the capital; together they start with one."""
    watch = Watch((FAILURES, replace(LATENCY, weight=3.0), RATE))
    assert evidence(watch, start(watch)) == pytest.approx(1.0)


def upper(hits, runs, doubt) -> float:
    """The Clopper-Pearson bound: the share that would give so few hits with `doubt` only."""
    low, high = hits / runs, 1.0
    for _ in range(50):
        p = (low + high) / 2
        below = math.fsum(
            math.comb(runs, k) * p**k * (1 - p) ** (runs - k) for k in range(hits + 1)
        )
        low, high = (p, high) if below > doubt else (low, p)
    return high


def lower(hits, runs, doubt) -> float:
    """The other side of it."""
    return 1.0 - upper(runs - hits, runs, doubt)


@pytest.mark.parametrize(
    ("gate", "n", "m"), [(FAILURES, 10, 40), (RATE, 10, 1), (LATENCY, 12, 12), (P95, 20, 1)]
)
def test_few_healthy_releases_are_rolled_back(gate, n, m):
    """Looked at after every poll, at the edge of the null.

    Refuted only if the true share were above α = 10 % with a chance of error below 1e-6.
    """
    rules = replace(LIGHT, alpha=0.1)
    edge = {"failures": 0.05, "rate": gate.limit}.get(gate.name, 0.05)
    watch = Watch((gate,), rules)
    hits = 0
    for i in range(150):
        rng = random.Random(1000 + i)
        observations = seen(Arm(rng, n, rate=edge), Arm(rng, m, rate=edge), 40)
        hits += judged(watch, observations).breached is not None
    assert lower(hits, 150, 1e-6) <= 0.1


def test_a_harm_is_found_near_the_information_bound():
    """1 % against 6 % at 5 + 20 requests a poll: log(1/α)/I is 37 polls; twice that finds most."""
    watch = Watch((FAILURES,), LIGHT)
    found = 0
    for i in range(60):
        rng = random.Random(i)
        observations = seen(Arm(rng, 5, rate=0.06), Arm(rng, 20, rate=0.01), 160)
        found += judged(watch, observations).breached is not None
    assert upper(found, 60, 1e-6) >= 0.9
    assert found >= 30


def test_few_harmful_releases_pass():
    """At twice the odds, the edge of what is not tolerated: at most β pass, whenever one looks."""
    watch = Watch((FAILURES,), replace(LIGHT, bake=0.0, beta=0.1, alpha=1e-9))
    passed = 0
    for i in range(120):
        rng = random.Random(500 + i)
        state, ever = start(watch), False
        for it in seen(Arm(rng, 20, rate=2 * 0.05 / 1.05), Arm(rng, 40, rate=0.05), 60):
            state = observe(watch, state, it)
            ever = ever or verdicts(watch, state)[0].answer is Answer.PASS
        passed += ever
    assert lower(passed, 120, 1e-6) <= 0.1
