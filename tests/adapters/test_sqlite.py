"""SQLite's own traps: writers in other processes, write-ahead logs, locks, full disks."""

import hashlib
import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from guarded_rollout.adapters.clock import SystemClock
from guarded_rollout.adapters.sqlite import SqliteDatabase
from guarded_rollout.core.problems import BadInput, Broken, Busy

DEADLINE = 60.0

# Each transaction puts one row into each of two tables and rewrites a counter; says "begun" once.
WRITER = """
import sqlite3, sys, os
path, dies = sys.argv[1], len(sys.argv) > 2
c = sqlite3.connect(path, isolation_level=None, timeout=60)
c.execute("PRAGMA journal_mode = WAL")
c.execute("PRAGMA wal_autocheckpoint = 50")
n = 0
while True:
    c.execute("BEGIN IMMEDIATE")
    c.execute("INSERT INTO debit (amount, pad) VALUES (?, randomblob(500))", (n % 97,))
    c.execute("UPDATE total SET n = n + 1, amount = amount + ?", (n % 97,))
    c.execute("INSERT INTO credit (amount) VALUES (?)", (n % 97,))
    c.execute("COMMIT")
    n += 1
    if n == 20:
        print("begun", flush=True)
        if dies:
            os.kill(os.getpid(), 9)
"""


class Quiet:
    """A control that lets everything happen."""

    def stopped(self) -> bool:
        return False

    def say(self, text: str) -> None:
        """Nothing."""


@pytest.fixture
def database(tmp_path) -> SqliteDatabase:
    folder = tmp_path / "data"
    folder.mkdir()
    return SqliteDatabase(folder / "it.db", SystemClock(), wait_seconds=0.2)


def make(database: SqliteDatabase, padding: int = 0) -> None:
    """The writer's tables, and `padding` rows of 4 kB that make copying take several steps."""
    with closing(sqlite3.connect(database.path, isolation_level=None)) as c:
        c.execute("PRAGMA journal_mode = WAL")
        c.execute("CREATE TABLE debit (id INTEGER PRIMARY KEY, amount INT, pad BLOB)")
        c.execute("CREATE TABLE credit (id INTEGER PRIMARY KEY, amount INT)")
        c.execute("CREATE TABLE total (n INT, amount INT)")
        c.execute("INSERT INTO total VALUES (0, 0)")
        c.execute("CREATE TABLE padding (id INTEGER PRIMARY KEY, pad BLOB)")
        c.execute(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?) "
            "INSERT INTO padding SELECT i, randomblob(4000) FROM n WHERE ?",
            (padding, padding > 0),
        )


@contextmanager
def writer(database: SqliteDatabase):
    """A process that commits as fast as it can."""
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(database.path)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout.readline() == "begun\n"
        yield process
        assert process.poll() is None, "the writer was disturbed"
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def crash(database: SqliteDatabase) -> None:
    """A writer that committed 20 times and was killed; its log is left."""
    process = subprocess.run(
        [sys.executable, "-c", WRITER, str(database.path), "dies"], check=False, capture_output=True
    )
    assert process.returncode == -signal.SIGKILL


def committed(path: Path) -> int:
    with closing(sqlite3.connect(path, timeout=60)) as c:
        return c.execute("SELECT n FROM total").fetchone()[0]


def tree(folder: Path) -> dict[str, tuple[str, int]]:
    return {
        path.name: (hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_mtime_ns)
        for path in folder.iterdir()
    }


def look_everywhere(database: SqliteDatabase) -> None:
    database.exists()
    database.size()
    database.revision()
    database.schema()
    database.rows()


class Waits(Quiet):
    """Between two steps of the copy: wait until the writer has committed again."""

    def __init__(self, database: SqliteDatabase) -> None:
        self.reader = sqlite3.connect(database.path, timeout=60)
        self.clock = SystemClock()
        self.steps = 0
        self.first = self.last = self._n()

    def _n(self) -> int:
        return self.reader.execute("SELECT n FROM total").fetchone()[0]

    def stopped(self) -> bool:
        self.steps += 1
        until = self.clock.monotonic() + DEADLINE
        before = self.last
        while self.last == before:
            assert self.clock.monotonic() < until, "the writer stands still"
            self.last = self._n()
        return False


def test_a_copy_under_steady_writers_ends_and_is_one_moment(database, tmp_path):
    """Commits between any two steps neither restart the copy nor get into it by halves."""
    make(database, padding=8000)
    copy = tmp_path / "copy"
    with writer(database):
        control = Waits(database)
        before = committed(database.path)
        rows = database.dump(copy, control).rows
        after = committed(database.path)
        control.reader.close()
    assert control.steps >= 5
    assert control.last - control.first >= control.steps
    assert rows == database.prove(copy)
    with closing(sqlite3.connect(copy)) as c:
        n, amount = c.execute("SELECT n, amount FROM total").fetchone()
        (debit,) = c.execute("SELECT sum(amount) FROM debit").fetchone()
        (credit,) = c.execute("SELECT sum(amount) FROM credit").fetchone()
    assert before <= n < after
    assert rows["debit"] == rows["credit"] == n
    assert debit == credit == amount


def test_looking_at_an_idle_database_changes_no_byte_and_leaves_no_file(database, tmp_path):
    """Also not -wal and -shm, which SQLite's read-only mode would leave behind."""
    make(database)
    before = tree(database.path.parent)
    assert list(before) == ["it.db"]
    look_everywhere(database)
    database.dump(tmp_path / "copy", Quiet())
    assert tree(database.path.parent) == before


def test_looking_through_a_symbolic_link_changes_nothing_either(database, tmp_path):
    """SQLite's companions lie beside the real file."""
    make(database)
    link = tmp_path / "link.db"
    link.symlink_to(database.path)
    before = tree(database.path.parent)
    look_everywhere(SqliteDatabase(link, SystemClock()))
    assert tree(database.path.parent) == before
    assert not [path for path in tmp_path.iterdir() if path.name.startswith("link.db-")]


def test_a_dead_services_log_is_read_and_not_touched(database, tmp_path):
    """What it committed counts; the file and its log stay as they are until the service starts."""
    make(database)
    crash(database)
    wal = database.path.with_name("it.db-wal")
    assert wal.stat().st_size > 0
    before = tree(database.path.parent)
    assert database.rows()["debit"] == 20
    assert database.size() > database.path.stat().st_size
    copy = tmp_path / "copy"
    assert database.dump(copy, Quiet()).rows["credit"] == 20
    assert database.prove(copy)["debit"] == 20
    after = tree(database.path.parent)
    del before["it.db-shm"], after["it.db-shm"]  # a cache; every reader rebuilds it
    assert after == before


def test_a_reader_that_ends_does_not_disturb_the_writer(database):
    """Looking again and again beside a writer loses nothing."""
    make(database)
    with writer(database):
        for _ in range(20):
            rows = database.rows()
            assert rows["debit"] == rows["credit"]
    look_everywhere(database)
    assert database.rows()["debit"] == committed(database.path)


def test_a_database_left_within_a_transaction_is_not_repaired_by_looking(database, tmp_path):
    """A hot rollback journal: only a writer may undo it, and we are none."""
    code = """
import sqlite3, sys, os
c = sqlite3.connect(sys.argv[1], isolation_level=None)
c.execute("PRAGMA cache_size = 1")
c.execute("CREATE TABLE t (x)")
c.execute("INSERT INTO t SELECT randomblob(4000) FROM (VALUES (1), (2), (3), (4), (5), (6))")
c.execute("BEGIN")
c.execute("UPDATE t SET x = randomblob(4000)")
os.kill(os.getpid(), 9)
"""
    subprocess.run([sys.executable, "-c", code, str(database.path)], check=False)
    before = tree(database.path.parent)
    assert "it.db-journal" in before
    with pytest.raises(Broken, match="middle of a transaction"):
        database.rows()
    with pytest.raises(Broken, match="middle of a transaction"):
        database.dump(tmp_path / "copy", Quiet())
    assert tree(database.path.parent) == before
    assert not (tmp_path / "copy").exists()


def test_a_locked_database_is_busy_after_a_bounded_wait(database, tmp_path):
    """The message names the file; nothing is left behind."""
    make(database)
    with closing(sqlite3.connect(database.path, isolation_level=None)) as other:
        other.execute("PRAGMA locking_mode = EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        other.execute("DELETE FROM total")
        for look in (database.exists, database.rows, database.revision):
            with pytest.raises(Busy, match=r"it\.db is locked.*0\.2 s"):
                look()
        with pytest.raises(Busy, match="locked"):
            database.dump(tmp_path / "copy", Quiet())
        other.execute("ROLLBACK")
    assert not (tmp_path / "copy").exists()
    assert database.rows()["total"] == 1


def test_a_file_that_is_no_database_is_broken(database):
    """And so is a folder in its place."""
    database.path.write_text("a text, not a database. " * 100)
    with pytest.raises(Broken, match="not a sound SQLite database"):
        database.exists()
    database.path.unlink()
    database.path.mkdir()
    with pytest.raises(Broken, match="cannot be read"):
        database.exists()


def test_an_empty_file_is_a_database_without_tables(database):
    """SQLite says so, and it stays empty."""
    database.path.touch()
    assert database.exists()
    assert database.rows() == {}
    assert database.path.stat().st_size == 0


def test_a_full_disk_is_broken_and_leaves_no_copy(database, tmp_path):
    """A real limit on file sizes, in a process of its own."""
    make(database, padding=500)
    copy = tmp_path / "copy"
    code = f"""
import resource
from pathlib import Path
from guarded_rollout.adapters.clock import SystemClock
from guarded_rollout.adapters.sqlite import SqliteDatabase
from guarded_rollout.core.problems import Broken
class Quiet:
    def stopped(self): return False
    def say(self, text): pass
resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))
try:
    SqliteDatabase(Path({str(database.path)!r}), SystemClock()).dump(Path({str(copy)!r}), Quiet())
except Broken as problem:
    print(problem)
"""
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert "could not be copied" in done.stdout
    assert f"make room in {tmp_path}" in done.stdout
    assert not copy.exists()


def test_virtual_tables_and_views_do_not_disturb(database, tmp_path):
    """Their rows lie in ordinary tables, which are counted."""
    with closing(sqlite3.connect(database.path)) as c:
        c.execute("CREATE VIRTUAL TABLE words USING fts5(text)")
        c.execute("INSERT INTO words VALUES ('meeple')")
        c.execute("CREATE VIEW all_words AS SELECT text FROM words")
        c.commit()
    rows = database.rows()
    assert "words" not in rows
    assert "all_words" not in rows
    assert database.dump(tmp_path / "copy", Quiet()).rows == rows
    assert database.prove(tmp_path / "copy") == rows


def test_a_path_that_a_url_cannot_carry_is_refused():
    """Relative, or with a question mark."""
    for path in ("data/it.db", "/data/it?.db"):
        with pytest.raises(BadInput, match="cannot be a database's path"):
            SqliteDatabase(Path(path), SystemClock())


def test_odd_paths_work(tmp_path):
    """Spaces, percent signs and letters beyond ASCII."""
    database = SqliteDatabase(tmp_path / "50 % schön #1.db", SystemClock())
    make(database)
    assert database.rows()["total"] == 1
    assert os.listdir(tmp_path) == ["50 % schön #1.db"]  # noqa: PTH208 - names
