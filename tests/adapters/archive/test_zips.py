"""Zips on a real disk: other tools read them, killed makers leave no lie, no byte goes wrong."""

import errno
import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import time
import zipfile
from contextlib import closing
from pathlib import Path

import pytest
from still_clock import StillClock

from guarded_rollout.adapters.archive import ZipArchive
from guarded_rollout.adapters.clock import SystemClock
from guarded_rollout.adapters.sqlite import SqliteDatabase
from guarded_rollout.core.problems import Broken, Busy
from guarded_rollout.ports import BackupRequest

NAME = re.compile(r"backups/dhash_production_[0-9]{8}_[0-9]{6}\.zip")
DEADLINE = 120.0


class Quiet:
    """A control that lets everything happen."""

    def stopped(self) -> bool:
        return False

    def say(self, text: str) -> None:
        """Nothing."""


@pytest.fixture
def root(tmp_path) -> Path:
    root = tmp_path / "root"
    (root / "config").mkdir(parents=True)
    (root / "config" / "dhash_production.conf").write_text("PORT=8080\nDB_PASSWORD=hunter2\n")
    (root / "quality-gates-config.json").write_text('{"health": {"threshold": 2}}\n')
    (root / "data" / "pictures").mkdir(parents=True)
    (root / "data" / "pictures" / "one.png").write_bytes(bytes(range(256)) * 10)
    return root


FILES = ("config/dhash_production.conf", "quality-gates-config.json", "data")
REQUEST = BackupRequest("production", "1.2.0-3f9c0a1b2c4d", "ada", "before 1.3.0", FILES)


def make(path: Path, rows: int) -> SqliteDatabase:
    path.parent.mkdir(exist_ok=True)
    with closing(sqlite3.connect(path)) as c:
        c.execute("PRAGMA journal_mode = WAL")
        c.execute("CREATE TABLE alembic_version (version_num TEXT)")
        c.execute("INSERT INTO alembic_version VALUES ('0002')")
        c.execute("CREATE TABLE debit (id INTEGER PRIMARY KEY, pad TEXT)")
        c.execute("CREATE TABLE credit (id INTEGER PRIMARY KEY)")
        c.executemany(
            "INSERT INTO debit VALUES (?, hex(randomblob(200)))", ((i,) for i in range(rows))
        )
        c.executemany("INSERT INTO credit VALUES (?)", ((i,) for i in range(rows)))
        c.commit()
    return SqliteDatabase(path, SystemClock())


@pytest.fixture
def database(root) -> SqliteDatabase:
    return make(root / "data" / "it.db", 100)


@pytest.fixture
def archive(root) -> ZipArchive:
    return ZipArchive(root, SystemClock(), "dhash")


def listing(root: Path) -> list[str]:
    return sorted(path.name for path in (root / "backups").iterdir())


def test_other_tools_read_it(archive, database, root, tmp_path):
    """sha256sum -c from the root, unzip -t, and sqlite3 on what unzip wrote."""
    backup = archive.create(REQUEST, database, Quiet())
    assert NAME.fullmatch(backup.file)
    subprocess.run(["sha256sum", "-c", f"{backup.file}.sha256"], cwd=root, check=True)
    subprocess.run(["unzip", "-tq", backup.file], cwd=root, check=True)
    subprocess.run([sys.executable, "-m", "zipfile", "-t", backup.file], cwd=root, check=True)
    out = tmp_path / "out"
    subprocess.run(["unzip", "-q", root / backup.file, "-d", out], check=True)
    with closing(sqlite3.connect(out / "database" / "it.sqlite")) as c:
        assert c.execute("SELECT count(*) FROM debit").fetchone() == (100,)
    for path in (root / backup.file, root / f"{backup.file}.sha256"):
        assert path.stat().st_mode & 0o777 == 0o600
    assert (root / "backups").stat().st_mode & 0o777 == 0o700


def test_the_members_are_what_was_asked_for(archive, database, root):
    """The dump, the configuration without secrets, the data without the live database."""
    (root / "data" / "secret.env").write_text("TOKEN=abc123\n")
    backup = archive.create(REQUEST, database, Quiet())
    with zipfile.ZipFile(root / backup.file) as packed:
        said = json.loads(packed.read("MANIFEST.json"))
        contents = {name: packed.read(name) for name in packed.namelist()}
    assert sorted(contents) == [
        "MANIFEST.json",
        "config/dhash_production.conf",
        "config/quality-gates-config.json",
        "data/pictures/one.png",
        "data/secret.env",
        "database/it.sqlite",
    ]
    assert contents["config/dhash_production.conf"] == b"PORT=8080\nDB_PASSWORD=***\n"
    assert contents["data/secret.env"] == b"TOKEN=***\n"
    assert contents["data/pictures/one.png"] == bytes(range(256)) * 10
    assert not any(b"hunter2" in content for content in contents.values())
    hidden = {member["name"]: member["hidden"] for member in said["members"] if member["hidden"]}
    assert hidden == {"config/dhash_production.conf": [2], "data/secret.env": [1]}
    assert said["format"] == 3
    assert (said["service"], said["environment"], said["schema"]) == ("dhash", "production", "0002")
    assert (said["by"], said["reason"]) == ("ada", "before 1.3.0")
    assert said["database"]["rows"] == {"credit": 100, "debit": 100}
    assert said["tool"].startswith("guarded-rollout ")
    assert said["sqlite"] == sqlite3.sqlite_version


def test_two_in_one_second_get_two_names(root, database):
    """The second waits for the next second; nothing is overwritten."""
    archive = ZipArchive(root, StillClock(1_800_000_000.25), "dhash")
    files = [archive.create(REQUEST, database, Quiet()).file for _ in range(3)]
    assert files == [f"backups/dhash_production_20270115_08000{n}.zip" for n in range(3)]
    assert all(backup.verified for backup in archive.backups())


def test_a_clock_that_stands_still_gives_up(root, database):
    """Rather than overwrite, or wait for ever."""

    class Stuck(StillClock):
        def sleep(self, seconds: float) -> None:
            """Time does not pass."""

    archive = ZipArchive(root, Stuck(1_800_000_000.0), "dhash")
    archive.create(REQUEST, database, Quiet())
    with pytest.raises(Busy, match="every second of the last minute"):
        archive.create(REQUEST, database, Quiet())


def test_an_orphaned_checksum_is_no_name_to_reuse(root, database):
    """Whoever lost a zip may still look for it."""
    archive = ZipArchive(root, StillClock(1_800_000_000.0), "dhash")
    (root / "backups").mkdir()
    orphan = root / "backups" / "dhash_production_20270115_080000.zip.sha256"
    orphan.write_text("x")
    assert archive.create(REQUEST, database, Quiet()).file.endswith("_080001.zip")
    assert orphan.read_text() == "x"


def test_a_backup_while_a_writer_writes_is_one_moment(archive, root, database):
    """Two tables always written together have equally many rows in it."""
    code = """
import sqlite3, sys
c = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=60)
print("begun", flush=True)
while True:
    c.execute("BEGIN IMMEDIATE")
    c.execute("INSERT INTO debit (pad) VALUES (hex(randomblob(2000)))")
    c.execute("INSERT INTO credit DEFAULT VALUES")
    c.execute("COMMIT")
"""
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(database.path)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout.readline() == "begun\n"
        backups = [archive.create(REQUEST, database, Quiet()) for _ in range(3)]
        assert process.poll() is None
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
    rows = [backup.rows["debit"] for backup in backups]
    assert rows == [backup.rows["credit"] for backup in backups]
    assert rows[0] < rows[1] < rows[2]
    for backup in backups:
        assert archive.verify(Path(backup.file), "production", database) == backup


MAKER = """
import sys
from pathlib import Path
from guarded_rollout.adapters.archive import ZipArchive
from guarded_rollout.adapters.clock import SystemClock
from guarded_rollout.adapters.sqlite import SqliteDatabase
from guarded_rollout.ports import BackupRequest
root, database = map(Path, sys.argv[1:3])
class Loud:
    def stopped(self): print("?", flush=True); return False
    def say(self, text): print(text, flush=True)
{extra}
ZipArchive(root, SystemClock(), "dhash").create(
    BackupRequest("production", None, "ada", "", ("config/dhash_production.conf", "data")),
    SqliteDatabase(database, SystemClock()), Loud())
print("made", flush=True)
"""


def test_makers_killed_at_any_moment_leave_no_lie(root, archive, tmp_path):
    """Killed from outside, at thirty moments spread over the time that a backup takes."""
    database = make(tmp_path / "big" / "it.db", 12_000)
    began = time.perf_counter()
    command = [sys.executable, "-c", MAKER.format(extra=""), root, database.path]
    subprocess.run(command, check=True, capture_output=True)
    took = time.perf_counter() - began
    for moment in range(30):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        try:
            process.wait(timeout=took * (0.3 + 0.8 * moment / 30))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        for backup in archive.backups():
            assert archive.verify(Path(backup.file), "production", database) == backup
    archive.create(REQUEST, database, Quiet())
    names = {Path(backup.file).name for backup in archive.backups()}
    assert set(listing(root)) == names | {f"{name}.sha256" for name in names}


def test_a_running_makers_workspace_is_not_swept(root, archive, tmp_path):
    """The next create takes only what belongs to the dead."""
    database = make(tmp_path / "big" / "it.db", 2000)
    wait = "Loud.say = lambda self, text: input() if 'packing' in text else None"
    command = [sys.executable, "-c", MAKER.format(extra=wait), root, database.path]
    with subprocess.Popen(command, stdin=subprocess.PIPE, text=True) as process:
        try:
            clock = SystemClock()
            until = clock.monotonic() + DEADLINE
            while not list(root.glob("backups/.*.partial/dump")):
                assert clock.monotonic() < until
                assert process.poll() is None
            archive.create(REQUEST, database, Quiet())
            process.communicate("go on\n", timeout=DEADLINE)
            assert process.returncode == 0
        finally:
            process.kill()
    assert [backup.verified for backup in archive.backups()] == [True, True]
    assert len(listing(root)) == 4


def test_two_makers_at_once_both_succeed(root, archive, tmp_path):
    """They take two names."""
    database = make(tmp_path / "big" / "it.db", 2000)
    command = [sys.executable, "-c", MAKER.format(extra=""), root, database.path]
    processes = [subprocess.Popen(command, stdout=subprocess.DEVNULL) for _ in range(3)]
    assert [process.wait(DEADLINE) for process in processes] == [0, 0, 0]
    assert [backup.verified for backup in archive.backups()] == [True, True, True]
    assert len(listing(root)) == 6


@pytest.mark.parametrize(
    ("limit", "words"),
    [
        (100_000, "could not be copied"),
        (5_000_000, "could not be copied"),
        (8_000_000, "cannot be used: File too large"),
        (None, "cannot be used: File too large"),
    ],
)
def test_a_full_disk_leaves_nothing(root, archive, tmp_path, limit, words):
    """A real limit on file sizes: the dump does not fit, or the zip, or only the zip's end."""
    database = make(tmp_path / "big" / "it.db", 12_000)
    (root / "data" / "noise").write_bytes(os.urandom(9_100_000))
    if limit is None:
        request = BackupRequest("production", None, "ada", "", FILES[:1] + FILES[2:])
        whole = archive.create(request, database, Quiet())
        limit = whole.size - 100
        archive.remove(whole)
    extra = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))"
    done = subprocess.run(
        [sys.executable, "-c", MAKER.format(extra=extra), root, database.path],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "problems.Broken" in done.stderr
    assert words in done.stderr
    assert listing(root) == []


def test_no_room_is_said_before_anything_is_written(root, archive, database):
    """A database of a terabyte (a sparse one) does not fit."""
    with database.path.open("r+b") as file:
        try:
            file.truncate(1 << 40)
        except OSError as error:  # a file system without such large files
            assert error.errno == errno.EFBIG  # noqa: PT017
            file.truncate(shutil.disk_usage(root).free + (1 << 30))
    with pytest.raises(Broken, match=r"backups has [0-9]+ bytes free, the backup needs [0-9]+"):
        archive.create(REQUEST, database, Quiet())
    assert listing(root) == []


def test_a_backups_folder_that_is_a_file_is_said_plainly(root, archive, database):
    """The operating system's reason is in the message."""
    (root / "backups").write_text("x")
    with pytest.raises(Broken, match="backups cannot be used"):
        archive.create(REQUEST, database, Quiet())


def test_a_copy_elsewhere_verifies_by_where_it_is(archive, root, database, tmp_path):
    """The path inside the checksum file is for sha256sum, not for us."""
    backup = archive.create(REQUEST, database, Quiet())
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    for suffix in ("", ".sha256"):
        shutil.copy(root / (backup.file + suffix), elsewhere / ("copy.zip" + suffix))
    shutil.rmtree(root / "backups")
    found = archive.verify(elsewhere / "copy.zip", "production", database)
    assert found.rows == backup.rows
    assert found.file == str(elsewhere / "copy.zip")


def test_a_backup_that_disappears_while_it_is_listed_is_no_error(archive, root, database):
    """Another controller prunes at the same time."""
    for _ in range(2):
        archive.create(REQUEST, database, Quiet())
    gone = archive.backups()[0]

    class Racing(ZipArchive):
        def _look(self, path, name):
            archive.remove(gone)
            return super()._look(path, name)

    (left,) = Racing(root, SystemClock(), "dhash").backups()
    assert left.file != gone.file
