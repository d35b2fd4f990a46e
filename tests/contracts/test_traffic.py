"""What every Traffic adapter keeps. Add a world to WORLDS to run it on another one.

A world has: `traffic` (not started), `controller(ready_seconds=...)` (another one for the same
proxy), `start()`, `arm(release, replicas)` (started and healthy), `kill(arm)`, `close()`,
`ask(method, path)` -> (status, body) and `hold()` (a request in flight, answered by `finish()` of
what it returns). A release answers its own name; `/status/N` answers N, `/slow/S` takes S seconds.
"""

import json

import pytest

from guarded_rollout.core.problems import Broken, Busy
from guarded_rollout.core.series import quantile
from guarded_rollout.ports import Arm, Route
from tests.adapters.envoy.world import EnvoyWorld, until

WORLDS = {"envoy": EnvoyWorld}


@pytest.fixture(params=WORLDS.values(), ids=WORLDS.keys())
def idle(request):
    """A world whose proxy was never started."""
    made = request.param()
    try:
        yield made
    finally:
        made.close()


@pytest.fixture
def world(idle):
    """A world whose proxy runs."""
    idle.start()
    return idle


def test_a_proxy_that_was_never_started_does_not_run(idle):
    """Looking at it and stopping it are no errors; its numbers and routes cannot be had."""
    traffic = idle.traffic
    assert not traffic.running()
    assert traffic.routed() is None
    traffic.stop()
    with pytest.raises(Broken):
        traffic.readings()


def test_a_fresh_proxy_says_that_nothing_is_deployed(world):
    """503 with JSON, from the first request on; starting twice is starting once."""
    world.traffic.start()
    assert world.traffic.running()
    assert world.traffic.routed() == Route(None, None, 0)
    status, body = world.ask()
    assert status == 503
    assert json.loads(body) == {"error": "no release is deployed"}


def test_all_requests_go_where_the_route_says(world):
    """At once, when `route` has returned."""
    a, b = world.arm("1.0.0-aaa"), world.arm("2.0.0-bbb")
    for to, standby in ((a, None), (b, a), (a, b), (b, None), (a, None)):
        route = Route(to, standby, 1)
        world.traffic.route(route)
        assert world.traffic.routed() == route
        assert {world.ask() for _ in range(8)} == {(200, to.release)}


def test_a_route_can_be_asked_for_twice(world):
    """The second time nothing happens."""
    route = Route(world.arm("a"), None, 3)
    world.traffic.route(route)
    world.traffic.route(route)
    assert world.traffic.routed() == route
    assert world.ask() == (200, "a")


def test_a_route_to_nothing_takes_the_service_down_politely(world):
    """503 again, and another release can come."""
    a = world.arm("a", replicas=1)
    world.traffic.route(Route(a, None, 1))
    world.traffic.route(Route(None, None, 1))
    assert world.ask()[0] == 503
    assert world.traffic.routed() == Route(None, None, 1)
    world.traffic.route(Route(a, None, 1))
    assert world.ask() == (200, "a")


def test_every_controller_sees_the_same_route(world):
    """The proxy is the truth, not somebody's memory."""
    route = Route(world.arm("a", replicas=1), world.arm("b", replicas=1), 7)
    world.traffic.route(route)
    assert world.controller().routed() == route


def test_a_stale_fence_is_refused_and_nothing_moves(world):
    """A controller that lost its lease cannot shift traffic; its own fence may be used again."""
    a, b = world.arm("a", replicas=1), world.arm("b", replicas=1)
    world.traffic.route(Route(a, None, 5))
    with pytest.raises(Busy, match="5"):
        world.controller().route(Route(b, None, 4))
    assert world.traffic.routed() == Route(a, None, 5)
    assert world.ask() == (200, "a")
    world.controller().route(Route(b, None, 5))
    assert world.ask() == (200, "b")


def test_traffic_does_not_move_to_a_release_without_a_healthy_replica(world):
    """Broken; the old one goes on serving."""
    a, b = world.arm("a"), world.arm("b")
    world.traffic.route(Route(a, None, 1))
    world.kill(b)
    for standby in (None, a):
        with pytest.raises(Broken):
            world.controller(ready_seconds=1.0).route(Route(b, standby, 2))
        assert world.traffic.routed() == Route(a, None, 1)
        assert world.ask() == (200, "a")


def test_the_standby_answers_when_the_release_is_gone(world):
    """Every request, any method; counted as rescued, not as errors."""
    a, b = world.arm("a"), world.arm("b")
    world.traffic.route(Route(b, a, 1))
    assert world.ask() == (200, "b")
    world.kill(b)
    answers = [world.ask(method) for method in ("GET", "POST") * 10]
    assert set(answers) == {(200, "a")}
    reading = world.traffic.readings()["b"]
    assert (reading.requests, reading.errors, reading.rescued) == (21, 0, 20)


def test_one_dead_replica_is_not_felt(world):
    """The other one answers, without any standby."""
    a = world.arm("a", replicas=2)
    world.traffic.route(Route(a, None, 1))
    world.kill(Arm(a.release, a.sockets[:1]))
    assert {world.ask() for _ in range(20)} == {(200, "a")}
    reading = world.traffic.readings()["a"]
    assert (reading.requests, reading.errors, reading.rescued) == (20, 0, 0)


def test_readings_count_exactly_what_was_sent(world):
    """Per release, with the errors among them and how long they took."""
    a, b = world.arm("a"), world.arm("b")
    world.traffic.route(Route(a, None, 1))
    for _ in range(30):
        world.ask()
    for _ in range(5):
        world.ask(path="/status/500")
    world.traffic.route(Route(b, a, 1))
    for _ in range(11):
        world.ask()
    world.ask(path="/status/404")
    found = world.traffic.readings()
    assert (found["a"].requests, found["a"].errors, found["a"].rescued) == (35, 5, 0)
    assert (found["b"].requests, found["b"].errors, found["b"].rescued) == (12, 0, 0)
    assert found["a"].active == found["b"].active == 0
    assert found["b"].durations.counts[-1] == 12
    assert found["b"].durations.bounds == found["a"].durations.bounds


def test_durations_bracket_how_long_requests_took(world):
    """A request of 0.3 s is seen as one of at least 0.3 s."""
    world.traffic.route(Route(world.arm("a", replicas=1), None, 1))
    world.ask(path="/slow/0.3")
    median = quantile(world.traffic.readings()["a"].durations, 0.5)
    assert median is not None
    assert median.samples == 1
    assert median.up_to >= 0.3


def test_a_release_without_replicas_that_answer_gives_errors(world):
    """No standby: users see it, and so do the readings."""
    a = world.arm("a", replicas=1)
    world.traffic.route(Route(a, None, 1))
    world.kill(a)
    assert {world.ask()[0] for _ in range(4)} == {503}
    reading = world.traffic.readings()["a"]
    assert (reading.requests, reading.errors) == (4, 4)


def test_drain_waits_for_what_is_in_flight(world):
    """False while there is something, True when it is done, True for a stranger."""
    a, b = world.arm("a", replicas=1), world.arm("b", replicas=1)
    world.traffic.route(Route(a, None, 1))
    held = world.hold()
    until(lambda: world.traffic.readings()["a"].active == 1, "the request is in flight")
    world.traffic.route(Route(b, a, 1))
    assert not world.traffic.drain("a", 0.1)
    assert world.traffic.drain("b", 0.0)
    assert held.finish() == (200, "a")
    assert world.traffic.drain("a", 60.0)
    assert world.traffic.drain("stranger", 0.0)


def test_a_stopped_proxy_comes_back_with_its_last_route(world):
    """Stop ends it, start brings it back as it was."""
    route = Route(world.arm("a", replicas=1), None, 2)
    world.traffic.route(route)
    world.traffic.stop()
    assert not world.traffic.running()
    assert world.traffic.routed() is None
    world.traffic.stop()
    world.controller().start()
    assert world.traffic.routed() == route
    assert world.ask() == (200, "a")


def test_the_epoch_tells_a_restart(world):
    """It stays while the proxy lives, and the counters begin anew with another one."""
    world.traffic.route(Route(world.arm("a", replicas=1), None, 2))
    world.ask()
    first, second = (world.traffic.readings()["a"] for _ in range(2))
    assert first.epoch == second.epoch
    world.traffic.stop()
    world.traffic.start()
    after = world.traffic.readings()["a"]
    assert after.epoch != first.epoch
    assert after.requests == 0
