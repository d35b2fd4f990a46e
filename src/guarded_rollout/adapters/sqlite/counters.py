"""What gives out keys goes on: a dump in the live file's place must not lower a counter.

Tables with AUTOINCREMENT remember their greatest key in `sqlite_sequence`. Others do not: they go
on behind the greatest key that is there.
"""

import sqlite3
from collections.abc import Mapping
from typing import TYPE_CHECKING

from guarded_rollout.adapters.sqlite import access
from guarded_rollout.adapters.sqlite.layout import tables
from guarded_rollout.core.problems import Broken
from guarded_rollout.ports import Control

if TYPE_CHECKING:
    from guarded_rollout.adapters.sqlite.database import SqliteDatabase


def further(
    dump: sqlite3.Connection, live: "SqliteDatabase", control: Control
) -> Mapping[str, int]:
    """Look: the counters of `live` that are further than the dump's, by table.

    What cannot be read in `live` is said.
    """
    if not live.there():
        return {}
    try:
        with live.reading() as connection:
            now = _counters(connection)
    except Broken as problem:
        control.say(f"counters go on from the backup's values: {problem.why.what}")
        return {}
    before, known = _counters(dump), set(tables(dump))
    if not _remembers(dump):
        return {}
    return {name: n for name, n in now.items() if name in known and n > before.get(name, 0)}


def set_to(copy: "SqliteDatabase", counters: Mapping[str, int]) -> None:
    """Write them into a file that nobody else has open."""
    with access.writing(copy.path, 0) as connection:
        connection.execute("BEGIN IMMEDIATE")
        for name, last in counters.items():
            connection.execute("DELETE FROM sqlite_sequence WHERE name = ?", (name,))
            connection.execute("INSERT INTO sqlite_sequence VALUES (?, ?)", (name, last))
        connection.execute("COMMIT")


def _remembers(connection: sqlite3.Connection) -> bool:
    """Whether any of its tables has AUTOINCREMENT."""
    query = "SELECT 1 FROM sqlite_master WHERE name = 'sqlite_sequence'"
    return connection.execute(query).fetchone() is not None


def _counters(connection: sqlite3.Connection) -> dict[str, int]:
    if not _remembers(connection):
        return {}
    found = connection.execute(
        "SELECT name, max(seq) FROM sqlite_sequence WHERE typeof(seq) = 'integer' GROUP BY name"
    )
    return dict(found.fetchall())
