"""Hashes of what is in an SQLite file.

The hash of a table is a sum of hashes, so the order of rows cannot matter. Each is taken over
rows as Python writes them in ASCII: every value exactly, an integer unlike a real, a text unlike
a blob, also bytes that are no text. Columns go in by name. Where the key is an INTEGER PRIMARY
KEY no two rows are equal and they lie in its order, so many are hashed at once.
"""

import hashlib
import sqlite3
from collections.abc import Callable

from guarded_rollout.adapters.sqlite.layout import layout, listed, quoted, service_tables
from guarded_rollout.adapters.sqlite.values import type_of_texts
from guarded_rollout.ports import Table

_ROWS_AT_A_TIME = 1000
_BITS = 128


def fingerprint(connection: sqlite3.Connection, go_on: Callable[[], None]) -> dict[str, Table]:
    """Rows and hash per table. `go_on` is asked now and then; it raises to stop."""
    return {name: _table(connection, name, go_on) for name in service_tables(connection)}


def _table(connection: sqlite3.Connection, name: str, go_on: Callable[[], None]) -> Table:
    made = layout(connection, name)
    columns = sorted(made.columns)
    query = f"SELECT {listed(columns)} FROM {quoted(name)}"  # noqa: S608 - names are quoted
    if made.numbered:
        query += f" ORDER BY {listed(made.key)}"
    count = total = 0
    connection.text_factory = type_of_texts
    try:
        cursor = connection.execute(query)
        go_on()
        while some := cursor.fetchmany(_ROWS_AT_A_TIME):
            go_on()
            count += len(some)
            total += sum(map(_hash, [some] if made.numbered else some))
    finally:
        connection.text_factory = str
    words = ascii((columns, count, total % 2**_BITS))
    return Table(count, hashlib.sha256(words.encode()).hexdigest()[:32])


def _hash(rows: object) -> int:
    return int.from_bytes(hashlib.blake2b(ascii(rows).encode(), digest_size=_BITS // 8).digest())
