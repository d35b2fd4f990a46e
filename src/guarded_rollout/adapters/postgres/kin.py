"""How tables hang together while rows come back: who points to whom, triggers, sequences."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from guarded_rollout.adapters.postgres.content import label
from guarded_rollout.adapters.postgres.sessions import Connection
from guarded_rollout.adapters.postgres.shapes import Shape
from guarded_rollout.adapters.postgres.staging import Group
from guarded_rollout.core.changes import What

_POINTERS = """
    SELECT cn.nspname, c.relname, pn.nspname, p.relname, k.confdeltype IN ('c', 'n', 'd'), ARRAY(
        SELECT ARRAY[theirs.attname::text, ours.attname::text]
        FROM unnest(k.conkey, k.confkey) AS pair(theirs, ours)
        JOIN pg_catalog.pg_attribute theirs
            ON theirs.attrelid = k.conrelid AND theirs.attnum = pair.theirs
        JOIN pg_catalog.pg_attribute ours
            ON ours.attrelid = k.confrelid AND ours.attnum = pair.ours)
    FROM pg_catalog.pg_constraint k
    JOIN pg_catalog.pg_class c ON c.oid = k.conrelid
    JOIN pg_catalog.pg_namespace cn ON cn.oid = c.relnamespace
    JOIN pg_catalog.pg_class p ON p.oid = k.confrelid
    JOIN pg_catalog.pg_namespace pn ON pn.oid = p.relnamespace
    WHERE k.contype = 'f' ORDER BY 1, 2, 3, 4
"""
_TRIGGERS = """
    SELECT t.tgname, t.tgenabled::text FROM pg_catalog.pg_trigger t
    WHERE t.tgrelid = %s::pg_catalog.regclass AND NOT t.tgisinternal AND t.tgenabled <> 'D'
"""
_ENABLE = {
    "O": "ENABLE TRIGGER {}",
    "A": "ENABLE ALWAYS TRIGGER {}",
    "R": "ENABLE REPLICA TRIGGER {}",
}
_SEQUENCES = """
    SELECT DISTINCT a.attname, q.seqincrement > 0, q.seqmin, q.seqmax, sn.nspname, sc.relname
    FROM pg_catalog.pg_attribute a
    LEFT JOIN pg_catalog.pg_attrdef f ON f.adrelid = a.attrelid AND f.adnum = a.attnum
    JOIN pg_catalog.pg_depend d
        ON d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass
            AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass
            AND d.refobjid = a.attrelid AND d.refobjsubid = a.attnum AND d.deptype IN ('a', 'i')
        OR d.classid = 'pg_catalog.pg_attrdef'::pg_catalog.regclass AND d.objid = f.oid
            AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass
    JOIN pg_catalog.pg_sequence q ON q.seqrelid IN (d.objid, d.refobjid)
    JOIN pg_catalog.pg_class sc ON sc.oid = q.seqrelid
    JOIN pg_catalog.pg_namespace sn ON sn.oid = sc.relnamespace
    WHERE a.attrelid = %s::pg_catalog.regclass AND a.attnum > 0
"""
_PAST = """
    SELECT pg_catalog.setval({name}, far.value) FROM {sequence} AS q, (
        SELECT {edge}(s.now[{at}]::numeric)::bigint AS value FROM pg_temp.staged s
        WHERE s.grp = {group} AND s.now[{at}]::numeric BETWEEN {low} AND {high}) far
    WHERE far.value {beyond} q.last_value OR far.value = q.last_value AND NOT q.is_called
"""
_NUMBERS = frozenset({"smallint", "integer", "bigint", "numeric"})


@dataclass(frozen=True, slots=True)
class Pointer:
    """A foreign key of another table. `columns`: theirs and ours."""

    schema: str
    table: str
    columns: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Link:
    """A foreign key. `columns`: the child's and the parent's."""

    child: str
    parent: str
    columns: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Kin:
    """`order`: tables, parents first. `pointers`: by table, foreign keys that act on DELETE.

    `links`: every foreign key.
    """

    order: tuple[str, ...]
    pointers: dict[str, tuple[Pointer, ...]] = field(default_factory=dict)
    links: tuple[Link, ...] = ()

    def place(self, table: str, what: What) -> tuple[int, int]:
        """When: what was added parents first, then what changed, what was removed parents last."""
        at = self.order.index(table)
        step = [What.ADDED, What.CHANGED, What.REMOVED].index(what)
        return step, -at if what is What.REMOVED else at

    def fragile(self, table: str) -> tuple[Pointer, ...]:
        """Foreign keys by which a DELETE in `table` would change rows elsewhere."""
        return self.pointers.get(table, ())


def kin(connection: Connection, tables: set[str]) -> Kin:
    """How `tables` hang together."""
    parents: dict[str, set[str]] = {table: set() for table in tables}
    pointers: dict[str, tuple[Pointer, ...]] = {}
    links = []
    for schema, name, parent_schema, parent_name, acts, columns in connection.execute(_POINTERS):
        child, parent = label(schema, name), label(parent_schema, parent_name)
        pairs = tuple((theirs, ours) for theirs, ours in columns)
        parents.setdefault(child, set()).add(parent)
        links.append(Link(child, parent, pairs))
        if acts:
            pointer = Pointer(schema, name, pairs)
            pointers[parent] = (*pointers.get(parent, ()), pointer)
    order: dict[str, None] = {}

    def visit(table: str, above: frozenset[str]) -> None:
        if table in order:
            return
        for parent in sorted(parents.get(table, set()) - above):
            visit(parent, above | {table})
        order.setdefault(table)

    for table in sorted(tables):
        visit(table, frozenset({table}))
    return Kin(tuple(order), pointers, tuple(links))


@contextmanager
def disarmed(connection: Connection, groups: Sequence[Group]) -> Iterator[None]:
    """Inside, no trigger of people fires on the groups' tables; those that check keys do."""
    from psycopg import sql  # noqa: PLC0415 - only PostgreSQL's users should wait for it

    again = []
    for shape in _shapes(groups):
        found = connection.execute(_TRIGGERS, (shape.quoted.as_string(connection),)).fetchall()
        if found:
            alter = sql.SQL("ALTER TABLE ONLY {} ").format(shape.quoted)
            connection.execute(alter + sql.SQL("DISABLE TRIGGER USER"))
            again += [alter + sql.SQL(_ENABLE[how]).format(sql.Identifier(n)) for n, how in found]
    yield
    for statement in again:
        connection.execute(statement)


def move_sequences(
    connection: Connection, groups: Sequence[Group], failed: Sequence[tuple[int, int]]
) -> None:
    """What gives out keys goes on behind those that came back. `failed`: group and number."""
    from psycopg import sql  # noqa: PLC0415 - as above

    if failed:
        connection.cursor().executemany(
            "DELETE FROM pg_temp.staged WHERE grp = %s AND at = %s", failed
        )
    for group in groups:
        if group.what is not What.ADDED:
            continue
        table = group.shape.quoted.as_string(connection)
        sequences = connection.execute(_SEQUENCES, (table,)).fetchall()
        for column, up, low, high, schema, name in sequences:
            if column not in group.names or group.shape.columns[column].base not in _NUMBERS:
                continue
            sequence = sql.Identifier(schema, name)
            past = sql.SQL(_PAST).format(
                name=sql.Literal(sequence.as_string(connection)),
                sequence=sequence,
                edge=sql.SQL("max" if up else "min"),
                beyond=sql.SQL(">" if up else "<"),
                at=sql.Literal(group.names.index(column) + 1),
                group=sql.Literal(group.number),
                low=sql.Literal(low),
                high=sql.Literal(high),
            )
            connection.execute(past)


def _shapes(groups: Sequence[Group]) -> list[Shape]:
    return list({group.shape.label: group.shape for group in groups}.values())
