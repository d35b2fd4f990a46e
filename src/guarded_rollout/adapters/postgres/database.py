"""One PostgreSQL database, behind ports.Database."""

import os
import socket
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from guarded_rollout.adapters.postgres import applying, content, dumps, shapes
from guarded_rollout.adapters.postgres.access import Access
from guarded_rollout.adapters.postgres.defaults import blank
from guarded_rollout.adapters.postgres.records import records
from guarded_rollout.adapters.postgres.sessions import connect, looking, there, told
from guarded_rollout.core.changes import Change, Record
from guarded_rollout.core.migration_findings import TableSeen
from guarded_rollout.core.problems import BadInput, Broken, Busy, Interrupted
from guarded_rollout.ports import Applied, Clock, Control, Dumped, Table

if TYPE_CHECKING:
    from guarded_rollout.adapters.postgres.scratch import PostgresScratch

WAIT_SECONDS = 5.0
MAINTENANCE = "postgres"
_LOCK = "SELECT pg_try_advisory_lock(hashtextextended('guarded-rollout migrates', 0))"
_HOLDER = """
    SELECT a.application_name, a.client_addr, a.backend_start
    FROM pg_catalog.pg_locks l JOIN pg_catalog.pg_stat_activity a USING (pid)
    WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1 AND l.database = (
        SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())
    AND (l.classid::bigint << 32 | l.objid::bigint) =
        hashtextextended('guarded-rollout migrates', 0)
"""


@dataclass(frozen=True, slots=True)
class PostgresDatabase:
    """One database. `wait_seconds`: how long to wait for a lock before saying Busy."""

    access: Access
    clock: Clock
    wait_seconds: float = WAIT_SECONDS

    def url(self) -> str:
        """As SQLAlchemy writes it, for psycopg 3, without a password."""
        return self.access.url()

    def environment(self) -> Mapping[str, str]:
        """The PG variables that hold or find the password and the certificates."""
        return self.access.environment()

    def prepare(self) -> None:
        """Create the database when the server has none of that name."""
        if self.exists():
            return
        from psycopg import sql  # noqa: PLC0415 - only PostgreSQL's users should wait for it

        server = self.access.named(MAINTENANCE)
        connection = connect(server, self.wait_seconds)
        try:
            with told(self.access, "creating the database"):
                connection.execute(
                    sql.SQL("CREATE DATABASE {}").format(sql.Identifier(self.access.name))
                )
        finally:
            connection.close()

    def exists(self) -> bool:
        """Look: there is a database, and it lets us in."""
        return there(self.access, self.wait_seconds)

    def size(self) -> int:
        """Look: bytes on the server's disk."""
        if not self.exists():
            return 0
        with looking(self.access, self.wait_seconds) as connection:
            found = connection.execute(
                "SELECT pg_catalog.pg_database_size(pg_catalog.current_database())"
            ).fetchone()
            assert found is not None
            return int(found[0])

    def revision(self) -> str | None:
        """Look: Alembic's revision; None where no migration ever ran."""
        if not self.exists():
            return None
        with looking(self.access, self.wait_seconds) as connection:
            return content.revision(connection, str(self.access))

    def schema(self) -> tuple[str, ...]:
        """Look: every object in words, sorted."""
        if not self.exists():
            return ()
        with looking(self.access, self.wait_seconds) as connection:
            return content.schema(connection)

    def rows(self) -> Mapping[str, int]:
        """Look: rows per table, Alembic's left out."""
        if not self.exists():
            return {}
        with looking(self.access, self.wait_seconds) as connection:
            return content.rows(connection)

    def fingerprint(self, control: Control) -> Mapping[str, Table]:
        """Look: rows and a hash of the content per table, in one snapshot."""
        if not self.exists():
            return {}

        def go_on() -> None:
            if control.stopped():
                raise Interrupted(f"reading {self.access} was told to stop", "start it again")

        with looking(self.access, self.wait_seconds) as connection:
            return content.fingerprint(connection, go_on)

    def tables(self) -> Mapping[str, TableSeen]:
        """Look: rows, bytes and types per table; partitioned ones too, with all their parts'.

        Rows of tables of more than 64 MiB are what the planner believes.
        """
        if not self.exists():
            return {}
        with looking(self.access, self.wait_seconds) as connection:
            return shapes.seen(connection)

    def blank(self, table: str) -> Mapping[str, str | None]:
        """Look: per column that is not generated, its constant default, else None.

        Of a column that was added with a default later, what it was in the rows of then. BadInput
        when the table is not there.
        """
        with looking(self.access, self.wait_seconds) as connection:
            shape = shapes.shapes(connection).get(table)
            if shape is None:
                raise BadInput(f"there is no table {table} in {self.access}", "ask tables() first")
            return blank(connection, shape)

    def records(
        self,
        table: str,
        columns: tuple[str, ...],
        control: Control,
        *,
        beside: tuple[str, ...] = (),
    ) -> AbstractContextManager[Iterator[Record]]:
        """Look: a table's rows in one snapshot, by a cursor; sorted by the server.

        BadInput when the table or a column is not there.
        """
        return records(self.access, self.wait_seconds, table, (columns, beside), control)

    def apply(self, changes: Iterable[Change], control: Control, *, whole: bool = False) -> Applied:
        """Bring set-aside changes back, in one transaction. See `applying`."""
        return applying.apply(self.access, self.wait_seconds, changes, control, whole=whole)

    def restore(self, dump: Path, control: Control, *, over: str | None = None) -> None:
        """Put a dump in this database's place: made beside it, compared, renamed. See `replacing`.

        Broken when the dump is damaged or does not go in; BadInput when the user has not the
        rights; Busy when it is migrated, or somebody is connected whom the user cannot cut off.
        """
        from guarded_rollout.adapters.postgres.replacing import replace  # noqa: PLC0415 - knows us

        replace(self, dump, control, over)

    def keep_as_it_is(self, folder: Path, stamp: str, control: Control) -> str | None:
        """Look: the name that `restore` gives to what is there, if it is there."""
        from guarded_rollout.adapters.postgres.replacing import kept_name  # noqa: PLC0415 - as above

        del folder, control
        server = self.access.named(MAINTENANCE)
        connection = connect(server, self.wait_seconds)
        try:
            with told(self.access, "looking for"):
                found = connection.execute(
                    "SELECT FROM pg_catalog.pg_database WHERE datname = %s", (self.access.name,)
                ).fetchone()
        finally:
            connection.close()
        return None if found is None else kept_name(self, stamp)

    def dump(
        self, to: Path, control: Control, whole: Callable[[Path], None] = lambda _: None
    ) -> Dumped:
        """Write the new folder `to` by pg_dump; everything about it is of one snapshot.

        BadInput when `to` exists, or the tools are missing or too old; Busy when a table stays
        locked; Interrupted when told to stop; Broken when the server or the disk fails.
        """
        if not self.exists():
            raise Broken(f"there is no database {self.access}", "deploy once, or check its name")
        return dumps.dump(self, to, control, whole)

    def prove(self, dump: Path) -> Mapping[str, int]:
        """Look: every table of the dump is whole to its last row. Needs no server."""
        return dumps.prove(dump, self.clock, self.access)

    def scratch(self, purpose: str) -> "PostgresScratch":
        """An empty database beside this one, with its encoding and locale."""
        from guarded_rollout.adapters.postgres.scratch import make  # noqa: PLC0415 - it knows us

        return make(self, purpose)

    @contextmanager
    def alone(self, who: str) -> Iterator[None]:
        """Hold the database's advisory lock in a session of our own.

        The server frees it when that session ends, in whatever way. Behind a pooler that mixes
        sessions (transaction pooling) it does not hold: give the tool a direct address.
        """
        name = f"rollout {socket.gethostname()[:20]} {os.getpid()} {who}"
        connection = connect(self.access, self.wait_seconds, name)
        try:
            with told(self.access, "locking"):
                got = connection.execute(_LOCK).fetchone()
                holder = connection.execute(_HOLDER).fetchone()
            if got != (True,):
                shown = (
                    f"{holder[0]} from {holder[1] or 'this machine'} since {holder[2]}"
                    if holder
                    else "somebody who just ended"
                )
                raise Busy(
                    f"{self.access} is being migrated: {shown}",
                    "wait for it to end; the lock goes with the session",
                )
            yield
        finally:
            connection.close()
