"""Commands with what they cost: seconds, and CPU seconds of themselves and of the server."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

_CLOCK_TICKS = os.sysconf("SC_CLK_TCK")
_TERM_SECONDS = 5.0
_BURNING = """
import time
until, before = time.perf_counter() + 0.5, time.process_time()
while time.perf_counter() < until: pass
print(time.process_time() - before)
"""


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one step. `client`: the command and all it waited for; `server`: all its processes."""

    seconds: float = 0.0
    client: float = 0.0
    server: float = 0.0

    @property
    def cpu(self) -> float:
        return self.client + self.server

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(
            self.seconds + other.seconds, self.client + other.client, self.server + other.server
        )


@dataclass(frozen=True, slots=True)
class Metered:
    """Runs commands beside one PostgreSQL. `postmaster`: its pid."""

    postmaster: int
    env: Mapping[str, str]

    def run(self, argv: Sequence[str], folder: Path) -> tuple[Cost, str]:
        """One command to its end, in `folder`. What it prints on standard output comes back."""
        os.sync()  # what the one before left to write is not this one's cost
        server, began = server_cpu(self.postmaster), perf_counter()
        output = folder.with_name(folder.name + ".out")
        with output.open("wb") as out:
            process = subprocess.Popen(
                argv, cwd=folder, env=dict(self.env), stdout=out, stderr=out, start_new_session=True
            )
        try:
            _, status, used = os.wait4(process.pid, 0)
        except BaseException:
            _end(process)
            raise
        process.returncode = os.waitstatus_to_exitcode(status)
        seconds = perf_counter() - began
        said = output.read_text("utf-8", "replace")
        if process.returncode != 0:
            raise SystemExit(f"{' '.join(argv)} ended with {process.returncode}: {said[-2000:]}")
        client = used.ru_utime + used.ru_stime
        return Cost(seconds, client, server_cpu(self.postmaster) - server), said


def server_cpu(postmaster: int) -> float:
    """CPU seconds of a PostgreSQL so far: its first process, and all the others, dead or alive."""
    while True:
        before = _children(postmaster)
        own = _ticks(postmaster)
        if _children(postmaster).keys() == before.keys():  # nobody counted twice or not at all
            return (sum(own) + sum(before.values())) / _CLOCK_TICKS


def _children(parent: int) -> dict[int, int]:
    """Ticks of the children that are alive."""
    found = {}
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # gone while we looked
            fields = _fields(int(entry.name))
            if int(fields[1]) == parent:
                found[int(entry.name)] = sum(map(int, fields[11:13]))
    return found


def _ticks(pid: int) -> list[int]:
    """In user and system mode, of its own and of the children that it waited for."""
    return list(map(int, _fields(pid)[11:15]))


def _fields(pid: int) -> list[str]:
    """Of /proc/PID/stat, from the third on: the name before them may hold anything."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def cores_free() -> float:
    """How many cores the machine gives to one who wants all of them, for half a second."""
    argv = (sys.executable, "-I", "-S", "-c", _BURNING)
    burning = [
        subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)
        for _ in range(os.cpu_count() or 1)
    ]
    return sum(float(process.communicate()[0]) for process in burning) / 0.5


def _end(process: subprocess.Popen[bytes]) -> None:
    """The command and its group."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_TERM_SECONDS)
