"""Windows, counters, histograms."""

from hypothesis import given
from hypothesis import strategies as st

from guarded_rollout.core.series import (
    ArmSeen,
    Histogram,
    Observation,
    Reading,
    candidate_durations,
    candidate_increase,
    increase,
    quantile,
    window,
)
from guarded_rollout.testing import examples


def test_a_restart_of_a_replica_loses_only_what_nobody_saw():
    """5 → 8 → (restart) 2 → 4 is a rise of 3 + 2 + 2."""
    assert increase([5, 8, 2, 4]) == 7


@given(st.lists(st.integers(0, 50), min_size=1), st.integers(0, 1000))
def test_a_counter_without_restarts_rises_by_last_minus_first(steps, start):
    """The sum of rises is the rise."""
    values = [start]
    for step in steps:
        values.append(values[-1] + step)
    assert increase(values) == values[-1] - values[0]


@given(st.lists(st.floats(0, 1000), max_size=40))
def test_a_rise_is_never_negative(values):
    """Whatever a source reports."""
    assert increase(values) >= 0


def test_a_window_keeps_the_observation_just_before_it():
    """A counter's rise inside the window needs a value at its start."""
    series = tuple(examples.seen(t) for t in (0.0, 10.0, 20.0, 30.0))
    assert [seen.elapsed for seen in window(series, 15)] == [10.0, 20.0, 30.0]
    assert window((), 15) == ()


@given(st.lists(st.floats(0, 1e4), min_size=1).map(sorted), st.floats(0.1, 1e4))
def test_windows_nest(times, seconds):
    """A window of a longer window is the window itself."""
    series = tuple(examples.seen(t) for t in times)
    assert window(window(series, seconds * 2), seconds) == window(series, seconds)


def two_replicas(elapsed, first, second):
    arm = ArmSeen(healthy=True, readings=(Reading("a", total=first), Reading("b", total=second)))
    return Observation(elapsed, arm)


def test_replicas_are_followed_one_by_one():
    """A restart of one replica is no reset of the other."""
    series = (two_replicas(0, 100, 100), two_replicas(5, 150, 10))
    assert candidate_increase(series, lambda reading: reading.total) == 60


def test_one_sample_is_no_rise():
    """A single sample says nothing about a rate, nor does NaN."""
    assert candidate_increase((examples.seen(0),), lambda reading: reading.total) is None
    garbled = (two_replicas(0, float("nan"), float("nan")),) * 3
    assert candidate_increase(garbled, lambda reading: reading.total) is None


def test_replicas_with_other_buckets_cannot_be_added():
    """A sum over unlike buckets would be a lie."""

    def arm(at):
        odd = Reading("b", durations=Histogram((0.5,), (at, at)))
        even = Reading("a", durations=Histogram((0.7,), (at, at)))
        return Observation(at, ArmSeen(healthy=True, readings=(odd, even)))

    assert candidate_durations((arm(1.0), arm(2.0))) is None


@given(st.lists(st.sampled_from([0.05, 0.5, 1.5, 3.0, 9.0]), min_size=1, max_size=200))
def test_the_quantile_is_the_nearest_rank_sample_s_bucket(samples):
    """Against the definition: sort, take number ceil(0.95 n)."""
    bounds = examples.BOUNDS
    counts = tuple(float(sum(s <= b for s in samples)) for b in (*bounds, float("inf")))
    found = quantile(Histogram(bounds, counts), 0.95)
    rank = -(-len(samples) * 95 // 100)
    wanted = sorted(samples)[rank - 1]
    assert found is not None
    assert found.above < wanted <= found.up_to
    assert found.samples == len(samples)


def test_no_samples_no_quantile():
    """Nothing was measured."""
    assert quantile(Histogram((1.0,), (0.0, 0.0)), 0.95) is None
