"""Runs Alembic inside a release and writes down what it does to the database.

Started by the release's own python: `python -I -B recorder.py FD MS ALEMBIC'S ARGUMENTS`, so it
imports the standard library, SQLAlchemy and Alembic only. It listens to every engine there will
be, so the service's env.py needs to know nothing about it.

On PostgreSQL each connection gets, before its first statement and outside of any transaction, a
`lock_timeout` of MS milliseconds. Its server also looks every second whether we still live: a
transaction whose migration was killed is over a second later, not at the end of its statement.

FD gets one JSON object per line:
    {"mark": "BEGIN"}                        a transaction on PostgreSQL; COMMIT, ROLLBACK
    {"run": SQL}                             a statement begins
    {"ms": 1.2, "locks": ["... on images"]}  it ended well
    {"failed": SQL, "ms": 5001.3, "state": "55P03", "holders": ["..."]}    its SQLSTATE, if any
    {"no_way_down": true}                    a revision has no downgrade()
Left out: what only reads the catalog, and Alembic's bookkeeping of its revision. Parameters are
`$1`, `$2`: they may be secret, and are many.
"""

import contextlib
import itertools
import json
import os
import re
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from alembic.config import main
from sqlalchemy import event
from sqlalchemy.engine import Connection, Engine, ExceptionContext

STRONG = ("AccessExclusiveLock", "ExclusiveLock", "ShareRowExclusiveLock", "ShareLock")
LOOK_MS = 1000
LOCK_NOT_AVAILABLE = "55P03"
HOLDERS_SHOWN = 3

_CATALOG = re.compile(
    r"\s*(?:(?:SELECT|WITH)\b.*\b(?:pg_catalog|information_schema|sqlite_(?:temp_)?(?:master|schema))\b"
    r"|SELECT\s+(?:current_schema|version)\s*\(\s*\)\s*;?\s*$"
    r"|SHOW\b"
    r"|PRAGMA\s+(?:\w+\.)?(?:(?:table|index|foreign_key)_x?(?:list|info)\b|\w+\s*;?\s*$))",
    re.IGNORECASE | re.DOTALL,
)
_BOOKKEEPING = re.compile(
    r"\s*(?:CREATE\s+TABLE|INSERT\s+INTO|UPDATE|DELETE\s+FROM|SELECT\b[^;]*\bFROM)"
    r"\s+[\w.\"]*\balembic_version\b",
    re.IGNORECASE,
)
_BOUNDARY = re.compile(r"\s*(?:BEGIN|COMMIT|END|ROLLBACK|SAVEPOINT|RELEASE)\b", re.IGNORECASE)
_ROWS_ONLY = re.compile(r"\s*(?:SELECT|INSERT|UPDATE|DELETE)\b", re.IGNORECASE)
_PLACEHOLDER = re.compile(r"%%|%\(\w+\)s|%s")

_TABLES = """
    SELECT c.oid::bigint,
        CASE n.nspname WHEN 'public' THEN '' ELSE n.nspname || '.' END || c.relname
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p', 'm') AND n.nspname <> 'information_schema'
    AND pg_catalog.left(n.nspname, 3) <> 'pg_'
"""
_LOCKS = f"""
    SELECT relation::bigint, mode FROM pg_catalog.pg_locks
    WHERE pid = pg_catalog.pg_backend_pid() AND granted AND locktype = 'relation'
    AND mode IN {STRONG!r} ORDER BY 1, 2
"""  # noqa: S608 - constants
# PostgreSQL's queue is fair: who kept us waiting began before we waited.
_HOLDERS = """
    SELECT a.pid, a.application_name, a.usename, a.state, l.mode,
        CASE n.nspname WHEN 'public' THEN '' ELSE n.nspname || '.' END || c.relname,
        pg_catalog.date_trunc('second', a.xact_start)::text
    FROM pg_catalog.pg_locks l
    JOIN pg_catalog.pg_stat_activity a USING (pid)
    JOIN pg_catalog.pg_class c ON c.oid = l.relation
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE l.granted AND l.locktype = 'relation' AND pg_catalog.left(n.nspname, 3) <> 'pg_'
    AND c.relkind IN ('r', 'p', 'm')
    AND l.database = (
        SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())
    AND a.pid NOT IN (pg_catalog.pg_backend_pid(), {own:d})
    AND (a.xact_start IS NULL OR
         a.xact_start < pg_catalog.clock_timestamp() - interval '{waited:d} milliseconds')
    ORDER BY a.xact_start, a.pid, c.relname LIMIT 50
"""


@dataclass
class Session:
    """What is known of one PostgreSQL connection. `tables`: those there were at first, by oid."""

    pid: int
    tables: dict[int, str]
    held: set[tuple[int, str]] = field(default_factory=set)
    inside: bool = False


class Recorder:
    """Listens to SQLAlchemy."""

    def __init__(self, report: int, lock_timeout_ms: int) -> None:
        self._report = report
        self._lock_timeout_ms = lock_timeout_ms
        self._began: float | None = None

    def listen(self) -> None:
        """To every engine there is or will be."""
        event.listen(Engine, "engine_connect", self.connected)
        event.listen(Engine, "begin", self.begun)
        event.listen(Engine, "commit", self.committing)
        event.listen(Engine, "rollback", self.rolling_back)
        event.listen(Engine, "before_cursor_execute", self.running)
        event.listen(Engine, "after_cursor_execute", self.ran)
        event.listen(Engine, "handle_error", self.failed)

    def write(self, **line: object) -> None:
        """One line, whole."""
        data = json.dumps(line).encode() + b"\n"
        while data:
            data = data[os.write(self._report, data) :]

    def connected(self, connection: Connection, *_: object) -> None:
        """Before the first statement. SQLAlchemy before 2.0 passes an argument more."""
        if connection.dialect.name != "postgresql" or "recorder" in connection.info:
            return
        with contextlib.suppress(ValueError):  # not the main thread
            # psycopg then cancels its statement; the default would leave it to the server.
            signal.signal(signal.SIGTERM, signal.default_int_handler)
        raw = connection.connection
        _ask(connection, f"SET lock_timeout = {self._lock_timeout_ms}")
        raw.commit()
        try:
            _ask(connection, f"SET client_connection_check_interval = {LOOK_MS}")
            raw.commit()
        except Exception:  # noqa: BLE001 - an old server, or one that does not run on Linux
            raw.rollback()
        ((pid,),) = _ask(connection, "SELECT pg_catalog.pg_backend_pid()")
        tables = {int(oid): str(name) for oid, name in _ask(connection, _TABLES)}
        raw.commit()
        connection.info["recorder"] = Session(int(pid), tables)

    def begun(self, connection: Connection) -> None:
        """A transaction, or what SQLAlchemy takes for one: autocommit has none."""
        session = _session(connection)
        if session is not None:
            session.held, session.inside = set(), False

    def committing(self, connection: Connection) -> None:
        """Before COMMIT."""
        self._over(connection, "COMMIT")

    def rolling_back(self, connection: Connection) -> None:
        """Before ROLLBACK."""
        self._over(connection, "ROLLBACK")

    def _over(self, connection: Connection, how: str) -> None:
        session = _session(connection)
        if session is not None and session.inside:
            session.inside = False
            self.write(mark=how)

    def running(
        self,
        connection: Connection,
        _cursor: object,
        statement: str,
        *_: object,
    ) -> None:
        """Before a statement."""
        session = _session(connection)
        if _recorded(statement, session):
            in_transaction = not getattr(connection.connection, "autocommit", False)
            if session is not None and in_transaction and not session.inside:
                session.inside = True
                self.write(mark="BEGIN")
            self.write(run=_written(statement, connection.dialect.paramstyle))
        self._began = time.perf_counter()

    def ran(
        self,
        connection: Connection,
        _cursor: object,
        statement: str,
        *_: object,
    ) -> None:
        """After a statement."""
        ms = self._ms()
        session = _session(connection)
        if not _recorded(statement, session):
            return
        locks = []
        if session is not None and not _ROWS_ONLY.match(statement):
            held = {(int(oid), str(mode)) for oid, mode in _ask(connection, _LOCKS)}
            new = sorted(held - session.held)
            locks = [
                f"{mode} on {session.tables[oid]}" for oid, mode in new if oid in session.tables
            ]
            session.held = held
        self.write(ms=ms, locks=locks)

    def failed(self, context: ExceptionContext) -> None:
        """A statement failed, read or write."""
        ms = self._ms()
        if context.statement is None or context.connection is None:
            return
        state = _state(context.original_exception)
        holders = _holders(context, ms) if state == LOCK_NOT_AVAILABLE else []
        sql = _written(context.statement, context.connection.dialect.paramstyle)
        self.write(failed=sql, ms=ms, state=state, holders=holders)

    def _ms(self) -> float:
        began, self._began = self._began, None
        return 0.0 if began is None else round((time.perf_counter() - began) * 1000, 3)


def _session(connection: Connection) -> Session | None:
    gone = connection.closed or connection.invalidated
    found = None if gone else connection.info.get("recorder")
    return found if isinstance(found, Session) else None


def _state(error: BaseException) -> str | None:
    """The SQLSTATE, as psycopg, psycopg2, asyncpg or pg8000 gives it."""
    said = error.args[0] if error.args and isinstance(error.args[0], dict) else {}
    found = getattr(error, "sqlstate", None) or getattr(error, "pgcode", None) or said.get("C")
    return None if found is None else str(found)


def _ask(connection: Connection, statement: str) -> Sequence[Sequence[Any]]:
    """By the driver itself: nobody listens."""
    cursor = connection.connection.cursor()
    try:
        cursor.execute(statement)
        return list(cursor.fetchall()) if cursor.description else []
    finally:
        cursor.close()


def _recorded(statement: str, session: Session | None) -> bool:
    if _CATALOG.match(statement) or _BOOKKEEPING.match(statement):
        return False
    return session is not None or not _BOUNDARY.match(statement)


def _written(statement: str, paramstyle: str) -> str:
    """As the server reads it, ready to be followed by a semicolon."""
    if paramstyle in {"format", "pyformat"}:
        numbers = itertools.count(1)
        statement = _PLACEHOLDER.sub(
            lambda found: "%" if found[0] == "%%" else f"${next(numbers)}", statement
        )
    statement = statement.strip().rstrip("; \n\t")
    return f"{statement}\n" if "--" in statement.rpartition("\n")[2] else statement


def _holders(context: ExceptionContext, waited_ms: float) -> list[str]:
    """Who holds locks for longer than we waited, by a connection of its own. Best effort."""
    if context.engine is None or context.connection is None:
        return []
    session = _session(context.connection)
    try:
        pool = context.engine.pool.recreate()
        other = pool.connect()
        try:
            cursor = other.cursor()
            own = session.pid if session else 0
            cursor.execute(_HOLDERS.format(own=own, waited=int(waited_ms)))
            rows = cursor.fetchall()
        finally:
            other.close()
            pool.dispose()
    except Exception:  # noqa: BLE001 - the failure itself is what must be told
        return []
    words = set(re.findall(r"\w+", context.statement or ""))
    named = [row for row in rows if str(row[5]).rpartition(".")[2] in words] or rows
    return [
        f"{mode} on {table}: process {pid} ({program or 'no name'}, user {user}, {state}), "
        f"in a transaction since {since}"
        for pid, program, user, state, mode, table, since in named[:HOLDERS_SHOWN]
    ]


def run(words: list[str]) -> None:
    """Alembic's command line, watched."""
    report, lock_timeout_ms = int(words[0]), int(words[1])
    # For us alone, not for what env.py may start.
    os.set_inheritable(report, False)  # noqa: FBT003 - os has no keywords
    recorder = Recorder(report, lock_timeout_ms)
    recorder.listen()
    try:
        main(argv=words[2:], prog="alembic")
    except NotImplementedError:
        recorder.write(no_way_down=True)
        raise
    except AttributeError as error:
        if error.name == "downgrade":  # the revision's module has none
            recorder.write(no_way_down=True)
        raise


if __name__ == "__main__":
    run(sys.argv[1:])
