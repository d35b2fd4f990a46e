"""What every Stage adapter keeps. Add a world to WORLDS to run it on another one.

A world has: `stage`, `launch(version, replicas)`, `serves(trial)` (it answers now),
`kill(trial)` (its process is killed from outside), `dying(version)` (a launch that ends by itself
with code 3) and `close()`.
"""

import os
import signal

import pytest

from guarded_rollout.adapters.processes.stage import ProcessStage
from guarded_rollout.adapters.web import HttpWeb
from guarded_rollout.ports import Address
from tests.adapters.processes.world import CLOCK, ProcessWorld, processes_of, until

WEB = HttpWeb(CLOCK)


class ProcessStageWorld(ProcessWorld):
    """Real processes of the toy service."""

    def __init__(self):
        super().__init__()
        self.stage = ProcessStage(self.folder / "tries", self.folder / "run", CLOCK)

    def serves(self, trial):
        return WEB.get(Address(socket=trial.socket()), "/health", 10).status == 200

    def kill(self, trial):
        until(lambda: self.serves(trial))
        (pid,) = processes_of(trial.socket())
        os.kill(pid, signal.SIGKILL)

    def dying(self, version):
        return self.launch(version, argv=("sh", "-c", "echo no such table; exit 3"))


WORLDS = {"processes": ProcessStageWorld}


@pytest.fixture(params=WORLDS.values(), ids=WORLDS.keys())
def world(request):
    made = request.param()
    try:
        yield made
    finally:
        made.close()


def test_a_trial_answers_while_inside_and_not_a_moment_longer(world):
    """Its socket goes with it, its log stays."""
    with world.stage.try_out(world.launch("1.0.0")) as trial:
        until(lambda: world.serves(trial))
        assert trial.ended() is None
    assert not world.serves(trial)
    assert not trial.socket().exists()
    assert "serving" in trial.log().read_text()
    assert trial.ended() is not None


def test_one_replica_is_enough_whatever_the_launch_says(world):
    """Also for a release that is to be run with none."""
    for replicas in (0, 5):
        with world.stage.try_out(world.launch("1.0.0", replicas=replicas)) as trial:
            until(lambda t=trial: world.serves(t))


def test_an_exception_inside_ends_the_trial_and_goes_on(world):
    """Nothing is swallowed, nothing is left."""
    seen = []

    def fail():
        with world.stage.try_out(world.launch("1.0.0")) as trial:
            seen.append(trial)
            until(lambda: world.serves(trial))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert not world.serves(seen[0])
    assert not seen[0].socket().exists()


def test_how_it_ended_is_told_and_it_is_not_started_again(world):
    """By itself, and what it printed is there."""
    with world.stage.try_out(world.dying("1.0.0")) as trial:
        assert until(trial.ended) == "exit 3"
        assert trial.ended() == "exit 3"
        assert trial.log().read_text() == "no such table\n"
    assert trial.ended() == "exit 3"


def test_a_trial_that_is_killed_says_by_what(world):
    """The machine ran out of memory, for example."""
    with world.stage.try_out(world.launch("1.0.0")) as trial:
        world.kill(trial)
        assert until(trial.ended) == "signal 9"
        assert not world.serves(trial)
    assert trial.ended() == "signal 9"


def test_trials_run_beside_each_other_and_end_alone(world):
    """The old release and the new one, and one release twice."""
    old, new = world.launch("1.0.0"), world.launch("2.0.0")
    with world.stage.try_out(old) as first:
        with world.stage.try_out(new) as second, world.stage.try_out(new) as third:
            for trial in (first, second, third):
                until(lambda t=trial: world.serves(t))
            assert len({trial.socket() for trial in (first, second, third)}) == 3
            assert len({trial.log() for trial in (first, second, third)}) == 3
        assert not world.serves(second)
        assert not world.serves(third)
        assert world.serves(first)
        assert first.ended() is None


def test_a_release_can_be_tried_again(world):
    """Each time afresh."""
    launch = world.launch("1.0.0")
    logs = []
    for _ in range(2):
        with world.stage.try_out(launch) as trial:
            until(lambda t=trial: world.serves(t))
        logs.append(trial.log())
    assert logs[0] != logs[1]
    assert all("bye" in log.read_text() for log in logs)
