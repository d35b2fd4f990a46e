"""`rollout gates replay --prometheus`: a range of time, from a server that answers as documented.

The server speaks HTTP on 127.0.0.1; its answers have the shape of Prometheus' `query_range`:
https://prometheus.io/docs/prometheus/latest/querying/api/#range-queries
"""

import json
import threading
from collections import defaultdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs

import pytest

SINCE = 1763740800
BOUNDS = ("0.1", "1", "2", "+Inf")
QUERIES = {
    "candidate": {
        "total": 'sum by (instance) (toy_total{release="new"})',
        "bad": 'sum by (instance) (toy_total{release="new",result="failed"})',
        "durations": 'sum by (instance, le) (toy_seconds_bucket{release="new"})',
        "queue": 'max by (instance) (toy_queue{release="new"})',
    }
}


class Prometheus(BaseHTTPRequestHandler):
    """Knows one service: 100 requests per 5 s on two instances; `server.failed` of them fail."""

    def do_POST(self):
        """`/api/v1/query_range` with a form."""
        form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        self.server.asked[form["query"][0]] = form
        if self.server.answer is not None:
            self.reply(*self.server.answer)
            return
        start, end, step = (float(form[key][0]) for key in ("start", "end", "step"))
        times = [start + n * step for n in range(int((end - start) / step) + 1)]
        result = []
        for instance in ("a:1", "b:1"):
            for labels, each in self.series(form["query"][0]):
                values = [[at, str(int(each * (at - SINCE) / 5))] for at in times]
                result.append({"metric": {"instance": instance, **labels}, "values": values})
        self.reply(200, {"status": "success", "data": {"resultType": "matrix", "result": result}})

    def series(self, query):
        """(labels, how much it rises per 5 s)."""
        if "bucket" in query:
            return [({"le": le}, 50) for le in BOUNDS]
        if "failed" in query:
            return [({}, self.server.failed)]
        return [({}, 0 if "queue" in query else 50)]

    def reply(self, status, content):
        """JSON."""
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        """Quiet."""


@pytest.fixture
def prometheus():
    """A server of our own."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Prometheus)
    server.asked, server.answer, server.failed = defaultdict(dict), None, 0
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    server.url = f"http://127.0.0.1:{server.server_port}"
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def replay(project, url, *words, queries=QUERIES, until=SINCE + 600):
    project.write("queries.json", json.dumps(queries))
    given = ["--prometheus", url, "--from", SINCE, "--to", until, "--queries", "queries.json"]
    return project.run("gates", "replay", "--env", "production", *given, *words)


def test_a_range_is_judged_by_the_environments_gates(project, prometheus):
    """A fifth fails: the limit of 5 % decides, and no gate has a reason to hold back."""
    prometheus.failed = 10
    answer = replay(project, prometheus.url)
    assert (answer.code, answer.err) == (0, "")
    assert "600 s were watched, 121 observations" in answer.out
    assert "under the gates of production it rolls back at " in answer.out
    document = replay(project, prometheus.url, "--json").document
    fired = {one["gate"]: one for one in document["fired"]}
    assert fired["extractionFailureRate"]["at"] < 120
    assert "of 1" in fired["extractionFailureRate"]["verdict"]["reason"]
    assert fired["healthFailures"]["verdict"]["answer"] == "unknown"
    form = prometheus.asked[QUERIES["candidate"]["total"]]
    assert (form["start"], form["step"]) == ([f"{SINCE}.0"], ["5.0"])


def test_a_healthy_range_breaches_nothing_and_its_numbers_are_read(project, prometheus):
    """Both instances, every bucket, the queue; times may be written as people do."""
    answer = replay(project, prometheus.url, "--json", until="2025-11-21T16:10:00Z")
    assert answer.code == 0
    fired = {one["gate"]: one["verdict"] for one in answer.document["fired"]}
    assert answer.document["ending"] is None
    assert fired["extractionFailureRate"]["answer"] == "pass"
    assert fired["p95HashTime"]["answer"] == "pass"
    assert fired["lowConfidenceQueue"]["samples"] == 2
    assert answer.document["seconds"] == 600


def test_two_arms_are_compared(project, prometheus):
    """The candidate fails, the baseline has no failures at all."""
    prometheus.failed = 10
    baseline = {
        "total": 'sum by (instance) (toy_total{release="old"})',
        "bad": 'sum by (instance) (toy_queue{release="old"})',  # always 0 here
    }
    queries = {**QUERIES, "baseline": baseline}
    document = replay(project, prometheus.url, "--json", queries=queries).document
    fired = {one["gate"]: one for one in document["fired"]}
    assert fired["failuresCompared"]["at"] is not None
    assert document["ending"]["rolls_back"] is True


@pytest.mark.parametrize(
    ("status", "content", "said"),
    [
        (
            400,
            {"status": "error", "errorType": "bad_data", "error": "invalid parameter query"},
            "400 invalid parameter query",
        ),
        (503, b"<html>", "503 b'<html>'"),
        (200, b"no json", "this is no matrix"),
        (200, {"status": "success", "data": {"resultType": "matrix", "result": 7}}, "no matrix"),
        (
            200,
            {"status": "success", "data": {"resultType": "matrix", "result": []}},
            "no sample of the candidate",
        ),
        (
            200,
            {"status": "success", "data": {"resultType": "matrix", "result": [{"metric": {}}]}},
            "no matrix",
        ),
    ],
    ids=["refused", "down", "no JSON", "no list", "empty", "no values"],
)
def test_what_prometheus_says_instead_is_told(project, prometheus, status, content, said):
    """In its own words, without a traceback."""
    prometheus.answer = (status, content)
    answer = replay(project, prometheus.url)
    assert answer.code == 1
    assert said in answer.err
    assert "Traceback" not in answer.err


def test_numbers_that_are_none_are_no_evidence(project, prometheus):
    """NaN is what Prometheus writes for 0/0."""
    values = [[SINCE + 5 * n, "NaN"] for n in range(121)]
    one = {"metric": {"instance": "a:1"}, "values": values}
    data = {"resultType": "matrix", "result": [one]}
    prometheus.answer = (200, {"status": "success", "data": data})
    queries = {"candidate": {key: key for key in ("total", "bad", "queue")}}
    document = replay(project, prometheus.url, "--json", queries=queries).document
    answers = {one["gate"]: one["verdict"]["answer"] for one in document["fired"]}
    assert answers["extractionFailureRate"] == "unknown"
    assert document["ending"] is None


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--prometheus", "http://127.0.0.1:1"], "needs a time and queries"),
        (["--prometheus", "ftp://x", "--from", 1, "--to", 9, "--queries", "q.json"], "no address"),
        (["--prometheus", "http://x", "--from", 9, "--to", 1, "--queries", "q.json"], "not after"),
        (
            ["--prometheus", "http://x", "--from", 1, "--to", 9, "--queries", "n.json"],
            "n.json does not exist",
        ),
        (
            ["--prometheus", "http://x", "--from", 1, "--to", 9, "--queries", "bad.json"],
            "candidate.totl: this key is not known",
        ),
        (["--prometheus", "http://x", "--from", "noon"], "'noon' is no time"),
        (
            ["--prometheus", "http://127.0.0.1:1", "--from", 1, "--to", 9, "--queries", "q.json"],
            "does not answer",
        ),
    ],
    ids=["no time", "scheme", "order", "no file", "key", "time", "nobody"],
)
def test_what_was_asked_wrongly_is_said(project, words, said):
    """Before anything is asked of a server, or when nobody is there."""
    project.write("q.json", json.dumps(QUERIES))
    project.write("bad.json", json.dumps({"candidate": {"totl": "x"}}))
    answer = project.run("gates", "replay", "--env", "production", *words)
    assert (answer.code, answer.out) == (1, "")
    assert said in answer.err
    assert "Traceback" not in answer.err
