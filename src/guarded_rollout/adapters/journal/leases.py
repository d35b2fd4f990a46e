"""The right to write, as a lease in the database and a locked file. Both are needed.

The file decides between processes: it is free the moment its owner dies, so a successor need not
wait. The lease decides when an owner that still has the file counts as hung. The fence stops
whoever lost both and does not know it yet.
"""

import sqlite3
from dataclasses import dataclass
from pathlib import Path

from guarded_rollout.adapters.journal import owner
from guarded_rollout.adapters.journal.connection import Writable
from guarded_rollout.adapters.journal.lock import Lock, lock_of
from guarded_rollout.adapters.journal.owner import Record
from guarded_rollout.adapters.journal.refusals import lost, utc
from guarded_rollout.core.problems import Busy
from guarded_rollout.ports import Clock, Lease

LEASE_SECONDS = 15.0

SETTLE_SECONDS = 2.0
"""How long a dead owner's command may take to notice, and a claim in progress to finish."""

END_SECONDS = 5.0
"""How long killed processes may take to be gone."""

_LOOK_SECONDS = 0.02

_CLAIM = """
    INSERT INTO leases (environment, owner, pid, started, process_group, host, fence, until)
    VALUES (?, ?, ?, ?, ?, ?, 1, ?)
    ON CONFLICT (environment) DO UPDATE SET owner = excluded.owner, pid = excluded.pid,
        started = excluded.started, process_group = excluded.process_group,
        host = excluded.host, fence = leases.fence + 1, until = excluded.until
"""


@dataclass(frozen=True, slots=True)
class Leases:
    """`locks`: the folder of the lock files. `seconds`: how long a lease lives unrenewed."""

    file: Writable
    clock: Clock
    locks: Path
    seconds: float

    def claim(self, environment: str, name: str) -> Lease:
        """Take the file, then raise the fence. Busy: the lease is where it was."""
        lock = lock_of(self.locks, environment)
        with lock.turn:
            mine = lock.held
            if mine:
                self._expect_over(environment)
            else:
                self._take(lock, environment)
            try:
                fence = self._raise_fence(environment, name)
            except BaseException:
                if not mine:
                    lock.give_back()
                raise
            lock.fence = fence
        return Lease(environment, name, fence)

    def renew(self, lease: Lease) -> None:
        """Push `until` on. Busy: somebody else has the lease.

        Broken when the journal is locked for a tenth of the lease: time is left to try again.
        """
        with self.file.writing(self.seconds / 10) as connection:
            self.check(connection, lease)
            connection.execute(
                "UPDATE leases SET until = ? WHERE environment = ?",
                (self.clock.now() + self.seconds, lease.environment),
            )

    def release(self, lease: Lease) -> None:
        """Give the lease back, then the file. Lost already: no error."""
        lock = lock_of(self.locks, lease.environment)
        with lock.turn:
            try:
                with self.file.writing() as connection:
                    connection.execute(
                        "UPDATE leases SET owner = NULL, until = ?"
                        " WHERE environment = ? AND owner = ? AND fence = ?",
                        (self.clock.now(), lease.environment, lease.owner, lease.fence),
                    )
            finally:
                if lock.fence == lease.fence:
                    lock.give_back()

    def check(self, connection: sqlite3.Connection, lease: Lease) -> None:
        """Inside the caller's transaction: Busy when the lease is not the newest."""
        row = connection.execute(
            "SELECT owner, fence FROM leases WHERE environment = ?", (lease.environment,)
        ).fetchone()
        if row == (lease.owner, lease.fence):
            return
        raise lost(lease, row[0] if row else None)

    def descriptors(self, environment: str) -> tuple[int, ...]:
        """What to hand to a command (`pass_fds`) so that a successor waits for its end."""
        handle = lock_of(self.locks, environment).handle
        return () if handle is None else (handle,)

    def _expect_over(self, environment: str) -> None:
        """This process has the file: then only a lease that is over can be claimed."""
        found = owner.record(self.file.ask, environment)
        if found and found.owner is not None and found.until > self.clock.now():
            raise self._held(environment, found)

    def _take(self, lock: Lock, environment: str) -> None:
        """Wait as long as it can help, end a hung owner, never go past the lock."""
        seen: Record | None = None
        since, ended = self.clock.monotonic(), False
        while not lock.take():
            found = owner.record(self.file.ask, environment)
            if found != seen:
                seen, since, ended = found, self.clock.monotonic(), False
            over = found is not None and found.owner is not None and not self._in_time(found)
            patience = END_SECONDS if ended else self._patience(found)
            if self.clock.monotonic() - since >= patience:
                if not over or ended or found is None or not found.process.here:
                    raise self._held(environment, found, lock)
                lock.end(found.process)
                since, ended = self.clock.monotonic(), True
            self.clock.sleep(_LOOK_SECONDS)

    def _patience(self, found: Record | None) -> float:
        """How long to wait for the file before deciding."""
        if found is None or found.owner is None:
            return SETTLE_SECONDS
        if not found.process.here:
            return 0.0
        if self._in_time(found):
            return 0.0 if found.process.lives else SETTLE_SECONDS
        # The machine's clock may have jumped: an owner that is well renews within a heartbeat.
        return self.seconds / 3 + 1.0 if found.process.lives else 0.0

    def _in_time(self, found: Record) -> bool:
        return found.until > self.clock.now()

    def _raise_fence(self, environment: str, name: str) -> int:
        me = owner.this()
        with self.file.writing() as connection:
            before = owner.record(owner.asking(connection), environment)
            if before is not None and before.process.pid != me.pid:
                self._expect_gone(environment, before)
            until = self.clock.now() + self.seconds
            connection.execute(
                _CLAIM, (environment, name, me.pid, me.started, me.group, me.host, until)
            )
        return before.fence + 1 if before else 1

    def _expect_gone(self, environment: str, before: Record) -> None:
        """We have the file. An owner that is well had it: then this is not the file it locked."""
        if before.owner is not None and self._in_time(before) and before.process.lives:
            raise Busy(
                f"the lock file of {environment} was replaced while {before.who} had it",
                f"never delete files in {self.locks}; "
                f"claim again after {utc(before.until)} if that process has ended by then",
            )

    def _held(self, environment: str, found: Record | None, lock: Lock | None = None) -> Busy:
        """Who has it, until when, and what to do."""
        pids = sorted({pid for pid, _ in lock.holders()}) if lock else []
        still = f"process {', '.join(map(str, pids))}" if pids else "a process"
        if found is None or found.owner is None:
            return Busy(
                f"{still} holds the lock of {environment}, though nobody has its lease",
                "a command has outlived its rollout; see what it does, wait for it or end it, "
                "then do the same again",
            )
        if not self._in_time(found):
            where = "" if found.process.here else f" (it may run on {found.process.host})"
            return Busy(
                f"the lease of {found.who} on {environment} ran out at {utc(found.until)}, but "
                f"{still} still holds its lock{where}",
                f"end it: kill -9 {' '.join(map(str, pids)) or found.process.pid}; "
                f"then: rollout resume --env {environment}",
            )
        if found.process.here and not found.process.lives:
            return Busy(
                f"{found.who} is gone, but {still}, which it started, still works on {environment}",
                f"do the same again after {utc(found.until)}: by then it has ended or is ended",
            )
        return Busy(
            f"{found.who} has the lease of {environment} until {utc(found.until)}",
            f"watch it: rollout status --env {environment}; if that process hangs: "
            f"kill -9 {found.process.pid}, then: rollout resume --env {environment}",
        )
