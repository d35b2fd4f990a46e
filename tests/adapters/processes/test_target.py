"""Replicas as processes: what the contract of the Target port leaves open."""

import os
import signal
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from guarded_rollout.adapters.processes import keeper
from guarded_rollout.adapters.processes.target import ProcessTarget
from guarded_rollout.adapters.web import HttpWeb
from guarded_rollout.core.problems import BadInput, Broken, NotPossible
from guarded_rollout.ports import Address
from tests.adapters.processes.world import CLOCK, ProcessWorld, until

WEB = HttpWeb(CLOCK)


@pytest.fixture
def world():
    made = ProcessWorld()
    yield made
    made.close()


def answers(replica, path="/health"):
    """The first answer, once it serves."""
    return until(
        lambda: (a := WEB.get(Address(socket=replica.socket), path, 10)).status is not None and a
    )


def test_every_replica_serves_on_its_own_socket(world):
    """Short sockets in the run folder, the rest in the state folder."""
    launch = world.launch("1.0.0")
    for number, replica in enumerate(world.target.start(launch)):
        digest = launch.built.release.digest
        assert replica.socket == world.folder / "run" / f"{digest[:8]}-{number}.sock"
        answered = answers(replica, "/version")
        assert (answered.status, answered.body) == (200, b"1.0.0\n")
        assert replica.log == (
            world.folder / "state" / "replicas" / launch.built.release.name / str(number) / "log"
        )


def test_placeholders_are_filled_in_per_replica(world):
    """In the command and in the environment."""
    launch = world.launch(
        "1.0.0",
        argv=("sh", "-c", 'echo "{python} {folder} {replica} $WHERE $HOME"; exec sleep 1000'),
        env=(("WHERE", "at {socket}"),),
    )
    for number, replica in enumerate(world.target.start(launch)):
        folder = launch.built.folder
        until(replica.log.read_text)
        assert replica.log.read_text() == (
            f"{folder}/venv/bin/python {folder} {number} at {replica.socket} \n"
        )


def test_the_shell_of_the_controller_does_not_matter(world, monkeypatch):
    """A controller with another environment adopts the same replicas."""
    launch = world.launch("1.0.0")
    first = world.target.start(launch)
    monkeypatch.setenv("LANG", "de_DE.UTF-8")
    monkeypatch.setenv("PATH", "/usr/bin:/elsewhere")
    assert world.controller().start(launch) == first


def test_a_launch_that_differs_is_not_taken_for_the_same(world):
    """Adopting the wrong settings would be a silent lie."""
    launch = world.launch("1.0.0")
    world.target.start(launch)
    with pytest.raises(NotPossible, match="env TOY_HEALTH"):
        world.target.start(world.launch("1.0.0", env=(("TOY_HEALTH", "500"),)))


def test_fewer_replicas_stop_the_surplus(world):
    """From three to one; the one that stays is not restarted."""
    launch = world.launch("1.0.0", replicas=3)
    first = world.target.start(launch)
    (left,) = world.target.start(replace(launch, replicas=1))
    assert left.pid == first[0].pid
    assert not any(keeper.started(r.pid) for r in first[1:])
    assert not any(r.socket.exists() for r in first[1:])


def test_stopping_drains_all_replicas_at_once(world):
    """Requests that were begun are answered; processes, sockets and folders are gone, logs stay."""
    launch = world.launch("1.0.0", replicas=2, env=(("TOY_SLOW_SECONDS", "1"),))
    replicas = world.target.start(launch)
    for replica in replicas:
        answers(replica)
    slow = []
    threads = [
        threading.Thread(
            target=lambda r=r: slow.append(WEB.get(Address(socket=r.socket), "/slow", 60))
        )
        for r in replicas
    ]
    for thread in threads:
        thread.start()
    for replica in replicas:
        until(lambda r=replica: _in_flight(r))
    world.target.stop(launch.built.release, 60)
    for thread in threads:
        thread.join()
    assert [answered.body for answered in slow] == [b"slept\n"] * 2
    assert not any(keeper.started(replica.pid) for replica in replicas)
    assert list((world.folder / "run").iterdir()) == []
    assert list((world.folder / "state" / "replicas").iterdir()) == []
    logs = sorted((world.folder / "state" / "logs").iterdir())
    name = launch.built.release.name
    assert [log.name for log in logs] == [f"{name}-0.log", f"{name}-1.log"]
    assert all(log.read_text().endswith("bye\n") for log in logs)


def _in_flight(replica):
    """The service has a thread for the request."""
    return len(list(Path(f"/proc/{replica.pid}/task").iterdir())) > 2


def test_a_replica_that_was_killed_serves_again_on_its_stale_socket(world):
    """The supervisor removes what the dead one could not."""
    launch = world.launch("1.0.0", replicas=1)
    (replica,) = world.target.start(launch)
    answers(replica)
    world.kill(launch.built.release)
    until(lambda: world.target.replicas(launch.built.release)[0].restarts)
    assert answers(world.target.replicas(launch.built.release)[0]).status == 200


def test_replicas_whose_supervisors_were_killed_are_told_dead_and_start_again(world):
    """After a reboot, or a kill -9 of everything: no folder may be taken for a process."""
    launch = world.launch("1.0.0")
    for replica in world.target.start(launch):
        os.kill(keeper.Process(replica.pid).parent, signal.SIGKILL)
        until(lambda pid=replica.pid: keeper.started(pid) is None)
    told = world.target.replicas(launch.built.release)
    assert [(r.alive, r.pid) for r in told] == [(False, None)] * 2
    assert world.target.started("toy") == ()
    assert all(r.alive for r in world.target.start(launch))


def test_a_socket_that_is_too_long_is_refused_before_anything_starts(world):
    """With the limit and what to do."""
    deep = world.folder / ("x" * 100)
    launch = world.launch("1.0.0")
    target = ProcessTarget(world.folder / "state", deep, CLOCK)
    with pytest.raises(BadInput, match=r"too long for this system \(107 bytes\)") as refused:
        target.start(launch)
    assert "shorter run folder" in refused.value.why.hint
    assert target.replicas(launch.built.release) == ()


def test_no_replicas_at_all_are_refused(world):
    """Zero is not a number of replicas."""
    with pytest.raises(BadInput, match="with 0 replicas"):
        world.target.start(world.launch("1.0.0", replicas=0))


def test_a_state_folder_that_cannot_be_written_is_a_problem_with_a_hint(world):
    """No traceback."""
    (world.folder / "state").write_text("a file")
    with pytest.raises(Broken, match=r"state.* cannot be used"):
        world.target.start(world.launch("1.0.0"))
