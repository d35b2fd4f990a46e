"""A table's rows in the order of `core.changes`, from one snapshot.

SQLite sorts them by the very text that the key becomes. Whatever does not fit into its cache goes
to a temporary file, so a table needs its size of room there, and memory for a few rows only.
"""

import sqlite3
from collections.abc import Callable, Iterator

from guarded_rollout.adapters.sqlite.layout import Layout, listed, quoted
from guarded_rollout.adapters.sqlite.values import Stored, encode, type_of_texts
from guarded_rollout.core.changes import Record

_ROWS_AT_A_TIME = 1000


def records(
    connection: sqlite3.Connection,
    table: Layout,
    asked: tuple[tuple[str, ...], tuple[str, ...]],
    go_on: Callable[[], None],
) -> Iterator[Record]:
    """The rows, with the columns `asked` only: those for their values, and those beside.

    The columns are there. `go_on` is asked now and then; it raises to stop. The connection reads
    no texts as `str` from now on.
    """
    key = table.key or asked[0]
    connection.create_function("sorted_by", 1, _sorted_by, deterministic=True)
    ((encoding,),) = connection.execute("PRAGMA encoding")
    connection.create_function(
        "sorted_by", 2, lambda raw, _: _sorted_by(_text(raw, encoding)), deterministic=True
    )
    connection.text_factory = type_of_texts
    cursor = connection.execute(
        f"SELECT {listed([*key, *asked[0], *asked[1]])} FROM {quoted(table.name)} "  # noqa: S608 - names are quoted
        f"ORDER BY {', '.join(_order(table, key))}"
    )
    return _read(cursor, len(key), asked, go_on)


def _read(
    cursor: sqlite3.Cursor,
    parts: int,
    asked: tuple[tuple[str, ...], tuple[str, ...]],
    go_on: Callable[[], None],
) -> Iterator[Record]:
    columns, beside = asked
    end = parts + len(columns)
    go_on()
    while some := cursor.fetchmany(_ROWS_AT_A_TIME):
        go_on()
        for row in some:
            texts = [encode(value) for value in row]
            yield Record(
                tuple(texts[:parts]),
                dict(zip(columns, texts[parts:end], strict=True)),
                dict(zip(beside, texts[end:], strict=True)),
            )


def _order(table: Layout, key: tuple[str, ...]) -> Iterator[str]:
    """Ends with the row's own number, so that equal keys have an order too."""
    for name in map(quoted, key):
        if table.numbered:
            yield f"CAST({name} AS TEXT)"
        else:
            yield f"{name} IS NULL"
            yield (
                f"CASE typeof({name}) WHEN 'text' THEN sorted_by(CAST({name} AS BLOB), 1) "
                f"ELSE sorted_by({name}) END"
            )
    if table.number is not None and not table.numbered:
        yield quoted(table.number)


def _sorted_by(value: Stored) -> bytes:
    """As `core.changes.order` has it. A blob, because blobs compare by their bytes."""
    return (encode(value) or "").encode()


def _text(raw: bytes, encoding: str) -> bytearray:
    """The bytes of a text, in UTF-8, as SQLite hands them out."""
    return bytearray(raw if encoding == "UTF-8" else raw.decode(encoding, "replace").encode())
