"""Databases of each kind for the contract suites: made, written behind their backs, looked at."""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import psycopg
from postgres_of_ours import Server

from guarded_rollout.adapters.clock import SystemClock
from guarded_rollout.adapters.postgres import PostgresDatabase
from guarded_rollout.ports import Database

NAMES = ("postgres", "sqlite")
WAIT_SECONDS = 60.0


class SqliteKind:
    """A file in a folder of its own."""

    words: ClassVar = {
        "serial": "INTEGER PRIMARY KEY AUTOINCREMENT",
        "bytes": "BLOB",
        "float": "REAL",
        "moment": "TIMESTAMP",
    }

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._made = 0

    def database(self) -> Database:
        from guarded_rollout.adapters.sqlite import SqliteDatabase

        self._made += 1
        return SqliteDatabase(self._folder / f"data{self._made}" / "it.db", SystemClock())

    @contextmanager
    def connect(self, database: Database) -> Iterator[Any]:
        """Foreign keys are not looked at; commits by itself. `execute(sql, values)` with `?`."""
        database.prepare()
        with closing(
            sqlite3.connect(
                database.url().removeprefix("sqlite:///"),
                isolation_level=None,
                timeout=WAIT_SECONDS,
            )
        ) as connection:
            connection.execute("PRAGMA journal_mode = WAL")
            yield connection

    def write(self, database: Database, sql: str, rows: Sequence[Sequence[Any]]) -> None:
        with self.connect(database) as connection:
            connection.execute("BEGIN")
            connection.executemany(sql, rows)
            connection.execute("COMMIT")

    def orphan(self, database: Database, statement: str) -> None:
        """A row that points to nothing, as any writer may write it."""
        self.run(database, statement)

    def advance(self, database: Database, table: str, last: int) -> None:
        """SQLite goes on behind the greatest key by itself."""

    def run(self, database: Database, *statements: str) -> None:
        with self.connect(database) as connection:
            for statement in statements:
                connection.execute(statement)

    def read(self, database: Database, query: str) -> list[tuple[Any, ...]]:
        with self.connect(database) as connection:
            return connection.execute(query).fetchall()

    def files(self, dump: Path) -> list[Path]:
        """The dump's files, those with the most data first."""
        return [dump]

    def kept(self, database: Database, name: str) -> Database:
        """What `keep_as_it_is` kept."""
        from guarded_rollout.adapters.sqlite import SqliteDatabase

        file = Path(database.url()).name
        assert {oct(one.stat().st_mode)[-3:] for one in Path(name).iterdir()} == {"600"}
        return SqliteDatabase(Path(name) / file, SystemClock())

    def leftovers(self, database: Database) -> set[str]:
        """What lies beside the database and is not part of it."""
        file = Path(database.url().removeprefix("sqlite:///"))
        own = {file.name, f"{file.name}-wal", f"{file.name}-shm"}
        return (
            {path.name for path in file.parent.glob("*")} - own if file.parent.exists() else set()
        )


class PostgresKind:
    """A database of the tests' server, with the rights of the tests' user."""

    words: ClassVar = {
        "serial": "SERIAL PRIMARY KEY",
        "bytes": "bytea",
        "float": "double precision",
        "moment": "timestamptz",
    }

    def __init__(self, server: Server) -> None:
        self._server = server

    def database(self) -> PostgresDatabase:
        return self._server.database(make=False)

    @contextmanager
    def connect(self, database: Database, user: str = "dhash") -> Iterator[Any]:
        database.prepare()
        with self._server.connect(database.access.name, user) as connection:
            yield _Marks(connection)

    def write(self, database: Database, sql: str, rows: Sequence[Sequence[Any]]) -> None:
        with self.connect(database) as connection, connection.inner.transaction():
            connection.inner.cursor().executemany(_marked(sql), rows)

    def orphan(self, database: Database, statement: str) -> None:
        """A row that points to nothing, as a superuser may write it."""
        with self.connect(database, "postgres") as connection:
            connection.execute("SET session_replication_role = replica")
            connection.execute(statement)

    def advance(self, database: Database, table: str, last: int) -> None:
        """The next key of the table comes behind `last`."""
        self.run(database, f"SELECT setval('{table}_id_seq', {last})")

    def run(self, database: Database, *statements: str) -> None:
        with self.connect(database) as connection:
            for statement in statements:
                connection.execute(statement)

    def read(self, database: Database, query: str) -> list[tuple[Any, ...]]:
        with self.connect(database) as connection:
            return connection.execute(query).fetchall()

    def files(self, dump: Path) -> list[Path]:
        data = dump.glob("[0-9]*.dat")
        return sorted(data, key=lambda file: file.stat().st_size, reverse=True)

    def kept(self, database: PostgresDatabase, name: str) -> PostgresDatabase:
        """What a restore left under this name."""
        return replace(database, access=database.access.named(name))

    def leftovers(self, database: Database) -> set[str]:
        name = database.access.name
        return {one for one in self._server.databases() if one.startswith(f"{name}_")}


class _Marks:
    """psycopg's connection with SQLite's question marks."""

    def __init__(self, inner: psycopg.Connection) -> None:
        self.inner = inner

    def execute(self, sql: str, values: Sequence[Any] = ()) -> psycopg.Cursor:
        return self.inner.execute(_marked(sql), values) if values else self.inner.execute(sql)


def _marked(sql: str) -> str:
    return sql.replace("?", "%s")


Kind = SqliteKind | PostgresKind


def kind_of(name: str, folder: Path, request: Any) -> Kind:
    """The named kind. A PostgreSQL is started only for those who ask for it."""
    if name == "sqlite":
        return SqliteKind(folder / "kind")
    return PostgresKind(request.getfixturevalue("postgres"))
