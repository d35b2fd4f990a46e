"""What the proxy does to a request, and what it refuses."""

import json
import socket

import pytest

from guarded_rollout.ports import Route
from tests.adapters.envoy.world import LONG


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
    admin = served.folder / "run" / "admin.sock"
    assert admin.stat().st_mode & 0o777 == 0o600
    assert admin.parent.stat().st_mode & 0o777 == 0o700
    assert (served.folder / "proxy").stat().st_mode & 0o777 == 0o700
    assert served.admin_refuses("/quitquitquit")
    assert served.admin_refuses("/runtime_modify?a=b")
    assert served.traffic.running()


def test_old_clients_are_served(served):
    """HTTP/1.0 without a Host header."""
    with socket.create_connection(("127.0.0.1", served.port), timeout=LONG) as connection:
        connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
        answer = b"".join(iter(lambda: connection.recv(4096), b""))
    assert answer.startswith((b"HTTP/1.0 200", b"HTTP/1.1 200"))
    assert answer.endswith(b"a")


def test_the_access_log_can_be_rotated(served):
    """Every line is in the old file or in the new one."""
    log = served.folder / "proxy" / "access.jsonl"
    sent = 0
    while not log.exists() or log.stat().st_size < 2000:
        served.ask(path="/status/503")
        sent += 1
    assert not served.traffic.rotate(10**9)
    assert served.traffic.rotate(1000)
    served.ask(path="/status/503")
    served.traffic.stop()
    lines = [file.read_text().splitlines() for file in (log, log.with_name("access.jsonl.1"))]
    assert all(lines)
    assert sum(map(len, lines)) == sent + 1


def test_every_failure_leaves_a_line_in_the_access_log_and_nothing_else_does(served):
    """JSON: time, release, replica, status, duration, attempts, method; no path, no address."""
    for _ in range(3):
        served.ask("POST")
        served.ask("POST", path="/status/503")
    log = served.folder / "proxy" / "access.jsonl"
    served.traffic.stop()
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert len(lines) == 3
    assert {line["c"] for line in lines} == {"a"}
    assert {line["m"] for line in lines} == {"POST"}
    assert all(line["us"] > 0 and line["s"] == 503 and line["n"] == 1 for line in lines)
