"""Continuous load on a site: GET and POST of real images over kept connections."""

import http.client
import itertools
import json
import math
import threading
import time
from array import array
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

GOLDEN = Path(__file__).parents[2] / "services" / "dhash" / "golden"
IMAGES = (
    "photo_small.jpg",
    "photo_tiny.jpg",
    "photo.webp",
    "photo.png",
    "page.jpg",
    "photo_gray.jpg",
)
TYPES = {".jpg": "image/jpeg", ".png": "image/png", ".webp": "image/webp"}


@dataclass
class Tally:
    """What the clients saw. `broken`: no answer at all, with the reason.

    Per method: `failures` counts what did not go well, `ms` has the time of every answer.
    """

    statuses: Counter = field(default_factory=Counter)
    broken: list[str] = field(default_factory=list)
    versions: Counter = field(default_factory=Counter)
    failures: Counter = field(default_factory=Counter)
    ms: dict[str, array] = field(default_factory=lambda: {"GET": array("d"), "POST": array("d")})

    @property
    def requests(self):
        """All that were sent."""
        return self.statuses.total() + len(self.broken)

    @property
    def failed(self):
        """Anything but 2xx."""
        return sum(n for status, n in self.statuses.items() if status >= 300) + len(self.broken)


def rank(values, share):
    """The nearest-rank quantile; NaN of nothing."""
    return sorted(values)[math.ceil(share * len(values)) - 1] if len(values) else math.nan


class Load:
    """Threads that send until they are stopped. Every third request is a POST of an image."""

    def __init__(self, port, threads=4, pause=0.0, posts_every=3):
        self._port, self._pause, self._posts_every = port, pause, posts_every
        self._stop = threading.Event()
        self._guard = threading.Lock()
        self.tally = Tally()
        self._images = [(GOLDEN / name).read_bytes() for name in IMAGES]
        self._types = [TYPES[Path(name).suffix] for name in IMAGES]
        self._threads = [
            threading.Thread(target=self._run, args=(number,), daemon=True)
            for number in range(threads)
        ]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        """End; waits for what is in flight. Returns the tally."""
        self._stop.set()
        for thread in self._threads:
            thread.join(60)
        return self.tally

    def _run(self, number):
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
        for turn in itertools.count(number):
            if self._stop.is_set():
                break
            method = "GET" if turn % self._posts_every else "POST"
            began = time.perf_counter()
            try:
                status, body = self._send(connection, turn)
            except (OSError, http.client.HTTPException) as error:
                connection.close()
                with self._guard:
                    self.tally.broken.append(f"{type(error).__name__}: {error}")
                    self.tally.failures[method] += 1
                time.sleep(0.05)
                continue
            with self._guard:
                self.tally.ms[method].append(1000 * (time.perf_counter() - began))
                self.tally.failures[method] += status >= 300
                self.tally.statuses[status] += 1
                if body is not None:
                    self.tally.versions[body] += 1
            if self._pause:
                time.sleep(self._pause)
        connection.close()

    def _send(self, connection, turn):
        if turn % self._posts_every:
            connection.request("GET", "/version")
            answer = connection.getresponse()
            body = answer.read()
            return answer.status, json.loads(body)["release"] if answer.status == 200 else None
        which = turn // self._posts_every % len(self._images)
        connection.request(
            "POST",
            "/api/dhash/extract",
            self._images[which],
            {"content-type": self._types[which]},
        )
        answer = connection.getresponse()
        answer.read()
        return answer.status, None


@dataclass(frozen=True)
class Logged:
    """The proxy's own account of a span of its access log."""

    failed: int
    own: Counter
    not_own: list[dict]


def read_access_log(file, start=0):
    """What the proxy logged from byte `start` on: failed requests only.

    `own`: answers of 400 and above that a replica itself gave, per socket. `not_own`: failures that
    no replica answered: refused, reset, no healthy host, timed out. `failed` are these and answers
    of 500 and above: smoke checks send bad input on purpose, and a refusal is the right answer.
    """
    own, not_own, failed = Counter(), [], 0
    with file.open("rb") as lines:
        lines.seek(start)
        for line in lines:
            entry = json.loads(line)
            if entry["f"] in {"-", None} and entry["h"]:
                own[entry["h"]] += 1
                failed += int(entry["s"]) >= 500
            else:
                failed += 1
                not_own.append(entry)
    return Logged(failed, own, not_own)
