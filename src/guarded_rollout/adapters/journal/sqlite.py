"""The journal that one machine's controllers share: an SQLite file and a folder of lock files."""

import sqlite3
from pathlib import Path

from guarded_rollout.adapters.journal import place, refusals
from guarded_rollout.adapters.journal.connection import WAIT_SECONDS, Writable
from guarded_rollout.adapters.journal.leases import LEASE_SECONDS, Leases
from guarded_rollout.adapters.journal.lock import close_locks
from guarded_rollout.adapters.journal.looking import Looking
from guarded_rollout.adapters.journal.owner import asking
from guarded_rollout.adapters.journal.stored import INSERT, following
from guarded_rollout.adapters.journal.transfer import File, take_in
from guarded_rollout.core.facts import Fact, Started
from guarded_rollout.ports import Behind, Clock, Entry, Lease


class SqliteJournal(Looking):
    """Satisfies ports.Journal, for any number of threads and processes of one machine.

    Created whole (0600, its folder 0700) when it is not there. Raises NotPossible on a network
    filesystem and for a journal of a newer version, Broken for anything that is no journal.
    `wait_seconds`: how long another process may keep the file; `lease_seconds`: how long a lease
    lives without `renew`.
    """

    def __init__(
        self,
        path: Path,
        clock: Clock,
        locks: Path,
        *,
        wait_seconds: float = WAIT_SECONDS,
        lease_seconds: float = LEASE_SECONDS,
    ) -> None:
        """Open it, or create it."""
        path, locks = path.absolute(), locks.absolute()
        for folder in (path.parent, locks):
            place.refuse_network(folder)
            place.make_folder(folder)
        place.make_file(path)
        self._file = Writable(path, wait_seconds)
        super().__init__(self._file.ask, path, clock)
        self._leases = Leases(self._file, clock, locks, lease_seconds)
        self._ask("SELECT 1")  # a file that is no journal is found out now

    def begin(self, environment: str, rollout: str, fact: Started, *, exclusive: bool) -> Entry:
        """Open a rollout. Busy names the active one; NotPossible: this id is taken."""
        refusals.expect_fitting(environment, rollout, fact)
        with self._file.writing() as connection:
            if exclusive:
                _expect_none_active(connection, environment)
            if _rollout(connection, rollout) is not None:
                raise refusals.name_taken(rollout)
            at = self._clock.now()
            connection.execute(
                "INSERT INTO rollouts (id, environment, kind, began, exclusive)"
                " VALUES (?, ?, ?, ?, ?)",
                (rollout, environment, fact.plan.kind.value, at, int(exclusive)),
            )
            return _write(connection, rollout, at, fact, fence=0)

    def append(
        self, lease: Lease | None, rollout: str, fact: Fact, *, after: int, ended: str | None = None
    ) -> Entry:
        """Append one fact; see ports.Journal. NotPossible: the rollout has ended, or never was."""
        with self._file.writing() as connection:
            found = _rollout(connection, rollout)
            if found is None:
                raise refusals.unknown(rollout)
            environment, ending = found
            refusals.expect_allowed(lease, environment, fact)
            if lease is not None:
                self._leases.check(connection, lease)
            last = connection.execute(
                "SELECT max(seq) FROM facts WHERE rollout = ?", (rollout,)
            ).fetchone()[0]
            if last != after:
                raise Behind
            refusals.expect_open(rollout, environment, ending, fact)
            entry = _write(
                connection, rollout, self._clock.now(), fact, fence=lease.fence if lease else 0
            )
            if ended is not None:
                connection.execute("UPDATE rollouts SET ended = ? WHERE id = ?", (ended, rollout))
            return entry

    def claim(self, environment: str, owner: str) -> Lease:
        """Take the lease: at once when its owner is dead, by force when it hangs, else Busy.

        Takes up to 13 seconds in the worst case (an owner that hangs). Busy also when a hung
        owner cannot be ended; the lock is never gone past.
        """
        return self._leases.claim(environment, owner)

    def renew(self, lease: Lease) -> None:
        """Heartbeat, due every third of the lease. Busy when the lease is lost."""
        self._leases.renew(lease)

    def release(self, lease: Lease) -> None:
        """Give it back. Lost already: no error."""
        self._leases.release(lease)

    def lease_fds(self, environment: str) -> tuple[int, ...]:
        """For a command's `pass_fds`: while it runs, nobody else gets the lease this process has.

        Empty when this process does not have it. They are closed in any other child.
        """
        return self._leases.descriptors(environment)

    def take_in(self, file: File) -> bool:
        """Import a file, whole or not at all; see `transfer.take_in`."""
        with self._file.writing() as connection:
            return take_in(asking(connection), file)

    def close(self) -> None:
        """What the death of the process does: its locks go, its leases stay, to be claimed."""
        close_locks(self._leases.locks)


def _rollout(connection: sqlite3.Connection, rollout: str) -> tuple[str, str | None] | None:
    """Its environment and its ending."""
    row: tuple[str, str | None] | None = connection.execute(
        "SELECT environment, ended FROM rollouts WHERE id = ?", (rollout,)
    ).fetchone()
    return row


def _expect_none_active(connection: sqlite3.Connection, environment: str) -> None:
    row = connection.execute(
        "SELECT id, kind, began FROM rollouts"
        " WHERE environment = ? AND exclusive = 1 AND ended IS NULL",
        (environment,),
    ).fetchone()
    if row is not None:
        raise refusals.taken(environment, *row)


def _write(
    connection: sqlite3.Connection, rollout: str, at: float, fact: Fact, *, fence: int
) -> Entry:
    """Link the fact to the chain's head."""
    head = connection.execute("SELECT seq, hash FROM facts ORDER BY seq DESC LIMIT 1").fetchone()
    stored = following(head, rollout, at, fact, fence)
    connection.execute(INSERT, stored.values())
    return stored.entry()
