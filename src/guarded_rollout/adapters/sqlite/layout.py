"""What the tables of a file are made of."""

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass

from guarded_rollout.core.migration_findings import TableSeen

VERSION_TABLE = "alembic_version"
_ROW_NUMBERS = ("rowid", "_rowid_", "oid")
_HIDDEN = 1
_COMPUTED = frozenset({2, 3})


@dataclass(frozen=True, slots=True)
class Layout:
    """One table. `columns`: declared type by name. `computed`: those that SQLite fills itself.

    `key`: the columns of its PRIMARY KEY. `number`: the name under which SQLite's own row number
    can be asked for; None where there is none. `numbered`: the key is that number.
    """

    name: str
    columns: Mapping[str, str]
    computed: frozenset[str]
    key: tuple[str, ...]
    number: str | None
    numbered: bool

    @property
    def address(self) -> tuple[str, ...]:
        """The columns that tell one row from all others; empty where nothing does."""
        return self.key if self.number is None else (self.number,)


def tables(connection: sqlite3.Connection) -> list[str]:
    """Ordinary ones only: a virtual table's rows lie in these, or outside the file."""
    found = connection.execute(
        "SELECT name FROM pragma_table_list WHERE schema = 'main' AND type = 'table' ORDER BY name"
    )
    return [name for (name,) in found if not name.startswith("sqlite_")]


def service_tables(connection: sqlite3.Connection) -> list[str]:
    """The same without Alembic's own."""
    return [name for name in tables(connection) if name != VERSION_TABLE]


def layout(connection: sqlite3.Connection, name: str) -> Layout:
    """How the table `name` is made. It must be there."""
    found = connection.execute(
        "SELECT name, type, pk, hidden FROM pragma_table_xinfo(?) WHERE hidden <> ?",
        (name, _HIDDEN),
    ).fetchall()
    columns = {column: kind for column, kind, _, _ in found}
    key = tuple(c for _, c in sorted((pk, column) for column, _, pk, _ in found if pk))
    ((bare,),) = connection.execute(
        "SELECT wr FROM pragma_table_list WHERE schema = 'main' AND name = ?", (name,)
    )
    indexed = connection.execute(
        "SELECT 1 FROM pragma_index_list(?) WHERE origin = 'pk'", (name,)
    ).fetchone()
    taken = {column.lower() for column in columns}
    numbers = [] if bare else [number for number in _ROW_NUMBERS if number not in taken]
    numbered = len(key) == 1 and not bare and indexed is None
    return Layout(
        name=name,
        columns=columns,
        computed=frozenset(column for column, _, _, hidden in found if hidden in _COMPUTED),
        key=key,
        number=key[0] if numbered else next(iter(numbers), None),
        numbered=numbered,
    )


def seen(connection: sqlite3.Connection) -> dict[str, TableSeen]:
    """Rows, bytes with indexes, and declared types per table. Reads every page."""
    bytes_of = _bytes(connection)
    return {
        name: TableSeen(
            rows=count(connection, name),
            bytes=None if bytes_of is None else bytes_of.get(name, 0),
            columns=layout(connection, name).columns,
        )
        for name in service_tables(connection)
    }


def rows(connection: sqlite3.Connection) -> dict[str, int]:
    """Rows per table."""
    return {name: count(connection, name) for name in service_tables(connection)}


def count(connection: sqlite3.Connection, name: str) -> int:
    """Rows of one table."""
    query = f"SELECT count(*) FROM {quoted(name)}"  # noqa: S608 - the name is quoted
    return int(connection.execute(query).fetchone()[0])


def statements(connection: sqlite3.Connection) -> tuple[str, ...]:
    """What made every table, index, view and trigger, sorted."""
    found = connection.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL")
    return tuple(sorted(str(row[0]) for row in found))


def quoted(name: str) -> str:
    """A name as SQL writes it."""
    return '"' + name.replace('"', '""') + '"'


def listed(names: tuple[str, ...] | list[str]) -> str:
    """Names as SQL writes them, with commas."""
    return ", ".join(map(quoted, names))


def _bytes(connection: sqlite3.Connection) -> dict[str, int] | None:
    """Not every SQLite is compiled with `dbstat`."""
    try:
        found = connection.execute(
            "SELECT tbl_name, sum(pgsize) FROM dbstat JOIN sqlite_master USING (name) "
            "WHERE aggregate = TRUE GROUP BY tbl_name"
        )
        return {name: int(size) for name, size in found}
    except sqlite3.OperationalError as error:
        if "no such table" in str(error):
            return None
        raise
