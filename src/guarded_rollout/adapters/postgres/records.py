"""A table's rows as text, one after the other, ordered by key."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from guarded_rollout.adapters.postgres.access import Access
from guarded_rollout.adapters.postgres.sessions import looking, stoppable
from guarded_rollout.adapters.postgres.shapes import Shape, shapes
from guarded_rollout.core.changes import Record
from guarded_rollout.core.problems import BadInput, Broken
from guarded_rollout.ports import Control

if TYPE_CHECKING:
    from psycopg import sql

_ROWS_AT_A_TIME = 500


@contextmanager
def records(
    access: Access,
    wait_seconds: float,
    table: str,
    asked: tuple[tuple[str, ...], tuple[str, ...]],
    control: Control,
) -> Iterator[Iterator[Record]]:
    """One snapshot, a cursor of the server. Sorted there: on its disk where memory is short.

    `asked`: the columns for the values, and those beside. BadInput when the table or one of them
    is not there.
    """
    columns, beside = asked
    with looking(access, wait_seconds) as connection, stoppable(connection, control, access):
        shape = _shape(shapes(connection).get(table), table, (*columns, *beside), access)
        key = shape.key or columns
        utf8 = connection.info.parameter_status("server_encoding") in {"UTF8", "SQL_ASCII"}
        with connection.cursor("records") as cursor:
            cursor.itersize = _ROWS_AT_A_TIME
            cursor.execute(_query(shape, key, (*columns, *beside), utf8=utf8))
            end = len(key) + len(columns)

            def read() -> Iterator[Record]:
                try:
                    for row in cursor:
                        values = dict(zip(columns, row[len(key) : end], strict=True))
                        more = dict(zip(beside, row[end:], strict=True))
                        yield Record(tuple(row[: len(key)]), values, more)
                except UnicodeDecodeError as error:
                    raise Broken(
                        f"{table} in {access} holds bytes that are no text: {error}",
                        "repair that row; a database with the encoding SQL_ASCII checks nothing",
                    ) from error

            yield read()


def _shape(shape: Shape | None, table: str, columns: tuple[str, ...], access: Access) -> Shape:
    if shape is None:
        raise BadInput(f"there is no table {table} in {access}", "ask tables() which there are")
    missing = [name for name in columns if name not in shape.columns]
    if missing:
        raise BadInput(
            f"the table {table} in {access} has no column {', '.join(missing)}",
            "ask tables() which there are",
        )
    return shape


def _query(
    shape: Shape, key: tuple[str, ...], columns: tuple[str, ...], *, utf8: bool
) -> "sql.Composed":
    from psycopg import sql  # noqa: PLC0415 - only PostgreSQL's users should wait for it

    texts = [sql.SQL("t.{}::text").format(sql.Identifier(name)) for name in (*key, *columns)]
    # Bytes of the server's own encoding need not be in the order of UTF-8's.
    how = '({}) COLLATE "C"' if utf8 else "pg_catalog.convert_to({}, 'UTF8')"
    order = [sql.SQL(how + " NULLS LAST").format(text) for text in texts[: len(key)]]
    comma = sql.SQL(", ")
    return sql.SQL("SELECT {} FROM ONLY {} AS t{}{}").format(
        comma.join(texts),
        shape.quoted,
        sql.SQL(" ORDER BY " if order else ""),
        comma.join(order),
    )
