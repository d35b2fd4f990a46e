"""Connections to the journal's file. One per operation: safe in any thread, and across a fork.

Settings, and why:
    The rollback journal (DELETE), not WAL, whose reset bug corrupts databases before SQLite
    3.51.3. `synchronous=EXTRA` is FULL plus an fsync of the folder after the commit: without it
    a power cut right after a commit can bring the rollback journal back, and undo the commit.
    Writers begin with BEGIN IMMEDIATE, so that nobody decides on what is about to change.
"""

import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from guarded_rollout.adapters.journal import schema
from guarded_rollout.core.problems import Broken, Busy, Problem

WAIT_SECONDS = 30.0
"""How long to wait for another process's transaction before giving up."""

_COPIES = 20


class Ask(Protocol):
    """Runs one SELECT in a transaction of its own."""

    def __call__(self, sql: str, *values: object) -> list[Any]:
        """All rows. Raises a problem, never an error of SQLite."""


@contextmanager
def in_words(path: Path) -> Iterator[None]:
    """SQLite's errors as problems."""
    try:
        yield
    except sqlite3.Error as error:
        raise problem(path, error) from error


def problem(path: Path, error: sqlite3.Error) -> Problem:
    """What an error of SQLite means, and what to do."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF  # none: odd text
    if code in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
        return Broken(
            f"the journal {path} is locked by another process",
            f"see who has it open (fuser {path}); when it is free, do the same again",
        )
    if code in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}:
        return schema.Damaged(
            f"the journal {path} is damaged: {error}",
            "see how far it can be read: rollout audit verify; then restore it from a copy",
        )
    if code == sqlite3.SQLITE_FULL:
        return Broken(
            f"the journal {path} cannot grow: the disk is full",
            "make room, then do the same again; nothing was written",
        )
    if code == sqlite3.SQLITE_READONLY:
        return Broken(
            f"the journal {path} cannot be written: {error}",
            "see that you own it and that its disk is not mounted read-only",
        )
    if code == sqlite3.SQLITE_CANTOPEN:
        return Broken(
            f"the journal {path} cannot be opened: {error}",
            "see that it is still there and that you may write to its folder",
        )
    name = getattr(error, "sqlite_errorname", type(error).__name__)
    return Broken(
        f"the journal {path} failed: {error} ({name})",
        "see what the system's log says of its disk, then: rollout audit verify",
    )


@dataclass(frozen=True, slots=True)
class Writable:
    """A journal that is there and may be written. `wait` in seconds."""

    path: Path
    wait: float = WAIT_SECONDS

    def ask(self, sql: str, *values: object) -> list[Any]:
        """All rows of one SELECT."""
        with in_words(self.path), closing(self._open()) as connection:
            return connection.execute(sql, values).fetchall()

    @contextmanager
    def writing(self, wait: float | None = None) -> Iterator[sqlite3.Connection]:
        """A transaction: commits at the end of the block, or leaves no trace of it.

        A journal that stays locked is Broken, not Busy: Busy is for leases and rollouts, and a
        controller that is told Busy stops.
        """
        with in_words(self.path), closing(self._open(wait)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            yield connection
            connection.execute("COMMIT")

    def _open(self, wait: float | None = None) -> sqlite3.Connection:
        connection = _connect(self.path, "rw", self.wait if wait is None else wait)
        try:
            connection.execute("PRAGMA synchronous=EXTRA")
            connection.execute("PRAGMA fullfsync=ON")  # macOS: fsync alone is not enough there
            connection.execute("PRAGMA foreign_keys=ON")
            self._expect_delete(connection.execute("PRAGMA journal_mode=DELETE").fetchone()[0])
            schema.check(connection, self.path)
        except BaseException:
            connection.close()
            raise
        return connection

    def _expect_delete(self, mode: str) -> None:
        if mode != "delete":
            raise Broken(
                f"the journal {self.path} is in mode {mode}, and somebody has it open",
                f"see who (fuser {self.path}); only this tool may write the journal",
            )


@dataclass(frozen=True, slots=True)
class Untouched:
    """A journal to look at without creating or changing any file in its folder.

    A controller that was killed inside a commit leaves a rollback journal; SQLite would put the
    file right before reading. Here that happens to a private copy.
    """

    path: Path
    wait: float = WAIT_SECONDS

    def ask(self, sql: str, *values: object) -> list[Any]:
        """All rows of one SELECT; none when there is no journal yet."""
        for _ in range(_COPIES):
            if not self.path.exists():
                return []
            with in_words(self.path):
                try:
                    return self._select(self.path, "ro", sql, values)
                except sqlite3.OperationalError as error:
                    if error.sqlite_errorcode != sqlite3.SQLITE_READONLY_ROLLBACK:
                        raise
                with _copy(self.path) as copy:
                    if copy is not None:
                        return self._select(copy, "rw", sql, values)
        raise Busy(
            f"the journal {self.path} changes faster than it can be copied",
            "do the same again",
        )

    def _select(self, path: Path, mode: str, sql: str, values: tuple[object, ...]) -> list[Any]:
        with closing(_connect(path, mode, self.wait)) as connection:
            schema.check(connection, self.path)
            return connection.execute(sql, values).fetchall()


def _connect(path: Path, mode: str, wait: float) -> sqlite3.Connection:
    """`rw` and `ro` never create the file: a journal that is gone must not begin anew."""
    return sqlite3.connect(
        f"{path.as_uri()}?mode={mode}", uri=True, timeout=wait, isolation_level=None
    )


@contextmanager
def _copy(path: Path) -> Iterator[Path | None]:
    """The file and its rollback journal elsewhere; None when a writer came between.

    The rollback journal is copied first. If it is still the same one afterwards, nobody finished
    a transaction or rolled one back in between, and its pages put the copy right.
    """
    hot = path.with_name(f"{path.name}-journal")
    with tempfile.TemporaryDirectory(prefix="rollout-journal-") as folder:
        copy = Path(folder) / "journal"
        try:
            before = _identity(hot)
            shutil.copyfile(hot, copy.with_name("journal-journal"))
            shutil.copyfile(path, copy)
            same = _identity(hot) == before
        except FileNotFoundError:
            same = False
        except OSError as error:
            raise Broken(
                f"the journal {path} cannot be copied to look at it: {error.strerror}",
                f"make room in {folder}, or let `rollout resume` put it right",
            ) from error
        yield copy if same else None


def _identity(path: Path) -> tuple[int, int, int]:
    found = path.stat()
    return found.st_ino, found.st_size, found.st_mtime_ns
