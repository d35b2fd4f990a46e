"""What is in an SQLite file: tables, rows, hashes of their content, the statements behind them.

The hash of a table is a SHA-256 over its rows as SQL literals, columns by name, rows by primary
key (by all columns where there is none): one pass in the order in which most tables lie anyway.
"""

import hashlib
import sqlite3
from collections.abc import Callable

from guarded_rollout.ports import Table

VERSION_TABLE = "alembic_version"
_ROWS_AT_A_TIME = 5000


def tables(connection: sqlite3.Connection) -> list[str]:
    """Ordinary ones only: a virtual table's rows lie in these, or outside the file."""
    found = connection.execute(
        "SELECT name FROM pragma_table_list WHERE schema = 'main' AND type = 'table' ORDER BY name"
    )
    return [name for (name,) in found if not name.startswith("sqlite_")]


def rows(connection: sqlite3.Connection) -> dict[str, int]:
    """Rows per table, without SQLite's own tables and Alembic's."""
    counted = {}
    for table in tables(connection):
        if table != VERSION_TABLE:
            statement = f"SELECT count(*) FROM {_quoted(table)}"  # noqa: S608 - the name is quoted
            counted[table] = int(connection.execute(statement).fetchone()[0])
    return counted


def statements(connection: sqlite3.Connection) -> tuple[str, ...]:
    """What made every table, index, view and trigger, sorted."""
    found = connection.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL")
    return tuple(sorted(str(row[0]) for row in found))


def fingerprint(connection: sqlite3.Connection, go_on: Callable[[], None]) -> dict[str, Table]:
    """Rows and hash per table. `go_on` is asked now and then; it raises to stop."""
    names = [name for name in tables(connection) if name != VERSION_TABLE]
    connection.text_factory = bytes  # a text need not be sound UTF-8
    try:
        return {name: _table(connection, name, go_on) for name in names}
    finally:
        connection.text_factory = str


def _table(connection: sqlite3.Connection, name: str, go_on: Callable[[], None]) -> Table:
    columns = sorted(
        (column.decode("utf-8", "surrogateescape"), key)
        for column, key in connection.execute(
            "SELECT name, pk FROM pragma_table_xinfo(?) WHERE hidden <> 1", (name,)
        )
    )
    keys = [_quoted(column) for column, key in sorted(columns, key=lambda c: c[1]) if key]
    order = keys or [_quoted(column) for column, _ in columns]
    row = " || ',' || ".join(f"quote({_quoted(column)})" for column, _ in columns)
    query = f"SELECT {row} FROM {_quoted(name)} ORDER BY {', '.join(order)}"  # noqa: S608 - names are quoted
    digest = hashlib.sha256("\0".join(column for column, _ in columns).encode("utf-8", "replace"))
    count = 0
    cursor = connection.execute(query)
    go_on()
    while some := cursor.fetchmany(_ROWS_AT_A_TIME):
        go_on()
        count += len(some)
        digest.update(b"\n" + b"\n".join(text for (text,) in some))
    return Table(count, digest.hexdigest()[:32])


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
