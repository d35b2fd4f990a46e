"""Which process owns a lease, so exactly that no later process with its number is taken for it."""

import functools
import os
import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from guarded_rollout.adapters.journal.connection import Ask

_GONE = frozenset({"Z", "X", "x"})
"""States of a process that runs no more; a zombie has closed its files."""


@dataclass(frozen=True, slots=True)
class Process:
    """A process for ever. `started`: in ticks since boot (0: this system does not say).

    `host` names machine, boot and the numbering of processes (containers have their own).
    """

    pid: int
    started: int
    group: int
    host: str

    @property
    def here(self) -> bool:
        """Its number means something to us."""
        return self.host == here()

    @property
    def lives(self) -> bool:
        """It still runs, as far as one can see from here."""
        if not self.here:
            return False
        found = started(self.pid)
        return found is not None and (0 in {found, self.started} or found == self.started)


@dataclass(frozen=True, slots=True)
class Record:
    """An environment's line in `leases`. `owner` None: given back. `until`: Unix seconds."""

    owner: str | None
    process: Process
    fence: int
    until: float

    @property
    def who(self) -> str:
        """For people."""
        return f"{self.owner} (process {self.process.pid})"


def record(ask: Ask, environment: str) -> Record | None:
    """Look: the environment's line; None when nobody ever had the lease."""
    rows = ask(
        "SELECT owner, fence, until, pid, started, process_group, host FROM leases"
        " WHERE environment = ?",
        environment,
    )
    if not rows:
        return None
    owner, fence, until, *process = rows[0]
    return Record(owner, Process(*process), fence, until)


def asking(connection: sqlite3.Connection) -> Ask:
    """Asks inside a transaction that is open already."""

    def ask(sql: str, *values: object) -> list[Any]:
        return connection.execute(sql, values).fetchall()

    return ask


def this() -> Process:
    """The process that asks."""
    pid = os.getpid()
    return Process(pid, started(pid) or 0, os.getpgid(0), here())


def started(pid: int) -> int | None:
    """When a process began; None when it does not run; 0 when it does but nothing says since when.

    Another user's process may hide its folder in /proc but still answers a signal.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return None
        except PermissionError:
            pass  # it runs, and is somebody else's
        return 0
    fields = stat[stat.rindex(")") + 2 :].split()
    return None if fields[0] in _GONE else int(fields[19])


@functools.cache
def here() -> str:
    """This machine since its last start, and this numbering of processes."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        space = os.readlink("/proc/self/ns/pid")  # noqa: PTH115 - a name, no path
    except OSError:
        boot, space = "", ""
    return f"{os.uname().nodename} {boot} {space}"
