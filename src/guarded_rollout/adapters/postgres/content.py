"""What is in a database: tables, rows, hashes of their content, the schema in words.

The hash of a table is the sum of a 64-bit hash of every row's text, computed by the server: one
sequential scan, in parallel if the server likes, no sorting, whatever the order of the rows. The
columns go in by name, so a column that was dropped and added again counts as the same. It finds
accidents; against forgery the backup has its SHA-256.
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


@dataclass(frozen=True, slots=True)
class Found:
    """One table. `columns` by name."""

    schema: str
    name: str
    columns: tuple[str, ...]

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
    found = [Found(row[0], row[1], tuple(row[2])) for row in asked]
    return tuple(table for table in found if table.name != VERSION_TABLE)


def rows(connection: Connection) -> dict[str, int]:
    """Rows per table: one scan each."""
    return {
        table.label: int(_one(connection, "SELECT count(*) FROM ONLY {}.{}", table)[0])
        for table in tables(connection)
    }


def fingerprint(connection: Connection, go_on: Callable[[], None]) -> dict[str, Table]:
    """Rows and hash per table. `go_on` is asked before each; it raises to stop."""
    from psycopg import sql  # noqa: PLC0415 - only PostgreSQL's users should wait for it

    found = {}
    for table in tables(connection):
        go_on()
        columns = sql.SQL(", ").join(map(sql.Identifier, table.columns))
        row = sql.SQL("ROW({})::text").format(columns)
        count, total = _one(
            connection,
            'SELECT count(*), coalesce(sum(hashtextextended({row} COLLATE "C", 0)), 0)::text '
            "FROM ONLY {}.{}",
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
