"""A dump takes the live file's place: kills, full disks, locks, and logs of before."""

import os
import shutil
import signal
import sqlite3
import subprocess
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest
import sqlite_files as files

from guarded_rollout.core.problems import Broken, Busy
from guarded_rollout.testing.control import Told

RESTORE = """
import os, resource, signal, sys
from pathlib import Path
from guarded_rollout.adapters.clock import SystemClock
from guarded_rollout.adapters.sqlite import SqliteDatabase
from guarded_rollout.core.problems import Broken

class Dies:
    asked = 0
    def stopped(self):
        self.asked += 1
        if self.asked == int(sys.argv[3]):
            os.kill(os.getpid(), signal.SIGKILL)
        return False
    def say(self, text):
        pass

limit = int(sys.argv[4])
if limit:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    if sys.argv[5] == "dies":
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
try:
    SqliteDatabase(Path(sys.argv[1]), SystemClock()).restore(Path(sys.argv[2]), Dies())
    print("done")
except Broken as problem:
    print(problem)
"""
KILLED = -signal.SIGKILL
STATES = ("wal", "delete", "log left", "journal left", "nothing", "a log of nothing")
SMALL, BIG = 300, 2500


def state(name: str, folder: Path, rows: int = SMALL) -> Path:
    """What the restore finds."""
    file = folder / "it.db"
    folder.mkdir()
    if name == "a log of nothing":
        other = folder / "other.db"
        files.padded(other, "wal", rows)
        files.leave_a_log(other)
        shutil.copy(folder / "other.db-wal", folder / "it.db-wal")
        for path in folder.glob("other.db*"):
            path.unlink()
    elif name != "nothing":
        files.padded(file, "delete" if name in {"delete", "journal left"} else "wal", rows)
        if name == "log left":
            files.leave_a_log(file)
        elif name == "journal left":
            files.leave_a_journal(file)
    return file


@pytest.fixture(scope="module")
def dump(tmp_path_factory) -> Path:
    """Two steps of the copy and a bit."""
    folder = tmp_path_factory.mktemp("dump")
    files.padded(folder / "source.db", "wal", BIG).dump(folder / "dump", Told())
    return folder / "dump"


def found_by_the_next(file: Path):
    """In a copy, so that looking repairs nothing."""
    copy = file.parent.with_name("looked at")
    shutil.copytree(file.parent, copy)
    try:
        return files.content(copy / file.name)
    finally:
        shutil.rmtree(copy)


def old_or_new(file: Path, dump: Path, old) -> str:
    """Which of both it is; and a second restore goes to the end, with nothing left over."""
    new = files.content(dump)
    found = found_by_the_next(file)
    assert found in (old, new)
    database = files.database(file)
    database.restore(dump, Told())
    assert found_by_the_next(file) == new
    assert {path.name for path in file.parent.iterdir()} == {"it.db"}
    return "new" if found == new else "old"


@pytest.mark.parametrize("name", STATES)
def test_a_restore_puts_the_dump_there_whatever_it_finds(name, dump, tmp_path):
    """Also with a dead service's log or journal, which must not come over it afterwards."""
    file = state(name, tmp_path / "data")
    files.database(file).restore(dump, Told())
    assert {path.name for path in file.parent.iterdir()} == {"it.db"}
    assert files.content(file) == files.content(dump)


@pytest.mark.parametrize(
    ("name", "asked"),
    [(name, asked) for name in STATES for asked in ((1, 2) if "nothing" in name else (1, 2, 3))],
)
def test_a_restore_killed_between_its_steps_leaves_the_old(name, asked, dump, tmp_path):
    file = state(name, tmp_path / "data")
    old = found_by_the_next(file)
    assert files.child(RESTORE, file, dump, asked, 0, "").returncode == KILLED
    assert old_or_new(file, dump, old) == "old"


@pytest.mark.parametrize("name", ["wal", "delete", "log left", "journal left", "nothing"])
@pytest.mark.parametrize("part", [0.4, 0.99])
@pytest.mark.parametrize("end", ["dies", "goes on"])
def test_a_restore_that_may_not_write_more_leaves_the_old(name, part, end, dump, tmp_path):
    """Killed at a byte, or told that there is no room."""
    file = state(name, tmp_path / "data")
    old = found_by_the_next(file)
    limit = int(dump.stat().st_size * part)
    done = files.child(RESTORE, file, dump, 0, limit, end)
    if end == "dies":
        assert done.returncode == -signal.SIGXFSZ
    else:
        assert f"make room in {file.parent}" in done.stdout
        assert {path.name for path in file.parent.iterdir()} <= {"it.db"}
    assert old_or_new(file, dump, old) == "old"


@pytest.mark.skipif(not files.tracer_works(), reason="nothing here ends a process at a system call")
@pytest.mark.parametrize("name", ["wal", "delete", "log left", "journal left", "nothing"])
def test_a_restore_killed_at_each_sync_leaves_the_old_or_the_new(name, tmp_path):
    """Whatever is written lies between two of these."""
    files.padded(tmp_path / "source.db", "wal", 60).dump(tmp_path / "dump", Told())
    original = state(name, tmp_path / "original", rows=20)
    old = found_by_the_next(original)
    seen: list[str] = []
    killed = True
    while killed:
        file = tmp_path / "data" / "it.db"
        shutil.copytree(original.parent, file.parent)
        calls = "fsync,fdatasync,ftruncate,unlink,unlinkat,rename"
        inject = f"inject={calls}:signal=KILL:when={len(seen) + 1}"
        tracer = ("strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={calls}", "-e", inject)
        done = files.child(RESTORE, file, tmp_path / "dump", 0, 0, "", tracer=tracer)
        assert done.returncode in {0, KILLED}
        killed = done.returncode == KILLED
        seen.append(old_or_new(file, tmp_path / "dump", old))
        shutil.rmtree(file.parent)
    assert seen == sorted(seen, reverse=True)  # old, old, ..., new, new
    assert {"old", "new"} == set(seen)


@contextmanager
def small_disk(folder: Path, size: int):
    """A file system of its own."""
    folder.mkdir()
    mount = ("mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder))
    if os.geteuid() != 0 or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("only root may make a small disk, and not everywhere")
    try:
        yield
    finally:
        subprocess.run(("umount", "--lazy", str(folder)), check=True)


@pytest.mark.parametrize("mode", ["wal", "delete", "nothing"])
def test_a_full_disk_leaves_the_old_and_room(mode, dump, tmp_path):
    """The room that the attempt took is given back, also while a service has the file open."""
    disk = tmp_path / "disk"
    with small_disk(disk, dump.stat().st_size // 2):
        file = disk / "it.db"
        service = None
        if mode != "nothing":
            files.padded(file, mode, SMALL)
            service = sqlite3.connect(file)
            service.execute("SELECT count(*) FROM t").fetchone()
        old = files.content(file)
        free = shutil.disk_usage(disk).free
        with pytest.raises(Broken, match=rf"(?s)make room in {disk}"):
            files.database(file).restore(dump, Told())
        assert files.content(file) == old
        assert shutil.disk_usage(disk).free > free - 100_000
        if service is not None:
            assert service.execute("SELECT count(*) FROM t").fetchone() == (SMALL,)
            service.close()


@pytest.mark.parametrize("mode", ["wal", "delete"])
def test_a_writer_that_holds_the_lock_makes_it_busy(mode, dump, tmp_path):
    database = files.padded(tmp_path / "it.db", mode, SMALL)
    with closing(sqlite3.connect(database.path, isolation_level=None)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        writer.execute("DELETE FROM t WHERE id = 1")
        with pytest.raises(Busy, match=r"it\.db is locked.*0\.3 s"):
            database.restore(dump, Told())
        writer.execute("COMMIT")
    assert len(files.content(database.path)) == SMALL - 1
    database.restore(dump, Told())
    assert files.content(database.path) == files.content(dump)


@pytest.mark.parametrize("mode", ["wal", "delete"])
def test_a_service_that_stays_connected_sees_the_new_content(mode, dump, tmp_path):
    """Its statements go on, and what it writes next goes into the new content."""
    database = files.padded(tmp_path / "it.db", mode, SMALL)
    with closing(sqlite3.connect(database.path, isolation_level=None)) as service:
        assert service.execute("SELECT count(*) FROM t").fetchone() == (SMALL,)
        database.restore(dump, Told())
        assert service.execute("SELECT count(*) FROM t").fetchone() == (BIG,)
        service.execute("INSERT INTO t VALUES (-1, NULL)")
    assert files.content(database.path) == [(-1, None), *files.content(dump)]


def test_a_reader_of_before_reads_on_and_the_file_has_the_new_content_afterwards(dump, tmp_path):
    """While it reads, the log cannot be emptied; that is no failure."""
    database = files.padded(tmp_path / "it.db", "wal", SMALL)
    with closing(sqlite3.connect(database.path, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        assert reader.execute("SELECT count(*) FROM t").fetchone() == (SMALL,)
        database.restore(dump, Told())
        assert reader.execute("SELECT count(*) FROM t").fetchone() == (SMALL,)
        assert database.rows() == {"t": BIG}
        reader.execute("COMMIT")
        assert reader.execute("SELECT count(*) FROM t").fetchone() == (BIG,)
    assert not database.path.with_name("it.db-wal").exists()
    assert files.content(database.path) == files.content(dump)


def test_the_file_keeps_its_mode_and_owner(dump, tmp_path):
    """And where there was none it is its folder's owner's, and for nobody else."""
    database = files.padded(tmp_path / "it.db", "wal", SMALL)
    other = files.database(tmp_path / "other" / "it.db")
    owner = (os.getuid(), os.getgid())
    if os.geteuid() == 0:
        owner = (4321, 1234)
        os.chown(database.path, *owner)
        os.chown(other.path.parent, *owner)
    database.path.chmod(0o640)
    inode = database.path.stat().st_ino
    database.restore(dump, Told())
    other.restore(dump, Told())
    for file, mode in ((database.path, 0o640), (other.path, 0o600)):
        found = file.stat()
        assert (found.st_uid, found.st_gid, found.st_mode & 0o777) == (*owner, mode)
    assert database.path.stat().st_ino == inode


@pytest.mark.parametrize("mode", ["wal", "delete"])
@pytest.mark.parametrize("page_size", [1024, 16384])
def test_pages_of_another_size_go_in_too(mode, page_size, dump, tmp_path):
    database = files.padded(tmp_path / "it.db", mode, SMALL, page_size)
    database.restore(dump, Told())
    assert files.content(database.path) == files.content(dump)
    assert files.read(database.path, "PRAGMA page_size") == [(4096,)]


def test_a_damaged_file_is_overwritten_and_what_is_no_database_is_left_alone(dump, tmp_path):
    """The message says what to do then, and that helps."""
    database = files.padded(tmp_path / "it.db", "wal", SMALL)
    with database.path.open("r+b") as file:
        file.seek(8 * 4096)
        file.write(os.urandom(40 * 4096))
    with pytest.raises(Broken, match=r"damaged|not a sound"):
        database.prove(database.path)
    database.restore(dump, Told())
    assert files.content(database.path) == files.content(dump)
    database.path.write_bytes(b"no database at all. " * 1000)
    with pytest.raises(Broken, match=r"(?s)not a sound SQLite database.*move it.*away"):
        database.restore(dump, Told())
    assert database.path.read_bytes().startswith(b"no database")
    database.path.unlink()
    database.restore(dump, Told())
    assert files.content(database.path) == files.content(dump)


def test_what_a_killed_restore_left_beside_is_swept_by_the_next(dump, tmp_path):
    """Where there is no file yet the copy is made beside, under a lock."""
    file = state("nothing", tmp_path / "data")
    assert files.child(RESTORE, file, dump, 2, 0, "").returncode == KILLED
    assert [path.suffix for path in file.parent.iterdir()] == [".scratch"]
    files.database(file).scratch("drill").discard()
    assert list(file.parent.iterdir()) == []
    with suppress(FileNotFoundError):
        file.unlink()
