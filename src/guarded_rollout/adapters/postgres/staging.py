"""Changes on their way back: in a temporary table of the server, so that no memory holds them all.

They lie in groups: one table, one kind of change, the same columns. Within a group each change
has a number from 0 on; texts lie in arrays, in the order of the group's columns.
"""

from collections.abc import Iterable, Mapping
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
    """What is staged, by table, kind and columns. `conflicts`: changes that fit nowhere."""

    groups: dict[tuple[str, What, tuple[str, ...]], Group] = field(default_factory=dict)
    conflicts: list[str] = field(default_factory=list)


def stage(connection: Connection, changes: Iterable[Change], shapes: Mapping[str, Shape]) -> Staged:
    """Read them all once. The caller is in a transaction, with which the table goes."""
    staged = Staged()
    connection.execute(_TABLE)
    with connection.cursor() as cursor, cursor.copy(_COPY) as copy:
        copy.set_types(("int4", "int4", "text[]", "text[]", "text[]"))
        for change in changes:
            shape = shapes.get(change.table)
            problem = _misfit(change, shape)
            if shape is None or problem is not None:
                staged.conflicts.append(conflict(change.table, change.key, str(problem)))
                continue
            group = _group(staged, change, shape)
            texts = [
                None if side is None else [side.get(name) for name in group.columns]
                for side in (change.before, change.now)
            ]
            copy.write_row((group.number, group.size, list(change.key), *texts))
            group.size += 1
    connection.execute("ANALYZE pg_temp.staged")
    return staged


def conflict(table: str, key: Key, why: str) -> str:
    """One line: which row, and why it did not come back."""
    shown = ", ".join("NULL" if part is None else part for part in key)
    return f"{table} ({shown}): {why}"


def _misfit(change: Change, shape: Shape | None) -> str | None:
    if shape is None or shape.parent:
        return "the table is not there any more"
    missing = sorted(_names(change) - set(shape.columns))
    if missing:
        return f"the table has no column {', '.join(missing)} any more"
    if shape.key and len(shape.key) != len(change.key):
        return f"the table's primary key is ({', '.join(shape.key)}) now"
    return None


def _names(change: Change) -> set[str]:
    return {*(change.before or {}), *(change.now or {})}


def _group(staged: Staged, change: Change, shape: Shape) -> Group:
    columns = tuple(sorted(name for name in _names(change) if not shape.columns[name].generated))
    which = (change.table, change.what, columns)
    if which not in staged.groups:
        staged.groups[which] = Group(len(staged.groups), shape, change.what, columns)
    return staged.groups[which]
