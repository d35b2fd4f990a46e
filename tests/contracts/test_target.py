"""What every Target adapter keeps. Add a world to WORLDS to run it on another one.

A world has: `target`, `controller()` (another one for the same replicas), `launch(version,
replicas, service)`, `kill(release)` (all its processes die) and `close()`.
"""

from pathlib import Path

import pytest

from guarded_rollout.adapters.clock import SystemClock
from guarded_rollout.core.spec import Release
from guarded_rollout.ports import Built, Launch
from guarded_rollout.testing.serving import FakeTarget
from guarded_rollout.testing.world import World
from tests.adapters.processes.world import ProcessWorld, until


class FakeWorld:
    """The public fake."""

    def __init__(self):
        self._world = World(SystemClock(), Path("/root"))
        self.target = self.controller()

    def controller(self):
        return FakeTarget(self._world)

    def launch(self, version, replicas=2, service="toy"):
        release = Release(service, version, "c" * 64)
        return Launch(Built(release, Path("/releases"), None), ("run",), (), replicas)

    def kill(self, release):
        self._world.dead.add(release.name)

    def close(self):
        pass


WORLDS = {"processes": ProcessWorld, "fake": FakeWorld}


@pytest.fixture(params=WORLDS.values(), ids=WORLDS.keys())
def world(request):
    made = request.param()
    try:
        yield made
    finally:
        made.close()


def pids(replicas):
    return [replica.pid for replica in replicas]


def test_nothing_runs_before_it_is_started(world):
    """Looking and stopping are no errors."""
    release = world.launch("1.0.0").built.release
    assert world.target.replicas(release) == ()
    assert world.target.started("toy") == ()
    world.target.stop(release, 1)


def test_starting_gives_live_replicas_with_places_of_their_own(world):
    """Each has a name, a socket, a process; none was restarted."""
    launch = world.launch("1.0.0", replicas=3)
    replicas = world.target.start(launch)
    assert len(replicas) == 3
    assert all(r.alive and r.restarts == 0 and r.last_exit is None for r in replicas)
    for of in ("name", "socket", "pid"):
        assert len({getattr(r, of) for r in replicas}) == 3
    assert [r.name for r in replicas] == sorted(r.name for r in replicas)
    assert world.target.started("toy") == (launch.built.release,)


def test_starting_again_adopts_what_runs(world):
    """The same processes, for this controller and for the next one."""
    launch = world.launch("1.0.0")
    first = world.target.start(launch)
    assert pids(world.target.start(launch)) == pids(first)
    assert pids(world.controller().start(launch)) == pids(first)


def test_replicas_outlive_their_controller(world):
    """Another one sees them all."""
    launch = world.launch("1.0.0")
    first = world.target.start(launch)
    other = world.controller()
    assert other.replicas(launch.built.release) == first
    assert other.started("toy") == (launch.built.release,)


def test_releases_run_beside_each_other_and_stop_alone(world):
    """Stopping the old one does not touch the new one."""
    old, new = world.launch("1.0.0"), world.launch("2.0.0")
    world.target.start(old)
    kept = pids(world.target.start(new))
    assert set(world.target.started("toy")) == {old.built.release, new.built.release}
    world.target.stop(old.built.release, 10)
    assert world.target.replicas(old.built.release) == ()
    assert pids(world.target.replicas(new.built.release)) == kept
    assert world.target.started("toy") == (new.built.release,)


def test_stopping_twice_is_stopping_once(world):
    """Also from another controller."""
    launch = world.launch("1.0.0")
    world.target.start(launch)
    world.target.stop(launch.built.release, 10)
    world.controller().stop(launch.built.release, 10)
    assert world.target.replicas(launch.built.release) == ()
    assert world.target.started("toy") == ()


def test_logs_are_found_by_replica_and_stay_when_it_is_stopped(world):
    """An incident attaches them, and by then the candidate is gone."""
    launch = world.launch("1.0.0")
    release = launch.built.release
    assert world.target.logs(release) == {}
    replicas = world.target.start(launch)
    assert list(world.target.logs(release)) == [replica.name for replica in replicas]
    world.target.stop(release, 10)
    assert list(world.controller().logs(release)) == [replica.name for replica in replicas]
    assert world.target.logs(world.launch("2.0.0").built.release) == {}


def test_what_was_stopped_can_be_started_again(world):
    """A rollback brings a retired release back."""
    launch = world.launch("1.0.0")
    world.target.start(launch)
    world.target.stop(launch.built.release, 10)
    replicas = world.target.start(launch)
    assert [r.alive for r in replicas] == [True, True]


def test_services_do_not_see_each_other(world):
    """Each by its name."""
    toy, other = world.launch("1.0.0"), world.launch("1.5.0", service="other")
    world.target.start(toy)
    world.target.start(other)
    assert world.target.started("toy") == (toy.built.release,)
    assert world.target.started("other") == (other.built.release,)
    assert world.target.started("nobody") == ()


def test_a_death_is_told(world):
    """Restarts and the last exit are the guard's evidence."""
    launch = world.launch("1.0.0")
    world.target.start(launch)
    world.kill(launch.built.release)

    def told():
        found = world.target.replicas(launch.built.release)
        return found if all(replica.restarts for replica in found) else None

    replicas = until(told)
    assert len(replicas) == 2
    assert all(replica.last_exit for replica in replicas)
    assert world.target.started("toy") == (launch.built.release,)
