"""Proxies and controllers that die, files that are refused, ports that are taken."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from guarded_rollout.adapters.envoy import routes
from guarded_rollout.adapters.envoy.config_files import ConfigFiles
from guarded_rollout.adapters.whole_files import write_whole
from guarded_rollout.core.problems import BadInput, Broken
from guarded_rollout.ports import Arm, Route
from tests.adapters.envoy.world import EnvoyWorld, free_port, until

CONTROLLER = Path(__file__).with_name("dying_controller.py")


def test_routes_survive_the_death_of_the_proxy(world):
    """SIGKILL: its supervisor starts it again, and it serves as before."""
    a, b = world.arm("1.0.0-a"), world.arm("2.0.0-b")
    world.traffic.route(Route(a, None, 1))
    world.traffic.route(Route(b, a, 2))
    epoch = world.traffic.readings()["2.0.0-b"].epoch
    world.kill_proxy()
    until(world.traffic.running, "the proxy answers again")
    assert world.ask() == (200, "2.0.0-b")
    assert world.traffic.routed() == Route(b, a, 2)
    assert world.traffic.readings()["2.0.0-b"].epoch != epoch


def test_a_route_asked_for_while_the_proxy_restarts_is_taken_up(world):
    """The controller waits for it."""
    a, b = world.arm("a", replicas=1), world.arm("b", replicas=1)
    world.traffic.route(Route(a, None, 1))
    world.kill_proxy()
    world.traffic.route(Route(b, a, 1))
    assert world.ask() == (200, "b")


@pytest.mark.parametrize("broken", ["clusters", "routes", "unreadable"])
def test_a_refused_file_is_taken_back(world, monkeypatch, broken):
    """Broken says what the proxy said; the old route serves, also after a restart."""
    a, b = world.arm("a", replicas=1), world.arm("b", replicas=1)
    world.traffic.route(Route(a, None, 1))
    controller = world.traffic
    if broken == "clusters":
        controller = world.controller(health_path="/with a\nline end")
    else:
        seconds = -1 if broken == "routes" else "nonsense"
        monkeypatch.setattr(routes, "ROUTE_SECONDS", seconds)
    before = files(world)
    with pytest.raises(Broken, match=r"refused its new .ds file") as problem:
        controller.route(Route(b, a, 1))
    assert "Filesystem config update" in str(problem.value)
    assert files(world) == before
    assert world.traffic.routed() == Route(a, None, 1)
    world.kill_proxy()
    until(world.traffic.running, "the proxy answers again")
    assert world.ask() == (200, "a")


@pytest.mark.parametrize("where", ["before-routes", "before-keeping"])
def test_a_controller_killed_in_the_middle_of_a_shift_is_carried_on(world, where):
    """The proxy serves one of the two releases all the time; the next controller goes on."""
    a, b = world.arm("a", replicas=1), world.arm("b", replicas=1)
    world.traffic.route(Route(a, None, 1))
    with world.load() as seen:
        death = dying_controller(world, where, b)
        now = seen.sent
        until(lambda: seen.sent > now + 20, "the load goes on")
        serving = world.ask()
        until(lambda: world.traffic.routed().to.release == serving[1], "one truth")
        world.controller().start()
        world.controller().route(Route(b, a, 3))
    assert death == -signal.SIGKILL
    assert serving == (200, "a" if where == "before-routes" else "b")
    assert seen.bad() == ({}, [])
    assert world.ask() == (200, "b")
    assert world.traffic.routed() == Route(b, a, 3)


def test_a_dead_controllers_fence_still_counts(world):
    """What it managed to write was under its lease."""
    a, b = world.arm("a", replicas=1), world.arm("b", replicas=1)
    world.traffic.route(Route(a, None, 1))
    dying_controller(world, "before-keeping", b)
    with pytest.raises(Exception, match="lease 2, this is lease 1"):
        world.traffic.route(Route(a, b, 1))


@pytest.mark.parametrize("running", [True, False])
def test_routes_nobody_can_read_are_replaced_by_the_last_good_ones(world, running):
    """A proxy that found such a file at its start is LIVE and answers 404 to everything."""
    a = world.arm("a", replicas=1)
    world.traffic.route(Route(a, None, 1))
    if not running:
        world.traffic.stop()
    write_whole(world.folder / "proxy" / "rds.json", b'{"resources": [{"@type": "no"}]}')
    if running:
        world.kill_proxy()
        until(lambda: world.ask_or_none() in {(404, ""), (200, "a")}, "the proxy is back")
    world.controller().start()
    assert world.ask() == (200, "a")
    assert world.traffic.routed() == Route(a, None, 1)


def test_a_taken_port_is_named_with_its_owner():
    """Nothing is started, nothing is left."""
    world = EnvoyWorld()
    try:
        with socket.socket() as other:
            other.bind(("127.0.0.1", world.port))
            other.listen()
            with pytest.raises(Broken) as problem:
                world.traffic.start()
        said = str(problem.value)
        assert f"port 127.0.0.1:{world.port} is taken by process {os.getpid()} (" in said
        assert "[environments.NAME]" in said
        assert not world.supervisor.alive()
    finally:
        world.close()


def test_a_second_environment_cannot_share_the_port(world):
    """A stale proxy would take half of the traffic silently."""
    second = EnvoyWorld()
    try:
        second.port = world.port
        with pytest.raises(Broken, match=rf"is taken by process {world.supervisor.pid} \(envoy\)"):
            second.controller().start()
        assert world.traffic.running()
    finally:
        second.close()


def test_an_address_that_changed_is_moved_to_without_a_restart(world):
    """Requests in flight and counters stay; a taken port changes nothing."""
    world.traffic.route(Route(world.arm("a", replicas=1), None, 1))
    pid, old = world.supervisor.pid, world.port
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = other.getsockname()[1]
        with pytest.raises(Broken, match="is taken by"):
            world.controller(listen=("127.0.0.1", taken)).start()
    assert world.ask() == (200, "a")
    world.port = free_port()
    world.traffic = world.controller()
    world.traffic.start()
    assert world.ask() == (200, "a")
    assert world.supervisor.pid == pid
    world.port = old
    with pytest.raises(ConnectionRefusedError):
        world.ask()


def test_an_envoy_that_cannot_run_leaves_nothing(monkeypatch):
    """The message has its last words; no process stays."""
    world = EnvoyWorld()
    try:
        world.traffic = world.controller(binary=Path("/bin/false"), ready_seconds=0.5)
        with pytest.raises(Broken, match=r"does not answer within 0\.5 s"):
            world.traffic.start()
        assert not world.supervisor.alive()
        monkeypatch.setenv("ENVOY_BIN", "/no/envoy")
        with pytest.raises(BadInput, match="no Envoy at /no/envoy"):
            world.controller().start()
    finally:
        world.close()


def test_a_proxy_of_an_earlier_version_is_left_alone(world):
    """An upgrade of this tool brings another Envoy: the running one serves until it is stopped."""
    world.traffic.route(Route(world.arm("a", replicas=1), None, 1))
    pid = world.supervisor.pid
    world.controller(binary=Path("/bin/true")).start()
    assert world.supervisor.pid == pid
    assert world.ask() == (200, "a")


def test_controllers_take_turns(world):
    """Twenty shifts from four controllers: each one whole, no generation used twice."""
    arms = [world.arm(name, replicas=1) for name in "ab"]
    problems = []

    def shift(number):
        try:
            for turn in range(5):
                world.controller().route(Route(arms[(number + turn) % 2], None, 1))
        except Exception as problem:  # noqa: BLE001 - shown below
            problems.append(problem)

    threads = [threading.Thread(target=shift, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not problems
    assert json.loads((world.folder / "proxy" / "rds.json").read_bytes())["version_info"] == "1.20"
    assert world.ask()[1] == world.traffic.routed().to.release


def test_paths_no_socket_can_have_are_refused_before_anything_happens(world):
    """107 bytes are the limit of the kernel."""
    long = Path("/tmp") / ("x" * 110)
    before = files(world)
    with pytest.raises(BadInput, match="longer than 107 bytes"):
        world.traffic.route(Route(Arm("a", (long,)), None, 1))
    with pytest.raises(BadInput, match="longer than 107 bytes"):
        world.controller(run_dir=long)
    assert files(world) == before


@pytest.mark.parametrize("listen", [("localhost", 80), ("127.0.0.1", 0), ("127.0.0.1", 70000)])
def test_addresses_that_are_none_are_refused(tmp_path, listen):
    """Before a file is written."""
    with pytest.raises(BadInput, match="listen"):
        EnvoyWorld.controller(NoWorld(tmp_path), listen=listen)


def test_a_disk_that_is_full_changes_nothing(world, monkeypatch):
    """Broken names the file; putting back needs no room."""
    a, b = world.arm("a", replicas=1), world.arm("b", replicas=1)
    world.traffic.route(Route(a, None, 1))
    before = files(world)
    write = ConfigFiles.put

    def full(self, kind, version, resources):
        if kind == "rds":
            monkeypatch.setattr(os, "fsync", no_room)
        write(self, kind, version, resources)

    monkeypatch.setattr(ConfigFiles, "put", full)
    monkeypatch.setattr(ConfigFiles, "put_back", with_fsync(monkeypatch, ConfigFiles.put_back))
    with pytest.raises(Broken, match=r"cannot write .*rds\.json: No space left"):
        world.traffic.route(Route(b, a, 1))
    assert files(world) == before
    assert world.ask() == (200, "a")


def no_room(_handle):
    raise OSError(28, "No space left on device")


def with_fsync(monkeypatch, verb, fsync=os.fsync):
    def done(*args):
        monkeypatch.setattr(os, "fsync", fsync)
        verb(*args)

    return done


class NoWorld:
    """Just enough for a controller that is refused."""

    port = 1
    supervisor = None

    def __init__(self, folder):
        self.folder = folder
        self.settings = {}


def files(world):
    """The proxy's files and their contents, without the log."""
    folder = world.folder / "proxy"
    return {
        file.name: file.read_bytes() for file in folder.iterdir() if file.name != "access.jsonl"
    }


def dying_controller(world, where, arm):
    """Another process shifts to the arm under fence 2 and is killed on the way. Its exit code."""
    words = [str(world.folder), str(world.port), where, arm.release, str(arm.sockets[0])]
    return subprocess.run([sys.executable, str(CONTROLLER), *words], check=False).returncode
