"""What tables are made of: keys, columns and their types; how big they are."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from guarded_rollout.adapters.postgres.content import VERSION_TABLE, label
from guarded_rollout.adapters.postgres.sessions import Connection
from guarded_rollout.core.migration_findings import TableSeen

if TYPE_CHECKING:
    from psycopg import sql

COUNTED_BYTES = 64 * 2**20
_SIZE = """
    SELECT coalesce(pg_catalog.sum(pg_catalog.pg_total_relation_size(part)), 0)::bigint,
        coalesce(pg_catalog.sum(pg_catalog.pg_relation_size(part)), 0)::bigint
    FROM (
        SELECT %(table)s::pg_catalog.regclass AS part UNION
        SELECT relid FROM pg_catalog.pg_partition_tree(%(table)s::pg_catalog.regclass)) parts
"""


@dataclass(frozen=True, slots=True)
class Column:
    """One column. `base`: its type without a length. `fixed`: an identity that no UPDATE sets."""

    name: str
    type: str
    base: str
    generated: bool
    fixed: bool


@dataclass(frozen=True, slots=True)
class Shape:
    """One table. `key`: its primary key's columns in order. `parent`: partitions have its rows."""

    schema: str
    name: str
    parent: bool
    key: tuple[str, ...]
    columns: Mapping[str, Column]

    @property
    def label(self) -> str:
        """What people call it."""
        return label(self.schema, self.name)

    @property
    def quoted(self) -> "sql.Identifier":
        """What SQL calls it."""
        from psycopg import sql  # noqa: PLC0415 - only PostgreSQL's users should wait for it

        return sql.Identifier(self.schema, self.name)


def shapes(connection: Connection) -> dict[str, Shape]:
    """By label; the migrations' own table left out."""
    found = {}
    query = Path(__file__).with_name("shapes.sql").read_bytes()
    for schema, name, parent, key, columns in connection.execute(query):
        made = {one[0]: Column(*one) for one in columns}
        shape = Shape(schema, name, parent, tuple(key), made)
        if name != VERSION_TABLE:
            found[shape.label] = shape
    return found


def seen(connection: Connection) -> dict[str, TableSeen]:
    """Rows, bytes with indexes and TOAST, types. A partitioned table has those of its parts.

    Up to `COUNTED_BYTES` rows are counted; of bigger ones it is what the planner believes.
    """
    from psycopg import sql  # noqa: PLC0415 - as above

    found = {}
    for name, shape in shapes(connection).items():
        row = connection.execute(_SIZE, {"table": shape.quoted.as_string(connection)}).fetchone()
        assert row is not None
        total, heap = row
        only = sql.SQL("{}" if shape.parent else "ONLY {}").format(shape.quoted)
        if heap <= COUNTED_BYTES:
            counted = connection.execute(sql.SQL("SELECT count(*) FROM {}").format(only)).fetchone()
            rows = counted[0] if counted else 0
        else:
            explain = sql.SQL("EXPLAIN (FORMAT JSON) SELECT FROM {}").format(only)
            plan = connection.execute(explain).fetchone()
            rows = plan[0][0]["Plan"]["Plan Rows"] if plan else 0
        types = {column.name: column.type for column in shape.columns.values()}
        found[name] = TableSeen(int(rows), int(total), types)
    return found
