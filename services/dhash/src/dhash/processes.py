"""Memory and processor time of the server with its workers and PDF readers."""

import os
import resource
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

_PROC = Path("/proc")
_IMPORTED_AT = datetime.now(UTC).timestamp()  # noqa: TID251 - a fact about this process


@dataclass(frozen=True, slots=True)
class ProcessFacts:
    """`start_time` in seconds since 1970."""

    resident_bytes: int
    cpu_seconds: float
    start_time: float


def read_processes(root: int) -> ProcessFacts:
    """Sum over the process `root` and all below it; only this process where there is no /proc."""
    if not (_PROC / "self" / "stat").exists():
        usage = resource.getrusage(resource.RUSAGE_SELF)
        return ProcessFacts(
            usage.ru_maxrss, usage.ru_utime + usage.ru_stime, _IMPORTED_AT
        )  # pragma: no cover - macOS counts bytes, and the peak is all it tells
    ticks, page = os.sysconf("SC_CLK_TCK"), os.sysconf("SC_PAGE_SIZE")
    resident = 0
    cpu = 0.0
    start = _IMPORTED_AT
    waiting = [root]
    while waiting:
        pid = waiting.pop()
        try:
            # The name in parentheses may hold blanks; what counts comes after it.
            fields = (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
            children = "".join(
                (task / "children").read_text() for task in (_PROC / str(pid) / "task").iterdir()
            )
        except OSError:
            # It ended meanwhile. Its parent has taken over its processor time.
            continue
        waiting += [int(child) for child in children.split()]
        # utime, stime, and those of children that ended: so that the sum never falls
        cpu += sum(int(value) for value in fields[11:15]) / ticks
        resident += int(fields[21]) * page
        if pid == root:
            start = _boot_time() + int(fields[19]) / ticks
    return ProcessFacts(resident, cpu, start)


def _boot_time() -> int:
    for line in (_PROC / "stat").read_text().splitlines():
        if line.startswith("btime "):
            return int(line.split()[1])
    return 0
