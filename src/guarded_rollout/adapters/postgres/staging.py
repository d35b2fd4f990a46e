"""Changes on their way back: in a temporary table of the server, so that no memory holds them all.

They lie in groups: one table, one kind of change, the same columns. Within a group each change
has a number from 0 on; texts lie in arrays, in the order of the group's columns. A change that
cannot come back lies outside of groups, under a negative number.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace

from guarded_rollout.adapters.postgres.defaults import blank
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

# What the changes of a group have in common: table, kind, columns before, now and beside.
_Kind = tuple[str, What, tuple[str, ...], tuple[str, ...], tuple[str, ...]]


@dataclass(slots=True)
class Group:
    """`columns`: those that the changes speak of and that can be written, by name.

    `beside`: those that the table of before did not have; `blank`: what is in them where nobody
    filled them. `out`: how many were moved out of it.
    """

    number: int
    shape: Shape
    what: What
    columns: tuple[str, ...]
    beside: tuple[str, ...] = ()
    blank: Mapping[str, str | None] = field(default_factory=dict)
    size: int = 0
    out: int = 0

    @property
    def names(self) -> tuple[str, ...]:
        """The order of the texts of now. Those of before have the `columns` only."""
        return self.columns + self.beside

    @property
    def outside(self) -> int:
        """The number under which those lie that were moved out."""
        return -1 - self.number


@dataclass(slots=True)
class Staged:
    """What is staged, in groups. `conflicts`: changes that fit nowhere, by their `conflict`.

    `refused`: those of them, staged outside of groups of their own. `missing`: columns beside
    that are not there, as `table.column`.
    """

    groups: list[Group] = field(default_factory=list)
    refused: list[Group] = field(default_factory=list)
    conflicts: list[str] = field(default_factory=list)
    missing: set[str] = field(default_factory=set)

    @property
    def next(self) -> int:
        """A number that no group has."""
        return len(self.groups) + len(self.refused)


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
    for group in staged.groups:
        if group.beside:
            group.blank = blank(connection, group.shape)
    return staged


def conflict(table: str, key: Key, why: str) -> str:
    """One line: which row, and why it did not come back."""
    shown = ", ".join("NULL" if part is None else part for part in key)
    return f"{table} ({shown}): {why}"


@dataclass(slots=True)
class _Sorted:
    """Where changes of one kind go. `why`: all of them to `refused`, if there is such a table."""

    group: Group | None = None
    refused: Group | None = None
    why: str = ""


def _lines(staged: Staged, changes: Iterable[Change], shapes: Mapping[str, Shape]) -> Iterator[str]:
    known: dict[_Kind, _Sorted] = {}
    for change in _apart(staged, changes, shapes):
        kind = _kind(change)
        shape = shapes.get(change.table)
        place = known.get(kind)
        if place is None:
            place = known[kind] = _sorted(staged, kind, shape)
        why, group = place.why, place.group
        if group is not None and _other_key(change, group.shape):
            why = f"the table's primary key is ({', '.join(group.shape.key)}) now"
        if why or group is None:
            staged.conflicts.append(conflict(change.table, change.key, why))
            if shape is not None:
                place.refused = place.refused or _refused(staged, kind, shape)
                yield _line(change, place.refused, place.refused.outside)
        elif group.beside or change.before != change.now:
            yield _line(change, group, group.number)


def _kind(change: Change) -> _Kind:
    before, now = tuple(change.before or ()), tuple(change.now or ())
    return change.table, change.what, before, now, tuple(change.beside)


def _apart(
    staged: Staged, changes: Iterable[Change], shapes: Mapping[str, Shape]
) -> Iterator[Change]:
    """Without a key a row that changed beside only is replaced: it can be any of its kind."""
    for change in changes:
        shape = shapes.get(change.table)
        if shape is None or shape.key or not change.beside or change.what is not What.CHANGED:
            yield change
        elif any(name in shape.columns for name in change.beside):
            yield replace(change, now=None)
            yield replace(change, before=None)
        else:
            staged.missing.update(f"{shape.label}.{name}" for name in change.beside)


def _line(change: Change, group: Group, number: int) -> str:
    now = None if change.now is None else {**change.beside, **change.now}
    texts = [
        "\\N" if side is None else _array([side.get(name) for name in names])
        for side, names in ((change.before, group.columns), (now, group.names))
    ]
    at = group.size
    group.size += 1
    return "\t".join((str(number), str(at), _array(change.key), *texts)) + "\n"


def _sorted(staged: Staged, kind: _Kind, shape: Shape | None) -> _Sorted:
    _, what, before, now, beside = kind
    names = {*before, *now}
    if shape is None or shape.parent:
        return _Sorted(why="the table is not there any more")
    missing = sorted(names - set(shape.columns))
    if missing:
        return _Sorted(why=f"the table has no column {', '.join(missing)} any more")
    if what is What.CHANGED and not shape.key:
        return _Sorted(why="the table has no primary key any more")
    staged.missing.update(f"{shape.label}.{name}" for name in beside if name not in shape.columns)
    columns = _written(shape, names)
    group = Group(staged.next, shape, what, columns, _written(shape, set(beside) - names))
    staged.groups.append(group)
    return _Sorted(group)


def _refused(staged: Staged, kind: _Kind, shape: Shape) -> Group:
    _, what, before, now, beside = kind
    names = {*before, *now}
    columns = tuple(sorted(names)), tuple(sorted(set(beside) - names))
    staged.refused.append(Group(staged.next, shape, what, *columns))
    return staged.refused[-1]


def _written(shape: Shape, names: AbstractSet[str]) -> tuple[str, ...]:
    there = (shape.columns[name] for name in names if name in shape.columns)
    return tuple(sorted(column.name for column in there if not column.generated))


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
