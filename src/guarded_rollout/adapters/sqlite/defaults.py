"""What a column holds in a row that nobody filled."""

import re
import sqlite3
from contextlib import closing

from guarded_rollout.adapters.sqlite.layout import Layout, quoted
from guarded_rollout.adapters.sqlite.values import encode, type_of_texts

_CONSTANT = re.compile(
    r"\s*(null|true|false|[-+]?[0-9]+(\.[0-9]*)?(e[-+]?[0-9]+)?|x?'([^']|'')*')\s*", re.IGNORECASE
)


def blank(connection: sqlite3.Connection, table: Layout) -> dict[str, str | None]:
    """Per column that SQLite does not compute: its constant default as it is stored, else None."""
    defaults = dict(
        connection.execute("SELECT name, dflt_value FROM pragma_table_info(?)", (table.name,))
    )
    columns = [name for name in table.columns if name not in table.computed]
    found: dict[str, str | None] = dict.fromkeys(columns)
    for name in columns:
        default = defaults.get(name)
        if default is not None and _CONSTANT.fullmatch(default):
            found[name] = _stored(table.columns[name], default)
    return found


def _stored(kind: str, default: str) -> str | None:
    """As a column declared so stores it. Words in a declared type say nothing, but its affinity."""
    affinity = re.sub(r"[^\w\s]", " ", kind)
    with closing(sqlite3.connect(":memory:")) as memory:
        memory.text_factory = type_of_texts
        memory.execute(f"CREATE TABLE one (it {quoted(affinity) if affinity.strip() else ''})")
        memory.execute(f"INSERT INTO one VALUES ({default})")  # noqa: S608 - a literal
        ((value,),) = memory.execute("SELECT it FROM one")
        return encode(value)
