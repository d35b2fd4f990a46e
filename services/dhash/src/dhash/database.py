"""Connections to SQLite or PostgreSQL; one engine, the same statements for both."""

import sqlite3
from pathlib import Path

from sqlalchemy import Connection, Engine, Table, create_engine, event
from sqlalchemy.dialects.postgresql import Insert as PostgresqlInsert
from sqlalchemy.dialects.sqlite import Insert as SqliteInsert
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, OperationalError, SQLAlchemyError
from sqlalchemy.pool import NullPool, QueuePool

from dhash.errors import ConfigError, DatabaseError

BUSY_TIMEOUT_MS = 10_000
CONNECT_TIMEOUT_S = 5
STATEMENT_TIMEOUT_MS = 15_000
READERS = 2
WRITERS = 4
CONNECTIONS = READERS + WRITERS

__all__ = [
    "READERS",
    "WRITERS",
    "Connection",
    "Engine",
    "connect",
    "failure",
    "immediate",
    "insert_into",
]


def connect(url: str, *, pooled: bool = True, may_create: bool = False) -> Engine:
    """An engine; nothing is opened yet. `may_create` lets SQLite make the file.

    Raises ConfigError for a URL that cannot be read.
    """
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError) as error:
        raise ConfigError("DHASH_DATABASE_URL is not a database URL.") from error
    if parsed.get_backend_name() == "sqlite":
        return _sqlite(parsed.database or "", pooled=pooled, may_create=may_create)
    options: dict[str, object] = (
        {"pool_size": CONNECTIONS, "max_overflow": 0, "pool_pre_ping": True, "pool_recycle": 1800}
        if pooled
        else {"poolclass": NullPool}
    )
    return create_engine(
        parsed,
        connect_args={
            "connect_timeout": CONNECT_TIMEOUT_S,
            "application_name": "dhash",
            "options": f"-c statement_timeout={STATEMENT_TIMEOUT_MS if pooled else 0}",
        },
        **options,
    )


def immediate(engine: Engine) -> Engine:
    """The same engine, whose transactions take SQLite's write lock at their beginning.

    A transaction that reads first and writes later could otherwise find its snapshot outdated
    and fail at once, whatever the busy timeout.
    """
    return engine.execution_options(dhash_immediate=True)


def insert_into(connection: Connection, table: Table) -> SqliteInsert | PostgresqlInsert:
    """An INSERT that knows ON CONFLICT as this connection's database does."""
    return SqliteInsert(table) if connection.dialect.name == "sqlite" else PostgresqlInsert(table)


def failure(error: SQLAlchemyError) -> DatabaseError:
    """What the caller may know of a database error; details go to the log."""
    original = error.orig if isinstance(error, DBAPIError) else None
    name = type(original or error).__name__
    if isinstance(error, OperationalError):
        return DatabaseError(f"The database does not answer ({name}).", "Try again in a moment.")
    return DatabaseError(f"The database refused ({name}).", "Look into the service's log.")


def _sqlite(path: str, *, pooled: bool, may_create: bool) -> Engine:
    file = Path(path)
    if not file.parent.is_dir():
        raise ConfigError(f"The folder of the database does not exist: {file.parent}")
    mode = "rwc" if may_create else "rw"

    def open_file() -> sqlite3.Connection:
        connection = sqlite3.connect(
            f"{file.absolute().as_uri()}?mode={mode}",
            uri=True,
            timeout=BUSY_TIMEOUT_MS / 1000,
            check_same_thread=False,
            # The driver would open and close transactions on its own, and commit before DDL.
            isolation_level=None,
        )
        connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA foreign_keys = ON")
        return connection

    pool: dict[str, object] = (
        {"poolclass": QueuePool, "pool_size": CONNECTIONS, "max_overflow": 0}
        if pooled
        else {"poolclass": NullPool}
    )
    engine = create_engine("sqlite+pysqlite://", creator=open_file, **pool)

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        now = connection.get_execution_options().get("dhash_immediate", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if now else "BEGIN")

    return engine
