"""How soon a controller that starts after a kill -9 has written its first fact.

Run: python bench/recovery.py [KILLS]
Two kills per transition of the table, inside its commit and right after it, in the stories of the
crash sweep (`tests/support/crash_stories.py`). Each successor is a process of its own with the
real journal: started, imported, lease claimed, journal read, first fact committed. A Python that
does nothing is started beside each. The ports are those of the crash sweep; what reading the
command line and rollout.toml costs is not in it.
"""

import os
import signal
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))

from crash_driver import SPEED, Clock, Site, forked, killed, points, settled
from crash_points import Doom, Place, Point
from crash_stories import STORIES


class Telling(Doom):
    """Says when the first fact is committed, and ends there."""

    def come(self, place: Place, name: str) -> None:
        if place is Place.AFTER:
            os.write(1, name.encode())
            os.kill(os.getpid(), signal.SIGKILL)


def first_fact(site: Site) -> float | None:
    """Seconds from the start of the process; None: there was nothing to carry on."""
    began = perf_counter()
    argv = [sys.executable, __file__, "--resume", str(site.folder), site.name]
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as successor:
        assert successor.stdout is not None
        told = successor.stdout.read()
        took = perf_counter() - began
    return took if told else None


def plain_python() -> float:
    """Seconds that a Python needs to do nothing."""
    began = perf_counter()
    subprocess.run([sys.executable, "-c", "pass"], check=True)
    return perf_counter() - began


def measure(folder: Path, most: int) -> dict[str, tuple[float, float]]:
    """By transition: the successor, and the Python beside it."""
    found: dict[str, tuple[float, float]] = {}
    for number, name in enumerate(STORIES):
        if len(found) >= most:
            break
        start = settled(folder / str(number), name, Clock(SPEED))
        calm = start.copy(folder / "calm", name)
        every = [point for point in points(calm, folder / f"trace{number}") if not _ends(point)]
        for point in every:
            crossed = f"{' '.join(point.name.split()[:3])} {point.place}"
            if point.place is Place.EFFECT or crossed in found:
                continue
            site = start.copy(folder / "killed", name)
            if killed(forked(lambda site=site, point=point: site.live(Doom(point)))):
                took = first_fact(site)
                if took is not None:
                    found[crossed] = (took, plain_python())
        print(f"{name}: {len(found)} kills so far", file=sys.stderr)
    return found


def _ends(point: Point) -> bool:
    """Nobody adopts what has ended."""
    return point.name.split()[2:3] in (["done"], ["rolled-back"], ["refused"])


def main() -> None:
    if sys.argv[1:2] == ["--resume"]:
        Site(Path(sys.argv[2]), sys.argv[3], Clock(SPEED)).live(Telling(None))
        return
    most = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    with tempfile.TemporaryDirectory(prefix="recovery-", dir="/tmp") as name:
        found = measure(Path(name), most)
    successors, plain = zip(*found.values(), strict=True)
    print(f"{len(found)} kills, at most two per transition")
    print(f"{'':20}{'median s':>10}{'p95':>8}{'max':>8}")
    for what, took in (("first fact", successors), ("plain Python", plain)):
        p95 = sorted(took)[max(0, -(-95 * len(took) // 100) - 1)]
        print(f"{what:20}{statistics.median(took):10.3f}{p95:8.3f}{max(took):8.3f}")


if __name__ == "__main__":
    main()
