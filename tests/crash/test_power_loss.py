"""Power cuts at every file operation: what was promised is there, and nothing is there by halves.

The programs are real and traced; what a cut leaves is worked out by `power_cuts`, laid out on a
real disk, and opened by the real adapters.
"""

import contextlib
import hashlib
import shutil
import sqlite3
import sys
import tempfile
from contextlib import closing
from pathlib import Path

import power_writers
import pytest
from power_cuts import cuts, lay_out, recorded

from guarded_rollout.adapters.archive import ZipArchive
from guarded_rollout.adapters.clock import SystemClock
from guarded_rollout.adapters.journal.looking import open_readonly
from guarded_rollout.adapters.journal.sqlite import SqliteJournal
from guarded_rollout.adapters.set_aside import AsideFiles
from guarded_rollout.adapters.sqlite import SqliteDatabase
from guarded_rollout.core.facts import Adopted

MEMORY = Path("/dev/shm")

pytestmark = pytest.mark.skipif(shutil.which("strace") is None, reason="strace is Linux's")


@pytest.fixture
def root(tmp_path) -> Path:
    """The folder that the program works in; empty."""
    root = tmp_path / "root"
    root.mkdir()
    return root


@pytest.fixture
def lays_out():
    """Puts what a cut left in a folder, in memory where that can be; the one before goes."""
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as name:
        above = Path(name) / "left"

        def lays(left) -> Path:
            shutil.rmtree(above, ignore_errors=True)
            lay_out(left, above)
            return above

        yield lays


def traced(root, verb, *more):
    """What a program of `power_writers` did."""
    return recorded([sys.executable, power_writers.__file__, verb, str(root), *more], root)


def test_the_journal_loses_no_entry_that_was_acknowledged(root, lays_out):
    """It opens, its chain verifies, it has what was told, and it takes the next entry."""
    clock, looked = SystemClock(), 0
    for left, told in cuts(traced(root, "journal")):
        folder = lays_out(left)
        promised = {int(seq): own for seq, own in (line.decode().split() for line in told)}
        if not promised and not (folder / "journal.db").exists():
            continue
        looked += 1
        look = open_readonly(folder / "journal.db", clock)
        seen = look.verify()
        journal = SqliteJournal(folder / "journal.db", clock, folder / "locks")
        audit = journal.verify()
        assert audit == seen, "whoever only looks sees something else"
        assert audit.problem is None
        entries = journal.entries("r1")
        found = {entry.seq: entry.hash for entry in entries}
        assert promised.items() <= found.items()
        if entries:
            lease = journal.claim("production", "next")
            journal.append(lease, "r1", Adopted("next"), after=entries[-1].seq)
            journal.release(lease)
            assert journal.verify().problem is None
        journal.close()
    assert looked > 300


def test_a_backup_that_can_be_seen_is_whole(root, lays_out, tmp_path):
    """With its checksum, and what was made is there until it is removed."""
    database = tmp_path / "it.db"
    with closing(sqlite3.connect(database)) as filled:
        filled.execute("CREATE TABLE alembic_version (version_num TEXT)")
        filled.execute("INSERT INTO alembic_version VALUES ('0002')")
        filled.execute("CREATE TABLE images (id INTEGER PRIMARY KEY, hash TEXT)")
        filled.executemany(
            "INSERT INTO images (hash) VALUES (?)", [(f"{i:016x}",) for i in range(500)]
        )
        filled.commit()
    clock, seen = SystemClock(), 0
    for left, told in cuts(traced(root, "archive", str(database))):
        folder = lays_out(left)
        lines = [line.decode().split() for line in told]
        removed = {words[1] for words in lines if words[0] == "removing"}
        promised = {words[1]: words[2] for words in lines if words[0] == "made"}
        for path in folder.glob("backups/dhash_*.zip"):
            seen += 1
            archive = ZipArchive(folder, clock, "dhash")
            backup = archive.verify(path, "production", SqliteDatabase(database, clock))
            assert backup.verified
            assert backup.rows == {"images": 500}
            assert promised.get(backup.file, backup.sha256) == backup.sha256
        for file in promised.keys() - removed:
            assert (folder / file).exists(), f"{file} was made and is gone"
    assert seen > 20


def test_a_whole_file_is_the_old_one_or_the_new_one(root, lays_out):
    """And the new one once that was said."""
    versions = {bytes([number]) * (700 + 5000 * number): number for number in range(3)}
    for left, told in cuts(traced(root, "whole")):
        file = lays_out(left) / "file"
        done = [int(line.split()[1]) for line in told if line.startswith(b"done")]
        if not file.exists():
            assert not done
            continue
        found = versions[file.read_bytes()]
        assert found >= max(done, default=0)


def test_rows_that_were_set_aside_are_whole_or_absent(root, lays_out):
    """A file that can be seen fits its checksum, and is there once that was said."""
    seen = 0
    for left, told in cuts(traced(root, "aside")):
        folder = lays_out(left)
        kept = [line.decode().split() for line in told]
        for path in folder.glob("backups/set-aside_*.jsonl"):
            seen += 1
            with AsideFiles(folder).read(path, "production") as (note, rows):
                assert note == power_writers.NOTE
                assert len(list(rows)) == 500
        for _, file, sha256 in kept:
            assert hashlib.sha256((folder / file).read_bytes()).hexdigest() == sha256
    assert seen > 1


@contextlib.contextmanager
def without_fsync(monkeypatch):
    """What the model is worth: a writer that forgets its fsyncs is found out."""
    import power_cuts

    play = power_cuts._Disk.do
    monkeypatch.setattr(
        power_cuts._Disk, "do", lambda disk, did: did.what == "sync" or play(disk, did)
    )
    yield
    monkeypatch.undo()


@pytest.mark.parametrize(
    "test",
    [
        test_the_journal_loses_no_entry_that_was_acknowledged,
        test_a_whole_file_is_the_old_one_or_the_new_one,
        test_rows_that_were_set_aside_are_whole_or_absent,
    ],
)
def test_a_disk_that_ignores_fsync_is_found_out(test, root, lays_out, monkeypatch):
    """These tests can fail."""
    with without_fsync(monkeypatch), pytest.raises(Exception):  # noqa: B017, PT011 - any way
        test(root, lays_out)
