"""A dump: a copy of the file, made by SQLite's backup API inside one read transaction.

Without the transaction a step that follows a commit of another process begins the copy again, for
ever under steady writers. With it every step reads the same snapshot; writers go on (in WAL mode;
the log just cannot be folded in meanwhile). `VACUUM INTO` is consistent too, but builds the
tables anew and may renumber rows that have no INTEGER PRIMARY KEY.
"""

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from guarded_rollout.adapters.sqlite import access
from guarded_rollout.adapters.sqlite.layout import rows, statements
from guarded_rollout.core.problems import Broken, Interrupted
from guarded_rollout.ports import Control, Dumped

if TYPE_CHECKING:
    from guarded_rollout.adapters.sqlite.database import SqliteDatabase

PAGES_PER_STEP = 1024
_SAY_EVERY_SECONDS = 2.0
_FINDINGS_SHOWN = 3
_PROOF_CACHE_KIB = 65536  # indexes are checked in an order that jumps about: a fifth faster


@dataclass(slots=True)
class Progress:
    """Called after each step of a copy: says how far it is, stops it when told to."""

    doing: str
    database: "SqliteDatabase"
    control: Control
    said: float

    def __call__(self, _status: int, remaining: int, total: int) -> None:
        if self.control.stopped():
            raise Interrupted(
                f"{self.doing} {self.database.path} was told to stop", "start it again"
            )
        now = self.database.clock.monotonic()
        if now - self.said >= _SAY_EVERY_SECONDS:
            self.said = now
            done = 100 * (total - remaining) // max(total, 1)
            self.control.say(f"{self.doing} {self.database.path.name}: {done} %")


def dump(database: "SqliteDatabase", to: Path, control: Control) -> Dumped:
    """Copy one snapshot into the new file `to`. On failure there is no `to`."""
    if not database.there():
        raise absent(database.path)
    access.new_file(to)
    try:
        with access.reading(database.path, database.wait_seconds, to) as source:
            schema = statements(source)  # the snapshot begins
            _copy(source, to, Progress("copying", database, control, database.clock.monotonic()))
        return Dumped(prove(to), schema, {"sqlite": sqlite3.sqlite_version})
    except BaseException:
        for suffix in ("", *access.COMPANIONS):
            access.beside(to, suffix).unlink(missing_ok=True)
        raise


def prove(dump: Path) -> Mapping[str, int]:
    """Look: read every page of a copy that nobody writes; check keys; count rows."""
    with access.reading(dump, 0, copy=True) as connection:
        connection.execute(f"PRAGMA cache_size = -{_PROOF_CACHE_KIB}")
        found = [str(row[0]) for row in connection.execute("PRAGMA integrity_check")]
        if found != ["ok"]:
            raise Broken(
                f"{dump} is damaged: {'; '.join(found[:_FINDINGS_SHOWN])}",
                "do not restore it; use another backup, and check the disk",
            )
        orphans = connection.execute("PRAGMA foreign_key_check").fetchall()
        if orphans:
            table, _row, parent, _key = orphans[0]
            raise Broken(
                f"{dump} has {len(orphans)} rows that point to nothing, "
                f"the first in table {table}: its row in {parent} is missing",
                "a writer works without PRAGMA foreign_keys = ON; repair those rows first",
            )
        return rows(connection)


def absent(path: Path) -> Broken:
    """There is no file."""
    return Broken(f"there is no database at {path}", "deploy once, or check its path")


def _copy(source: sqlite3.Connection, to: Path, progress: Progress) -> None:
    with closing(sqlite3.connect(f"{to.as_uri()}?mode=rw", uri=True)) as target:
        # Whoever wants the copy to outlive a power cut moves it somewhere and syncs it there.
        target.execute("PRAGMA journal_mode = OFF")
        target.execute("PRAGMA synchronous = OFF")
        source.backup(target, pages=PAGES_PER_STEP, progress=progress)
