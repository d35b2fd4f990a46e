"""What the history of a metric of the service's own says about its limit."""

import pytest

from guarded_rollout.core.custom_suggestion import custom_suggestions
from guarded_rollout.core.gates import CustomGate, CustomKind
from guarded_rollout.core.series import ArmSeen, Observation, Reading

EVENT = CustomGate("own", CustomKind.EVENT, "m", 1.0)
LEVEL = CustomGate("own", CustomKind.LEVEL, "m", 1.0)


def watch(readings, *, seconds=600.0, replicas=1):
    """One observation of each reading, in all replicas."""
    return tuple(
        Observation(
            seconds * number,
            ArmSeen(
                healthy=True,
                readings=tuple(
                    Reading(name, custom={"own": Reading(name, **parts)})
                    for name in map(str, range(replicas))
                ),
            ),
        )
        for number, parts in enumerate(readings)
    )


def learnt(gate, *watches):
    (found,) = custom_suggestions([(str(n), it) for n, it in enumerate(watches)], (gate,))
    return found


def test_the_limit_of_events_is_twice_what_may_have_been_usual():
    """Nothing in 4 replica hours: at most 0.96 an hour. 9 of them: at most 4.3."""
    quiet = watch([{"bad": 0.0}] * 25)
    assert learnt(EVENT, quiet).value == 2.0
    assert "0 in 4 hours" in learnt(EVENT, quiet).why
    busy = watch([{"bad": float(min(9, n))} for n in range(25)])
    assert learnt(EVENT, busy).value == 10.0
    assert learnt(EVENT, busy).requests == 9
    both = learnt(EVENT, watch([{"bad": 0.0}] * 25, replicas=2), quiet)
    assert (both.rollouts, both.value) == (2, 0.8)


def test_an_hour_of_events_is_needed():
    """Minutes without one say nothing."""
    found = learnt(EVENT, watch([{"bad": 0.0}] * 25, seconds=5.0))
    assert found.value is None
    assert "1 is needed" in found.why


@pytest.mark.parametrize(
    ("below", "values", "limit"),
    [(False, (3.0, 7.0), 15.0), (True, (80.0, 60.0), 30.0), (False, (-4.0, -2.0), None)],
)
def test_the_limit_of_a_level_leaves_room_on_its_side(below, values, limit):
    """Twice the highest or half the lowest; below zero there is no double."""
    gate = CustomGate("own", CustomKind.LEVEL, "m", 1.0, below=below)
    assert learnt(gate, watch([{"queue": value} for value in values * 10])).value == limit


@pytest.mark.parametrize("gate", [EVENT, LEVEL], ids=["event", "level"])
def test_what_was_never_read_has_no_limit(gate):
    """Nobody guesses."""
    assert learnt(gate, watch([{}] * 30)).value is None
