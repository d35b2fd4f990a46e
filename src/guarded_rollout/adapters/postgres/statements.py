"""The statements that bring a group of changes back, and tell whether all of them are in.

They compare texts, byte by byte, as they were read. A cast from text goes to the type without its
length: what is too long is then refused, where a cast to varchar(5) would cut it off.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, LiteralString

from guarded_rollout.adapters.postgres.kin import Pointer
from guarded_rollout.adapters.postgres.sessions import Connection
from guarded_rollout.adapters.postgres.staging import Group
from guarded_rollout.core.changes import What

if TYPE_CHECKING:
    from psycopg import sql

_RANGE = "s.grp = {group} AND s.at >= {low} AND s.at < {high}"
_SIZE = "(SELECT pg_catalog.count(*) FROM pg_temp.staged s WHERE {})"
_ADD = """
    INSERT INTO {table} AS t ({names}) OVERRIDING SYSTEM VALUE
    SELECT {values} FROM pg_temp.staged s WHERE {range} AND NOT EXISTS (
        SELECT FROM ONLY {table} AS t WHERE {same}) ORDER BY s.at
"""
_CHANGE = """
    UPDATE ONLY {table} AS t SET {sets} FROM pg_temp.staged s
    WHERE {range} AND {same} AND {texts} = s.before
"""
_FILL = """
    UPDATE ONLY {table} AS t SET {fills} FROM pg_temp.staged s
    WHERE {range} AND {same} AND {texts} = s.now[:{width}] AND {free}
"""
_REMOVE = """
    DELETE FROM ONLY {table} AS t USING pg_temp.staged s
    WHERE {range} AND {same} AND {texts} = s.before AND {loose}
"""
_AS_NOW = """
    SELECT count(*) = {size} FROM pg_temp.staged s
    JOIN ONLY {table} AS t ON {same} WHERE {range} AND {all_texts} = s.now
"""
_GONE = """
    SELECT NOT EXISTS (
        SELECT FROM pg_temp.staged s JOIN ONLY {table} AS t ON {same} WHERE {range})
"""
# Without a key: as many as there are, each row for one change.
_ADD_LOOSE = """
    WITH new AS (
        INSERT INTO {table} AS t ({names}) OVERRIDING SYSTEM VALUE
        SELECT {values} FROM pg_temp.staged s WHERE {range} ORDER BY s.at
        RETURNING {all_texts} AS texts)
    SELECT count(*) = {size} FROM new
    WHERE texts IN (SELECT s.now FROM pg_temp.staged s WHERE {range})
"""
_REMOVE_LOOSE = """
    WITH old AS (
        SELECT s.before AS texts, row_number() OVER (PARTITION BY s.before) AS n
        FROM pg_temp.staged s WHERE {range}
    ), pair AS (
        SELECT found.id FROM (
            SELECT t.ctid AS id, {texts} AS texts, row_number() OVER (PARTITION BY {texts}) AS n
            FROM ONLY {table} AS t WHERE {texts} IN (SELECT texts FROM old)
        ) found JOIN old USING (texts, n)
    ), gone AS (
        DELETE FROM ONLY {table} AS t USING pair WHERE t.ctid = pair.id AND {loose} RETURNING 1
    )
    SELECT (SELECT count(*) FROM gone) = (SELECT count(*) FROM pair)
"""
_LOOK = """
    SELECT s.key, EXISTS (SELECT FROM ONLY {table} AS t WHERE {same})
    FROM pg_temp.staged s WHERE {range}
"""


@dataclass(frozen=True, slots=True)
class Statements:
    """Of one group. `pointers`: what would go along, or be emptied, if a row were deleted."""

    group: Group
    pointers: tuple[Pointer, ...]

    def run(self, connection: Connection, low: int, high: int) -> bool:
        """Bring back the changes from `low` up to `high`. True: all of them are in now."""
        shape, what = self.group.shape, self.group.what

        def said(text: str) -> bool:
            return connection.execute(self._filled(text, low, high)).fetchone() == (True,)

        if not shape.key:
            return said(_REMOVE_LOOSE if what is What.REMOVED else _ADD_LOOSE)
        if what is What.REMOVED:
            connection.execute(self._filled(_REMOVE, low, high))
            return said(_GONE)
        if what is What.ADDED:
            connection.execute(self._filled(_ADD, low, high))
        elif self._set():
            connection.execute(self._filled(_CHANGE, low, high))
        if self._fills():
            connection.execute(self._filled(_FILL, low, high))
        return said(_AS_NOW)

    def look(self, connection: Connection, at: int) -> tuple[tuple[str | None, ...], bool]:
        """A change's key, and whether a row has it. A table without a key: False."""
        found = connection.execute(self._filled(_LOOK, at, at + 1)).fetchone()
        assert found is not None, "it was staged"
        return tuple(found[0]), bool(found[1])

    def _set(self) -> tuple[str, ...]:
        shape = self.group.shape
        names = (name for name in self.group.columns if name not in shape.key)
        return tuple(name for name in names if not shape.columns[name].fixed)

    def _fills(self) -> tuple[str, ...]:
        columns = self.group.shape.columns
        return tuple(name for name in self.group.beside if not columns[name].fixed)

    def _free(self, now: LiteralString) -> "sql.Composed":
        """Nobody filled a column beside otherwise. `now`: what else may be in it."""
        from psycopg import sql  # noqa: PLC0415 - only PostgreSQL's users should wait for it

        words = sql.SQL('(t.{c} IS NULL OR (t.{c}::text) COLLATE "C" IN ({blank}, ' + now + "))")
        tests = [
            words.format(
                c=sql.Identifier(name),
                blank=sql.Literal(self.group.blank[name]),
                at=sql.Literal(self.group.names.index(name) + 1),
            )
            for name in self.group.beside
        ]
        return sql.SQL(" AND ").join([sql.SQL("true"), *tests])

    def _filled(self, text: str, low: int, high: int) -> "sql.Composed":
        from psycopg import sql  # noqa: PLC0415 - only PostgreSQL's users should wait for it

        shape, columns = self.group.shape, self.group.columns
        comma = sql.SQL(", ")
        some = sql.SQL(_RANGE).format(
            group=sql.Literal(self.group.number), low=sql.Literal(low), high=sql.Literal(high)
        )
        texts = [
            sql.SQL('(t.{}::text) COLLATE "C"').format(sql.Identifier(name))
            for name in self.group.names
        ]
        values = {name: self._from("now", at, name) for at, name in enumerate(self.group.names)}
        for at, name in enumerate(shape.key):
            if not shape.columns[name].generated:
                values.setdefault(name, self._from("key", at, name))
        same = [
            sql.SQL("t.{} = {}").format(sql.Identifier(name), self._from("key", at, name))
            for at, name in enumerate(shape.key)
        ]
        sets, fills = (
            comma.join(sql.SQL("{} = {}").format(sql.Identifier(c), values[c]) for c in names)
            for names in (self._set(), self._fills())
        )
        return sql.SQL(text).format(
            table=shape.quoted,
            range=some,
            size=sql.SQL(_SIZE).format(some) if self.group.out else sql.Literal(high - low),
            texts=sql.SQL("ARRAY[{}]::text[]").format(comma.join(texts[: len(columns)])),
            all_texts=sql.SQL("ARRAY[{}]::text[]").format(comma.join(texts)),
            width=sql.Literal(len(columns)),
            fills=fills,
            free=self._free("s.now[{at}]"),
            names=comma.join(map(sql.Identifier, values)),
            values=comma.join(values.values()),
            same=sql.SQL(" AND ").join(same) if same else sql.SQL("false"),
            sets=sets,
            loose=sql.SQL(" AND ").join([*map(_nobody, self.pointers), self._free("NULL")]),
        )

    def _from(self, side: str, at: int, column: str) -> "sql.Composed":
        from psycopg import sql  # noqa: PLC0415 - as above

        base = self.group.shape.columns[column].base
        return sql.SQL("s.{}[{}]::{}").format(
            sql.Identifier(side), sql.Literal(at + 1), sql.SQL(base)
        )


def _nobody(pointer: Pointer) -> "sql.Composed":
    """No row points to this one."""
    from psycopg import sql  # noqa: PLC0415 - as above

    equal = sql.SQL(" AND ").join(
        sql.SQL("c.{} = t.{}").format(sql.Identifier(theirs), sql.Identifier(ours))
        for theirs, ours in pointer.columns
    )
    child = sql.Identifier(pointer.schema, pointer.table)
    return sql.SQL("NOT EXISTS (SELECT FROM {} AS c WHERE {})").format(child, equal)
