"""What the proxy does to a request, and what it refuses."""

import json

import pytest

from guarded_rollout.ports import Route


@pytest.fixture
def served(world):
    """A world with one release."""
    world.traffic.route(Route(world.arm("a", replicas=1), None, 1))
    return world


def test_the_service_learns_who_asked(served):
    """X-Forwarded-For and -Proto are added; nothing of the proxy's own trade is."""
    _, seen = served.ask(path="/headers", headers={"x-forwarded-for": "9.9.9.9"})
    lower = seen.lower()
    assert "x-forwarded-for: 9.9.9.9," in lower
    assert "x-forwarded-proto: http" in lower
    assert "x-envoy-expected" not in lower


def test_answers_are_passed_on_as_they_are(served):
    """The service's Server header stays, no header of the proxy is added."""
    _, _, headers = served.ask_all()
    assert headers["server"].strip() == "replica"
    assert not [name for name in headers if name.lower().startswith("x-envoy")]


def test_clients_cannot_steer_the_proxy(served):
    """Its own request headers are ignored when users send them."""
    steering = {"x-envoy-retry-on": "5xx", "x-envoy-max-retries": "9"}
    assert served.ask(path="/status/503", headers=steering)[0] == 503
    assert served.traffic.readings()["a"].retried == 0


def test_bodies_have_no_limit_of_ours(served):
    """Twenty megabytes arrive."""
    size = 20_000_000
    assert served.ask("POST", "/length", body=b"x" * size) == (200, str(size))


def test_header_names_with_underscores_are_refused(served):
    """They are read as dashes by some servers, and so could smuggle a trusted header."""
    assert served.ask(headers={"x_real_ip": "1"})[0] == 400


def test_the_admin_socket_is_ours_alone_and_cannot_end_the_proxy(served):
    """Mode 0600 in a folder 0700; only the pages that are needed answer."""
    socket = served.folder / "run" / "admin.sock"
    assert socket.stat().st_mode & 0o777 == 0o600
    assert socket.parent.stat().st_mode & 0o777 == 0o700
    assert (served.folder / "proxy").stat().st_mode & 0o777 == 0o700
    assert served.admin_refuses("/quitquitquit")
    assert served.admin_refuses("/runtime_modify?a=b")
    assert served.traffic.running()


def test_every_request_leaves_a_line_in_the_access_log(served):
    """JSON: time, release, replica, status, duration, attempts, method; no path, no address."""
    for _ in range(3):
        served.ask("POST")
    log = served.folder / "proxy" / "access.jsonl"
    served.traffic.stop()
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert len(lines) == 3
    assert {line["c"] for line in lines} == {"a"}
    assert {line["m"] for line in lines} == {"POST"}
    assert all(line["us"] > 0 and line["s"] == 200 and line["n"] == 1 for line in lines)
