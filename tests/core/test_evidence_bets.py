"""Every bet is fair: its mean under its null is at most one, by enumeration."""

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guarded_rollout.core.evidence_bets import (
    FALLING,
    RISING,
    Profile,
    Table,
    events,
    histograms,
    trials,
    two_arms,
)
from guarded_rollout.core.evidence_permutation import log_choose
from guarded_rollout.core.evidence_profiles import plan, shares

GRID = [
    (n, m, bad, margin)
    for n, m in [(1, 1), (1, 9), (4, 4), (7, 2), (12, 238), (60, 60)]
    for bad in {1, 2, (n + m) // 3, (n + m) // 2, n + m - 1, n + m}
    if 0 < bad <= n + m
    for margin in (1.0, 1.25, 8.0)
]


def fisher(n, m, bad, odds) -> dict[int, float]:
    """Who got how many of the failures, if the candidate's odds are `odds` times as high."""
    xs = range(max(0, bad - m), min(n, bad) + 1)
    logs = [log_choose(n, x) + log_choose(m, bad - x) + x * math.log(odds) for x in xs]
    peak = max(logs)
    raw = [math.exp(v - peak) for v in logs]
    return {x: p / math.fsum(raw) for x, p in zip(xs, raw, strict=True)}


def mean(law, pay) -> float:
    return math.fsum(p * math.exp(pay(x)) for x, p in law.items())


@pytest.mark.parametrize(("n", "m", "bad", "margin"), GRID)
def test_rising_bets_on_two_arms_are_fair(n, m, bad, margin):
    """Exactly one at the margin, at most one for any better candidate."""
    for i in range(len(RISING)):

        def pay(x, i=i):
            return two_arms(Table(x, n, bad - x, m), margin, RISING, 2.0, FALLING).rising[i]

        assert mean(fisher(n, m, bad, margin), pay) == pytest.approx(1.0, abs=1e-6)
        assert mean(fisher(n, m, bad, margin * 0.6), pay) <= 1.0 + 1e-6


@pytest.mark.parametrize(("n", "m", "bad", "limit"), GRID)
def test_falling_bets_on_two_arms_are_fair(n, m, bad, limit):
    """Exactly one at what is not tolerated, at most one for anything worse."""
    for i in range(len(FALLING)):

        def pay(x, i=i):
            return two_arms(Table(x, n, bad - x, m), 1.0, RISING, limit, FALLING).falling[0][i]

        assert mean(fisher(n, m, bad, limit), pay) == pytest.approx(1.0, abs=1e-6)
        assert mean(fisher(n, m, bad, limit * 1.7), pay) <= 1.0 + 1e-6


@pytest.mark.parametrize("q", [0.001, 0.05, 0.3])
@pytest.mark.parametrize("d", [1, 7, 60])
def test_bets_on_trials_are_fair(q, d):
    """Rising at q and below, falling at q and above."""

    def law(p):
        return {x: math.exp(log_choose(d, x)) * p**x * (1 - p) ** (d - x) for x in range(d + 1)}

    for i in range(len(RISING)):
        assert mean(law(q), lambda x, i=i: trials(x, d, q, RISING)[i]) == pytest.approx(1.0)
        assert mean(law(q / 2), lambda x, i=i: trials(x, d, q, RISING)[i]) <= 1.0
    for i in range(len(FALLING)):
        assert mean(law(q * 1.5), lambda x, i=i: trials(x, d, q, FALLING)[i]) <= 1.0


@pytest.mark.parametrize("rate", [0.01, 1.0, 9.0])
def test_bets_on_events_are_fair(rate):
    """Poisson counts; the rest beyond 800 is nothing."""

    def worth(expected, multipliers, i):
        return math.fsum(
            math.exp(
                x * math.log(rate) - rate - math.lgamma(x + 1) + events(x, expected, multipliers)[i]
            )
            for x in range(800)
        )

    for i in range(len(RISING)):
        assert worth(rate, RISING, i) == pytest.approx(1.0, abs=1e-6)
        assert worth(rate * 2, RISING, i) <= 1.0
    for i in range(len(FALLING)):
        assert worth(rate / 2, FALLING, i) <= 1.0


def deals(pool, n, tilt) -> dict[tuple[int, ...], float]:
    """Every way to deal n of the pool to the candidate, with odds `tilt` per group."""
    law = {}
    for chosen in itertools.product(*(range(count + 1) for count in pool)):
        if sum(chosen) == n:
            law[chosen] = math.exp(
                sum(
                    log_choose(d, x) + x * math.log(g)
                    for d, x, g in zip(pool, chosen, tilt, strict=True)
                )
            )
    total = math.fsum(law.values())
    return {chosen: p / total for chosen, p in law.items()}


POOLS = st.tuples(*[st.integers(0, 5)] * 4).filter(lambda pool: sum(pool) > 2)
WEIGHTS = st.lists(st.floats(1.0, 4.0), min_size=3, max_size=3)


@given(POOLS, st.integers(1, 19), WEIGHTS, st.sampled_from([1.0, 1.25, 8.0]), st.integers(1, 3))
def test_the_histogram_bet_is_fair(pool, n, factors, margin, first_bad):
    """Against exact enumeration, with and without a margin."""
    n = min(n, sum(pool) - 1)
    weights = [1.0]
    for b, factor in enumerate(factors, 1):
        weights.append(weights[-1] * factor if b >= first_bad else 1.0)
    profile = Profile(tuple(weights), first_bad)
    tilt = [margin if b >= first_bad else 1.0 for b in range(4)]

    def pay(chosen):
        theirs = [d - x for d, x in zip(pool, chosen, strict=True)]
        return histograms(chosen, theirs, margin, [profile])[0]

    assert mean(deals(pool, n, tilt), pay) == pytest.approx(1.0, abs=1e-5)


@given(
    st.lists(st.integers(0, 30), min_size=5, max_size=5),
    st.lists(st.integers(0, 200), min_size=5, max_size=5),
    st.integers(0, 3),
    st.sampled_from([1.0, 1.25]),
)
def test_a_slower_candidate_never_pays_less(ours, theirs, bucket, margin):
    """Fair for equal arms, monotone in every sample: so fair for every faster candidate too."""
    if not ours[bucket] or not sum(theirs):
        return
    bets = plan((400, 300, 200, 80, 20), margin, failures=False)
    slower = list(ours)
    slower[bucket] -= 1
    slower[bucket + 1] += 1

    def paid(counts):
        groups = [[0] * bets.groups, [0] * bets.groups]
        for arm, found in zip(groups, (counts, theirs), strict=True):
            for count, group in zip(found, bets.group_of, strict=True):
                arm[group] += count
        return histograms(groups[0], groups[1], margin, bets.profiles)

    for before, after in zip(paid(ours), paid(slower), strict=True):
        assert after >= before - 0.0095  # the closed bound is this rough


@given(
    st.lists(st.integers(0, 5000), min_size=3, max_size=20),
    st.booleans(),
    st.sampled_from([1.0, 1.25]),
)
def test_bets_are_placed_from_best_to_worst(reference, failures, margin):
    """Whatever the reference: as many bets, weights that never fall, one below the margin."""
    bets = plan(reference, margin, failures=failures)
    assert len(bets.profiles) == len(shares(failures=failures))
    assert sum(shares(failures=failures)) == pytest.approx(1.0)
    assert len(bets.group_of) == len(reference)
    assert max(bets.group_of) == bets.groups - 1
    for profile in (*bets.profiles, *bets.hard):
        assert len(profile.weights) == bets.groups
        assert list(profile.weights) == sorted(profile.weights)
        if margin != 1.0:
            assert len(set(profile.weights[: profile.first_bad])) <= 1
