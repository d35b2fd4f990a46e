"""Connections to the PostgreSQL server that keeps a journal.

Every operation is one message: settings and statement together, committed when it is answered.
So no transaction waits for a controller that was stopped, and nothing is kept in the session:
a proxy that pools transactions may stand between. Every wait has an end, the server's word or
not: a server that is stopped, or gone without a word, must not hang a guard.
"""

import os
import weakref
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import psycopg
from psycopg import pq

from guarded_rollout.adapters.journal import schema
from guarded_rollout.adapters.journal.connection import Ask
from guarded_rollout.adapters.journal.server_problems import Exists, NoTables, problem
from guarded_rollout.adapters.journal.server_schema import CREATE, SCHEMA
from guarded_rollout.adapters.postgres.access import Access, password_in_file
from guarded_rollout.ports import Away, Clock

T = TypeVar("T")

CONNECT_SECONDS = 3
ANSWER_SECONDS = 5.0
PASSWORD = "ROLLOUT_JOURNAL_PASSWORD"  # noqa: S105 - a variable's name
_STATEMENT_MS = 4000
_LOCK_MS = 2000
_LONGEST_PAUSE = 1.0

# What a commit says is on disk. The role's own settings must not change how values are spelled.
_SETTINGS = f"""SET TRANSACTION ISOLATION LEVEL READ COMMITTED;
SELECT set_config('search_path', '{SCHEMA}', true),
    set_config('statement_timeout', '{_STATEMENT_MS}', true),
    set_config('lock_timeout', '{_LOCK_MS}', true),
    set_config('bytea_output', 'hex', true),
    set_config('extra_float_digits', '1', true),
    set_config('synchronous_commit', coalesce(
        nullif(current_setting('synchronous_commit'), 'off'), 'local'), true);
"""
_IDLE = _SETTINGS + "SELECT set_config('idle_in_transaction_session_timeout', '5000', true)"
_READY = pq.TransactionStatus.IDLE
_VERSION = "SELECT value FROM meta WHERE name = 'schema'"

Connection = psycopg.Connection[tuple[Any, ...]]


class _Bounded(Connection):
    """A connection whose answers are waited for so long and no longer, on this side too."""

    monotonic: Callable[[], float]

    def wait(self, gen: Generator[Any, Any, Any], *args: Any, **options: Any) -> Any:  # noqa: ANN401 - as psycopg's own
        return super().wait(self._until(gen, self.monotonic() + ANSWER_SECONDS), *args, **options)

    def _until(self, gen: Generator[Any, Any, T], end: float) -> Generator[Any, Any, T]:
        try:
            wanted = next(gen)
            while True:
                ready = yield wanted
                if not ready and self.monotonic() > end:
                    raise psycopg.OperationalError(f"no answer within {ANSWER_SECONDS:g} seconds")
                wanted = gen.send(ready)
        except StopIteration as stop:
            answer: T = stop.value
            return answer


class Server:
    """Runs statements with `?` for values, for any number of threads, and across a fork.

    `wait` in seconds: how long a server may be away before a problem is raised.
    """

    def __init__(self, access: Access, clock: Clock, wait: float) -> None:
        self.access = access
        self.wait = wait
        self._clock = clock
        self._idle: dict[int, list[_Bounded]] = {}
        weakref.finalize(self, _close, self._idle)

    def create(self) -> None:
        """Make the tables when they are not there."""
        try:
            self._once(_VERSION)
        except NoTables:
            try:
                self._once(CREATE)
            except Exists:  # somebody else was quicker
                self._once(_VERSION)

    def ask(self, sql: str, *values: object) -> list[Any]:
        """All rows of one statement; asked again while the server is away."""
        return self.patiently(lambda: self.once(sql, *values))

    def ask_if_there(self, sql: str, *values: object) -> list[Any]:
        """All rows of one SELECT; none when there is no journal yet."""
        try:
            return self.ask(sql, *values)
        except NoTables:
            return []

    def once(self, sql: str, *values: object) -> list[Any]:
        """All rows of one statement, committed. Away: it may have been, or not."""
        return self._once(sql.replace("?", "%s"), values)

    def patiently(self, act: Callable[[], T], wait: float | None = None) -> T:
        """`act`, again and again while it says Away. The first time again costs no wait.

        A connection that was kept may have died long ago: that says nothing of the server.
        """
        end = self._clock.monotonic() + (self.wait if wait is None else wait)
        pause = 0.0
        while True:
            try:
                return act()
            except Away:
                if pause and self._clock.monotonic() + pause > end:
                    raise
            self._clock.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE) or 0.05

    @contextmanager
    def transaction(self) -> Iterator[Ask]:
        """Several statements, committed at the end of the block, or none of them. Not asked again.

        Away: it may have been committed.
        """
        try:
            with self._connect() as connection, connection.transaction():
                _answer(connection, _IDLE, ())
                yield lambda sql, *values: _answer(connection, sql.replace("?", "%s"), values)
        except psycopg.Error as error:
            raise problem(error, self.access) from error

    def close(self) -> None:
        """Give the connections back. The next statement opens another."""
        _close(self._idle)

    def _once(self, sql: str, values: tuple[object, ...] = ()) -> list[Any]:
        mine = self._idle.setdefault(os.getpid(), [])
        try:
            connection = mine.pop() if mine else self._connect()
            try:
                return _answer(connection, sql, values)
            finally:
                if connection.info.transaction_status is _READY:
                    mine.append(connection)
                else:
                    connection.close()
        except psycopg.Error as error:
            if isinstance(error, psycopg.OperationalError):
                self.close()
            raise problem(error, self.access) from error

    def _connect(self) -> _Bounded:
        connection = _Bounded.connect(
            host=self.access.host,
            port=self.access.port,
            dbname=self.access.name,
            user=self.access.user,
            password=self._password(),
            connect_timeout=CONNECT_SECONDS,
            application_name="guarded-rollout journal",
            client_encoding="utf8",
            keepalives_idle=5,
            keepalives_interval=2,
            keepalives_count=2,
            tcp_user_timeout=int(ANSWER_SECONDS * 1000),
            autocommit=True,
            prepare_threshold=None,
            cursor_factory=psycopg.ClientCursor,
        )
        connection.monotonic = self._clock.monotonic
        try:
            schema.expect_known(_answer(connection, _VERSION, ())[0][0], f"on {self.access}")
        except psycopg.errors.UndefinedTable:
            pass
        except BaseException:
            connection.close()
            raise
        return connection

    def _password(self) -> str | None:
        """The journal's own variables first: the service's database may have another password."""
        own = os.environ.get(PASSWORD) or password_in_file(f"{PASSWORD}_FILE")
        return own or self.access.environment().get("PGPASSWORD")


def _answer(connection: Connection, sql: str, values: tuple[object, ...]) -> list[Any]:
    with connection.cursor() as cursor:
        settings = _SETTINGS if connection.info.transaction_status is _READY else ""
        cursor.execute(settings + sql, values or None)
        while cursor.nextset():
            pass
        return cursor.fetchall() if cursor.description else []


def _close(idle: dict[int, list[_Bounded]]) -> None:
    """Only this process's: a forked child that closed its parent's would end them."""
    mine = idle.get(os.getpid(), [])
    while mine:
        mine.pop().close()
