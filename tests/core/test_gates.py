"""The documents' four gates: strict limits, minimum evidence, unknown is never a pass."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guarded_rollout.core.gates import (
    Answer,
    DurationGate,
    FailureRateGate,
    HealthGate,
    QueueGate,
    Verdict,
    judge,
    overall,
)
from guarded_rollout.core.series import ArmSeen
from guarded_rollout.testing import examples
from guarded_rollout.testing.examples import seen


def judge_all(series):
    """What the thresholds say."""
    return tuple(judge(gate, series) for gate in examples.gates().all())


def looks_with(*healthy):
    return tuple(seen(i * 30.0, look=i + 1, healthy=h) for i, h in enumerate(healthy))


@pytest.mark.parametrize(
    ("healthy", "answer"),
    [
        ((True, False, False), Answer.PASS),
        ((True, False, False, False), Answer.BREACH),
        ((False, False, True, False), Answer.PASS),
        ((None, None), Answer.UNKNOWN),
        ((), Answer.UNKNOWN),
        ((False, None, False, False), Answer.BREACH),
    ],
)
def test_health_breaches_at_the_third_failure_in_a_row(healthy, answer):
    """`threshold: 2` means more than two; a look nobody could take counts for nothing."""
    assert judge(HealthGate(2), looks_with(*healthy)).answer is answer


def test_probes_between_the_looks_do_not_count_for_the_documents_gate():
    """Only looks are polls."""
    between = tuple(seen(float(i), healthy=False) for i in range(20))
    assert judge(HealthGate(2), between).answer is Answer.UNKNOWN


@pytest.mark.parametrize(
    ("failed", "answer"), [(0, Answer.PASS), (5, Answer.PASS), (5.1, Answer.BREACH)]
)
def test_the_failure_rate_limit_is_strict(failed, answer):
    """Exactly 5 % passes, more breaches."""
    series = (seen(0, requests=0), seen(60, requests=100, failed=failed))
    assert judge(FailureRateGate(5.0, 600), series).answer is answer


def test_a_few_requests_are_no_evidence():
    """One failure in three requests is unknown, not a breach and not a pass."""
    series = (seen(0, requests=0), seen(60, requests=3, failed=1))
    verdict = judge(FailureRateGate(5.0, 600), series)
    assert verdict.answer is Answer.UNKNOWN
    assert "20 are needed" in verdict.reason


def test_failures_before_the_window_are_over():
    """Only the window counts."""
    series = (
        seen(0, requests=0),
        seen(100, requests=100, failed=50),
        seen(400, requests=200, failed=50),
        seen(700, requests=300, failed=50),
    )
    assert judge(FailureRateGate(5.0, 400), series).answer is Answer.PASS
    assert judge(FailureRateGate(5.0, 700), series).answer is Answer.BREACH


@pytest.mark.parametrize(
    ("slow", "answer"), [(0, Answer.PASS), (5, Answer.PASS), (6, Answer.BREACH)]
)
def test_p95_breaches_when_the_rank_sample_is_above_the_limit(slow, answer):
    """100 samples: the 95th decides."""
    series = (seen(0, requests=0), seen(60, requests=100, slow=slow))
    assert judge(DurationGate(2000, 900), series).answer is answer


def test_a_limit_inside_a_bucket_is_unknown_when_the_quantile_falls_there():
    """Buckets cannot tell 1500 from 1999 ms; no interpolation pretends they can."""
    series = (seen(0, requests=0), seen(60, requests=100, slow=50))
    verdict = judge(DurationGate(3000, 900), series)
    assert verdict.answer is Answer.UNKNOWN
    assert "bucket" in verdict.reason


@pytest.mark.parametrize(
    ("queue", "answer"), [(1000, Answer.PASS), (1001, Answer.BREACH), (None, Answer.UNKNOWN)]
)
def test_the_queue_limit_is_strict(queue, answer):
    """Exactly 1000 passes."""
    assert judge(QueueGate(1000), (seen(0, queue=queue),)).answer is answer


def blind(observation):
    return replace(observation, candidate=ArmSeen(healthy=None, problems=("metrics: refused",)))


@given(st.integers(0, 30))
def test_no_stream_without_a_valid_sample_can_pass(length):
    """Zero valid samples: every gate says unknown."""
    series = tuple(blind(seen(i * 5.0, look=i + 1)) for i in range(length))
    assert {v.answer for v in judge_all(series)} == {Answer.UNKNOWN}


COUNTS = st.tuples(st.integers(0, 500), st.floats(0, 1), st.floats(0, 1), st.integers(0, 3000))


@given(st.lists(COUNTS, max_size=20))
def test_judging_is_pure(rows):
    """The same series gets the same verdict; this is what makes a replay possible."""
    requests, series = 0, []
    for i, (more, bad, slow, queue) in enumerate(rows):
        requests += more
        series.append(
            seen(
                i * 5.0,
                look=i + 1,
                requests=requests,
                failed=requests * bad,
                slow=requests * slow,
                queue=queue,
            )
        )
    assert judge_all(tuple(series)) == judge_all(tuple(series))


@given(st.lists(st.sampled_from(Answer)))
def test_overall_is_the_worst_and_nothing_judged_is_unknown(answers):
    """Breach over unknown over pass."""
    verdicts = tuple(Verdict("g", answer, "") for answer in answers)
    order = [Answer.PASS, Answer.UNKNOWN, Answer.BREACH]
    wanted = max(answers, key=order.index, default=Answer.UNKNOWN)
    assert overall(verdicts) is wanted
