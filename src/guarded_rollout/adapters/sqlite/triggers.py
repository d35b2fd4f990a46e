"""Triggers, taken away for a while. What they once wrote is among the changes already.

One that names a virtual table stays: it fills a search index, which is in no change.
"""

import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from guarded_rollout.adapters.sqlite.layout import quoted, tables


@contextmanager
def silenced(connection: sqlite3.Connection) -> Iterator[None]:
    """Inside a transaction: they do not fire while inside, and are there again afterwards."""
    taken = _noisy(connection)
    for name, _ in taken:
        connection.execute(f"DROP TRIGGER {quoted(name)}")
    yield
    for _, statement in taken:
        connection.execute(statement)


def _noisy(connection: sqlite3.Connection) -> list[tuple[str, str]]:
    virtual = connection.execute(
        "SELECT name FROM pragma_table_list WHERE schema = 'main' AND type = 'virtual'"
    ).fetchall()
    ordinary = {name.lower() for name in tables(connection)}
    found = connection.execute(
        "SELECT name, sql, tbl_name FROM sqlite_master WHERE type = 'trigger' ORDER BY rowid"
    ).fetchall()
    return [
        (name, statement)
        for name, statement, table in found
        if table.lower() in ordinary and not any(_names(statement, one) for (one,) in virtual)
    ]


def _names(statement: str, table: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(table)}(?!\w)", statement, re.IGNORECASE) is not None
