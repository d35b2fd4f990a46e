"""Shifts under load, and what users see of a release that dies: nothing, if they only read."""

import pytest

from guarded_rollout.core.problems import Broken
from guarded_rollout.ports import Arm, Route
from tests.adapters.envoy.world import LONG, until


def test_thirty_shifts_under_load_fail_no_request(world):
    """GET and POST over kept connections; both releases serve, every request is answered once."""
    a, b = world.arm("a"), world.arm("b")
    world.traffic.route(Route(a, None, 1))
    with world.load() as seen:
        for _ in range(15):
            for to, standby in ((b, a), (a, b)):
                before = seen.sent
                world.traffic.route(Route(to, standby, 1))
                until(lambda before=before: seen.sent > before + 70, "the load goes on")
    assert seen.bad() == ({}, [])
    assert set(seen.by_release()) == {"a", "b"}
    assert seen.sent > 2000
    readings = world.traffic.readings()
    assert sum(reading.requests for reading in readings.values()) == seen.sent
    assert {name: reading.requests for name, reading in readings.items()} == seen.by_release()
    assert sum(reading.errors + reading.rescued for reading in readings.values()) == 0


def test_the_old_release_gets_nothing_once_route_has_returned(world):
    """Not from any worker, not on any kept connection: it can be stopped after a drain."""
    a, b = world.arm("a"), world.arm("b")
    world.traffic.route(Route(a, None, 1))
    with world.load(methods=("POST",)) as seen:
        for to, other in ((b, a), (a, b)) * 3:
            world.traffic.route(Route(to, None, 1))
            assert world.traffic.drain(other.release, 60.0)
            before = seen.by_release().get(other.release, 0)
            now = seen.sent
            until(lambda now=now: seen.sent > now + 100, "the load goes on")
            assert seen.by_release().get(other.release, 0) == before
    assert seen.bad() == ({}, [])


def test_a_release_killed_under_load_fails_no_reading_request(world):
    """The standby takes over within the same request; each rescue is counted against the dead."""
    a, b = world.arm("a"), world.arm("b")
    world.traffic.route(Route(b, a, 1))
    with world.load(methods=("GET",)) as seen:
        until(lambda: seen.sent > 200, "the load runs")
        world.kill(b)
        now = seen.sent
        until(lambda: seen.sent > now + 1000, "the load goes on")
    assert seen.bad() == ({}, [])
    reading = world.traffic.readings()["b"]
    assert reading.requests == seen.sent
    assert reading.rescued == seen.by_release()["a"]
    assert reading.retried > 0


def test_going_back_from_a_dead_release_fails_no_reading_request(world):
    """Candidate dies, traffic goes back: the whole way no reader notices."""
    a, b = world.arm("a"), world.arm("b")
    world.traffic.route(Route(a, None, 1))
    with world.load(methods=("GET",)) as seen:
        world.traffic.route(Route(b, a, 1))
        until(lambda: "b" in seen.by_release(), "the candidate serves")
        world.kill(b)
        now = seen.sent
        until(lambda: seen.sent > now + 100, "the load goes on")
        world.traffic.route(Route(a, b, 1))
        now = seen.sent
        until(lambda: seen.sent > now + 100, "the load goes on")
    assert seen.bad() == ({}, [])


def test_a_request_in_flight_is_finished_by_the_release_that_began_it(world):
    """Even when two later routes do not name it; and drain still sees it."""
    a, b, c = (world.arm(name, replicas=1) for name in "abc")
    world.traffic.route(Route(a, None, 1))
    held = world.hold()
    until(lambda: world.traffic.readings()["a"].active == 1, "the request is in flight")
    for to in (b, c, b, c):
        world.traffic.route(Route(to, None, 1))
    assert not world.traffic.drain("a", 0.0)
    assert held.finish() == (200, "a")
    assert world.traffic.drain("a", LONG)
    for to in (b, c):
        world.traffic.route(Route(to, None, 1))
    assert "a" not in world.traffic.readings()


def test_other_replicas_of_a_routed_release_take_over_in_one_change(world):
    """The same release on other sockets: no request fails, and its counters go on."""
    old = world.arm("a")
    new = Arm("a", (world.folder / "other.sock",))
    world.begin("a", new.sockets[0])
    world.traffic.route(Route(old, None, 1))
    with world.load() as seen:
        until(lambda: seen.sent > 50, "the load runs")
        world.traffic.route(Route(new, None, 1))
        world.kill(old)
        now = seen.sent
        until(lambda: seen.sent > now + 100, "the load goes on")
    bad, failures = seen.bad()
    # A request that was in flight on a killed replica is lost when it wrote something.
    assert not failures
    assert sum(bad.values()) <= 8
    assert world.traffic.readings()["a"].requests == seen.sent
    assert world.traffic.routed() == Route(new, None, 1)


def test_sick_replicas_still_serve_when_nobody_else_can(world):
    """A health check that fails everywhere must not become an outage of its own."""
    a = world.arm("a")
    world.traffic.route(Route(a, None, 1))
    sick(world, a)
    assert {world.ask() for _ in range(10)} == {(200, "a")}


def test_sick_replicas_do_not_serve_when_a_standby_can(world):
    """And they serve again when they are well."""
    a, b = world.arm("a"), world.arm("b")
    world.traffic.route(Route(b, a, 1))
    sick(world, b)
    assert {world.ask() for _ in range(10)} == {(200, "a")}
    assert world.traffic.readings()["b"].rescued >= 10
    for path in b.sockets:
        path.with_name(f"{path.name}.sick").unlink()
    until(lambda: world.ask() == (200, "b"), "the release serves again")


def test_a_release_that_is_sick_gets_no_traffic(world):
    """Health is asked before anything moves."""
    a, b = world.arm("a", replicas=1), world.arm("b", replicas=1)
    b.sockets[0].with_name(f"{b.sockets[0].name}.sick").touch()
    world.traffic.route(Route(a, None, 1))
    with pytest.raises(Broken, match="no replica of b answers GET /health"):
        world.controller(ready_seconds=4.0).route(Route(b, a, 1))
    assert world.ask() == (200, "a")


def test_a_service_that_answers_503_is_not_taken_out(world):
    """It is the service's own word, counted as an error, and no reason to answer for it."""
    a, b = world.arm("a", replicas=1), world.arm("b", replicas=1)
    world.traffic.route(Route(b, a, 1))
    assert {world.ask(path="/status/503") for _ in range(20)} == {(503, "b")}
    assert world.ask() == (200, "b")
    reading = world.traffic.readings()["b"]
    assert (reading.requests, reading.errors, reading.rescued, reading.retried) == (21, 20, 0, 0)


def sick(world, arm):
    """Let its health checks fail, and wait until the proxy has seen it."""
    for path in arm.sockets:
        path.with_name(f"{path.name}.sick").touch()
    until(lambda: healthy(world, arm) == 0, "the proxy sees the sick replicas")


def healthy(world, arm):
    """How many of its replicas the proxy holds for healthy."""
    found = world.hosts()
    return sum(host.healthy for host in found if host.release == arm.release)
