"""A restored file beside the dump that it is a copy of."""

from pathlib import Path
from typing import TYPE_CHECKING

from guarded_rollout.adapters.same_bytes import same_bytes
from guarded_rollout.adapters.sqlite import access
from guarded_rollout.adapters.sqlite.content import fingerprint
from guarded_rollout.core.problems import Broken
from guarded_rollout.ports import Compared, Control

if TYPE_CHECKING:
    from guarded_rollout.adapters.sqlite.database import SqliteDatabase


def compare(restored: "SqliteDatabase", dump: Path, control: Control) -> Compared:
    """Look: the same bytes are the same content; other bytes may be, so they are read as tables."""
    if _same(restored, dump, control):
        return Compared((), contents=True)
    with access.reading(dump, 0, copy=True) as connection:
        was = fingerprint(connection, restored.going_on(control))
    now = restored.fingerprint(control)
    problems = []
    for name in sorted({*was, *now}):
        before, after = was.get(name), now.get(name)
        if before is None or after is None:
            problems.append(f"table {name} is {'missing' if after is None else 'not expected'}")
        elif before.rows != after.rows:
            problems.append(f"table {name} has {after.rows} rows, not {before.rows}")
        elif before.hash != after.hash:
            problems.append(f"table {name} has {before.rows} rows, but other contents")
    return Compared(tuple(problems), contents=True)


def _same(restored: "SqliteDatabase", dump: Path, control: Control) -> bool:
    """Also nothing waits in a log."""
    if access.size(access.beside(restored.path, "-wal")) > 0:
        return False
    try:
        return same_bytes(dump, restored.path, restored.going_on(control))
    except OSError as error:
        raise Broken(
            f"{error.filename or dump} cannot be read: {error.strerror}", "check the disk"
        ) from error
