"""Appends per second with fsync: the journal beside plain inserts of SQLite and of PostgreSQL.

Run: `python bench/journal.py [SECONDS] [FOLDER]`. The PostgreSQL is the tests' own, with fsync on,
on 127.0.0.1; its folder is in /tmp. The rounds take turns, so that whatever else
the machine does meets both. Only the ratios mean something on another machine.
"""

import os
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import psycopg

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))
from postgres_of_ours import PASSWORD, USER, Server, server

from guarded_rollout.adapters.clock import SystemClock
from guarded_rollout.adapters.journal.postgres import PostgresJournal
from guarded_rollout.adapters.journal.sqlite import SqliteJournal
from guarded_rollout.core.facts import Adopted, Started, encode
from guarded_rollout.testing import examples

ROUNDS = 10


def journal_appends(journal: SqliteJournal | PostgresJournal) -> Callable[[], None]:
    """One append of the journal: fence and order checked, hashed, committed."""
    lease = journal.claim("production", "bench")
    started = Started(examples.plan(), "bench")
    last = journal.begin("production", "r1", started, exclusive=True)

    def append() -> None:
        nonlocal last
        last = journal.append(lease, "r1", Adopted(str(last.seq)), after=last.seq)

    return append


def journal_renewals(journal: SqliteJournal | PostgresJournal) -> Callable[[], None]:
    """One heartbeat."""
    lease = journal.claim("renewals", "bench")
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


def server_inserts(server: Server, name: str) -> Callable[[], None]:
    """The same bytes over one open connection to PostgreSQL, in autocommit: its floor."""
    connection = psycopg.connect(
        host="127.0.0.1",
        port=server.port,
        user=USER,
        password=PASSWORD,
        dbname=name,
        autocommit=True,
    )
    connection.execute(
        "CREATE TABLE plain (seq bigserial PRIMARY KEY, rollout text, at double precision,"
        " kind text, body bytea, fence bigint, prev text, hash text)"
    )
    kind, body = encode(Adopted("1000"))

    def insert() -> None:
        connection.execute(
            "INSERT INTO plain (rollout, at, kind, body, fence, prev, hash)"
            " VALUES ('r1', 1.0, %s, %s, 1, %s, %s)",
            (kind, body, "0" * 64, "0" * 64),
        )

    return insert


def bare_fsyncs(folder: Path) -> Callable[[], None]:
    """One write and one fsync: what the disk costs."""
    handle = os.open(folder / "bare", os.O_WRONLY | os.O_CREAT, 0o600)

    def write() -> None:
        os.write(handle, b"x" * 200)
        os.fsync(handle)

    return write


def main() -> None:
    """Print one line per subject and the ratios, each to the plain insert of its own database."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 10.0
    above = sys.argv[2] if len(sys.argv) > 2 else None
    with (
        tempfile.TemporaryDirectory(prefix="journal-bench-", dir=above) as name,
        server(durable=True) as postgres,
    ):
        os.environ["PGPASSWORD"] = PASSWORD
        folder = Path(name)
        access = postgres.database().access
        file = SqliteJournal(folder / "journal.db", SystemClock(), folder / "locks")
        shared = PostgresJournal(access, SystemClock())
        on_file = {
            "plain insert, same settings": plain_inserts(folder, "extra", "EXTRA"),
            "journal append": journal_appends(file),
            "journal renew": journal_renewals(file),
            "plain insert, synchronous=FULL": plain_inserts(folder, "full", "FULL"),
            "one write, one fsync": bare_fsyncs(folder),
        }
        on_server = {
            "PostgreSQL: plain insert": server_inserts(postgres, access.name),
            "PostgreSQL: journal append": journal_appends(shared),
            "PostgreSQL: journal renew": journal_renewals(shared),
        }
        subjects = {**on_file, **on_server}
        took: dict[str, list[float]] = {subject: [] for subject in subjects}
        for _ in range(ROUNDS):
            for subject, act in subjects.items():
                until = time.perf_counter() + seconds / ROUNDS / len(subjects)
                while (begun := time.perf_counter()) < until:
                    act()
                    took[subject].append(time.perf_counter() - begun)
        print(f"{'':32}{'per second':>12}{'median ms':>12}{'p99 ms':>10}{'ratio':>8}")
        for group in (on_file, on_server):
            table({subject: took[subject] for subject in group})
        verify(file)
        verify(shared)
        shared.close()


def table(took: dict[str, list[float]]) -> None:
    """One line each; the first is the floor of the others."""
    floor = statistics.median(next(iter(took.values())))
    for subject, times in took.items():
        median = statistics.median(times)
        last = statistics.quantiles(times, n=100)[98]
        print(
            f"{subject:32}{len(times) / sum(times):12.0f}{median * 1e3:12.3f}"
            f"{last * 1e3:10.2f}{median / floor:8.2f}"
        )


def verify(journal: SqliteJournal | PostgresJournal) -> None:
    """How fast the chain is checked, and how fast it is written out as lines."""
    begun = time.perf_counter()
    audit = journal.verify()
    checked = time.perf_counter() - begun
    begun = time.perf_counter()
    size = sum(len(line) for line in journal.lines())
    written = time.perf_counter() - begun
    print(
        f"{type(journal).__name__}: verify {audit.entries / checked:.0f} and export "
        f"{audit.entries / written:.0f} entries per second ({audit.entries} entries, "
        f"{size / 1e6:.0f} MB of lines); problem: {audit.problem}"
    )


if __name__ == "__main__":
    main()
