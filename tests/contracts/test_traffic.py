"""What every Traffic adapter keeps. Add a world to WORLDS to run it on another one.

A world has: `traffic` (not started), `controller(ready_seconds=...)` (another one for the same
proxy), `start()`, `arm(release, replicas)` (started and healthy), `kill(arm)`, `close()`,
`ask(method, path)` -> (status, body), `many(count)` -> the bodies of so many GETs, and `hold()` (a
request in flight, answered by `finish()` of what it returns). A release answers its own name;
`/status/N` answers N, `/slow/S` takes S seconds.
"""

import json
import math
from collections import Counter
from pathlib import Path

import pytest

from guarded_rollout.core.problems import BadInput, Broken, Busy
from guarded_rollout.core.series import quantile
from guarded_rollout.ports import Arm, Route
from tests.adapters.envoy.world import LONG, EnvoyWorld, until

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


def test_a_canary_gets_its_share_and_every_request_is_on_one_account(world):
    """Seven standard deviations of a fair split: 1 in 10**11. Errors and durations per arm too."""
    a, b = world.arm("a"), world.arm("b")
    world.traffic.route(Route(a, None, 1))
    sent, percent = 3000, 20
    world.traffic.route(Route(a, None, 1, b, percent))
    got = Counter(world.many(sent))
    failed = Counter(world.ask(path="/status/500") for _ in range(60))
    assert set(failed) <= {(500, "a"), (500, "b")}
    assert abs(got["b"] - sent * percent / 100) < 7 * math.sqrt(sent * 0.2 * 0.8)
    readings = world.traffic.readings()
    for name in ("a", "b"):
        found = readings[name]
        assert (found.requests, found.errors) == (got[name] + failed[500, name], failed[500, name])
        assert (found.rescued, found.retried, found.active) == (0, 0, 0)
        assert found.durations.counts[-1] == found.requests


def test_a_control_gets_as_many_users_as_the_canary(world):
    """On an account of its own; when it is gone the baseline answers for it."""
    a, b, fresh = world.arm("a"), world.arm("b"), world.arm("a-control")
    sent, route = 2000, Route(a, None, 1, b, 20, fresh)
    world.traffic.route(route)
    assert world.controller().routed() == route
    got = Counter(world.many(sent))
    for name, share in (("b", 0.2), ("a-control", 0.2), ("a", 0.6)):
        assert abs(got[name] - sent * share) < 7 * math.sqrt(sent * share * (1 - share))
        assert world.traffic.readings()[name].requests == got[name]
    world.kill(fresh)
    assert set(world.many(200)) == {"a", "b"}
    assert world.traffic.readings()["a-control"].rescued > 0
    world.traffic.route(Route(a, None, 1, b, 60, world.arm("again")))
    assert world.traffic.routed().control_percent == 40


def test_nothing_controls_without_a_canary():
    """A control is there to be compared with."""
    with pytest.raises(BadInput, match="there is no canary"):
        Route(Arm("a", ()), None, 1, control=Arm("a-control", ()))


def test_a_share_can_grow_to_all_and_go_back_to_none(world):
    """Every step is read back from the proxy, in tenths of a percent."""
    a, b = world.arm("a"), world.arm("b")
    world.traffic.route(Route(a, None, 1))
    for percent in (0.1, 1, 5.3, 33.3, 50, 99.9):
        route = Route(a, None, 1, b, percent)
        world.traffic.route(route)
        assert world.controller().routed() == route
    world.traffic.route(Route(b, a, 1))
    assert set(world.many(50)) == {"b"}
    world.traffic.route(Route(a, b, 1))
    assert world.traffic.routed() == Route(a, b, 1)
    assert set(world.many(50)) == {"a"}


def test_a_canary_moves_for_no_stale_fence(world):
    """The share stays as it was."""
    a, b = world.arm("a", replicas=1), world.arm("b", replicas=1)
    route = Route(a, None, 5, b, 10)
    world.traffic.route(route)
    for refused in (Route(a, None, 4, b, 50), Route(b, a, 4)):
        with pytest.raises(Busy, match="5"):
            world.controller().route(refused)
        assert world.traffic.routed() == route


@pytest.mark.parametrize("dead", ["a", "b"])
def test_no_share_for_a_canary_when_an_arm_has_no_healthy_replica(world, dead):
    """Broken names the arm; the route stays as it was."""
    a, b, now = world.arm("a"), world.arm("b"), world.arm("now")
    world.traffic.route(Route(now, None, 1))
    world.kill({"a": a, "b": b}[dead])
    with pytest.raises(Broken, match=f"no replica of {dead} "):
        world.controller(ready_seconds=1.0).route(Route(a, None, 1, b, 50))
    assert world.traffic.routed() == Route(now, None, 1)
    assert set(world.many(50)) == {"now"}


def test_the_baseline_answers_when_the_canary_is_gone(world):
    """Nobody notices, and each answer is counted against the canary as rescued."""
    a, b = world.arm("a"), world.arm("b")
    world.traffic.route(Route(a, None, 1, b, 50))
    before = Counter(world.many(100))
    world.kill(b)
    answers = Counter(world.ask(method) for method in ("GET", "POST") * 100)
    assert set(answers) == {(200, "a")}
    readings = world.traffic.readings()
    lost = readings["b"].requests - before["b"]
    assert 0 < lost < 200
    assert (readings["b"].errors, readings["b"].rescued) == (0, lost)
    assert (readings["a"].requests, readings["a"].rescued) == (before["a"] + 200 - lost, 0)


def test_a_canary_can_answer_when_the_baseline_is_gone(world):
    """Only when the route says so: as its standby."""
    a, b = world.arm("a"), world.arm("b")
    world.traffic.route(Route(a, b, 1, b, 50))
    world.kill(a)
    assert set(world.many(50)) == {"b"}
    readings = world.traffic.readings()
    assert readings["a"].requests == readings["a"].rescued > 0
    assert readings["b"].rescued == 0
    assert readings["a"].requests + readings["b"].requests == 50


@pytest.mark.parametrize("percent", [0, -1, 100, 101, 0.05, 12.34, math.nan, math.inf])
def test_shares_that_cannot_be_are_refused(percent):
    """Before anybody is asked."""
    with pytest.raises(BadInput, match=r"from 0\.1 to 99\.9"):
        Route(Arm("a", ()), None, 1, Arm("b", ()), percent)


def test_a_canary_needs_another_release_beside_it():
    """And a share needs a canary."""
    a = Arm("a", (Path("/a.sock"),))
    for to in (None, Arm("a", (Path("/other.sock"),))):
        with pytest.raises(BadInput, match="a cannot be a canary of"):
            Route(to, None, 1, a, 5)
    with pytest.raises(BadInput, match="5 % of the users go to no release"):
        Route(a, None, 1, None, 5)


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


def test_drain_waits_for_a_canarys_requests_too(world):
    """While it has a share, and after the share was taken back."""
    a, b = world.arm("a", replicas=1), world.arm("b", replicas=1)
    world.traffic.route(Route(b, None, 1))
    held = world.hold()
    until(lambda: world.traffic.readings()["b"].active == 1, "the canary has the request")
    world.traffic.route(Route(a, None, 1, b, 99.9))
    assert not world.traffic.drain("b", 0.1)
    world.traffic.route(Route(a, None, 1))
    assert not world.traffic.drain("b", 0.1)
    assert world.traffic.drain("a", LONG)
    assert held.finish() == (200, "b")
    assert world.traffic.drain("b", LONG)


def test_an_idle_canary_is_drained(world):
    """With a share that nobody uses now."""
    a, b = world.arm("a", replicas=1), world.arm("b", replicas=1)
    world.traffic.route(Route(a, None, 1, b, 50))
    assert world.traffic.drain("b", LONG)


@pytest.mark.parametrize("percent", [0, 30])
def test_a_stopped_proxy_comes_back_with_its_last_route(world, percent):
    """Stop ends it, start brings it back as it was."""
    a, b = world.arm("a", replicas=1), world.arm("b", replicas=1)
    route = Route(a, None, 2, b, percent) if percent else Route(a, None, 2)
    world.traffic.route(route)
    world.traffic.stop()
    assert not world.traffic.running()
    assert world.traffic.routed() is None
    world.traffic.stop()
    world.controller().start()
    assert world.traffic.routed() == route
    assert set(world.many(100)) == ({"a", "b"} if percent else {"a"})


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
