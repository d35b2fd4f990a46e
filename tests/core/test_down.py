"""The fast lane's rule."""

from hypothesis import given
from hypothesis import strategies as st

from guarded_rollout.core.down import CONFIRM_SECONDS, ROUNDS, Pulse, Round

GOOD, BAD, DEAD = Round(1, 1, 2), Round(0, 2, 2), Round(0, 2, 0)


def after(*rounds):
    pulse = Pulse()
    for one in rounds:
        pulse = pulse.after(one)
    return pulse


@given(st.lists(st.sampled_from([GOOD, BAD, DEAD])))
def test_a_release_that_still_serves_is_not_down(rounds):
    """One good round ends every doubt."""
    pulse = after(*rounds, GOOD)
    assert not pulse.down
    assert pulse.pause(1.0) == 1.0


def test_eight_failed_rounds_are_down_and_seven_are_not():
    """The rule as stated."""
    assert not after(*[BAD] * (ROUNDS - 1)).down
    assert after(*[BAD] * ROUNDS).down


def test_dead_processes_need_two_rounds():
    """The supervisor's word counts, but one blip between two restarts is not enough."""
    assert not after(DEAD).down
    assert after(DEAD, DEAD).down


def test_a_hard_failure_is_known_within_three_and_a_half_seconds():
    """One normal pause, then the confirming rounds: the bound of five seconds has room."""
    assert 1.0 + (ROUNDS - 1) * CONFIRM_SECONDS <= 3.5
