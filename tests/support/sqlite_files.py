"""SQLite files as services make and leave them, and processes that die over them."""

import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from guarded_rollout.adapters.clock import SystemClock
from guarded_rollout.adapters.sqlite import SqliteDatabase

ROW = 3000  # bytes: a page holds one, so that few rows are many pages


def database(path: Path, wait_seconds: float = 0.3) -> SqliteDatabase:
    """With its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return SqliteDatabase(path, SystemClock(), wait_seconds)


def run(path: Path, *statements: str) -> None:
    """Like a service: foreign keys hold."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA foreign_keys = ON")
        for statement in statements:
            connection.execute(statement).fetchall()


def write(path: Path, statement: str, rows: Sequence[Sequence[Any]]) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.executemany(statement, rows)
        connection.commit()


def read(path: Path, query: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(query).fetchall()


def padded(path: Path, mode: str, rows: int, page_size: int = 4096) -> SqliteDatabase:
    """A table `t` of so many rows, each of a page."""
    made = database(path)
    run(
        path,
        f"PRAGMA page_size = {page_size}",
        f"PRAGMA journal_mode = {mode}",
        "CREATE TABLE t (id INTEGER PRIMARY KEY, x BLOB)",
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n "
        f"WHERE i < {rows}) INSERT INTO t SELECT i, randomblob({ROW}) FROM n",
    )
    return made


def content(path: Path) -> list[tuple[Any, ...]] | None:
    """Of table `t`, as the next service finds it; None where there is no file."""
    if not path.exists():
        return None
    assert read(path, "PRAGMA integrity_check") == [("ok",)]
    return read(path, "SELECT id, x FROM t ORDER BY id")


def leave_a_log(path: Path) -> None:
    """A service that was killed: what it committed is in the log only."""
    _die(path, "wal", "UPDATE t SET x = randomblob(3000)", "COMMIT")
    assert path.with_name(f"{path.name}-wal").stat().st_size > ROW


def leave_a_journal(path: Path) -> None:
    """A service that was killed within a transaction: the file is half changed."""
    _die(path, "delete", "UPDATE t SET x = randomblob(3000)")
    assert path.with_name(f"{path.name}-journal").stat().st_size > ROW


def child(
    code: str, *arguments: object, tracer: Sequence[str] = ()
) -> "subprocess.CompletedProcess[str]":
    """A Python process of its own, to its end."""
    argv = [*tracer, sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(argv, check=False, capture_output=True, text=True)


def tracer_works() -> bool:
    """A tool that ends a process at a system call is there, and may trace."""
    if shutil.which("strace") is None:
        return False
    return child("", tracer=("strace", "-qq", "-o", "/dev/null")).returncode == 0


def _die(path: Path, mode: str, *statements: str) -> None:
    code = f"""
import os, sqlite3
c = sqlite3.connect({str(path)!r}, isolation_level=None)
c.execute("PRAGMA journal_mode = {mode}")
c.execute("PRAGMA cache_size = 1")
c.execute("BEGIN")
for statement in {statements!r}:
    c.execute(statement)
os.kill(os.getpid(), {int(signal.SIGKILL)})
"""
    assert child(code).returncode == -signal.SIGKILL
