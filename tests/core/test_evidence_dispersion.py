"""φ from two equal arms: one without noise, more with clusters, more with noise that lasts."""

import random

import pytest

from guarded_rollout.core.evidence_bets import Table
from guarded_rollout.core.evidence_dispersion import from_tables, from_trials


def polls(rng, *, noise=0.0, lasting=1, cluster=1, count=240) -> list[Table]:
    """A/A polls of 250 requests for each arm at 4 %; `noise` of one arm stays for some polls."""
    tables, rates = [], [0.04, 0.04]
    for k in range(count):
        if k % lasting == 0:
            rates = [0.04 * (1.0 + noise * rng.choice((-1.0, 1.0))) for _ in range(2)]
        x, y = (cluster * sum(rng.random() < rate / cluster for _ in range(250)) for rate in rates)
        tables.append(Table(x, 250, y, 250))
    return tables


def test_independent_requests_need_no_correction():
    """Mostly exactly one; doubt does not add up to much."""
    factors = [from_tables(polls(random.Random(i)), 1200.0).factor for i in range(20)]
    assert sorted(factors)[10] < 1.2
    assert max(factors) < 4.0


@pytest.mark.parametrize("noise", [{"cluster": 4}, {"noise": 0.5}, {"noise": 0.5, "lasting": 8}])
def test_noise_shows(noise):
    """Clusters of four need four; noise that stays needs more than noise that goes."""
    found = [from_tables(polls(random.Random(i), **noise), 1200.0).factor for i in range(5)]
    assert min(found) > 1.5
    if "cluster" in noise:
        assert 3.0 < sorted(found)[2] < 7.0


def test_noise_that_stays_needs_more():
    """A single poll does not show it, a block of polls does."""
    short = from_tables(polls(random.Random(1), noise=0.5), 1200.0).factor
    long = from_tables(polls(random.Random(1), noise=0.5, lasting=8), 1200.0).factor
    assert long > short


def test_the_traffic_it_was_measured_at_is_kept():
    """250 requests for each arm in five seconds are 25 pairs a second."""
    assert from_tables(polls(random.Random(1)), 1200.0).per_second == 25.0
    assert from_trials([(1, 50)] * 10, 100.0).per_second == 5.0


def test_without_data_there_is_no_correction():
    """Nothing, no failures, no requests: the caller knows that it has no A/A period."""
    assert from_tables([], 0.0).factor == 1.0
    assert from_tables([Table(0, 9, 0, 9)] * 40, 200.0).factor == 1.0
    assert from_tables([Table(0, 0, 0, 0)] * 40, 200.0).factor == 1.0
    assert from_trials([(0, 0)] * 40, 200.0).factor == 1.0


def test_one_arm_by_itself():
    """Failures that come by the dozen."""
    rng = random.Random(3)
    counts = [(12 * (rng.random() < 0.2), 300) for _ in range(200)]
    assert from_trials(counts, 1000.0).factor > 5.0
