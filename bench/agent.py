"""A day of an agent and of its rollouts, simulated: does anything grow?

Run: python bench/agent.py [--hours 24] [--json]
Each simulated hour the real engine drives one deploy with a watch of an hour over a world in
memory into a real journal, and the real agent looks 3,600 times at that journal and at a service
that runs. Goal: memory at the end as in the middle, less than 80 MB.
"""

import argparse
import json
import os
import sys
import tempfile
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))

from site_of_ours import Site

from guarded_rollout.adapters.journal.sqlite import SqliteJournal
from guarded_rollout.cli.agent import Caretaker
from guarded_rollout.cli.screen import Screen
from guarded_rollout.cli.wiring import Places
from guarded_rollout.core.evidence_process import ROBUST
from guarded_rollout.core.facts import Started
from guarded_rollout.core.plan import Kind, make_plan
from guarded_rollout.core.spec import Release
from guarded_rollout.core.state import Phase
from guarded_rollout.engine.agent import drive
from guarded_rollout.engine.situation import read_situation
from guarded_rollout.testing import examples
from guarded_rollout.testing.clock import FastClock
from guarded_rollout.testing.fakes import ports_of
from guarded_rollout.testing.world import World

ROUNDS = 3600


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hours", type=int, default=24)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="gr-bench-") as folder, Site(replicas=1) as site:
        site.serve_first()
        os.environ |= site.env
        rollouts = Rollouts(Path(folder))
        caretaker = Caretaker(Places(site.root), None, Screen(as_json=False))
        hours = [hour(number, rollouts, caretaker) for number in range(args.hours)]
    result = {"load_average": os.getloadavg(), "hours": hours}
    print(json.dumps(result, indent=1) if args.json else text(hours))


class Rollouts:
    """Deploys of ever newer releases, one after the other."""

    def __init__(self, folder: Path) -> None:
        self._clock = FastClock(speed=5000)
        self._world = World(self._clock, folder)
        self._journal = SqliteJournal(folder / "journal.db", self._clock, folder / "locks")

    def deploy(self, number: int) -> None:
        """A watch of an hour, compared with the evidence's rules, to its promotion."""
        release = Release("toy", f"1.{number}.0", f"{number:064x}")
        self._world.candidate = release
        spec = examples.spec(policy=examples.watch(examples.PRODUCTION))
        gates = replace(spec.environment.gates, evidence=replace(ROBUST, calibrate=0.0))
        spec = replace(spec, environment=replace(spec.environment, gates=gates))
        situation = read_situation(self._journal, "production", self._world.schema)
        plan = make_plan(Kind.DEPLOY, spec, release, situation)
        self._journal.begin("production", f"r{number}", Started(plan, "bench"), exclusive=True)
        state = drive(
            ports_of(self._world, self._journal),
            "production",
            f"r{number}",
            "bench",
            halt=threading.Event(),
            show=lambda _: None,
            say=lambda _: None,
        )
        if state.phase is not Phase.DONE:
            raise SystemExit(f"rollout {number} ended {state.phase}: {state.reason}")


def hour(number: int, rollouts: Rollouts, caretaker: Caretaker) -> dict[str, float]:
    rollouts.deploy(number)
    began_at, cpu = time.perf_counter(), time.process_time()
    for _ in range(ROUNDS):
        caretaker.round()
    return {
        "hour": number + 1,
        "megabytes": resident(),
        "agent_cpu_seconds": time.process_time() - cpu,
        "agent_seconds": time.perf_counter() - began_at,
    }


def resident() -> float:
    status = Path("/proc/self/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmRSS:"))
    return int(line.split()[1]) / 1024.0


def text(hours: list[dict[str, Any]]) -> str:
    lines = [f"{'hour':>5}{'MB':>8}{'agent, CPU s':>14}"]
    lines += [
        f"{it['hour']:5}{it['megabytes']:8.1f}{it['agent_cpu_seconds']:14.2f}" for it in hours
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
