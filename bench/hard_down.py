"""How soon the old version serves again when the new one is killed, or hangs, in the watch.

Run: python bench/hard_down.py [-n RUNS] [--variant killed|hung] [--json]
Each run deploys the good release beside dhash 1.0.0, waits for its watch, and then, under light
load, ends all its processes at once: SIGKILL to every replica and its keeper (`killed`), or
SIGSTOP to every replica (`hung`). GET /version is polled through the proxy every 50 ms, each poll
on a connection of its own, whether or not the earlier ones were answered.
"""

import argparse
import contextlib
import http.client
import json
import os
import random
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import perf_counter
from typing import Any, Self

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))

from bad_releases import make
from load import Load, rank
from site_of_ours import ENVIRONMENT, Site, since_start

from guarded_rollout.adapters.clock import SystemClock

PATIENCE = 1.0
FIGURES = {
    "first_good": "(a) first answer of the old version, s",
    "last_bad": "    last poll without one gave up, s",
    "found": "    the guard knows, s",
    "returned": "(b) traffic is back, written down, s",
    "ended": "    rollout ended, s",
    "polls_lost": "(c) polls without an answer in 1 s",
    "get_failed": "    failed GETs of the load",
    "post_failed": "    failed POSTs of the load",
    "slowest_ms": "    slowest answer to the load, ms",
}


class Poll:
    """GET /version every 50 ms, until it is stopped. `seen`: (sent, answered, release or None)."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.seen: list[tuple[float, float, str | None]] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        with ThreadPoolExecutor(64) as pool:
            while not self._stop.wait(0.05):
                pool.submit(self._ask)

    def _ask(self) -> None:
        sent, release = perf_counter(), None
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=PATIENCE)
        with contextlib.suppress(OSError, http.client.HTTPException, ValueError, KeyError):
            connection.request("GET", "/version")
            release = json.loads(connection.getresponse().read())["release"]
        connection.close()
        self.seen.append((sent, perf_counter(), release))


def processes() -> dict[int, int]:
    """The parent of every process."""
    parents = {}
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            after_name = (entry / "stat").read_text().rpartition(")")[2]
            parents[int(entry.name)] = int(after_name.split()[1])
    return parents


def below(pids: set[int], parents: dict[int, int]) -> set[int]:
    """These processes and all that they started."""
    found = set(pids)
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return found


def end_all(site: Site, release: str, variant: str) -> None:
    """SIGKILL to the replicas and their keepers, or SIGSTOP to the replicas: all at once."""
    parents = processes()
    replicas = {r["pid"] for r in site.status()["replicas"] if r["release"] == release}
    keepers = {parents.get(pid, 0) for pid in replicas}
    if len(keepers) != 2 or any(
        "keeper.py" not in site.processes().get(pid, "") for pid in keepers
    ):
        raise SystemExit(f"these are no two keepers of this site: {keepers}")
    first, number = (keepers, signal.SIGKILL) if variant == "killed" else (replicas, signal.SIGSTOP)
    # Keepers first, or one could start its replica again before its own turn comes.
    for pid in sorted(below(first, parents), key=lambda pid: pid not in first):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def one_run(site: Site, source: Path, variant: str, pause: float) -> dict[str, float]:
    """Deploy, end it all `pause` seconds into the watch, see what happens."""
    before = site.status()["serving"]["name"]
    done = site.rollout("deploy", "--env", ENVIRONMENT, "--source", source, "--detach")
    if done.returncode != 0:
        raise SystemExit(done.stderr)
    rest = {"observed", "step-failed"}
    facts = since_start(site.wait_for(lambda found: rest & {k for k, _ in since_start(found)}))
    if failed := [body for kind, body in facts if kind == "step-failed"]:
        raise SystemExit(f"the deployment failed: {failed}")
    candidate = facts[0][1]["plan"]["candidate"]
    release = f"{candidate['version']}-{candidate['digest'][:12]}"
    with Load(site.port, threads=2, pause=0.02) as load, Poll(site.port) as poll:
        threading.Event().wait(pause)
        end_all(site, release, variant)
        at, unix = perf_counter(), SystemClock().now()
        done = site.rollout("watch", "--env", ENVIRONMENT, "--json", timeout=600)
        tally = load.stop()
    report = json.loads(done.stdout)
    if report["phase"] != "rolled-back":
        raise SystemExit(f"{variant}: {report['phase']}: {report['reason']}")
    returned = next(s["at"] for s in report["steps"] if s["step"] == "return")
    after = [(sent - at, answered - at, who) for sent, answered, who in poll.seen if sent > at]
    result = {
        "first_good": min(answered for _, answered, who in after if who == before),
        "last_bad": max((answered for _, answered, who in after if who != before), default=0.0),
        "found": report["judged"][-1]["at"] - unix,
        "returned": returned - unix,
        "ended": report["last"] - unix,
        "polls_lost": sum(who is None for _, _, who in after),
        "get_failed": tally.failures["GET"],
        "post_failed": tally.failures["POST"],
        "slowest_ms": max(max(times) for times in tally.ms.values()),
        "requests": tally.requests,
    }
    return {key: round(value, 3) for key, value in result.items()}


def show(variant: str, runs: list[dict[str, float]]) -> None:
    requests = sum(run["requests"] for run in runs)
    print(f"\n{variant}, {len(runs)} runs, {requests:.0f} requests of the load")
    print(f"{'':40}{'p50':>10}{'p95':>10}{'max':>10}{'sum':>8}")
    for key, text in FIGURES.items():
        values = [run[key] for run in runs]
        counted = key.endswith(("lost", "failed"))
        form = "10.0f" if counted or key.endswith("ms") else "10.3f"
        shown = "".join(f"{value:{form}}" for value in (rank(values, 0.5), rank(values, 0.95)))
        total = f"{sum(values):8.0f}" if counted else ""
        print(f"{text:40}{shown}{max(values):{form}}{total}")


@contextlib.contextmanager
def served_site() -> Iterator[tuple[Site, Path]]:
    """A site where dhash 1.0.0 serves, and the source of a good release."""
    with tempfile.TemporaryDirectory(prefix="gr-bench-") as folder, Site(watch="30m") as site:
        for words in (("deploy", "--detach"), ("promote", "--reason", "nobody uses it yet")):
            done = site.rollout(*words, "--env", ENVIRONMENT)
            if done.returncode != 0:
                raise SystemExit(done.stdout + done.stderr)
            site.wait_for(lambda facts: any(kind == "observed" for kind, _ in facts))
        yield site, make("good", Path(folder) / "good")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-n", type=int, default=20, help="runs per variant")
    parser.add_argument("--variant", choices=("killed", "hung"), action="append")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    chance, results = random.Random(7), dict[str, Any]()
    with served_site() as (site, source):
        for variant in args.variant or ("killed", "hung"):
            results[variant] = []
            for number in range(1, args.n + 1):
                run = one_run(site, source, variant, chance.uniform(2.0, 4.0))
                results[variant].append(run)
                print(f"{variant} {number}: {json.dumps(run)}", file=sys.stderr)
    if args.json:
        print(json.dumps({"load_average": os.getloadavg(), **results}, indent=1))
    else:
        for variant, runs in results.items():
            show(variant, runs)


if __name__ == "__main__":
    main()
