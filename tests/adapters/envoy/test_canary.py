"""A canary on a real proxy: sticky users, testers who choose, and shares that move under load."""

from collections import Counter

import pytest

from guarded_rollout.adapters.envoy import live
from guarded_rollout.adapters.envoy.admin import Admin
from guarded_rollout.core.problems import BadInput
from guarded_rollout.core.series import quantile
from guarded_rollout.ports import Arm, Route
from tests.adapters.envoy.world import LONG, EnvoyWorld, until

USERS = [f"user-{number}" for number in range(400)]
SOME = USERS[:60]
STEPS = (1, 5, 25, 50)
STICKY = ("header:x-user-id", "cookie:session")


def known(user):
    """Every other user by a header, the rest by a cookie among others."""
    if int(user.rpartition("-")[2]) % 2:
        return {"x-user-id": user}
    return {"cookie": f"theme=dark; session={user}; seen=1"}


def arms(world, users=SOME):
    """Where each user is now, asked twice over different connections."""
    once, twice = (world.many([known(user) for user in users]) for _ in range(2))
    assert once == twice
    return dict(zip(users, once, strict=True))


def on(release, where):
    return {user for user, arm in where.items() if arm == release}


def test_a_growing_share_sends_no_sticky_user_back(world):
    """1, 5, 25, 50, 100 %: stable in a step, only new ones come; and all go back at once."""
    world.traffic = world.controller(sticky=STICKY)
    a, b = world.arm("a"), world.arm("b")
    world.traffic.route(Route(a, None, 1))
    before = set()
    for percent in STEPS:
        world.traffic.route(Route(a, None, 1, b, percent))
        now = on("b", arms(world, USERS))
        assert before <= now
        # Six standard deviations of a fair choice; the same users and releases each time.
        assert (
            abs(len(now) - 4 * percent) <= 12 * (percent / 100 * (1 - percent / 100) * 100) ** 0.5
        )
        before = now
    world.traffic.route(Route(b, a, 1))
    assert on("b", arms(world, USERS)) == set(USERS)
    world.traffic.route(Route(a, b, 1))
    assert on("a", arms(world, USERS)) == set(USERS)


def test_a_smaller_share_only_sends_users_back(world):
    """50 -> 5: who stays was among those of 50."""
    world.traffic = world.controller(sticky=STICKY)
    a, b = world.arm("a"), world.arm("b")
    world.traffic.route(Route(a, None, 1, b, 50))
    half = on("b", arms(world))
    world.traffic.route(Route(a, None, 1, b, 5))
    few = on("b", arms(world))
    assert set() < few < half


def test_another_release_begins_with_other_users(world):
    """Nobody is always among the first."""
    world.traffic = world.controller(sticky=STICKY)
    a, b, c = (world.arm(name, replicas=1) for name in "abc")
    world.traffic.route(Route(a, None, 1, b, 5))
    first = on("b", arms(world))
    world.traffic.route(Route(a, None, 1, c, 5))
    assert first != on("c", arms(world))


def test_the_first_key_that_a_request_has_decides(world):
    """The header here; a cookie beside it changes nothing."""
    world.traffic = world.controller(sticky=STICKY)
    a, b = world.arm("a"), world.arm("b")
    world.traffic.route(Route(a, None, 1, b, 50))
    alone = world.many([{"x-user-id": user} for user in SOME])
    for cookie in ("session=one", "session=two"):
        both = world.many([{"x-user-id": user, "cookie": cookie} for user in SOME])
        assert both == alone


def test_requests_without_a_key_are_split_at_random(world):
    """Seven standard deviations: 1 in 10**11. An empty cookie is no key; an empty header is one."""
    world.traffic = world.controller(sticky=STICKY)
    a, b = world.arm("a"), world.arm("b")
    world.traffic.route(Route(a, None, 1, b, 30))
    for headers in ({}, {"cookie": "session=; other=1"}):
        got = Counter(world.many([headers] * 600))
        assert abs(got["b"] - 180) < 7 * (600 * 0.3 * 0.7) ** 0.5
    assert len(set(world.many([{"x-user-id": ""}] * 100))) == 1


def test_users_stay_where_they_are_when_the_proxy_dies(world):
    """SIGKILL: its routes come back with the share, and every user with his arm."""
    world.traffic = world.controller(sticky=STICKY, pin="x-arm")
    a, b = world.arm("a"), world.arm("b")
    route = Route(a, None, 1, b, 30)
    world.traffic.route(route)
    before = arms(world)
    assert set(before.values()) == {"a", "b"}
    world.kill_proxy()
    until(world.traffic.running, "the proxy answers again")
    assert world.traffic.routed() == route
    assert arms(world) == before
    assert set(world.many([{"x-arm": "candidate"}] * 20)) == {"b"}


@pytest.mark.parametrize("place", ["header", "cookie"])
def test_testers_choose_their_arm_and_are_not_counted(world, place):
    """Neither is an answer of theirs, good or bad, on a release's account."""
    world.traffic = world.controller(sticky=STICKY, pin="x-arm")
    a, b = world.arm("a"), world.arm("b")
    world.traffic.route(Route(a, None, 1, b, 50))
    for value, release in (("candidate", "b"), ("baseline", "a")):
        pin = {"x-arm": value} if place == "header" else {"cookie": f"q=1; x-arm={value}; z=2"}
        assert set(world.many([{"x-user-id": user} | pin for user in SOME])) == {release}
        assert world.ask("POST", headers=pin) == (200, release)
        assert world.ask("POST", "/status/500", headers=pin) == (500, release)
    readings = world.traffic.readings()
    assert set(readings) == {"a", "b"}
    for found in readings.values():
        assert (found.requests, found.errors, found.rescued, found.active) == (0, 0, 0, 0)
        assert found.durations.counts[-1] == 0
    assert pinned(world) == {"a": (62, 1), "b": (62, 1)}


def test_a_pin_that_says_nothing_known_is_ignored(world):
    """Such a request is a user's, by its key, and it is counted."""
    world.traffic = world.controller(sticky=STICKY, pin="x-arm")
    a, b = world.arm("a"), world.arm("b")
    world.traffic.route(Route(a, None, 1, b, 50))
    users = [{"x-user-id": user} for user in SOME[:40]]
    where = world.many(users)
    for value in ("", "Candidate", "candidates", "b", "candidate,baseline"):
        for pin in ({"x-arm": value}, {"cookie": f"x-arm={value}"}):
            assert world.many([user | pin for user in users]) == where
    assert set(world.many([{"x-arm": "nonsense", "cookie": "x-arm=baseline"}] * 20)) == {"a"}
    assert sum(pinned(world)["b"]) == 0


def test_without_a_pin_configured_the_header_does_nothing(world):
    """Users go where their key says, and are counted."""
    world.traffic = world.controller(sticky=STICKY)
    a, b = world.arm("a"), world.arm("b")
    world.traffic.route(Route(a, None, 1, b, 50))
    where = arms(world)
    for value in ("candidate", "baseline"):
        got = world.many([known(user) | {"x-arm": value} for user in SOME])
        assert got == list(where.values())
    sums = sum(reading.requests for reading in world.traffic.readings().values())
    assert sums == 4 * len(SOME)


def test_without_a_canary_a_pin_does_nothing(world):
    """There is one arm, and all are its users."""
    world.traffic = world.controller(pin="x-arm")
    a, b = world.arm("a"), world.arm("b")
    world.traffic.route(Route(b, a, 1))
    assert set(world.many([{"x-arm": "baseline"}] * 20)) == {"b"}
    assert world.traffic.readings()["b"].requests == 20


def test_nobody_answers_a_tester_for_a_dead_canary(world):
    """503 says the truth; users are rescued, and only they are counted as that."""
    world.traffic = world.controller(pin="x-arm")
    a, b = world.arm("a"), world.arm("b")
    world.traffic.route(Route(a, None, 1, b, 50))
    world.kill(b)
    tested = {world.ask(headers={"x-arm": "candidate"})[0] for _ in range(10)}
    assert tested == {503}
    assert set(world.many(100)) == {"a"}
    found = world.traffic.readings()["b"]
    assert found.errors == 0
    assert found.requests == found.rescued > 0


def test_a_testers_request_in_flight_is_drained(world):
    """It is the arm's, whoever is not counted."""
    world.traffic = world.controller(pin="x-arm")
    a, b = world.arm("a"), world.arm("b")
    world.traffic.route(Route(a, None, 1, b, 0.1))
    held = world.hold({"x-arm": "candidate"})
    until(lambda: world.traffic.readings()["b"].active == 1, "the request is in flight")
    world.traffic.route(Route(a, None, 1))
    assert not world.traffic.drain("b", 0.1)
    assert held.finish() == (200, "b")
    assert world.traffic.drain("b", LONG)


def test_fifty_steps_under_load_fail_no_request_and_every_one_is_counted(world):
    """GET and POST over kept connections; the generator's counts are the proxy's, per arm."""
    world.traffic = world.controller(sticky=STICKY, pin="x-arm")
    a, b = world.arm("a"), world.arm("b")
    world.traffic.route(Route(a, None, 1))
    with world.load() as seen:
        for _ in range(9):
            for route in (
                *(Route(a, None, 1, b, percent) for percent in STEPS),
                Route(b, a, 1),
                Route(a, None, 1),
            ):
                before = seen.sent
                world.traffic.route(route)
                until(lambda before=before: seen.sent > before + 70, "the load goes on")
    assert seen.bad() == ({}, [])
    assert seen.sent > 54 * 70
    readings = world.traffic.readings()
    assert {name: found.requests for name, found in readings.items()} == seen.by_release()
    for found in readings.values():
        assert (found.errors, found.rescued, found.active) == (0, 0, 0)
        assert found.durations.counts[-1] == found.requests


def test_a_canary_killed_under_load_fails_no_reading_request(world):
    """First one replica, then the other; then it goes back. The baseline stays unblamed."""
    a, b = world.arm("a"), world.arm("b")
    world.traffic.route(Route(a, None, 1, b, 50))
    with world.load(methods=("GET",)) as seen:
        for victim in b.sockets:
            now = seen.sent
            until(lambda now=now: seen.sent > now + 300, "the load goes on")
            world.kill(Arm("b", (victim,)))
        now = seen.sent
        until(lambda now=now: seen.sent > now + 600, "the load goes on")
        world.traffic.route(Route(a, None, 1))
        now = seen.sent
        until(lambda now=now: seen.sent > now + 100, "the load goes on")
        assert world.traffic.drain("b", LONG)
    assert seen.bad() == ({}, [])
    readings = world.traffic.readings()
    assert readings["a"].requests + readings["b"].requests == seen.sent
    assert readings["b"].requests - readings["b"].rescued == seen.by_release()["b"]
    assert readings["b"].rescued > 0
    assert (readings["a"].errors, readings["a"].rescued, readings["a"].retried) == (0, 0, 0)


def test_durations_are_kept_per_arm(world):
    """A slow canary is seen in its own histogram alone, of the same period."""
    world.traffic = world.controller(sticky=STICKY)
    a, b = world.arm("a"), world.arm("b")
    world.traffic.route(Route(a, None, 1, b, 50))
    where = arms(world)
    slow = sorted(on("b", where))[:5]
    start = world.traffic.readings()
    world.many([known(user) for user in sorted(on("a", where))[:20]])
    for user in slow:
        world.ask(path="/slow/0.3", headers=known(user))
    end = world.traffic.readings()
    rose = {
        name: [
            now - then
            for now, then in zip(
                end[name].durations.counts, start[name].durations.counts, strict=True
            )
        ]
        for name in ("a", "b")
    }
    assert (rose["a"][-1], rose["b"][-1]) == (20, 5)
    short = sum(bound < 0.3 for bound in end["b"].durations.bounds)
    assert rose["b"][short - 1] == 0
    assert quantile(end["b"].durations, 1.0).up_to >= 0.3


@pytest.mark.parametrize(
    "wrong",
    ["x-user-id", "header:", "header:x_user", "header:X-Envoy-Me", "cookie:a b", "ip:1", ""],
)
def test_keys_that_no_request_can_have_are_refused(wrong):
    """BadInput when the port is made, not in the middle of a rollout."""
    world = EnvoyWorld()
    try:
        with pytest.raises(BadInput, match="sticky"):
            world.controller(sticky=(wrong,))
        if not wrong.startswith("cookie:"):
            with pytest.raises(BadInput, match="pin"):
                world.controller(pin=wrong.replace("x-user-id", "x_user_id"))
    finally:
        world.close()


def pinned(world):
    """Requests and errors on the testers' own accounts, per release; the admin page has them."""
    with Admin(world.folder / "run" / "admin.sock").session() as session:
        found = live.counters(session, r"cluster\..*\+pinned\.upstream_rq_(completed|5xx)")
    return {
        release: tuple(
            int(found.get(f"cluster.{release}+pinned.upstream_rq_{what}", 0))
            for what in ("completed", "5xx")
        )
        for release in ("a", "b")
    }
