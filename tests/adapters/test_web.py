"""HTTP of the guard: whatever happens, an answer or one sentence about it, in time."""

import contextlib
import shutil
import socket
import tempfile
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from guarded_rollout.adapters import web
from guarded_rollout.adapters.clock import SystemClock
from guarded_rollout.adapters.web import HttpWeb
from guarded_rollout.core.gates import CustomGate, CustomKind
from guarded_rollout.core.series import Histogram, Reading
from guarded_rollout.core.spec import Check, MetricNames
from guarded_rollout.ports import Address

CLOCK = SystemClock()
WEB = HttpWeb(CLOCK)
NAMES = MetricNames("work_total", "status=error", "work_seconds", "queue")
SECONDS = 60.0


@pytest.fixture
def folder():
    made = Path(tempfile.mkdtemp(prefix="gr", dir="/tmp"))
    yield made
    shutil.rmtree(made)


@contextlib.contextmanager
def served(listening, *pieces, pause=0.0, seen=None):
    """Answers one connection with these bytes; `seen` gets the request."""

    def serve():
        with contextlib.suppress(OSError), listening.accept()[0] as client:
            request = b""
            while b"\r\n\r\n" not in request:
                request += client.recv(65536)
            if seen is not None:
                head, _, body = request.partition(b"\r\n\r\n")
                lines = head.decode().split("\r\n")
                wanted = [int(x[16:]) for x in lines if x.lower().startswith("content-length: ")]
                while wanted and len(body) < wanted[0]:
                    body += client.recv(65536)
                seen.extend([lines[0], {line.lower() for line in lines[1:]}, body])
            for piece in pieces:
                client.sendall(piece)
                CLOCK.sleep(pause)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        thread.join()


@pytest.fixture
def unix(folder):
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(folder / "s"))
        listening.listen()
        listening.settimeout(SECONDS)
        yield Address(socket=folder / "s"), listening


@pytest.fixture
def tcp():
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        listening.settimeout(SECONDS)
        yield Address(port=listening.getsockname()[1]), listening


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n"


@pytest.mark.parametrize("kind", ["unix", "tcp"])
def test_an_answer_comes_back_over_both_kinds_of_address(kind, request):
    """Status, body, and the time it took."""
    address, listening = request.getfixturevalue(kind)
    seen = []
    with served(listening, OK, seen=seen):
        answered = WEB.get(address, "/health?x=1", SECONDS)
    assert (answered.status, answered.body, answered.problem) == (200, b"ok\n", None)
    assert answered.ms > 0
    assert seen[0] == "GET /health?x=1 HTTP/1.1"
    assert "connection: close" in seen[1]


def test_an_error_status_is_an_answer(unix):
    """500 is the service's word, not a problem of the exchange."""
    address, listening = unix
    with served(listening, b"HTTP/1.1 500 Oh\r\n\r\nsorry"):
        answered = WEB.get(address, "/", SECONDS)
    assert (answered.status, answered.body, answered.problem) == (500, b"sorry", None)


def test_a_check_sends_its_method_body_and_type(tcp):
    """As rollout.toml says."""
    address, listening = tcp
    check = Check("hash", "/hash", "POST", content_type="image/png", within_ms=60_000)
    seen = []
    with served(listening, OK, seen=seen):
        answered = WEB.check(address, check, b"\x89PNG" * 100_000)
    assert answered.status == 200
    assert seen[0] == "POST /hash HTTP/1.1"
    assert {"content-type: image/png", "content-length: 400000"} <= seen[1]
    assert seen[2] == b"\x89PNG" * 100_000


def test_nobody_there_is_said_in_a_sentence(folder, unix, tcp):
    """No socket, nobody behind the socket, nobody behind the port."""
    nowhere = Address(socket=folder / "nowhere")
    assert WEB.get(nowhere, "/", 1).problem == f"there is no socket {folder}/nowhere"
    for address, listening in (unix, tcp):
        listening.close()
        answered = WEB.get(address, "/", SECONDS)
        assert (answered.status, answered.body) == (None, b"")
        assert answered.problem == "connection refused"


@pytest.mark.parametrize(
    ("pieces", "problem"),
    [
        ([], "the connection was closed without an answer"),
        ([b"220 mail.example ESMTP\r\n"], "the answer is not HTTP (BadStatusLine)"),
        ([b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"], "the answer broke off"),
        (
            [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nhalf"],
            "the answer broke off",
        ),
        ([b"HTTP/1.1 200 OK\r\n" + b"a" * 70_000], "the answer is not HTTP (LineTooLong)"),
    ],
)
def test_a_broken_answer_is_said_in_a_sentence(unix, pieces, problem):
    """Never an exception, never half a body."""
    address, listening = unix
    with served(listening, *pieces):
        answered = WEB.get(address, "/", SECONDS)
    assert (answered.status, answered.body, answered.problem) == (None, b"", problem)


def test_an_answer_larger_than_the_limit_is_not_swallowed(unix, monkeypatch):
    """With and without a length."""
    monkeypatch.setattr(web, "LARGEST_BODY", 2**20)
    address, listening = unix
    endless = [b"HTTP/1.1 200 OK\r\n\r\n", *[b"x" * 2**18] * 5]
    with served(listening, *endless):
        assert WEB.get(address, "/", SECONDS).problem == "the answer is longer than 1 MiB"


@pytest.mark.parametrize(
    "pieces",
    [
        [b"HTTP/1.1 200 OK\r\n"] + [b"x"] * 100,
        [b"HTTP/1.1 200 OK\r\n\r\n"] + [b"x"] * 100,
    ],
)
def test_an_answer_that_trickles_is_given_up_in_time(unix, pieces):
    """Each byte comes soon enough, the whole does not: the limit holds for the whole exchange."""
    address, listening = unix
    with served(listening, *pieces, pause=0.05):
        answered = WEB.get(address, "/", 0.5)
    assert (answered.status, answered.problem) == (None, "no answer within 0.5 s")
    assert answered.ms >= 500


def test_silence_is_given_up_in_time(unix, tcp):
    """Nobody accepts, or somebody accepts and says nothing."""
    for address, _ in (unix, tcp):
        assert WEB.get(address, "/", 0.2).problem == "no answer within 0.2 s"


def test_a_full_queue_of_a_unix_socket_is_waited_for(folder):
    """Linux says "try again" at once there; a busy service is not a dead one."""
    place = folder / "full"
    with contextlib.ExitStack() as stack:
        listening = stack.enter_context(socket.socket(socket.AF_UNIX))
        listening.bind(str(place))
        listening.listen(0)
        waiting = []
        while True:  # until the queue is full
            client = stack.enter_context(socket.socket(socket.AF_UNIX))
            client.settimeout(0)
            try:
                client.connect(str(place))
            except BlockingIOError:
                break
            waiting.append(client)
        assert WEB.get(Address(socket=place), "/", 0.2).problem == "no answer within 0.2 s"

        def make_room():
            CLOCK.sleep(0.1)
            for _ in waiting:
                listening.accept()[0].close()

        listening.settimeout(SECONDS)
        thread = threading.Thread(target=make_room)
        thread.start()
        answer = threading.Thread(target=lambda: _answer(listening, len(waiting), thread))
        answer.start()
        answered = WEB.get(Address(socket=place), "/", SECONDS)
        answer.join()
    assert answered.status == 200


def _answer(listening, waiting, before):
    before.join()
    with listening.accept()[0] as client:
        client.recv(65536)
        client.sendall(OK)


@pytest.mark.parametrize(
    ("address", "path"),
    [
        (Address(port=1), "/a b"),
        (Address(port=1), "/\n"),
        (Address(port=1), "/ü"),
        (Address(port=99_999), "/"),
        (Address(host="a\0b", port=1), "/"),
        (Address(host="x" * 300, port=1), "/"),
        (Address(socket=Path("/" + "x" * 300)), "/"),
        (Address(socket=Path("/dev/null")), "/"),
    ],
)
def test_requests_that_cannot_be_made_are_said_in_a_sentence(address, path):
    """Never an exception: a typing error in rollout.toml must not kill the watch."""
    answered = WEB.get(address, path, 5)
    assert answered.status is None
    assert answered.problem


def metrics(unix, body, status=b"200 OK"):
    address, listening = unix
    head = b"HTTP/1.1 " + status + b"\r\nContent-Length: " + str(len(body)).encode() + b"\r\n\r\n"
    with served(listening, head, body):
        return WEB.metrics(address, "/metrics", NAMES, "one", SECONDS)


GOOD = b"""\
# TYPE work_total counter
work_total{status="ok",kind="a"} 90
work_total{status="error",kind="a"} 7
work_total{status="error",kind="b"} 3
# TYPE work_seconds histogram
work_seconds_bucket{kind="a",le="0.1"} 10
work_seconds_bucket{kind="a",le="+Inf"} 30
work_seconds_bucket{kind="a",le="1"} 20
work_seconds_bucket{kind="b",le="0.1"} 1
work_seconds_bucket{kind="b",le="1.0"} 2
work_seconds_bucket{kind="b",le="+Inf"} 2
work_seconds_sum{kind="a"} 17
work_seconds_count{kind="a"} 30
# TYPE queue gauge
queue{page="x"} 2
queue{page="y"} 3
"""


def test_a_scrape_gives_a_reading(unix):
    """Failures by label, buckets and gauges summed over their label sets."""
    assert metrics(unix, GOOD) == Reading(
        "one", bad=10, total=100, durations=Histogram((0.1, 1.0), (11, 22, 32)), queue=5
    )


def test_a_service_that_has_not_counted_yet_has_counted_nothing(unix):
    """Declared metrics without samples: zero of zero, not an error."""
    fresh = (
        b"# TYPE work_total counter\n# TYPE work_seconds histogram\n# TYPE queue gauge\nqueue 0\n"
    )
    assert metrics(unix, fresh) == Reading("one", bad=0, total=0, durations=None, queue=0)


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        (b"work_total", b"other_total", "/metrics: missing: work_total"),
        (b"queue", b"other", "/metrics: missing: queue"),
        (b"work_seconds", b"other", "/metrics: missing: work_seconds"),
        (b"} 7", b"} NaN", "/metrics: work_total is not a number"),
        (b"} 7", b"} -7", "/metrics: work_total is negative"),
        (b'"y"} 3', b'"y"} +Inf', "/metrics: queue is not a number"),
        (b"} 20", b"} NaN", "/metrics: the buckets of work_seconds are not cumulative"),
        (b"} 20", b"} 40", "/metrics: the buckets of work_seconds are not cumulative"),
        (b'le="1.0"', b'le="2.0"', "the buckets of work_seconds differ between its label sets"),
        (b'le="+Inf"', b'le="9"', '/metrics: work_seconds has no bucket le="+Inf"'),
        (b"le=", b"ge=", "/metrics: a bucket of work_seconds has no bound le"),
        (b"} 7", b"} seven", "/metrics: 'seven' is no number"),
        (b"queue", b"\xff\xfe", "/metrics: the metrics are not UTF-8"),
        (b'queue{page="y"} 3\n', b"queue 3", "/metrics: the text breaks off"),
    ],
)
def test_metrics_that_cannot_be_trusted_give_a_reason(unix, old, new, reason):
    """Unknown is not zero: the reason names what is missing or wrong."""
    assert old in GOOD
    said = metrics(unix, GOOD.replace(old, new))
    assert isinstance(said, str)
    assert reason in said


def test_no_metrics_at_all_give_a_reason(unix, folder):
    """A wrong status, or nobody there."""
    assert metrics(unix, GOOD, b"404 Not Found") == "/metrics answered 404"
    gone = Address(socket=folder / "gone")
    assert WEB.metrics(gone, "/metrics", NAMES, "one", 1) == (
        f"/metrics: there is no socket {folder}/gone"
    )


def test_bodies_of_many_megabytes_are_fine(unix):
    """Every other metric of the service comes along."""
    noise = b"".join(b'other{le="%d",a="b"} %d\n' % (i, i) for i in range(200_000))
    reading = metrics(unix, noise + GOOD + noise)
    assert isinstance(reading, Reading)
    assert reading.total == 100


OWN = (
    CustomGate("pages", CustomKind.RATE, "own_pages", 2.0, "result=failed"),
    CustomGate("render", CustomKind.QUANTILE, "own_render_seconds", 500.0),
    CustomGate("evictions", CustomKind.EVENT, "own_evictions_total", 6.0),
    CustomGate("balance", CustomKind.LEVEL, "own_balance", 3.0),
    CustomGate("absent", CustomKind.RATE, "nowhere_total", 3.0, "result=failed"),
)
OWN_TEXT = b"""\
own_pages{result="failed"} 3
own_pages{result="ok"} 9
own_render_seconds_bucket{le="0.5"} 4
own_render_seconds_bucket{le="+Inf"} 5
own_evictions_total 2
own_balance{side="a"} -4
own_balance{side="b"} 1
"""


def test_metrics_of_the_services_own_are_readings_of_their_own(unix):
    """One that this release does not have is left out; it does not spoil the others."""
    address, listening = unix
    body = GOOD + OWN_TEXT
    head = b"HTTP/1.1 200 OK\r\nContent-Length: " + str(len(body)).encode() + b"\r\n\r\n"
    with served(listening, head, body):
        found = WEB.metrics(address, "/metrics", replace(NAMES, custom=OWN), "one", SECONDS)
    assert isinstance(found, Reading)
    assert found.total == 100
    assert found.custom == {
        "pages": Reading("one", bad=3, total=12),
        "render": Reading("one", durations=Histogram((0.5,), (4, 5))),
        "evictions": Reading("one", bad=2),
        "balance": Reading("one", queue=-3),
    }


@pytest.mark.parametrize(
    ("text", "arrived", "left"),
    [
        (b"came_total 12\nwent_total 5\n", 12.0, 5.0),
        (b"came_total 12\n", 12.0, None),
        (b"", None, None),
    ],
)
def test_what_comes_to_the_queue_and_leaves_it_is_read_where_it_is_counted(
    unix, text, arrived, left
):
    """A release that does not count it has all its other numbers."""
    address, listening = unix
    body = GOOD + text
    head = b"HTTP/1.1 200 OK\r\nContent-Length: " + str(len(body)).encode() + b"\r\n\r\n"
    names = replace(NAMES, queue_arrivals="came_total", queue_departures="went_total")
    with served(listening, head, body):
        found = WEB.metrics(address, "/metrics", names, "one", SECONDS)
    assert isinstance(found, Reading)
    assert (found.total, found.arrived, found.left) == (100, arrived, left)
