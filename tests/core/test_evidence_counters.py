"""Counters that cannot be trusted give a reason, never numbers."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guarded_rollout.core.evidence_counters import UNSEEN, Rise, follow
from guarded_rollout.core.evidence_signals import Signal
from guarded_rollout.core.series import ArmSeen, Histogram, Observation, ProxyReading, Reading

BOUNDS = (0.1, 0.5)


def arm(*readings, proxy=None) -> ArmSeen:
    return ArmSeen(healthy=True, replicas_alive=len(readings), readings=readings, proxy=proxy)


def asked(total, bad, instance="a") -> Reading:
    return Reading(instance, bad, total)


def told(signal, *pairs, paired=True, cadence=5.0):
    """What the last of these observations of (candidate, baseline) said."""
    track, said = UNSEEN, "nothing"
    for k, (candidate, baseline) in enumerate(pairs):
        track, said = follow(
            track, Observation(k * cadence, candidate, baseline), signal, paired=paired
        )
    return said


OK = (arm(asked(100, 1)), arm(asked(1000, 10)))
LATER = (arm(asked(140, 3)), arm(asked(1300, 15)))

SILENT = {
    "nothing before": [OK],
    "no candidate": [OK, (arm(), LATER[1])],
    "no baseline": [OK, (LATER[0], arm())],
    "baseline gone": [OK, (LATER[0], None)],
    "not a number": [OK, (arm(asked(math.nan, 3)), LATER[1])],
    "a failure count that is no number": [OK, (arm(asked(140, math.nan)), LATER[1])],
    "infinite": [OK, (arm(asked(math.inf, 3)), LATER[1])],
    "negative": [OK, (arm(asked(-1, -1)), LATER[1])],
    "failures not given": [OK, (arm(asked(140, None)), LATER[1])],
    "more failures than requests": [OK, (arm(asked(140, 150)), LATER[1])],
    "a restart": [OK, (arm(asked(5, 0)), LATER[1])],
    "a late reading": [OK, LATER, (OK[0], (arm(asked(1500, 15))))],
    "only the candidate moves": [OK, (LATER[0], OK[1])],
    "only the baseline moves": [OK, (OK[0], LATER[1])],
    "an unknown replica": [OK, (arm(asked(140, 3, "b")), LATER[1])],
}


@pytest.mark.parametrize("name", SILENT)
def test_what_cannot_be_trusted_is_a_reason(name):
    """The paths on which today's tools pass, or blame the service for its metrics."""
    assert isinstance(told(Signal.REQUESTS, *SILENT[name]), str)


def test_what_rose_is_counted_for_both_arms():
    """The difference of two observations."""
    assert told(Signal.REQUESTS, OK, LATER) == Rise(5.0, 5.0, (40.0, 2.0), (300.0, 5.0))


@pytest.mark.parametrize("missing", ["no candidate", "no baseline", "only the candidate moves"])
def test_nothing_is_lost_when_a_source_comes_back(missing):
    """Both arms then cover the whole gap."""
    assert told(Signal.REQUESTS, *SILENT[missing], LATER) == Rise(
        10.0, 10.0, (40.0, 2.0), (300.0, 5.0)
    )


def test_a_late_reading_is_not_counted_twice():
    """100, 140, 100 (late), 150: fifty requests in all, not ninety."""
    track, total = UNSEEN, 0.0
    for k, (ours, theirs) in enumerate([(100, 1000), (140, 1300), (100, 1500), (150, 1600)]):
        seen = Observation(5.0 * k, arm(asked(ours, 0)), arm(asked(theirs, 0)))
        track, said = follow(track, seen, Signal.REQUESTS, paired=True)
        total += said.candidate[0] if isinstance(said, Rise) else 0.0
    assert total == 50


def test_after_a_restart_counting_goes_on():
    """The span in which it fell says nothing, the next one does."""
    again = (arm(asked(5, 0)), LATER[1])
    then = (arm(asked(25, 4)), arm(asked(1400, 16)))
    assert told(Signal.REQUESTS, OK, again, then) == Rise(10.0, 5.0, (20.0, 4.0), (100.0, 1.0))


def test_an_arm_without_traffic_is_waited_for_but_not_for_ever():
    """After a minute the idle span is over, without evidence from it."""
    pairs = [OK] + [(arm(asked(100 + k, 1)), OK[1]) for k in range(1, 14)]
    said = told(Signal.REQUESTS, *pairs)
    assert isinstance(said, str) or said.baseline == (0.0, 0.0)


def test_an_observation_that_comes_twice_says_nothing():
    """The same moment, or an earlier one."""
    track, _ = follow(UNSEEN, Observation(5.0, *OK), Signal.REQUESTS, paired=True)
    for elapsed in (5.0, 4.0):
        kept, said = follow(track, Observation(elapsed, *LATER), Signal.REQUESTS, paired=True)
        assert kept == track
        assert isinstance(said, str)


def test_a_new_process_of_the_proxy_begins_again():
    """Its counters belong to an epoch."""

    def proxy(epoch, requests, errors):
        return arm(proxy=ProxyReading(epoch, requests, errors, 2, 1, 0))

    base = [proxy("1", 1000, 0), proxy("1", 2000, 0)]
    same = told(Signal.PROXY_REQUESTS, (proxy("1", 100, 0), base[0]), (proxy("1", 150, 4), base[1]))
    assert same == Rise(5.0, 5.0, (50.0, 4.0), (1000.0, 0.0))
    other = told(
        Signal.PROXY_REQUESTS, (proxy("1", 100, 0), base[0]), (proxy("2", 150, 4), base[1])
    )
    assert isinstance(other, str)


def slow(*cumulative, bounds=BOUNDS, bad=None) -> ArmSeen:
    return arm(Reading("a", bad, None, Histogram(bounds, cumulative)))


def test_buckets_are_taken_apart():
    """Cumulative counts become counts per bucket; failures stand behind them."""
    pairs = [(slow(1, 2, 3), slow(0, 0, 0)), (slow(5, 8, 12), slow(10, 20, 30))]
    assert told(Signal.DURATIONS, *pairs) == Rise(
        5.0, 5.0, (4.0, 2.0, 3.0), (10.0, 10.0, 10.0), BOUNDS
    )
    pairs = [(slow(1, 2, 3, bad=1), slow(0, 0, 0, bad=0)), (slow(5, 8, 12, bad=4),) * 2]
    said = told(Signal.OUTCOMES, *pairs)
    assert said.candidate == (4.0, 2.0, 3.0, 3.0)


@pytest.mark.parametrize(
    "garbled",
    [slow(5, 4, 12), slow(5, 8), slow(5, 8, 12, bounds=(0.1, 0.4)), slow(5, 8, math.nan)],
)
def test_garbled_buckets_are_a_reason(garbled):
    """Falling, too few, others than the baseline's, no numbers."""
    pairs = [(slow(1, 2, 3), slow(0, 0, 0)), (garbled, slow(10, 20, 30))]
    assert isinstance(told(Signal.DURATIONS, *pairs), str)


NUMBERS = st.one_of(st.none(), st.floats(), st.integers(0, 50))


@given(st.lists(st.tuples(NUMBERS, NUMBERS, NUMBERS, NUMBERS), max_size=12))
def test_whatever_is_read_no_rise_is_negative_or_contradictory(rows):
    """Not more failures than requests, nothing below zero, no infinities."""
    track = UNSEEN
    for k, (total, bad, others, theirs) in enumerate(rows):
        seen = Observation(5.0 * k, arm(asked(total, bad)), arm(asked(others, theirs)))
        track, said = follow(track, seen, Signal.REQUESTS, paired=True)
        if isinstance(said, Rise):
            for n, x in (said.candidate, said.baseline):
                assert 0 <= x <= n < math.inf
