"""Lists that do not read gigabytes: what is remembered, and when it is not believed."""

import json
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from still_clock import StillClock

from guarded_rollout.adapters.archive import ZipArchive
from guarded_rollout.adapters.archive.checksums import TRUSTED_SECONDS
from guarded_rollout.adapters.sqlite import SqliteDatabase
from guarded_rollout.core.problems import Broken
from guarded_rollout.ports import BackupRequest
from guarded_rollout.testing.control import Told

BYTES = 3_000_000
REQUEST = BackupRequest("production", None, "ada", "", ("data",))


@pytest.fixture
def root(tmp_path) -> Path:
    root = tmp_path / "root"
    (root / "data").mkdir(parents=True)
    (root / "data" / "noise").write_bytes(os.urandom(BYTES))
    (root / ".rollout").mkdir()
    return root


@pytest.fixture
def clock() -> StillClock:
    return StillClock()


@pytest.fixture
def open_archive(root, clock):
    """Like a process that starts now."""
    return lambda: ZipArchive(root, clock, "dhash", root / ".rollout" / "checksums.json")


@pytest.fixture
def database(root, clock) -> SqliteDatabase:
    path = root / "it.db"
    with closing(sqlite3.connect(path)) as c:
        c.execute("CREATE TABLE images (id INTEGER PRIMARY KEY)")
        c.commit()
    return SqliteDatabase(path, clock)


def read_by(what):
    """How many bytes this process read meanwhile, by the kernel's count."""
    before = _read()
    answer = what()
    return _read() - before, answer


def _read() -> int:
    return int(Path("/proc/self/io").read_text().split()[1])


def test_a_list_reads_only_what_is_new(open_archive, root, clock, database):
    """Neither for this process nor for the next one."""
    made = open_archive().create(REQUEST, database, Told())
    read, found = read_by(open_archive().backups)
    assert read < BYTES / 4
    assert found == (made,)
    (root / ".rollout" / "checksums.json").unlink()
    archive = open_archive()
    read, found = read_by(archive.backups)
    assert read > BYTES
    assert found == (made,)
    for again in (archive, open_archive()):
        read, found = read_by(again.backups)
        assert read < BYTES / 4
        assert found == (made,)


def test_what_was_changed_is_read_though_time_and_size_are_as_before(open_archive, root, database):
    """The kernel knows when a file was touched."""
    archive = open_archive()
    made = archive.create(REQUEST, database, Told())
    path = root / made.file
    before = path.stat()
    with path.open("r+b") as file:
        file.seek(BYTES // 2)
        byte = file.read(1)
        file.seek(BYTES // 2)
        file.write(bytes([byte[0] ^ 1]))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    after = path.stat()
    assert (after.st_size, after.st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    assert [b.verified for b in (*archive.backups(), *open_archive().backups())] == [False, False]


def test_a_changed_checksum_file_is_seen_without_reading_the_zip(open_archive, root, database):
    """What is remembered is what the zip hashes to, not that it is good."""
    made = open_archive().create(REQUEST, database, Told())
    beside = root / f"{made.file}.sha256"
    beside.write_text(beside.read_text().replace(made.sha256, "0" * 64))
    read, (found,) = read_by(open_archive().backups)
    assert read < BYTES / 4
    assert not found.verified


def test_after_a_day_it_is_read_again(open_archive, root, clock, database):
    """A disk can lose bits without touching a file; also when the clock was set back."""
    made = open_archive().create(REQUEST, database, Told())
    for jump in (TRUSTED_SECONDS, -10.0):
        clock.at += jump
        read, found = read_by(open_archive().backups)
        assert read > BYTES
        assert found == (made,)
        read, found = read_by(open_archive().backups)
        assert read < BYTES / 4


def test_verify_believes_nothing(open_archive, root, database):
    """A damaged zip that is remembered as good: the list is wrong for a day, verify is not."""
    archive = open_archive()
    made = archive.create(REQUEST, database, Told())
    path, file = root / made.file, root / ".rollout" / "checksums.json"
    with path.open("r+b") as damaged:
        damaged.seek(BYTES // 2)
        damaged.write(b"\0\0\0\0")
    stat = path.stat()
    known = json.loads(file.read_bytes())
    known[path.name] |= {
        "inode": stat.st_ino,
        "modified_ns": stat.st_mtime_ns,
        "changed_ns": stat.st_ctime_ns,
    }
    file.write_text(json.dumps(known))
    assert open_archive().backups() == (made,)
    with pytest.raises(Broken, match="is not what was written"):
        open_archive().verify(Path(made.file), "production", database)


@pytest.mark.parametrize("content", [b"", b"nonsense", b"\xff", b"[]", b'{"dhash_x.zip": 1}', None])
def test_a_memory_that_is_no_good_is_ignored_and_replaced(open_archive, root, database, content):
    """Or is a folder, which cannot be: then every list reads all."""
    made = open_archive().create(REQUEST, database, Told())
    file = root / ".rollout" / "checksums.json"
    file.unlink()
    if content is None:
        file.mkdir()
    else:
        file.write_bytes(content)
    assert open_archive().backups() == (made,)
    read, found = read_by(open_archive().backups)
    assert found == (made,)
    assert read > BYTES if content is None else read < BYTES / 4


def test_what_was_removed_is_forgotten(open_archive, root, database):
    """The file does not grow for ever; safety snapshots are not listed, so not in it."""
    archive = open_archive()
    first, second = (archive.create(REQUEST, database, Told()) for _ in range(2))
    archive.create(replace(REQUEST, safety=True), database, Told())
    archive.remove(first)
    assert open_archive().backups() == (second,)
    known = json.loads((root / ".rollout" / "checksums.json").read_bytes())
    assert list(known) == [Path(second.file).name]


def test_looking_makes_no_folder_and_writes_nothing_twice(open_archive, root, database):
    """Without a state folder there is no memory; a list that learned nothing writes nothing."""
    made = open_archive().create(REQUEST, database, Told())
    file = root / ".rollout" / "checksums.json"
    before = file.stat()
    open_archive().backups()
    assert file.stat() == before
    file.unlink()
    file.parent.rmdir()
    assert open_archive().backups() == (made,)
    assert not file.parent.exists()


def test_many_lists_at_once_agree(open_archive, root, database):
    """Several terminals: whoever writes last has written something true."""
    made = open_archive().create(REQUEST, database, Told())
    (root / ".rollout" / "checksums.json").unlink()
    code = f"""
from pathlib import Path
from guarded_rollout.adapters.archive import ZipArchive
from guarded_rollout.adapters.clock import SystemClock
root = Path({str(root)!r})
for _ in range(20):
    archive = ZipArchive(root, SystemClock(), "dhash", root / ".rollout" / "checksums.json")
    print(*(b.sha256 for b in archive.backups() if b.verified))
"""
    processes = [
        subprocess.Popen((sys.executable, "-c", code), stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    said = [process.communicate(timeout=120)[0] for process in processes]
    assert set("".join(said).splitlines()) == {made.sha256}
    assert sorted(path.name for path in (root / ".rollout").iterdir()) == ["checksums.json"]
