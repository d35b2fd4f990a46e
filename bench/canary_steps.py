"""Requests lost when a canary's share is moved, and whether every request is counted for its arm.

Run: python bench/canary_steps.py [--requests 100000] [--connections 8] [--json]
Clients send GET and POST over kept connections to a real proxy without a pause while the share
goes 1, 5, 25, 50, 100, 0 %, again and again. After each step 400 users known by a header ask once.
Goal: no request fails; the clients' counts are the proxy's, to the last one; no known user goes
back while a share grows.
"""

import argparse
import json
import os
import sys
from collections import Counter
from pathlib import Path
from time import perf_counter
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))

from load import rank

from guarded_rollout.ports import Arm, Route
from tests.adapters.envoy.world import EnvoyWorld

STEPS = (1, 5, 25, 50)
USERS = 400


def steps(a: Arm, b: Arm) -> tuple[Route, ...]:
    """A canary that grows to all users, and is taken back."""
    return (*(Route(a, None, 1, b, p) for p in STEPS), Route(b, a, 1), Route(a, None, 1))


def run(world: EnvoyWorld, requests: int, connections: int) -> dict[str, Any]:
    """Rounds of steps until so many requests were sent; then the counts of both sides."""
    a, b = world.arm("a"), world.arm("b")
    world.traffic.route(Route(a, None, 1))
    users = [{"x-user-id": f"user-{n}"} for n in range(USERS)]
    asked: Counter[str] = Counter()
    shifts: list[float] = []
    went_back = 0
    with world.load(connections=connections) as seen:
        while seen.sent + asked.total() < requests:
            before: set[int] = set()
            for route in steps(a, b):
                began = perf_counter()
                world.traffic.route(route)
                shifts.append((perf_counter() - began) * 1000)
                arms = world.many(users)
                asked.update(arms)
                now = {n for n, arm in enumerate(arms) if arm == "b"}
                went_back += len(before - now) if route.canary or route.to == b else 0
                before = now
            print(f"{len(shifts)} shifts, {seen.sent + asked.total()} requests", file=sys.stderr)
    sent = Counter(seen.by_release()) + asked
    counted = {name: int(found.requests) for name, found in world.traffic.readings().items()}
    return {
        "load_average": os.getloadavg(),
        "shifts": len(shifts),
        "requests": seen.sent + asked.total(),
        "failed": sum(seen.bad()[0].values()) + len(seen.failures),
        "clients counted": dict(sorted(sent.items())),
        "proxy counted": dict(sorted(counted.items())),
        "known users who went back": went_back,
        "shift ms p50": rank(shifts, 0.5),
        "shift ms max": max(shifts),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=100_000, help="at least")
    parser.add_argument("--connections", type=int, default=8)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    world = EnvoyWorld(sticky=("header:x-user-id",))
    try:
        world.start()
        result = run(world, args.requests, args.connections)
    finally:
        world.close()
    if args.json:
        print(json.dumps(result, indent=1))
    else:
        for text, value in result.items():
            print(f"{text:28}{value}")


if __name__ == "__main__":
    main()
