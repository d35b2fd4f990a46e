"""Requests lost when traffic is shifted and returned, and what rollouts cost the users.

Run: python bench/shift.py [--requests 100000] [--threads 4] [--json]
GET and POST of real images go through the proxy without a pause while releases are deployed and
taken back: a good one, every bad one of tests/support/bad_releases.py, and the good one again
until enough requests were sent. After each rollout the old version is left alone under the same
load for the same time: the peer. Goal: no request fails because of a shift or a return.
"""

import argparse
import json
import os
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))

from bad_releases import RECIPES, make
from load import Load, Tally, rank, read_access_log
from site_of_ours import ENVIRONMENT, Site

LAST = "growing-queue"
BAD = [name for name in RECIPES if name not in {"good", LAST}]
METHODS = ("GET", "POST")
Mark = tuple[float, int, int, dict[str, int]]


def mark(tally: Tally) -> Mark:
    """How far the load is now: the time, requests, failures, answers per method."""
    answers = {method: len(times) for method, times in tally.ms.items()}
    return perf_counter(), tally.requests, tally.failed, answers


@dataclass
class Span:
    """What the load met between two marks, or several such spans together."""

    name: str
    seconds: float = 0.0
    requests: int = 0
    failed: int = 0
    ending: str = ""
    gate: str = ""
    shift_to_return: float | None = None
    ms: dict[str, list[float]] = field(default_factory=lambda: {m: [] for m in METHODS})

    def add(self, tally: Tally, since: Mark) -> None:
        now = mark(tally)
        self.seconds += now[0] - since[0]
        self.requests += now[1] - since[1]
        self.failed += now[2] - since[2]
        for method, times in tally.ms.items():
            self.ms[method] += times[since[3][method] : now[3][method]]

    def join(self, others: Iterable["Span"]) -> "Span":
        for other in others:
            self.seconds += other.seconds
            self.requests += other.requests
            for method in METHODS:
                self.ms[method] += other.ms[method]
        return self

    def figures(self) -> dict[str, Any]:
        """Without the times one by one."""
        per_second = self.requests / self.seconds if self.seconds else 0.0
        ranks = {f"{m} p{q}": rank(self.ms[m], q / 100) for m in METHODS for q in (50, 99)}
        shown = {key: value for key, value in asdict(self).items() if key != "ms"}
        return {**shown, "per_second": per_second, **ranks}


class Bench:
    """One site under one load. `bad`: how the sockets of bad releases begin; `owed`: seconds."""

    def __init__(self, site: Site, tally: Tally, folder: Path) -> None:
        self.site, self.tally, self.folder = site, tally, folder
        self.spans: list[Span] = []
        self.alone, self.owed = Span("old version, no rollout"), 0.0
        self.bad: list[str] = []

    def rollout(self, name: str, act: Callable[[], tuple[int, dict[str, Any]]], code: int) -> None:
        """One rollout, and the same time without one."""
        since, span = mark(self.tally), Span(name)
        ended, report = act()
        span.add(self.tally, since)
        if ended != code:
            raise SystemExit(f"{name} ended with code {ended}: {report['reason']}")
        at = {step["step"]: step["at"] for step in report["steps"] if step["kind"] == "done"}
        span.ending = report["phase"]
        span.gate = report["reason"].partition(":")[0] if code == 2 else ""
        if "shift" in at and "return" in at:
            span.shift_to_return = at["return"] - at["shift"]
        if code == 2:
            self.bad.append(f"/{report['candidate']['digest'][:8]}-")
        self.spans.append(span)
        told = f"{span.requests} requests, {span.failed} failed, {self.requests} in all"
        print(f"{name}: {span.ending} {span.gate}: {told}", file=sys.stderr)
        self.owed += span.seconds
        if name != "good":
            since = mark(self.tally)
            threading.Event().wait(self.owed)
            self.alone.add(self.tally, since)
            self.owed = 0.0

    def deploy(self, name: str) -> None:
        source = self.folder / name
        if not source.exists():
            make(name, source, seconds=8.0)
        self.rollout(name, lambda: self.site.deploy(source), 0 if name == "good" else 2)

    def take_back(self) -> None:
        def act() -> tuple[int, dict[str, Any]]:
            words = ("rollback", "--env", ENVIRONMENT, "--reason", "bench", "--force", "--json")
            done = self.site.rollout(*words)
            return done.returncode, json.loads(done.stdout)

        self.rollout("manual rollback", act, 0)

    def run(self, requests: int) -> None:
        """The growing queue comes last: what it leaves behind would fail any later release."""
        self.deploy("good")
        self.take_back()
        for name in BAD:
            self.deploy(name)
        while self.requests < requests:
            self.deploy("good")
            self.take_back()
        self.deploy(LAST)

    @property
    def requests(self) -> int:
        return sum(span.requests for span in self.spans)

    def verdict(self) -> dict[str, int]:
        """Who answered wrongly, by the proxy's log of failed requests."""
        logged = read_access_log(self.site.access_log)
        by_bad = sum(n for host, n in logged.own.items() if any(b in host for b in self.bad))
        return {
            "requests in all": self.tally.requests,
            "requests during rollouts": self.requests,
            "failed": self.tally.failed,
            "answered wrongly by a bad release itself": by_bad,
            "answered wrongly by a good release": sum(logged.own.values()) - by_bad,
            "failed because of a shift or a return": len(logged.not_own),
            "broken connections at the client": len(self.tally.broken),
        }


def show(result: dict[str, Any]) -> None:
    for text, number in result["verdict"].items():
        print(f"{text:44}{number:9}")
    print(f"\n{'rollout':18} requests  failed  {'ending':13}{'gate':24} return s")
    for span in result["rollouts"]:
        back = "" if span["shift_to_return"] is None else f"{span['shift_to_return']:.1f}"
        told = f"{span['name']:18}{span['requests']:9}{span['failed']:8}  {span['ending']:13}"
        print(f"{told}{span['gate']:24}{back:>9}")
    keys = ("per_second", "GET p50", "GET p99", "POST p50", "POST p99")
    print(f"\n{'ms':26}{'seconds':>9}" + "".join(f"{key:>11}" for key in keys))
    for span in result["beside"]:
        figures = "".join(f"{span[key]:11.1f}" for key in keys)
        print(f"{span['name']:26}{span['seconds']:9.0f}{figures}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=100_000, help="during rollouts, at least")
    parser.add_argument("--threads", type=int, default=4)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="gr-bench-") as folder, Site() as site:
        for words in (("deploy", "--detach"), ("watch",), ("promote", "--reason", "first")):
            done = site.rollout(*words, "--env", ENVIRONMENT)
        if done.returncode != 0:
            raise SystemExit(done.stdout + done.stderr)
        with Load(site.port, threads=args.threads) as load:
            bench = Bench(site, load.tally, Path(folder))
            bench.run(args.requests)
            load.stop()
        threading.Event().wait(2.0)  # the proxy writes its log every 200 ms
        ways = ("good", "manual rollback")
        calm = Span("good ones and rollbacks").join(s for s in bench.spans if s.name in ways)
        bad = Span("bad ones").join(s for s in bench.spans if s.name not in ways)
        result = {
            "load_average": os.getloadavg(),
            "verdict": bench.verdict(),
            "rollouts": [span.figures() for span in bench.spans],
            "beside": [span.figures() for span in (bench.alone, calm, bad)],
        }
    print(json.dumps(result, indent=1)) if args.json else show(result)


if __name__ == "__main__":
    main()
