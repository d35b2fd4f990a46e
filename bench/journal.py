"""Appends per second with fsync: the journal beside a plain SQLite insert, in the same run.

Run: `python bench/journal.py [SECONDS] [FOLDER]`. The rounds take turns, so that whatever else
the machine does meets both. Only the ratios mean something on another machine.
"""

import os
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from guarded_rollout.adapters.clock import SystemClock
from guarded_rollout.adapters.journal.sqlite import SqliteJournal
from guarded_rollout.core.facts import Adopted, Started, encode
from guarded_rollout.testing import examples

ROUNDS = 10


def journal_appends(folder: Path) -> Callable[[], None]:
    """One append of the journal: fence and order checked, hashed, committed."""
    journal = SqliteJournal(folder / "journal.db", SystemClock(), folder / "locks")
    lease = journal.claim("production", "bench")
    started = Started(examples.plan(), "bench")
    last = journal.begin("production", "r1", started, exclusive=True)

    def append() -> None:
        nonlocal last
        last = journal.append(lease, "r1", Adopted(str(last.seq)), after=last.seq)

    return append


def journal_renewals(folder: Path) -> Callable[[], None]:
    """One heartbeat."""
    journal = SqliteJournal(folder / "renewals.db", SystemClock(), folder / "locks-2")
    lease = journal.claim("production", "bench")
    return lambda: journal.renew(lease)


def plain_inserts(folder: Path, name: str, synchronous: str) -> Callable[[], None]:
    """One insert of the same bytes over one open connection: the floor."""
    connection = sqlite3.connect(folder / f"{name}.db", isolation_level=None)
    connection.execute("PRAGMA journal_mode=DELETE")
    connection.execute(f"PRAGMA synchronous={synchronous}")
    connection.execute(
        "CREATE TABLE facts (seq INTEGER PRIMARY KEY, rollout, at, kind, body, fence, prev, hash)"
    )
    kind, body = encode(Adopted("1000"))

    def insert() -> None:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute(
            "INSERT INTO facts (rollout, at, kind, body, fence, prev, hash)"
            " VALUES ('r1', 1.0, ?, ?, 1, ?, ?)",
            (kind, body, "0" * 64, "0" * 64),
        )
        connection.execute("COMMIT")

    return insert


def bare_fsyncs(folder: Path) -> Callable[[], None]:
    """One write and one fsync: what the disk costs."""
    handle = os.open(folder / "bare", os.O_WRONLY | os.O_CREAT, 0o600)

    def write() -> None:
        os.write(handle, b"x" * 200)
        os.fsync(handle)

    return write


def main() -> None:
    """Print one line per subject and the ratios."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 10.0
    above = sys.argv[2] if len(sys.argv) > 2 else None
    with tempfile.TemporaryDirectory(prefix="journal-bench-", dir=above) as name:
        folder = Path(name)
        subjects = {
            "journal append": journal_appends(folder),
            "journal renew": journal_renewals(folder),
            "plain insert, same settings": plain_inserts(folder, "extra", "EXTRA"),
            "plain insert, synchronous=FULL": plain_inserts(folder, "full", "FULL"),
            "one write, one fsync": bare_fsyncs(folder),
        }
        took: dict[str, list[float]] = {subject: [] for subject in subjects}
        for _ in range(ROUNDS):
            for subject, act in subjects.items():
                until = time.perf_counter() + seconds / ROUNDS / len(subjects)
                while (begun := time.perf_counter()) < until:
                    act()
                    took[subject].append(time.perf_counter() - begun)
        floor = statistics.median(took["plain insert, same settings"])
        print(f"{'':32}{'per second':>12}{'median ms':>12}{'p99 ms':>10}{'ratio':>8}")
        for subject, times in took.items():
            median = statistics.median(times)
            last = statistics.quantiles(times, n=100)[98]
            print(
                f"{subject:32}{len(times) / sum(times):12.0f}{median * 1e3:12.3f}"
                f"{last * 1e3:10.2f}{median / floor:8.2f}"
            )
        verify(folder)


def verify(folder: Path) -> None:
    """How fast the chain is checked, beside reading the same rows."""
    journal = SqliteJournal(folder / "journal.db", SystemClock(), folder / "locks")
    begun = time.perf_counter()
    audit = journal.verify()
    checked = time.perf_counter() - begun
    begun = time.perf_counter()
    with closing(sqlite3.connect(folder / "journal.db")) as connection:
        rows = connection.execute("SELECT * FROM facts ORDER BY seq").fetchall()
    read = time.perf_counter() - begun
    print(
        f"verify: {audit.entries} entries ({len(rows)} rows), {audit.entries / checked:.0f} per "
        f"second, {checked / read:.1f} times a plain SELECT; problem: {audit.problem}"
    )


if __name__ == "__main__":
    main()
