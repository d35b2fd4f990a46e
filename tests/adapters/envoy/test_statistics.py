"""Numbers: Envoy's bins on our bounds, names there and back, and counts under load."""

from bisect import bisect_left

from hypothesis import given
from hypothesis import strategies as st

from guarded_rollout.adapters.envoy.names import decode, encode, parts, standing_by
from guarded_rollout.adapters.envoy.statistics import BOUNDS, BOUNDS_MS, histogram
from guarded_rollout.core.series import quantile
from guarded_rollout.ports import Route


@given(st.text(min_size=1, max_size=30))
def test_a_releases_name_survives_envoy(release):
    """Whatever it is: letters, digits, dashes and underscores only, and back."""
    name = encode(release)
    assert all(letter.isascii() and (letter.isalnum() or letter in "-_") for letter in name)
    assert decode(name) == release
    assert parts(name) == (release, None)


@given(st.text(min_size=1), st.text(min_size=1))
def test_a_standbys_role_survives_envoy(standby, release):
    """Both names come back."""
    assert parts(standing_by(standby, release)) == (standby, release)


def test_different_releases_have_different_names():
    """No two of these share their statistics."""
    names = ["1.0", "1_0", "1-0", "1_2e0", "1@0", "1%2e0"]
    assert len({encode(name) for name in names}) == len(names)


def bin_of(milliseconds):
    """Envoy's bin for a whole number of milliseconds: two significant digits."""
    if milliseconds == 0:
        return {"lower_bound": 0, "width": 0, "count": 1}
    scale = 0.1
    while milliseconds >= 100 * scale:
        scale *= 10
    scale = round(scale, 1)
    lower = milliseconds // scale * scale if scale >= 1 else milliseconds
    return {"lower_bound": lower, "width": scale, "count": 1}


@given(st.floats(min_value=0.0, max_value=139_999.0))
def test_every_duration_lands_between_the_right_bounds(milliseconds):
    """Envoy rounds down to whole milliseconds; the bracket still holds the true duration."""
    found = quantile(histogram([bin_of(int(milliseconds))]), 1.0)
    assert found is not None
    assert found.above * 1000 <= milliseconds <= found.up_to * 1000


def test_bounds_are_edges_of_envoys_bins():
    """Ascending, at most two significant digits up to 100 s; a bracket is at most 2.5 wide."""
    assert list(BOUNDS_MS) == sorted(set(BOUNDS_MS))
    assert all(len(str(bound).rstrip("0")) <= 2 for bound in BOUNDS_MS)
    assert BOUNDS[bisect_left(BOUNDS, 0.25)] == 0.25


def test_no_samples_are_an_empty_histogram():
    """The first difference of two readings needs a start."""
    empty = histogram(())
    assert empty.bounds == BOUNDS
    assert set(empty.counts) == {0.0}
    assert len(empty.counts) == len(BOUNDS) + 1


def test_counts_are_exact_under_load_with_errors_in_between(world):
    """Every request of eight clients, and five hundred sent one by one beside them."""
    world.traffic.route(Route(world.arm("a"), None, 1))
    with world.load() as seen:
        statuses = [world.ask(path=f"/status/{s}")[0] for s in (500, 404, 503, 200) * 25]
    assert seen.bad() == ({}, [])
    reading = world.traffic.readings()["a"]
    assert reading.requests == seen.sent + len(statuses)
    assert reading.errors == 50
    assert (reading.rescued, reading.retried, reading.active) == (0, 0, 0)
    assert reading.durations.counts[-1] == reading.requests


def test_looking_often_changes_nothing(world):
    """Readings never go back while a route stands."""
    world.traffic.route(Route(world.arm("a"), None, 1))
    with world.load(connections=4) as seen:
        found = [world.traffic.readings()["a"] for _ in range(30)]
    assert seen.bad() == ({}, [])
    requests = [reading.requests for reading in found]
    totals = [reading.durations.counts[-1] for reading in found]
    assert requests == sorted(requests)
    assert totals == sorted(totals)
    assert len({reading.epoch for reading in found}) == 1
