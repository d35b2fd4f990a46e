"""A small HTTP service that answers like dhash, and can be broken by a switch per smoke check."""

import contextlib
import hashlib
import json
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from guarded_rollout.core.spec import Release

GOLDEN = Path(__file__).parents[2] / "services" / "dhash" / "golden"
RELEASE = Release("dhash", "9.8.7", "c0ffee" * 10 + "abcd")
TOKEN = "correct-horse-battery"
LARGEST = 50 * 2**20
TRACE = 'Traceback (most recent call last):\n  File "app.py", line 3'

BREAKS = {
    "health": "database down",
    "version is the deployed release": "old version",
    "metrics": "no metrics",
    "integrity": "rows lost",
    "extract a photo": "wrong hash",
    "match a hash": "no matches",
    "review queue": "no total",
    "golden PNG": "wrong PNG",
    "golden WebP": "wrong WebP",
    "golden PDF": "wrong PDF",
    "a file that is no picture": "takes anything",
    "an upload that is too large": "takes any size",
    "a question that is no JSON": "shows its stack",
    "a hash that is none": "empty error",
    "a method that is not taken": "takes any method",
    "hidden files are not served": "serves hidden files",
    "no way out of the root": "serves any file",
    "headers": "no nosniff",
    "hashes of many at once": "mixes up answers",
    "answers in time": "slow sometimes",
    "without a token": "open to all",
    "with a token": "refuses its token",
}
"""The switch that fails each check, and no other one."""


def golden():
    """The approved hashes by the digest of the file's bytes."""
    approved = json.loads((GOLDEN / "golden.json").read_text())
    return {
        hashlib.sha256((GOLDEN / name).read_bytes()).digest(): [p["fast"] for p in pictures]
        for name, pictures in approved.items()
    }


class Breakable:
    """`broken`: the switches that are on. One service for all tests."""

    def __init__(self):
        self.broken = set()
        self.answers = 0
        self.asked = Counter()
        self.company = threading.Barrier(4)
        self.hashes = golden()
        self.lock = threading.Lock()


class Handler(BaseHTTPRequestHandler):
    """Every answer of the service."""

    protocol_version = "HTTP/1.1"
    state = None

    def log_message(self, *_):
        """Not on the screen of the tests."""

    def is_broken(self, switch):
        return switch in self.state.broken

    def say(self, status, body, content_type="application/json", **headers):
        """An answer with the usual headers."""
        data = body if isinstance(body, bytes) else json.dumps(body, separators=(",", ":")).encode()
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("X-Request-Id", "abc")
        if not self.is_broken("no nosniff"):
            self.send_header("X-Content-Type-Options", "nosniff")
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def problem(self, status, what, **headers):
        self.say(
            status, {"error": what, "hint": "Do it otherwise.", "request_id": "abc"}, **headers
        )

    def do_GET(self):
        with self.state.lock:
            self.state.answers += 1
            number = self.state.answers
        pages = {
            "/health": self.health,
            "/version": lambda: self.version(number),
            "/metrics": self.metrics,
            "/integrity": self.integrity,
            "/api/dhash/queue": self.queue,
            "/private": self.private,
        }
        if self.path in pages:
            pages[self.path]()
        elif self.path == "/.env" and self.is_broken("serves hidden files"):
            self.say(200, b"PASSWORD=x")
        elif "passwd" in self.path and self.is_broken("serves any file"):
            self.say(200, b"root:x:0:0:")
        else:
            self.problem(404, "Not Found.")

    def do_DELETE(self):
        if self.is_broken("takes any method"):
            self.say(200, {})
        else:
            self.problem(405, "Method Not Allowed.", Allow="GET, HEAD")

    def do_POST(self):
        length = int(self.headers.get("Content-Length", 0))
        if length > LARGEST and not self.is_broken("takes any size"):
            self.close_connection = True
            self.problem(413, "The upload is too large.")
            return
        body = self.rfile.read(length)
        {"/api/dhash/extract": self.extract, "/api/dhash/match": self.match}[self.path](body)

    def health(self):
        status = "CRITICAL" if self.is_broken("database down") else "OK"
        self.say(200, {"status": status, "checks": {"database": {"status": status}}})

    def version(self, number):
        if self.is_broken("slow sometimes") and number % 5 == 0:
            time.sleep(1.1)
        version = "9.8.6" if self.is_broken("old version") else RELEASE.version
        self.say(200, {"service": "dhash", "version": version, "release": RELEASE.name})

    def metrics(self):
        self.say(200, b"" if self.is_broken("no metrics") else b"dhash_extractions_total 1\n")

    def integrity(self):
        found = ["3 hashes have 2 index rows"] if self.is_broken("rows lost") else []
        self.say(200, {"status": "ok", "problems": found})

    def queue(self):
        total = {} if self.is_broken("no total") else {"total": 0}
        self.say(200, {"status": "pending", **total, "items": []})

    def private(self):
        allowed = self.headers.get("Authorization") == f"Bearer {TOKEN}"
        if self.is_broken("refuses its token"):
            allowed = False
        if self.is_broken("open to all"):
            allowed = True
        self.say(200, {"secret": 1}) if allowed else self.problem(401, "Who are you?")

    def extract(self, body):
        """Its mistake with many requests: from the eleventh for the same file on it is wrong."""
        digest = hashlib.sha256(body).digest()
        with self.state.lock:
            self.state.asked[digest] += 1
            many = self.state.asked[digest] > 10
        if self.is_broken("answers in company only"):
            with contextlib.suppress(threading.BrokenBarrierError):
                self.state.company.wait()
        hashes = self.state.hashes.get(digest)
        if hashes is None:
            if self.is_broken("takes anything") or len(body) > LARGEST:
                self.say(200, {"kind": "image", "images": []})
            else:
                self.problem(415, "The bytes are no picture.")
            return
        wrong = {"image/jpeg": "hash", "image/png": "PNG", "image/webp": "WebP"}
        switch = f"wrong {wrong.get(self.headers['Content-Type'], 'PDF')}"
        mixed = self.is_broken("mixes up answers") and many
        alone = self.is_broken("answers in company only") and self.state.company.broken
        if self.is_broken(switch) or mixed or alone:
            hashes = ["0123456789abcdef"] * len(hashes)
        kind = "pdf" if self.headers["Content-Type"] == "application/pdf" else "image"
        self.say(200, {"kind": kind, "images": [{"hash": one} for one in hashes]})

    def match(self, body):
        try:
            wanted = json.loads(body)["hash"]
        except (ValueError, LookupError):
            if self.is_broken("shows its stack"):
                self.problem(422, TRACE)
            else:
                self.problem(422, "The body is no JSON.")
            return
        if len(wanted) == 16:
            self.say(200, {} if self.is_broken("no matches") else {"matches": []})
        elif self.is_broken("empty error"):
            self.say(422, b"")
        else:
            self.problem(422, "`hash` is no hash.")


@contextlib.contextmanager
def served():
    """The service and its port."""
    state = Breakable()
    handler = type("Bound", (Handler,), {"state": state})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield state, server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
