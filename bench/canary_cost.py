"""What a bad release costs the users: as a canary, and all at once.

Run: python bench/canary_cost.py [--threads 8] [--rounds 3] [--json]
A release of dhash that fails each fifth extraction is deployed under the same load, to 5 % of the
users and to everybody, in turns; evidence takes it back. Goal: the canary costs less than a tenth
of the failed requests.
"""

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))

from bad_releases import make
from load import Load
from site_of_ours import Site

SHARE = 5.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    found: dict[str, list[dict[str, Any]]] = {"canary": [], "all at once": []}
    with tempfile.TemporaryDirectory(prefix="gr-bench-") as folder:
        failing = make("failing", Path(folder) / "failing", every=5)
        for _ in range(args.rounds):
            for strategy, figures in found.items():
                figures.append(one(strategy, failing, args.threads))
                print(f"{strategy}: {figures[-1]}", file=sys.stderr)
    failed = {
        strategy: median(it["failed"] for it in figures) for strategy, figures in found.items()
    }
    result = {
        "load_average": os.getloadavg(),
        "runs": found,
        "failed, median": failed,
        "ratio": failed["canary"] / failed["all at once"] if failed["all at once"] else None,
    }
    print(json.dumps(result, indent=1) if args.json else text(result))


def one(strategy: str, failing: Path, threads: int) -> dict[str, Any]:
    """A site of its own: a watch of ten minutes, one replica for each version."""
    with Site(watch="10m", replicas=1) as site:
        if strategy == "canary":
            site.as_canary((SHARE, "5m"), (50, "2m"))
        site.serve_first()
        with Load(site.port, threads=threads) as load:
            code, report = site.deploy(failing)
            tally = load.stop()
    if code != 2:
        raise SystemExit(f"{strategy} ended with code {code}: {report['reason']}")
    at = {step["step"]: step["at"] for step in report["steps"] if step["kind"] == "done"}
    return {
        "failed": tally.failed,
        "requests": tally.requests,
        "seconds": round(at["return"] - at["shift"], 2),
        "reason": report["reason"].partition(":")[0],
    }


def text(result: dict[str, Any]) -> str:
    lines = [f"{'':14}{'failed':>8}{'seconds':>9}{'requests':>10}  gate"]
    for strategy, figures in result["runs"].items():
        lines += [
            f"{strategy:14}{it['failed']:>8}{it['seconds']:>9}{it['requests']:>10}  {it['reason']}"
            for it in figures
        ]
    return "\n".join([*lines, f"failed as a canary / all at once: {result['ratio']:.3f}"])


if __name__ == "__main__":
    main()
