"""The capital: what it starts with, how it is placed, and that it does not grow under the null."""

import itertools
import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guarded_rollout.core.evidence_bets import RISING, RISING_SHARES, Bets, trials
from guarded_rollout.core.evidence_process import (
    LIGHT,
    ROBUST,
    UNTOUCHED,
    Dispersion,
    capital,
    excluded,
    step,
)

NOTHING = Bets((0.0,) * 5, ((0.0, 0.0),))
WIN = Bets((1.0,) * 5, ((-1.0, -1.0),))
HUGE = Bets((50.0,) * 5, ((50.0, 50.0),))


def after(rules, polls, *, cadence=5.0, dispersion=1.0):
    process = UNTOUCHED
    for k, bets in enumerate(polls):
        process = step(process, rules, bets, began=k * cadence, dispersion=dispersion)
    return process


@pytest.mark.parametrize("rules", [LIGHT, ROBUST])
@given(polls=st.integers(0, 60), cadence=st.sampled_from([1.0, 5.0, 120.0]))
def test_polls_that_say_nothing_leave_the_capital_at_one(rules, polls, cadence):
    """At every cadence, before, in and after the grace: nothing is created, nothing is lost."""
    process = after(rules, [NOTHING] * polls, cadence=cadence)
    assert capital(process, rules, RISING_SHARES) == pytest.approx(1.0)


@pytest.mark.parametrize("grace", [0.0, 12.0])
@pytest.mark.parametrize("dispersion", [1.0, 2.5])
@pytest.mark.parametrize("cap", [None, 0.7])
def test_the_mean_of_the_capital_never_grows(grace, dispersion, cap):
    """All outcomes of four polls of two trials each, enumerated; bets at the null."""
    q = 0.2
    rules = replace(LIGHT, grace=grace, cap=cap)
    law = {x: math.comb(2, x) * q**x * (1 - q) ** (2 - x) for x in range(3)}
    total = 0.0
    for outcome in itertools.product(law, repeat=4):
        polls = [
            Bets(trials(x, 2, q, (1.6, 5.0) if 5 * k < grace else RISING))
            for k, x in enumerate(outcome)
        ]
        process = after(rules, polls, dispersion=dispersion)
        weight = math.prod(law[x] for x in outcome)
        total += weight * capital(process, rules, RISING_SHARES)
    if cap is None and dispersion == 1.0:
        assert total == pytest.approx(1.0)
    else:
        assert total < 1.0


def test_the_cap_bounds_what_one_poll_can_do():
    """A burst in one poll cannot roll back by itself."""
    rules = replace(ROBUST, grace=0.0)
    assert capital(after(rules, [HUGE]), rules, RISING_SHARES) < math.exp(3.0) + 1
    assert capital(after(rules, [HUGE] * 4), rules, RISING_SHARES) >= 100
    bare = replace(rules, cap=None)
    assert capital(after(bare, [HUGE]), bare, RISING_SHARES) >= 100


def test_inside_the_grace_only_the_hard_share_is_at_stake():
    """What was lost there is the hard share; what was won there is bet on afterwards."""
    loss = Bets((-30.0, -30.0), ())
    assert capital(after(ROBUST, [loss] * 12), ROBUST, RISING_SHARES) == pytest.approx(0.8)
    won = after(ROBUST, [Bets((1.0, 1.0), ())] * 12)
    assert won.rising == ()
    later = step(won, ROBUST, WIN, began=60.0, dispersion=1.0)
    assert later.rising[0] == pytest.approx(math.e * (0.4 + 0.2 * math.exp(12)))


def test_a_hard_failure_is_found_inside_the_grace():
    """Three polls at the cap, though the grace lasts twelve."""
    won = after(ROBUST, [Bets((9.0, 9.0), ())] * 3)
    assert capital(won, ROBUST, RISING_SHARES) >= 100


def test_dispersion_divides_the_evidence_and_grows_with_the_traffic():
    """Never less than the factor; more where there is more traffic than it was measured at."""
    one = after(LIGHT, [WIN] * 4)
    half = after(LIGHT, [WIN] * 4, dispersion=2.0)
    assert capital(half, LIGHT, RISING_SHARES) < capital(one, LIGHT, RISING_SHARES)
    noise = Dispersion(1.5, 10.0)
    assert noise.at(5.0) == noise.at(10.0) == 1.5
    assert noise.at(40.0) == 3.0
    assert Dispersion(1.5).at(40.0) == 1.5


def test_nothing_is_excluded_before_anything_was_seen():
    """The accept side has no capital yet; one bad row is enough to refuse."""
    assert excluded(UNTOUCHED, (0.5, 0.5)) == 0.0
    rows = Bets((0.0,) * 5, ((5.0, 5.0), (-1.0, -1.0)))
    rules = replace(LIGHT, cap=None)
    assert excluded(after(rules, [rows]), (0.5, 0.5)) == pytest.approx(math.exp(-1))
