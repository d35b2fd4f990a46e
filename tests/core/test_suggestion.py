"""What is learnt from rollouts that ended well, and what is not guessed."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guarded_rollout.core.evidence_signals import Signal
from guarded_rollout.core.recorded_traffic import counted, instances, newest_bounds, per_second
from guarded_rollout.core.series import ArmSeen, Histogram, Observation, Reading
from guarded_rollout.core.suggestion import document, rounded_up, suggestions

BOUNDS = (0.1, 0.5, 1.0, 2.0)


def watch(polls, *, replicas=1, slow=0, queue=0.0, bounds=BOUNDS):
    """Observations every 5 s. `polls`: (requests, failures); `slow` of 1000 take 2 s."""
    seen, total, bad = [], [0] * replicas, [0] * replicas
    for number, poll in enumerate([(0, 0), *polls]):
        readings = []
        for replica in range(replicas):
            requests, failures = poll[replica] if isinstance(poll[0], tuple) else poll
            total[replica] += requests
            bad[replica] += failures
            quick = total[replica] * (1000 - slow) // 1000
            every = float(total[replica])
            counts = (float(quick), float(quick), float(quick), every, every)
            durations = Histogram(bounds, counts)
            readings.append(Reading(f"new-{replica}", float(bad[replica]), every, durations, queue))
        seen.append(
            Observation(5.0 * (number + 1), ArmSeen(healthy=True, readings=tuple(readings)))
        )
    return tuple(seen)


def learnt(*watches):
    return {one.key: one for one in suggestions([(str(n), w) for n, w in enumerate(watches)])}


def test_counts_are_what_rose():
    """Poll by poll, per second, with the buckets."""
    seen = watch([(10, 1), (20, 0)], replicas=2)
    arm = counted(seen, Signal.REQUESTS)
    assert (arm.polls, arm.seconds, arm.trials) == (((20.0, 2.0), (40.0, 0.0)), 10.0, (2, 60))
    one = counted(seen, Signal.REQUESTS, instance="new-1")
    assert one.trials == (1, 30)
    assert per_second(seen, Signal.REQUESTS) == 6.0
    assert per_second(seen, Signal.DURATIONS) == 6.0
    assert newest_bounds(seen) == BOUNDS
    assert instances(seen) == ("new-0", "new-1")


def test_of_nothing_there_are_no_counts():
    """One observation is no rise."""
    seen = watch([])
    assert counted(seen, Signal.REQUESTS).trials == (0, 0)
    assert per_second(seen, Signal.REQUESTS) is None
    assert newest_bounds(()) is None


def test_too_little_history_gives_no_number():
    """Each says what is missing."""
    found = learnt(watch([(10, 0)] * 5))
    assert {one.value for one in found.values()} == {None}
    assert "300 requests" in found["extractionFailureRate"].why
    assert "20 failures" in found["dispersion"].why
    assert document("production", tuple(found.values())) == {"environments": {"production": {}}}


def test_the_failure_limit_is_twice_what_the_worst_may_have_had():
    """Wilson's interval of 10 of 1000 ends at 1.831 %; of 0 of 1000 at 0.383 %."""
    worst = learnt(watch([(100, 1)] * 10), watch([(100, 0)] * 10))["extractionFailureRate"]
    assert (worst.value, worst.rollouts, worst.requests) == (4.0, 2, 2000)
    assert "1.83 %" in worst.why
    assert learnt(watch([(100, 0)] * 10))["extractionFailureRate"].value == 0.8


def test_the_p95_limit_is_the_boundary_that_few_exceed():
    """2 % take 2 s: 1 s would leave no room only with 3 %."""
    assert learnt(watch([(100, 0)] * 10, slow=20))["p95HashTime"].value == 100.0
    slow = learnt(watch([(100, 0)] * 10, slow=20), watch([(100, 0)] * 10, slow=30))
    assert (slow["p95HashTime"].value, slow["p95HashTime"].rollouts) == (2000.0, 2)


def test_the_queue_is_twice_the_longest():
    """At least 10."""
    assert learnt(watch([(1, 0)] * 20, queue=70.0))["lowConfidenceQueue"].value == 150.0
    assert learnt(watch([(1, 0)] * 20))["lowConfidenceQueue"].value == 10.0


def independent(rate, polls, seed, replicas=2):
    chance = random.Random(seed)
    return [
        tuple((100, sum(chance.random() < rate for _ in range(100))) for _ in range(replicas))
        for _ in range(polls)
    ]


def test_equal_replicas_of_independent_requests_need_nothing_more():
    """Margin as built in; no dispersion worth the name."""
    found = learnt(watch(independent(0.05, 200, 3), replicas=2))
    assert found["margin"].value == 1.25
    assert found["dispersion"].value == 1.0
    assert "1 pairs of replicas" in found["dispersion"].why
    assert found["dispersion"].rollouts == 1


def test_bursts_are_dispersion():
    """Every failure comes as ten: ten times the variance, give or take."""
    polls = [(100, 10 if n % 7 == 0 else 0) for n in range(140)]
    found = learnt(watch(polls))["dispersion"]
    assert 5.0 < found.value < 20.0
    assert found.requests == 14000


def test_a_replica_that_is_worse_for_good_is_the_margin():
    """One fails three times as often as its twin, though both run one release."""
    polls = [((100, 2), (100, 6))] * 100
    found = learnt(watch(polls, replicas=2))["margin"]
    assert 2.4 < found.value < 3.2
    assert "1 pairs" in found.why


def test_what_is_pasted_is_the_gates_file():
    """Without the evidence section where thresholds judge."""
    found = suggestions([("a", watch(independent(0.05, 200, 3), replicas=2))])
    own = document("eu", found)["environments"]["eu"]
    assert own["evidence"] == {"margin": 1.25, "dispersion": 1.0}
    assert set(own["qualityGates"]) == {
        "extractionFailureRate",
        "p95HashTime",
        "lowConfidenceQueue",
    }
    assert "evidence" not in document("eu", found, evidence=False)["environments"]["eu"]


@given(st.floats(1e-6, 1e6))
def test_rounding_up_is_up_and_never_by_more_than_a_third(value):
    """1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8."""
    rounded = rounded_up(value)
    assert value * (1 - 1e-6) - 1e-9 <= rounded <= value * 1.34 + 1e-9
    assert rounded_up(20.0) == pytest.approx(20.0)
