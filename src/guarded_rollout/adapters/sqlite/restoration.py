"""A dump in the place of the live file.

Where there is a live file, its content is replaced by SQLite's backup API in one transaction: the
locks of everybody else hold, a kill leaves a journal or a log that the next one who opens the
file recovers, and a log of before comes earlier in the same log, so it cannot win. Where there is
none, a whole file is put there by a rename, after the log of a file that is no more is gone. So
it is where the live file cannot be read and is given up.
"""

import os
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from guarded_rollout.adapters.sqlite import access, counters
from guarded_rollout.adapters.sqlite.dumps import PAGES_PER_STEP, Progress
from guarded_rollout.adapters.whole_files import sync_folder
from guarded_rollout.core.problems import Broken
from guarded_rollout.ports import Control

if TYPE_CHECKING:
    from guarded_rollout.adapters.sqlite.database import SqliteDatabase


def restore(database: "SqliteDatabase", dump: Path, control: Control, over: str | None) -> None:
    """All at once, or everything stays as it was. `over`: where the live file was kept."""
    with access.reading(dump, 0, copy=True) as source:
        _check_whole(source, dump)
        database.going_on(control)()
        further = counters.further(source, database, control)
    with _counted_on(database, dump, further, control) as whole:
        if database.there() and over is None:
            with access.reading(whole, 0, copy=True) as source:
                _replace(database, source, control)
        else:
            _put(database, whole, control)
    control.say(f"{database.path.name} is what it was in the backup")


@contextmanager
def _counted_on(
    database: "SqliteDatabase", dump: Path, further: Mapping[str, int], control: Control
) -> Iterator[Path]:
    """The dump, or a copy of it in which no counter is lower than in the live file."""
    if not further:
        yield dump
        return
    copy = database.scratch("restore")
    try:
        copy.fill(dump, control)
        counters.set_to(copy, further)
        yield copy.path
    finally:
        copy.discard()


def _check_whole(source: sqlite3.Connection, dump: Path) -> None:
    """A file that was cut off would go in as it is."""
    ((pages,),) = source.execute("PRAGMA page_count")
    ((page_size,),) = source.execute("PRAGMA page_size")
    if pages == 0 or access.size(dump) != pages * page_size:
        raise Broken(
            f"{dump} is damaged: it has {access.size(dump)} bytes, not {pages * page_size}",
            "do not restore it; use another backup, and check the disk",
        )


def _replace(database: "SqliteDatabase", source: sqlite3.Connection, control: Control) -> None:
    progress = Progress("restoring", database, control, database.clock.monotonic())

    def step(status: int, remaining: int, total: int) -> None:
        if status in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
            raise access.locked(database.path, database.wait_seconds)  # else it asks for ever
        if status != sqlite3.SQLITE_DONE:  # then it is in, and too late to stop
            progress(status, remaining, total)

    with (
        access.writing(database.path, database.wait_seconds) as live,
        _room_for_pages(live, source),
    ):
        source.backup(live, pages=PAGES_PER_STEP, progress=step)


@contextmanager
def _room_for_pages(live: sqlite3.Connection, source: sqlite3.Connection) -> Iterator[None]:
    """A log cannot take pages of another size: then there is none while inside.

    Afterwards the log is emptied, also of what did not get in. It stays where a reader of before
    still needs it, or where the disk is full: nobody takes what is in it for another's.
    """
    ((mode,),) = live.execute("PRAGMA journal_mode")
    sizes = {connection.execute("PRAGMA page_size").fetchone() for connection in (live, source)}
    unlogged = mode == "wal" and len(sizes) > 1
    if unlogged:
        live.execute("PRAGMA journal_mode = DELETE").fetchone()
    try:
        yield
    finally:
        with suppress(sqlite3.Error):
            if unlogged:
                live.execute("PRAGMA journal_mode = WAL").fetchone()
            live.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()


def _put(database: "SqliteDatabase", dump: Path, control: Control) -> None:
    whole = database.scratch("restore")
    real = database.path.resolve()
    try:
        whole.fill(dump, control)
        _sync(whole.path)
        _owned_like(whole.path, real)
        database.going_on(control)()
        for suffix in access.COMPANIONS:
            access.beside(real, suffix).unlink(missing_ok=True)
        sync_folder(real.parent)
        whole.path.replace(real)
        sync_folder(real.parent)
    except OSError as error:
        raise Broken(
            f"{dump} could not be put at {real}: {error.strerror}",
            f"check the folder {real.parent}",
        ) from error
    finally:
        whole.discard()


def _owned_like(file: Path, real: Path) -> None:
    """What root puts there, the service must be able to open. A file that was there has rights."""
    there = real.exists()
    owner = (real if there else real.parent).stat()
    if os.geteuid() == 0:
        os.chown(file, owner.st_uid, owner.st_gid)
    if there:
        file.chmod(owner.st_mode & 0o777)


def _sync(file: Path) -> None:
    handle = os.open(file, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
