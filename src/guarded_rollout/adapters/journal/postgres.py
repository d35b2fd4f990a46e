"""The journal that controllers on several machines share: a schema in a PostgreSQL database."""

from collections.abc import Callable

from guarded_rollout.adapters.journal import refusals
from guarded_rollout.adapters.journal.connection import Ask
from guarded_rollout.adapters.journal.looking import Looking, LookingJournal
from guarded_rollout.adapters.journal.refusals import lost
from guarded_rollout.adapters.journal.server import Server
from guarded_rollout.adapters.journal.server_leases import ServerLeases
from guarded_rollout.adapters.journal.server_problems import Crossed
from guarded_rollout.adapters.journal.stored import COLUMNS, Stored, following
from guarded_rollout.adapters.journal.transfer import File, take_in
from guarded_rollout.adapters.postgres.access import Access
from guarded_rollout.core.facts import Fact, Started
from guarded_rollout.core.problems import Problem
from guarded_rollout.ports import Away, Behind, Clock, Entry, Lease

LEASE_SECONDS = 15.0
WAIT_SECONDS = 3.0
_TURNS = 100

_HEAD = """LEFT JOIN (SELECT seq, hash FROM facts ORDER BY seq DESC LIMIT 1) AS head ON true"""

_BEFORE_BEGINNING = f"""
    SELECT now_seconds(), head.seq, head.hash, known.hash, active.id, active.kind, active.began
    FROM (SELECT 1) AS always {_HEAD}
    LEFT JOIN (SELECT hash FROM facts WHERE rollout = ? ORDER BY seq LIMIT 1) AS known ON true
    LEFT JOIN (SELECT id, kind, began FROM rollouts
        WHERE environment = ? AND exclusive = 1 AND ended IS NULL) AS active ON true
"""  # noqa: S608 - constants

_BEFORE_APPENDING = f"""
    SELECT now_seconds(), head.seq, head.hash, rollouts.environment, rollouts.ended,
        (SELECT max(seq) FROM facts WHERE rollout = rollouts.id), leases.owner, leases.fence
    FROM rollouts LEFT JOIN leases ON leases.environment = rollouts.environment {_HEAD}
    WHERE rollouts.id = ?
"""  # noqa: S608 - constants

_BEGIN = f"""
    WITH new AS (INSERT INTO rollouts (id, environment, kind, began, exclusive)
        VALUES (?, ?, ?, ?, ?) RETURNING id)
    INSERT INTO facts ({COLUMNS}) SELECT ?, ?, ?, ?, ?, ?, ?, ? FROM new RETURNING seq
"""  # noqa: S608 - constants

# A claim waits for the lock on the lease's line, and an append that waits for a claim sees it.
_APPEND = f"""
    WITH allowed AS MATERIALIZED (SELECT 1 FROM leases
        WHERE environment = ? AND owner = ? AND fence = ? FOR SHARE),
    new AS (INSERT INTO facts ({COLUMNS}) SELECT ?, ?, ?, ?, ?, ?, ?, ?
        WHERE ? OR EXISTS (SELECT FROM allowed) RETURNING seq),
    done AS (UPDATE rollouts SET ended = ?
        WHERE id = ? AND ? AND EXISTS (SELECT FROM new) RETURNING id)
    SELECT seq FROM new
"""  # noqa: S608 - constants


class PostgresJournal(Looking):
    """Satisfies ports.Journal, for any number of threads, processes and machines.

    Its tables are made when they are not there. Entries and leases have the server's time;
    `clock` measures waits only. `wait_seconds`: how long the server may be away before Away is
    raised; `lease_seconds`: how long a lease lives without `renew`.

    An append whose answer was lost on the way is found again by its place and hash when the same
    object is asked to append the same once more.
    """

    def __init__(
        self,
        access: Access,
        clock: Clock,
        *,
        wait_seconds: float = WAIT_SECONDS,
        lease_seconds: float = LEASE_SECONDS,
    ) -> None:
        """Open it, or create it."""
        self._server = Server(access, clock, wait_seconds)
        super().__init__(self._server.ask, access, ServerClock(self._server, clock), no_check)
        self._leases = ServerLeases(self._server, lease_seconds)
        self._unanswered: set[str] = set()
        self._server.patiently(self._server.create)

    def begin(self, environment: str, rollout: str, fact: Started, *, exclusive: bool) -> Entry:
        """Open a rollout. Busy names the active one; NotPossible: this id is taken."""
        refusals.expect_fitting(environment, rollout, fact)
        return self._server.patiently(
            lambda: self._in_turn(
                lambda: self._begin(environment, rollout, fact, exclusive=exclusive)
            )
        )

    def append(
        self, lease: Lease | None, rollout: str, fact: Fact, *, after: int, ended: str | None = None
    ) -> Entry:
        """Append one fact; see ports.Journal. NotPossible: the rollout has ended, or never was."""
        return self._server.patiently(
            lambda: self._in_turn(lambda: self._append(lease, rollout, fact, after, ended))
        )

    def claim(self, environment: str, owner: str) -> Lease:
        """Take the lease: given back, run out, or its owner is seen to be gone; else Busy."""
        return self._leases.claim(environment, owner)

    def renew(self, lease: Lease) -> None:
        """Heartbeat, due every third of the lease. Busy when the lease is lost."""
        self._leases.renew(lease)

    def release(self, lease: Lease) -> None:
        """Give it back. Lost already: no error."""
        self._leases.release(lease)

    def take_in(self, file: File) -> bool:
        """Import a file, whole or not at all; see `transfer.take_in`."""
        with self._server.transaction() as run:
            run("LOCK TABLE facts IN EXCLUSIVE MODE")
            return take_in(run, file)

    def close(self) -> None:
        """What the death of the process does: its leases stay, to be claimed."""
        self._leases.forget()
        self._server.close()

    def _begin(
        self, environment: str, rollout: str, fact: Started, *, exclusive: bool
    ) -> Entry | None:
        (found,) = self._server.once(_BEFORE_BEGINNING, rollout, environment)
        at, seq, prev, first, *active = found
        if first in self._unanswered:
            return self.entries(rollout)[0]
        if exclusive and active[0] is not None:
            raise refusals.taken(environment, *active)
        if first is not None:
            raise refusals.name_taken(rollout)
        stored = following(_head(seq, prev), rollout, at, fact, 0)
        kind = fact.plan.kind.value
        return self._send(
            stored, _BEGIN, rollout, environment, kind, at, int(exclusive), *stored.values()
        )

    def _append(
        self, lease: Lease | None, rollout: str, fact: Fact, after: int, ended: str | None
    ) -> Entry | None:
        rows = self._server.once(_BEFORE_APPENDING, rollout)
        if not rows:
            raise refusals.unknown(rollout)
        at, seq, prev, environment, ending, last, *holder = rows[0]
        refusals.expect_allowed(lease, environment, fact)
        if lease is not None and holder != [lease.owner, lease.fence]:
            raise lost(lease, holder[0])
        if last != after:
            return self._answered(rollout, fact, after)
        refusals.expect_open(rollout, environment, ending, fact)
        stored = following(
            _head(seq, prev), rollout, at, fact, lease.fence if lease is not None else 0
        )
        mine = (lease.environment, lease.owner, lease.fence) if lease else (None, None, None)
        return self._send(
            stored,
            _APPEND,
            *(*mine, *stored.values(), lease is None),
            *(ended, rollout, ended is not None),
        )

    def _answered(self, rollout: str, fact: Fact, after: int) -> Entry:
        """What was sent when the server went away is there after all. Behind: it is not ours."""
        found = self.entries(rollout, after)
        if found and found[0].hash in self._unanswered and found[0].fact == fact:
            return found[0]
        raise Behind

    def _send(self, stored: Stored, sql: str, *values: object) -> Entry | None:
        """None: somebody else wrote first, or the lease is lost; look again."""
        self._unanswered.add(stored.hash)
        try:
            written = self._server.once(sql, *values)
        except Away:
            raise
        except Crossed:
            written = []
        except Problem:
            self._unanswered.discard(stored.hash)
            raise
        self._unanswered.discard(stored.hash)
        return stored.entry() if written else None

    def _in_turn(self, act: Callable[[], Entry | None]) -> Entry:
        for _ in range(_TURNS):
            entry = act()
            if entry is not None:
                return entry
        raise Away(f"the journal {self._name} is written by others all the time", "try again")


class ServerClock:
    """Satisfies ports.Clock: the server says what time it is, this machine measures waits."""

    def __init__(self, server: Server, clock: Clock) -> None:
        self._server = server
        self._clock = clock

    def now(self) -> float:
        """Unix seconds on the server's clock."""
        at: float = self._server.ask("SELECT now_seconds()")[0][0]
        return at

    def monotonic(self) -> float:
        """Seconds on this machine."""
        return self._clock.monotonic()

    def sleep(self, seconds: float) -> None:
        """Wait."""
        self._clock.sleep(seconds)


def no_check(_ask: Ask) -> str | None:
    """The server looks after its files."""
    return None


def _head(seq: int | None, prev: str | None) -> tuple[int, str] | None:
    return None if seq is None or prev is None else (seq, prev)


def open_readonly(
    access: Access, clock: Clock, *, wait_seconds: float = WAIT_SECONDS
) -> LookingJournal:
    """A journal that makes no tables, and is empty when there are none."""
    server = Server(access, clock, wait_seconds)

    return LookingJournal(server.ask_if_there, access, ServerClock(server, clock), no_check)
