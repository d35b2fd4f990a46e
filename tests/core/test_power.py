"""What the power of the gates is made of: drawn traffic, bounds, whole simulations."""

import math
import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guarded_rollout.core.evidence_bets import scaled
from guarded_rollout.core.evidence_process import ROBUST
from guarded_rollout.core.gates import CustomGate, CustomKind
from guarded_rollout.core.information import (
    alone,
    compared,
    divergence,
    mixed,
    seconds_at_least,
)
from guarded_rollout.core.power import SURE, Found, power, proposed
from guarded_rollout.core.power_text import plot_lines, stage_lines, table_lines
from guarded_rollout.core.problems import NotPossible
from guarded_rollout.core.regressions import Traffic
from guarded_rollout.core.sample_deploy import sample_deploy
from guarded_rollout.core.schedule import Schedule
from guarded_rollout.core.simulated_traffic import (
    binomial,
    multinomial,
    poisson,
    slower,
    with_tail,
)
from guarded_rollout.core.spec import EVERYBODY, Stage, WatchPolicy
from guarded_rollout.core.stage_power import finds_lines, stages_find
from guarded_rollout.testing import examples

BOUNDS = (0.1, 0.2, 0.4, 0.8, 1.6)
rates = st.floats(0.001, 0.999)


def deploy(*stages, duration=300.0, rules=ROBUST, **gates):
    """A plan in an environment that evidence judges."""
    watch = WatchPolicy(Schedule(duration, 30.0, 300.0, 60.0), auto_rollback=True)
    limits = replace(examples.gates(), evidence=rules, **gates)
    return sample_deploy("production", limits, watch, (*stages, EVERYBODY))


HALF = deploy(Stage(50.0, 300.0))


@pytest.mark.parametrize(("n", "p"), [(5, 0.3), (400, 0.02), (5000, 0.4), (300, 0.97)])
def test_binomial_has_its_mean_and_variance(n, p):
    """Within five standard errors of 2000 draws."""
    chance = random.Random(1)
    drawn = [binomial(chance, n, p) for _ in range(2000)]
    mean = sum(drawn) / len(drawn)
    variance = sum((x - mean) ** 2 for x in drawn) / len(drawn)
    own = n * p * (1 - p)
    assert abs(mean - n * p) < 5 * math.sqrt(own / 2000)
    assert abs(variance / own - 1) < 5 * math.sqrt(2 / 2000) + 0.05
    assert all(0 <= x <= n for x in drawn)


def test_of_nothing_nothing_is_drawn_and_certainty_is_certain():
    """The edges of p and n."""
    chance = random.Random(1)
    assert [binomial(chance, 0, 0.5), binomial(chance, 9, 0.0), binomial(chance, 9, 1.0)] == [
        0,
        0,
        9,
    ]


@given(st.integers(0, 500), st.lists(rates, min_size=2, max_size=8), st.integers(0, 99))
def test_buckets_hold_all_requests(n, weights, seed):
    """None is lost to rounding."""
    shares = [weight / sum(weights) for weight in weights]
    counts = multinomial(random.Random(seed), n, shares)
    assert sum(counts) == n
    assert min(counts) >= 0


def test_twice_as_slow_moves_every_bucket_by_one_where_bounds_double():
    """Exact: the buckets are a factor of two apart."""
    shares = (0.5, 0.2, 0.1, 0.1, 0.05, 0.05)
    expected = (0.0, 0.5, 0.2, 0.1, 0.1, 0.1)
    assert slower(shares, BOUNDS, 2.0) == pytest.approx(expected)


@given(st.lists(rates, min_size=6, max_size=6), st.floats(1.0, 50.0), st.floats(0.0, 1.0))
def test_slower_is_never_quicker(weights, factor, part):
    """Stochastically: the part below each bound does not grow; the sum stays 1."""
    shares = [weight / sum(weights) for weight in weights]
    for moved in (slower(shares, BOUNDS, factor), with_tail(shares, BOUNDS, part, factor)):
        assert sum(moved) == pytest.approx(1.0)
        for bucket in range(6):
            assert sum(moved[:bucket]) <= sum(shares[:bucket]) + 1e-9


@given(rates, rates)
def test_divergence_is_never_negative(p, q):
    """And zero for one distribution."""
    assert divergence((p, 1 - p), (q, 1 - q)) >= -1e-12
    assert divergence((p, 1 - p), (p, 1 - p)) == 0.0


def test_the_bounds_of_the_reference():
    """docs/reference/evidence.md: 50/s, 5 %, 0.5 -> 2 % is 157 s; and four others."""
    for rps, share, base, rate, seconds in (
        (50, 0.05, 0.005, 0.02, 157),
        (500, 0.05, 0.005, 0.01, 101),
        (50, 0.5, 0.005, 0.01, 215),
        (20, 0.1, 0.01, 0.05, 67),
        (5, 0.5, 0.01, 0.2, 16),
    ):
        told = compared(rate, base, share, 1.0)
        assert abs(seconds_at_least(0.01, told, rps) - seconds) < 0.6


@given(rates, rates, st.floats(0.01, 0.99))
def test_without_a_margin_the_nearest_null_is_the_pool(p, base, share):
    """The closed form of the same bound."""
    if p <= base:
        assert compared(p, base, share, 1.0) == 0.0
        return
    pooled = mixed((p, 1 - p), (base, 1 - base), share)
    assert compared(p, base, share, 1.0) == pytest.approx(pooled, rel=1e-4, abs=1e-9)


@given(rates, st.floats(0.01, 0.99), st.floats(1.0, 5.0))
def test_what_the_margin_allows_tells_nothing(base, share, margin):
    """Then no time is enough."""
    told = compared(scaled(base, margin), base, share, margin)
    assert told == 0.0
    assert seconds_at_least(0.01, told, 1000.0) == math.inf
    assert alone(base, base) == 0.0


@pytest.fixture(scope="module")
def calm():
    """The stages for 20 requests a second."""
    return proposed(HALF, Traffic(20.0, 0.5, 0.01), random.Random)


def other_seeds(run):
    """A thousand further on."""
    return random.Random(1000 + run)


@pytest.fixture(scope="module")
def half():
    """50 requests a second, half of them for the candidate, 1 % fail; durations are known."""
    shares = (0.5, 0.3, 0.1, 0.06, 0.03, 0.01)
    return power(HALF, Traffic(50.0, 0.5, 0.01, shares, BOUNDS), random.Random)


def by_name(found):
    return {one.what: one for one in found}


def test_worse_is_found_sooner_and_never_before_the_bound(half):
    """Medians fall as the failure rate rises; the bound holds on average."""
    found = half[:4]
    medians = [one.within(0.5) for one in found]
    assert medians == sorted(medians, reverse=True)
    assert [one.rate for one in found] == pytest.approx([0.02, 0.04, 0.1, 0.4])
    assert found[-1].share == found[-2].share == 1.0
    for one in found[2:]:
        assert sum(one.seconds) / len(one.seconds) >= one.bound
    assert 0 < found[-1].failed < found[-1].asked


def test_the_same_seeds_give_the_same_answer():
    """So that two people see one table."""
    brief, traffic = deploy(Stage(50.0, 30.0), duration=30.0), Traffic(20.0, 0.5, 0.02)
    assert power(brief, traffic, random.Random) == power(brief, traffic, random.Random)
    assert power(brief, traffic, random.Random) != power(brief, traffic, other_seeds)


def test_alone_only_what_breaks_the_limit_is_found():
    """All at once: 2, 4 % are allowed by a limit of 5 %; 40 % are not."""
    found = by_name(power(deploy(), Traffic(50.0, 1.0, 0.01), random.Random))
    for allowed in ("failures 2 times", "failures 4 times"):
        assert found[allowed].bound == math.inf
        assert found[allowed].share == 0.0
    assert found["failures 40 times"].share == 1.0


def test_slower_requests_are_found_where_durations_are_known(half):
    """Three regressions more; three times as slow at once."""
    found = by_name(half)
    assert len(found) == 7
    slow = found["durations 3 times"]
    assert slow.share == 1.0
    assert slow.within(0.5) >= slow.bound


def test_dispersion_makes_everything_later(half):
    """It divides what each poll is worth."""
    dispersed = deploy(Stage(50.0, 300.0), duration=200.0, dispersion=4.0)
    traffic = Traffic(50.0, 0.5, 0.01)
    even = by_name(half)["failures 10 times"]
    noisy = by_name(power(dispersed, traffic, random.Random))["failures 10 times"]
    assert noisy.within(0.5) > even.within(0.5)
    assert noisy.bound == pytest.approx(4 * even.bound)


def test_thresholds_promise_nothing():
    """They cannot be asked."""
    with pytest.raises(NotPossible, match="thresholds judge in production"):
        power(deploy(rules=None), Traffic(50.0, 1.0, 0.01), random.Random)


def test_stages_begin_smaller_where_there_is_more_traffic_and_grow(calm):
    """And the one before the first proposed would not do."""
    busy = proposed(HALF, Traffic(500.0, 0.5, 0.01), random.Random)
    assert busy[0].percent < calm[0].percent
    for stages in (busy, calm):
        shares = [stage.percent for stage in stages]
        assert shares == sorted(set(shares))
        assert shares[-1] == 50.0
        assert {stage.bake_seconds for stage in stages} == {300.0}


def test_the_first_stage_finds_ten_fold_failures_within_its_bake(calm):
    """Asked again as a power question with the bake as the watch."""
    traffic = Traffic(20.0, 0.5, 0.01)
    first = calm[0]
    watched = deploy(first, duration=300.0)
    there = replace(traffic, share=first.percent / 100.0)
    found = by_name(power(watched, there, random.Random))["failures 10 times"]
    assert found.share >= SURE


def test_too_little_traffic_gets_no_stages():
    """A request every ten seconds shows nothing in five minutes."""
    assert proposed(HALF, Traffic(0.1, 0.5, 0.01), random.Random) == ()


FOUND = (
    Found("failures 2 times", 0.01, (math.inf,) * 10, 7.0, 700.0, 2000.0),
    Found("failures 40 times", 0.2, (20.0,) * 9 + (math.inf,), 20.0, 100.0, 0.4),
)


def test_the_table_and_the_plot_say_what_was_found():
    """Never is a word; nine of ten runs found it after 20 s."""
    head, never, soon = table_lines(FOUND)
    assert head.split() == ["regression", "rate", "found", "median", "bound", "failed", "requests"]
    assert never.split()[3:] == ["1", "%", "0", "%", "never", "33", "min", "7", "700"]
    assert soon.split()[3:] == ["20", "%", "90", "%", "20", "s", "<", "1", "s", "20", "100"]
    plot = plot_lines(FOUND, 600.0)
    assert set(plot[1].split("|")[1]) == {"."}
    assert plot[2].split("|")[1].strip(".").strip("#") == ""
    assert len({len(line) for line in plot[:-1]}) == 1


def test_stages_are_pasted_as_toml():
    """Their shape is the configuration's; another test loads them."""
    assert stage_lines("eu", (Stage(2.5, 300.0),)) == [
        "[[environments.eu.stages]]",
        "percent = 2.5",
        'bake = "5m"',
    ]


def test_a_larger_share_finds_what_a_small_one_does_not():
    """Stage by stage; without both versions serving there is nothing to say."""
    plan = deploy(Stage(1.0, 60.0), Stage(50.0, 120.0))
    found = stages_find(plan, Traffic(50.0, 1.0, 0.005), random.Random)
    assert [one.percent for one in found] == [1.0, 50.0]
    assert found[0].times is None or found[0].times > (found[1].times or 0)
    assert found[1].times is not None
    assert found[1].rate == pytest.approx(0.005 * found[1].times)
    assert all("times as many failures as usual" in line for line in finds_lines(found))
    assert stages_find(deploy(), Traffic(50.0, 1.0, 0.005), random.Random) == ()
    nothing = stages_find(plan, Traffic(0.1, 1.0, 0.005), random.Random)
    assert [one.times for one in nothing] == [None, None]
    assert "too few requests" in finds_lines(nothing)[0]


EVENT = CustomGate("crashes", CustomKind.EVENT, "m", 6.0)


def test_a_poisson_count_has_its_mean_and_variance():
    """Within five standard errors of 2000 draws."""
    chance = random.Random(2)
    drawn = [poisson(chance, 3.5) for _ in range(2000)]
    mean = sum(drawn) / len(drawn)
    assert abs(mean - 3.5) < 5 * math.sqrt(3.5 / 2000)
    assert abs(sum((x - mean) ** 2 for x in drawn) / len(drawn) / 3.5 - 1) < 0.25
    assert poisson(chance, 0.0) == 0


@pytest.mark.parametrize("stages", [(), (Stage(50.0, 300.0),)], ids=["alone", "compared"])
def test_events_are_found_by_their_own_gate_and_never_before_the_bound(stages):
    """Ten times the limit, in an hour; against the limit alone, or beside a quiet baseline."""
    plan = deploy(*stages, duration=3600.0, custom=(EVENT,))
    share = 0.5 if stages else 1.0
    own = {"crashes": Traffic(1.0 / 3600, share, 0.0)}
    found = by_name(power(plan, Traffic(1.0, share, 0.01), random.Random, own))
    many = found["crashes 10 times"]
    assert (many.hourly, many.rate) == (60.0, None)
    assert many.share > SURE
    assert sum(many.seconds) / len(many.seconds) >= many.bound
    assert 0 < many.failed < 60
    assert len(found) == 6


def test_what_is_not_compared_cannot_bring_a_canary_back():
    """It holds; nothing is promised of it."""
    plan = deploy(Stage(50.0, 300.0), custom=(replace(EVENT, compare=False),))
    own = {"crashes": Traffic(0.0, 0.5, 0.0)}
    assert len(power(plan, Traffic(1.0, 0.5, 0.01), random.Random, own)) == 4
