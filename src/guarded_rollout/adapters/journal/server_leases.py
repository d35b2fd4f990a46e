"""The right to write as a lease in PostgreSQL, on the server's clock.

There is no file to lock: the machines that share the journal share no disk. A lease that ran out
can be claimed by anybody; until then only where its owner is seen to be gone, which is on its own
machine. The fence stops whoever lost the lease and does not know it yet.
"""

import os
import threading
from dataclasses import dataclass, field
from typing import Any

from guarded_rollout.adapters.journal import owner
from guarded_rollout.adapters.journal.owner import Record, record
from guarded_rollout.adapters.journal.refusals import lost, utc
from guarded_rollout.adapters.journal.server import Server
from guarded_rollout.core.problems import Busy
from guarded_rollout.ports import Lease

_CLAIM = """
    INSERT INTO leases AS held
        (environment, owner, pid, started, process_group, host, fence, until)
    VALUES (?, ?, ?, ?, ?, ?, 1, now_seconds() + ?)
    ON CONFLICT (environment) DO UPDATE SET owner = excluded.owner, pid = excluded.pid,
        started = excluded.started, process_group = excluded.process_group,
        host = excluded.host, fence = held.fence + 1, until = now_seconds() + ?
    WHERE held.owner IS NULL OR held.until <= now_seconds() OR held.fence = ?
    RETURNING fence
"""

_RENEWING = 0.1
"""The part of a lease's life that one heartbeat may take: time is left to try again."""

_MINE = "environment = ? AND owner = ? AND fence = ?"


@dataclass(frozen=True, slots=True)
class _Own:
    """What one process has claimed, through any of its journals. `turn`: one claim at a time."""

    turn: threading.Lock = field(default_factory=threading.Lock)
    leases: set[tuple[str, str, int]] = field(default_factory=set)


_all: dict[int, _Own] = {}


def _own() -> _Own:
    """This process's; a forked child has claimed nothing."""
    return _all.setdefault(os.getpid(), _Own())


@dataclass(frozen=True, slots=True)
class ServerLeases:
    """`seconds`: how long a lease lives unrenewed."""

    server: Server
    seconds: float

    def claim(self, environment: str, name: str) -> Lease:
        """Raise the fence, in one statement. Busy: the lease is where it was."""
        with _own().turn:
            return self.server.patiently(lambda: self._claim(environment, name))

    def renew(self, lease: Lease) -> None:
        """Push `until` on. Busy: lost."""
        if not self._update("until = now_seconds() + ?", lease, self.seconds):
            found = record(self.server.ask, lease.environment)
            raise lost(lease, found.owner if found else None)

    def release(self, lease: Lease) -> None:
        """Give it back. Lost already: no error."""
        _own().leases.discard(self._key(lease.environment, lease.fence))
        self._update("owner = NULL, until = now_seconds()", lease)

    def _update(self, what: str, lease: Lease, *values: object) -> list[Any]:
        """The lease's line, while it is the newest. Twice is no harm: the answer may be lost."""
        update = f"UPDATE leases SET {what} WHERE {_MINE} RETURNING fence"  # noqa: S608 - constants
        values = (*values, lease.environment, lease.owner, lease.fence)
        return self.server.patiently(
            lambda: self.server.once(update, *values), self.seconds * _RENEWING
        )

    def forget(self) -> None:
        """What the death of the process does: its leases stay, and may be claimed at once."""
        own = _own().leases
        own -= {key for key in own if key[0] == str(self.server.access)}

    def _claim(self, environment: str, name: str) -> Lease:
        before = record(self.server.ask, environment)
        gone = before.fence if before and self._gone(environment, before) else None
        me = owner.this()
        claimed = self.server.once(
            _CLAIM,
            *(environment, name, me.pid, me.started, me.group, me.host),
            *(self.seconds, self.seconds, gone),
        )
        if not claimed:
            raise _held(environment, record(self.server.ask, environment))
        lease = Lease(environment, name, claimed[0][0])
        _own().leases.add(self._key(environment, lease.fence))
        return lease

    def _gone(self, environment: str, found: Record) -> bool:
        """Its owner is seen to be gone: a process of this machine that ended, or gave up."""
        if not found.process.here:
            return False
        if found.process.pid == os.getpid():
            return self._key(environment, found.fence) not in _own().leases
        return not found.process.lives

    def _key(self, environment: str, fence: int) -> tuple[str, str, int]:
        return (str(self.server.access), environment, fence)


def _held(environment: str, found: Record | None) -> Busy:
    """Who has it, on which machine, until when, and what to do."""
    if found is None or found.owner is None:
        return Busy(f"the lease of {environment} has just changed hands", "do the same again")
    here = found.process.here
    where = "" if here else f" on {found.process.host.partition(' ')[0]}"
    end = f"kill -9 {found.process.pid}"
    return Busy(
        f"{found.who}{where} has the lease of {environment} until {utc(found.until)}",
        f"watch it: rollout status --env {environment}; if that process hangs: "
        + (
            f"{end}, then: rollout resume --env {environment}"
            if here
            else f"end it there ({end}); its lease can be claimed when it has run out"
        ),
    )
