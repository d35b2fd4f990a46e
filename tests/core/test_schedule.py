"""When to look."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guarded_rollout.core.schedule import Schedule, looks, next_look
from guarded_rollout.testing import examples


def test_production_looks_every_30_s_for_5_minutes_then_every_120_s():
    """The documents' cadence."""
    found = looks(examples.PRODUCTION)
    assert found[:11] == (30, 60, 90, 120, 150, 180, 210, 240, 270, 300, 420)
    assert found[-1] == 3600
    assert len(found) == 10 + 28


def test_a_schedule_that_never_looks_is_refused():
    """Zero intervals raise."""
    with pytest.raises(ValueError, match="positive"):
        Schedule(60, 0, 10, 10)


POSITIVE = st.floats(0.5, 500)


@given(st.builds(Schedule, st.floats(1, 5000), POSITIVE, st.floats(0, 900), POSITIVE))
def test_looks_rise_and_the_last_is_at_the_end(schedule):
    """No look is lost, none comes twice, and the last one sees the whole window."""
    found = looks(schedule)
    assert list(found) == sorted(set(found))
    assert found[-1] == schedule.duration
    assert next_look(schedule, schedule.duration) is None


@given(
    st.builds(Schedule, st.floats(1, 5000), POSITIVE, st.floats(0, 900), POSITIVE),
    st.floats(0, 5000),
)
def test_the_next_look_is_soon(schedule, elapsed):
    """A resumed watch never waits longer than the longest interval."""
    due = next_look(schedule, elapsed)
    if due is not None:
        longest = max(schedule.first_every, schedule.then_every)
        assert elapsed < due <= elapsed + longest * 1.000001
