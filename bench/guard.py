"""What a guard costs while it watches: CPU and memory of its process.

Run: python bench/guard.py [--minutes 60] [--json]
dhash is deployed with the shipped cadence (probes each second, scrapes each 5 s) under light load.
Goals: less than 1 % of a core, less than 80 MB.
"""

import argparse
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))

from load import Load
from site_of_ours import ENVIRONMENT, Site, began

from guarded_rollout.core.plan import Step

TICKS = os.sysconf("SC_CLK_TCK")
SAMPLES = 20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    with Site(watch=f"{args.minutes:g}m", replicas=2) as site:
        calm(site)
        site.deploy(None, "--detach")
        site.wait_for(began(Step.SHIFT, "step-done"))
        guard = site.guard_pid()
        with Load(site.port, threads=1, pause=0.1):
            samples = watched(guard, 60.0 * args.minutes * 0.97)
        site.rollout("promote", "--env", ENVIRONMENT, "--reason", "the benchmark is over")
    first, last = samples[0], samples[-1]
    seconds = last["at"] - first["at"]
    result = {
        "load_average": os.getloadavg(),
        "minutes": seconds / 60.0,
        "percent_of_a_core": 100.0 * (last["cpu"] - first["cpu"]) / seconds,
        "megabytes_most": max(sample["megabytes"] for sample in samples),
        "samples": samples,
    }
    print(json.dumps(result, indent=1) if args.json else text(result))


def calm(site: Site) -> None:
    """The shipped cadence instead of the stories' hurried one."""
    gates = site.root / "quality-gates-config.json"
    content = json.loads(gates.read_text())
    monitoring = content["environments"][ENVIRONMENT]["monitoring"]
    monitoring.update(initialInterval=30, initialPeriod=300, interval=120)
    gates.write_text(json.dumps(content))
    spec = site.root / "rollout.toml"
    spec.write_text(spec.read_text().replace('scrape_every = "1s"\n', ""))


def watched(pid: int, seconds: float) -> list[dict[str, float]]:
    began_at = time.monotonic()
    samples = []
    for number in range(SAMPLES + 1):
        time.sleep(max(0.0, began_at + number * seconds / SAMPLES - time.monotonic()))
        samples.append({"at": time.monotonic() - began_at, **cost(pid)})
    return samples


def cost(pid: int) -> dict[str, float]:
    """CPU seconds so far, its ended children's too, and megabytes that are its own or shared."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    status = Path(f"/proc/{pid}/status").read_text()
    resident = next(line for line in status.splitlines() if line.startswith("VmRSS:"))
    return {
        "cpu": sum(map(int, fields[11:15])) / TICKS,
        "megabytes": int(resident.split()[1]) / 1024.0,
    }


def text(result: dict[str, Any]) -> str:
    lines = [f"{'minute':>7}{'CPU s':>8}{'MB':>7}"]
    lines += [
        f"{it['at'] / 60:7.1f}{it['cpu']:8.2f}{it['megabytes']:7.1f}" for it in result["samples"]
    ]
    lines.append(
        f"{result['minutes']:.0f} min: {result['percent_of_a_core']:.2f} % of a core, "
        f"{result['megabytes_most']:.1f} MB at most"
    )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
