"""Taken down, nothing serves; the way back of that is a rollback."""

from functools import partial

import pytest

from guarded_rollout.core.facts import RollbackAsked
from guarded_rollout.core.plan import Kind, Situation, Way, make_plan
from guarded_rollout.core.problems import Broken, NotPossible
from guarded_rollout.core.state import Phase, exit_code
from guarded_rollout.engine.situation import read_situation
from guarded_rollout.testing import examples

OLD, NEW = examples.OLD.name, examples.NEW.name


@pytest.fixture
def down(settled):
    """OLD served, and was taken down."""
    state = settled.drive(settled.begin(Kind.DOWN, examples.OLD))
    assert (state.phase, exit_code(state)) == (Phase.DONE, 0)
    return settled


def test_traffic_goes_before_the_processes_and_nothing_is_left(down):
    """The data stay."""
    assert down.world.ledger == ["route nobody", f"stop {OLD}"]
    assert not down.world.started
    assert not down.world.proxy
    assert down.world.things


def test_what_was_taken_down_is_what_comes_again(down):
    """It is remembered, and not removed as unused."""
    situation = read_situation(down.journal, "production", down.world.schema)
    assert (situation.serving, situation.previous) == (None, examples.OLD)
    state = down.drive(down.begin(Kind.ROLLBACK, examples.OLD))
    assert (state.phase, exit_code(state)) == (Phase.ROLLED_BACK, 0)
    assert down.world.serving() == OLD
    assert down.serving() == examples.OLD


def test_another_release_can_be_deployed_meanwhile(down):
    """Nothing serves, so it is a first deployment."""
    state = down.deploy(examples.NEW)
    assert state.phase is Phase.DONE
    situation = read_situation(down.journal, "production", down.world.schema)
    assert (situation.serving, situation.previous) == (examples.NEW, None)


def test_it_does_not_come_again_on_a_schema_that_it_never_saw(down):
    """Somebody migrated in between: nobody has tried the old release on that."""
    down.world.schema = "0009"
    with pytest.raises(NotPossible, match=r"no way back from nothing to 1\.0\.0"):
        down.begin(Kind.ROLLBACK, examples.OLD)
    assert read_situation(down.journal, "production").ways == (Way.FLIP,)


def test_what_cannot_be_stopped_serves_again(settled):
    """Half down is no state to leave it in. Exit code 2, as of any rollback by itself."""

    def stuck(effect):
        if effect.startswith("stop"):
            raise Broken("it hangs in the kernel", "look at its disk")

    settled.world.act, act = lambda verb, what="": (stuck(verb), act(verb, what)), settled.world.act
    state = settled.drive(settled.begin(Kind.DOWN, examples.OLD))
    assert (state.phase, exit_code(state)) == (Phase.ROLLED_BACK, 2)
    assert "take-down: it hangs in the kernel" in state.reason
    assert settled.world.serving() == OLD
    assert settled.serving() == examples.OLD


def test_asked_back_in_the_middle_it_serves_again(settled):
    """A person changed their mind."""
    rollout = settled.begin(Kind.DOWN, examples.OLD)
    asked = []

    def show(entry):
        if not asked and type(entry.fact).__name__ == "StepBegan":
            asked.append(settled.ask(rollout, RollbackAsked("ann", "not now")))

    state = settled.drive(rollout, show=show)
    assert state.phase is Phase.ROLLED_BACK
    assert settled.world.serving() == OLD


def test_a_database_that_does_not_answer_is_no_reason_to_stay_up(settled, monkeypatch):
    """It may be the very reason to take the service down."""
    broken = partial(_raise, Broken("database is locked", "find who holds it"))
    monkeypatch.setattr(type(settled.ports.database), "revision", broken)
    state = settled.drive(settled.begin(Kind.DOWN, examples.OLD))
    assert state.phase is Phase.DONE
    assert not settled.world.started


def test_where_nothing_serves_there_is_nothing_to_take_down():
    """Said before anything is written."""
    with pytest.raises(NotPossible, match="nothing is deployed in production"):
        make_plan(Kind.DOWN, examples.spec(), examples.OLD, Situation(None))


def _raise(problem, *_):
    raise problem
