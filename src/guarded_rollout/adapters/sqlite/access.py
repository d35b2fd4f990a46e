"""How the file is opened, and what went wrong when it could not be.

Looking:
    A reader of a WAL database needs the files `-wal` and `-shm`, and a read-only connection that
    had to make them leaves them behind. So an idle database is opened for writing with
    `query_only`, which changes nothing and, as the last one out, takes those files away again. A
    database with something in its `-wal` or `-journal` is opened read-only: a connection that
    may write would fold a dead service's log into the file, and looking must not do that.

Writing:
    Opened like the service opens it, so a dead service's log is recovered first.
"""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from guarded_rollout.core.problems import BadInput, Broken, Busy

COMPANIONS = ("-journal", "-wal", "-shm")
_CODE = 0xFF  # the rest of SQLite's codes says more than we need


@contextmanager
def reading(
    file: Path, wait_seconds: float, target: Path | None = None, *, copy: bool = False
) -> Iterator[sqlite3.Connection]:
    """A connection inside one read transaction. `copy`: nobody else has the file open.

    `target`: where its content goes, for the message when that fails.
    """
    how = "mode=ro&immutable=1" if copy else f"mode={_mode(file)}"
    with problems(file, wait_seconds, target), closing(_open(file, how, wait_seconds)) as found:
        found.execute("PRAGMA query_only = ON")
        found.execute("BEGIN")
        yield found


@contextmanager
def writing(file: Path, wait_seconds: float) -> Iterator[sqlite3.Connection]:
    """A connection that may write, in no transaction yet. What is left open is rolled back."""
    with (
        problems(file, wait_seconds, writes=True),
        closing(_open(file, "mode=rw", wait_seconds)) as found,
    ):
        try:
            yield found
        except BaseException:
            # After a failed write SQLite leaves the journal for the next one to use: that is us.
            with suppress(sqlite3.Error):
                found.rollback()
                found.execute("SELECT count(*) FROM sqlite_master").fetchone()
            raise


@contextmanager
def problems(
    file: Path, wait_seconds: float, target: Path | None = None, *, writes: bool = False
) -> Iterator[None]:
    """SQLite's errors inside, as problems about `file`."""
    try:
        yield
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & _CODE
        if code in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
            raise locked(file, wait_seconds) from error
        if writes:
            raise _not_written(error, code, file) from error
        raise _not_read(error, code, file, target) from error


def locked(file: Path, wait_seconds: float) -> Busy:
    """Somebody else has the lock."""
    return Busy(
        f"{file} is locked: somebody held it for {wait_seconds:g} s",
        f"see who has it open (fuser {file}), end it or wait, then try again",
    )


def beside(file: Path, suffix: str) -> Path:
    """SQLite's companion of a database; it follows symbolic links first."""
    real = file.resolve()
    return real.with_name(real.name + suffix)


def size(file: Path) -> int:
    """Bytes; 0 where there is no file."""
    try:
        return file.stat().st_size
    except FileNotFoundError:
        return 0


def new_file(path: Path) -> None:
    """Make it, empty, mode 0600. BadInput when it exists, Broken when it cannot be."""
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    except FileExistsError as error:
        raise BadInput(f"{path} exists already", "copy to a new name") from error
    except OSError as error:
        raise Broken(
            f"{path} cannot be written: {error.strerror}", f"check the folder {path.parent}"
        ) from error


def _open(file: Path, how: str, wait_seconds: float) -> sqlite3.Connection:
    return sqlite3.connect(
        f"{file.as_uri()}?{how}", uri=True, timeout=wait_seconds, isolation_level=None
    )


def _mode(file: Path) -> str:
    in_use = size(beside(file, "-wal")) > 0 or beside(file, "-journal").exists()
    return "ro" if in_use else "rw"


def _not_read(error: sqlite3.Error, code: int, file: Path, target: Path | None) -> Broken:
    if code in {sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT}:
        return Broken(
            f"{file} is not a sound SQLite database: {error}",
            "check the path; if it is right, roll back to a verified backup",
        )
    if target is not None and code in {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR}:
        return Broken(
            f"{file} could not be copied to {target}: {error}", f"make room in {target.parent}"
        )
    if code == sqlite3.SQLITE_FULL:
        return Broken(
            f"{file} cannot be read: there is no room for sorting",
            "make room where temporary files go (TMPDIR, else /var/tmp)",
        )
    if code == sqlite3.SQLITE_READONLY:
        return Broken(
            f"{file} was left in the middle of a transaction and cannot be read as it is",
            "start the service once, so that it repairs its database",
        )
    return Broken(f"{file} cannot be read: {error}", "check the path and the file's rights")


def _not_written(error: sqlite3.Error, code: int, file: Path) -> Broken:
    if code in {sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT}:
        return Broken(
            f"{file} is not a sound SQLite database: {error}; nothing was written",
            f"stop whoever has it open, move it, {file.name}-wal and {file.name}-journal away, "
            "and restore a verified backup",
        )
    if code in {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR}:
        return Broken(
            f"{file} could not be written and is as it was: {error}",
            f"make room in {file.parent}: as much as the database has, then try again",
        )
    return Broken(
        f"{file} could not be written and is as it was: {error}",
        "check the rights of the file and of its folder",
    )
