"""A day of an agent, simulated: does it grow?

Run: python bench/agent.py [--hours 24] [--json]
Each simulated hour a backup is made by a guard of its own, as every rollout is, and the real agent
looks 3,600 times at the journal and at a service that runs, without the pauses between. Goals:
memory at the end as in the middle, less than 80 MB. What a guard costs: guard.py.
"""

import argparse
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))

from site_of_ours import ENVIRONMENT, Site

from guarded_rollout.cli.agent import Caretaker
from guarded_rollout.cli.screen import Screen
from guarded_rollout.cli.wiring import Places

ROUNDS = 3600


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hours", type=int, default=24)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    with Site(replicas=1) as site:
        site.serve_first()
        os.environ |= site.env
        caretaker = Caretaker(Places(site.root), None, Screen(as_json=False))
        hours = [hour(number, site, caretaker) for number in range(args.hours)]
    result = {"load_average": os.getloadavg(), "hours": hours}
    print(json.dumps(result, indent=1) if args.json else text(hours))


def hour(number: int, site: Site, caretaker: Caretaker) -> dict[str, float]:
    done = site.rollout("backup", "create", "--env", ENVIRONMENT)
    if done.returncode != 0:
        raise SystemExit(done.stdout + done.stderr)
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
