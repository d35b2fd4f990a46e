"""Changes on their way back: in a temporary table of the server, so that no memory holds them all.

They lie in groups: one table, one kind of change, the same columns. Within a group each change
has a number from 0 on; texts lie in arrays, in the order of the group's columns.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from guarded_rollout.adapters.postgres.sessions import Connection
from guarded_rollout.adapters.postgres.shapes import Shape
from guarded_rollout.core.changes import Change, Key, What

_TABLE = """
    CREATE TEMPORARY TABLE staged (
        grp integer, at integer, key text[], before text[], now text[], PRIMARY KEY (grp, at)
    ) ON COMMIT DROP
"""
_COPY = "COPY pg_temp.staged (grp, at, key, before, now) FROM STDIN"
_LINES_AT_A_TIME = 500
_ESCAPES = (("\\", "\\\\"), ("\n", "\\n"), ("\r", "\\r"), ("\t", "\\t"))

# What the changes of a group have in common: table, kind, columns before and now.
_Kind = tuple[str, What, tuple[str, ...], tuple[str, ...]]


@dataclass(slots=True)
class Group:
    """`columns`: those that the changes speak of and that can be written, by name."""

    number: int
    shape: Shape
    what: What
    columns: tuple[str, ...]
    size: int = 0


@dataclass(slots=True)
class Staged:
    """What is staged, in groups. `conflicts`: changes that fit nowhere, by their `conflict`."""

    groups: list[Group] = field(default_factory=list)
    conflicts: list[str] = field(default_factory=list)


def stage(connection: Connection, changes: Iterable[Change], shapes: Mapping[str, Shape]) -> Staged:
    """Read them all once. The caller is in a transaction, with which the table goes."""
    staged = Staged()
    connection.execute(_TABLE)
    with connection.cursor() as cursor, cursor.copy(_COPY) as copy:
        lines: list[str] = []
        for line in _lines(staged, changes, shapes):
            lines.append(line)
            if len(lines) == _LINES_AT_A_TIME:
                copy.write("".join(lines))
                lines.clear()
        copy.write("".join(lines))
    connection.execute("ANALYZE pg_temp.staged")
    return staged


def conflict(table: str, key: Key, why: str) -> str:
    """One line: which row, and why it did not come back."""
    shown = ", ".join("NULL" if part is None else part for part in key)
    return f"{table} ({shown}): {why}"


def _lines(staged: Staged, changes: Iterable[Change], shapes: Mapping[str, Shape]) -> Iterator[str]:
    known: dict[_Kind, Group | str] = {}
    for change in changes:
        kind = (change.table, change.what, tuple(change.before or ()), tuple(change.now or ()))
        group = known.get(kind)
        if group is None:
            group = known[kind] = _group(staged, kind, shapes.get(change.table))
        if isinstance(group, str):
            staged.conflicts.append(conflict(change.table, change.key, group))
            continue
        if _other_key(change, group.shape):
            why = f"the table's primary key is ({', '.join(group.shape.key)}) now"
            staged.conflicts.append(conflict(change.table, change.key, why))
            continue
        texts = [
            "\\N" if side is None else _array([side.get(name) for name in group.columns])
            for side in (change.before, change.now)
        ]
        yield "\t".join((str(group.number), str(group.size), _array(change.key), *texts)) + "\n"
        group.size += 1


def _group(staged: Staged, kind: _Kind, shape: Shape | None) -> Group | str:
    """A new one, or why there can be none."""
    _, what, before, now = kind
    names = {*before, *now}
    if shape is None or shape.parent:
        return "the table is not there any more"
    missing = sorted(names - set(shape.columns))
    if missing:
        return f"the table has no column {', '.join(missing)} any more"
    if what is What.CHANGED and not shape.key:
        return "the table has no primary key any more"
    columns = tuple(sorted(name for name in names if not shape.columns[name].generated))
    staged.groups.append(Group(len(staged.groups), shape, what, columns))
    return staged.groups[-1]


def _other_key(change: Change, shape: Shape) -> bool:
    if not shape.key:
        return False
    side = change.before if change.now is None else change.now
    assert side is not None, "one of them is there"
    return len(shape.key) != len(change.key) or any(
        side.get(name, part) != part for name, part in zip(shape.key, change.key, strict=True)
    )


def _array(texts: Sequence[str | None]) -> str:
    """An array of text as COPY reads it: escaped as an array, then as a field."""
    literal = "{" + ",".join(map(_element, texts)) + "}"
    for sign, escaped in _ESCAPES:
        literal = literal.replace(sign, escaped)
    return literal


def _element(text: str | None) -> str:
    if text is None:
        return "NULL"
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
