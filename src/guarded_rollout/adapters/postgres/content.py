"""What is in a database: tables, rows, hashes of their content, the schema in words.

The hash of a table is the sum of a 64-bit hash of every row, computed by the server: one
sequential scan, in parallel if the server likes, no sorting, whatever the order of the rows. The
columns go in by name, so a column that was dropped and added again counts as the same. It finds
accidents; against forgery the backup has its SHA-256.

A value is hashed as it is where equal values are the same to the bit, else as its text: 1.0 and
1.00 are equal, but not the same. Servers before PostgreSQL 14 hash the text of whole rows, and so
did the dumps of earlier versions of this tool.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from guarded_rollout.adapters.postgres.deparsed import settled
from guarded_rollout.adapters.postgres.sessions import Connection
from guarded_rollout.core.problems import Broken
from guarded_rollout.ports import Table

VERSION_TABLE = "alembic_version"
_HASHES_RECORDS = 14
# A record's hash is linear in those of its columns: without the outer one, values that changed
# places between two rows would add up to the same. As bytes, because the server folds the two
# halves of a bigint into one before it hashes: 1 would be the same as 1 << 32.
_OF_VALUES = (
    "pg_catalog.hash_record_extended("
    "ROW(pg_catalog.int8send(pg_catalog.hash_record_extended(ROW({}), 0))), 0)"
)
_OF_TEXT = 'pg_catalog.hashtextextended(ROW({})::text COLLATE "C", 0)'
_HASHED = {
    "value": "{}",
    "int8": "pg_catalog.int8send({})",
    "timestamp": "pg_catalog.timestamp_send({})",
    "timestamptz": "pg_catalog.timestamptz_send({})",
    "words": '{} COLLATE "C"',
    # A cast to text would drop the blanks at the end.
    "padded": 'pg_catalog.textin(pg_catalog.bpcharout({})) COLLATE "C"',
    "text": '{}::text COLLATE "C"',
}


@dataclass(frozen=True, slots=True)
class Found:
    """One table. `columns` by name; `hashed`: as what each is hashed."""

    schema: str
    name: str
    columns: tuple[str, ...]
    hashed: tuple[str, ...]

    @property
    def label(self) -> str:
        """What people call it."""
        return label(self.schema, self.name)


def label(schema: str, name: str) -> str:
    """The table's name, with its schema unless that is the usual one."""
    return name if schema == "public" else f"{schema}.{name}"


def tables(connection: Connection) -> tuple[Found, ...]:
    """All that hold data of the service, its migrations' own table left out."""
    asked = connection.execute(_query("tables"))
    found = [Found(row[0], row[1], tuple(row[2]), tuple(row[3])) for row in asked]
    return tuple(table for table in found if table.name != VERSION_TABLE)


def rows(connection: Connection) -> dict[str, int]:
    """Rows per table: one scan each."""
    return {
        table.label: int(_one(connection, "SELECT count(*) FROM ONLY {}.{}", table)[0])
        for table in tables(connection)
    }


def fingerprint(
    connection: Connection, go_on: Callable[[], None], *, of_text: bool = False
) -> dict[str, Table]:
    """Rows and hash per table. `of_text`: as earlier versions of this tool hashed."""
    from psycopg import sql  # noqa: PLC0415 - only PostgreSQL's users should wait for it

    whole = of_text or server(connection)[1] < _HASHES_RECORDS
    found = {}
    for table in tables(connection):
        go_on()
        columns = [
            sql.SQL("{}" if whole else _HASHED[how]).format(sql.Identifier(name))
            for name, how in zip(table.columns, table.hashed, strict=True)
        ]
        row = sql.SQL(_OF_TEXT if whole else _OF_VALUES).format(sql.SQL(", ").join(columns))
        count, total = _one(
            connection,
            "SELECT count(*), coalesce(sum({row}), 0)::text FROM ONLY {}.{}",
            table,
            row=row,
        )
        words = "\0".join((*table.columns, str(count), total))
        digest = hashlib.sha256(words.encode()).hexdigest()[:32]
        found[table.label] = Table(int(count), digest)
    return found


def schema(connection: Connection) -> tuple[str, ...]:
    """Every object in words, sorted. The order of columns does not count."""
    return tuple(sorted(settled(str(row[0])) for row in connection.execute(_query("schema"))))


def revision(connection: Connection, where: str) -> str | None:
    """Alembic's revision. Broken when there are several."""
    found = connection.execute(
        "SELECT n.nspname, c.relname FROM pg_catalog.pg_class c "
        "JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace "
        "WHERE c.relkind = 'r' AND c.relname = %s AND n.nspname !~ '^pg_' "
        "ORDER BY n.nspname <> 'public', n.nspname",
        (VERSION_TABLE,),
    ).fetchone()
    if found is None:
        return None
    from psycopg import sql  # noqa: PLC0415 - as above

    query = sql.SQL("SELECT version_num FROM {}.{} ORDER BY 1").format(*map(sql.Identifier, found))
    revisions = [str(row[0]) for row in connection.execute(query)]
    if len(revisions) > 1:
        raise Broken(
            f"{where} has {len(revisions)} schema revisions at once: {', '.join(revisions)}",
            "merge the branches of the migrations: alembic merge heads",
        )
    return revisions[0] if revisions else None


def server(connection: Connection) -> tuple[str, int]:
    """Its version and its major version."""
    return (
        connection.info.parameter_status("server_version") or "unknown",
        connection.info.server_version // 10000,
    )


def _query(name: str) -> bytes:
    return Path(__file__).with_name(f"{name}.sql").read_bytes()


def _one(connection: Connection, query: Any, table: Found, **words: Any) -> tuple[Any, ...]:  # noqa: ANN401 - psycopg.sql's own
    from psycopg import sql  # noqa: PLC0415 - as above

    names = map(sql.Identifier, (table.schema, table.name))
    answer = connection.execute(sql.SQL(query).format(*names, **words)).fetchone()
    assert answer is not None, "an aggregate without GROUP BY has a row"
    return answer
