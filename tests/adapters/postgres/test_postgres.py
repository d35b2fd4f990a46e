"""A real PostgreSQL: dumps while writers write, backups that come back, doors that stay shut."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from guarded_rollout.adapters.archive import ZipArchive
from guarded_rollout.adapters.clock import SystemClock
from guarded_rollout.adapters.postgres import PostgresDatabase
from guarded_rollout.adapters.postgres.content_file import FILE
from guarded_rollout.core.problems import BadInput, Broken, Busy, Interrupted
from guarded_rollout.engine.drill import Drill
from guarded_rollout.ports import BackupRequest

DEADLINE = 120.0
TABLES = {"images": 300, 'odd "name"': 2, "select": 1, "empty": 0}
REQUEST = BackupRequest("production", None, "ada", "test", ())


class Told:
    """A control that stops after `after` questions."""

    def __init__(self, after: int = 10**9) -> None:
        self.after = after
        self.asked = 0

    def stopped(self) -> bool:
        self.asked += 1
        return self.asked > self.after

    def say(self, text: str) -> None:
        """Nothing."""


@pytest.fixture
def filled(postgres) -> PostgresDatabase:
    database = postgres.database()
    statements = ["CREATE TABLE alembic_version (version_num text)"]
    statements.append("INSERT INTO alembic_version VALUES ('0007')")
    for table, rows in TABLES.items():
        name = '"' + table.replace('"', '""') + '"'
        statements.append(f"CREATE TABLE {name} (id int PRIMARY KEY, words text)")
        word = "E'word\\n\\t\\\\.' || i"
        statements.append(f"INSERT INTO {name} SELECT i, {word} FROM generate_series(1, {rows}) i")
    postgres.run(*statements, name=database.access.name, user="dhash")
    return database


@pytest.fixture
def archive(tmp_path) -> ZipArchive:
    return ZipArchive(tmp_path, SystemClock(), "dhash")


def drill(archive, database) -> Drill:
    return Drill(archive, database, SystemClock(), "production")


def test_a_database_that_was_never_made_is_empty_until_prepared(postgres, tmp_path):
    """Looking makes nothing."""
    database = postgres.database(make=False)
    assert not database.exists()
    assert (database.revision(), database.rows(), database.schema()) == (None, {}, ())
    with pytest.raises(Broken, match="no database"):
        database.dump(tmp_path / "copy", Told())
    assert database.access.name not in postgres.databases()
    database.prepare()
    database.prepare()
    assert database.exists()


@pytest.mark.parametrize("socket", [False, True])
def test_the_url_is_one_that_sqlalchemy_reads_and_connects_by(postgres, filled, socket):
    """Without a password, which the environment has; also over a unix socket."""
    from sqlalchemy import create_engine, text
    from sqlalchemy.engine import make_url

    access = postgres.access(filled.access.name, socket=socket)
    url = make_url(access.url())
    assert url.password is None
    engine = create_engine(url)
    with engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM images")).scalar() == 300
    engine.dispose()


def test_a_dump_has_the_same_rows_and_proves_sound(filled, tmp_path):
    """Odd names, reserved words, line ends in values."""
    copy = tmp_path / "copy"
    dumped = filled.dump(copy, Told())
    assert dumped.rows == TABLES == filled.rows() == filled.prove(copy)
    assert dumped.schema == filled.schema()
    assert filled.revision() == "0007"
    assert copy.stat().st_mode & 0o777 == 0o700
    assert all(file.stat().st_mode & 0o777 == 0o600 for file in copy.iterdir())
    with pytest.raises(BadInput, match="exists already"):
        filled.dump(copy, Told())


@pytest.fixture
def lingering(monkeypatch, tmp_path):
    """A pg_dump that has written all and ends a second later."""
    folder = tmp_path / "tools"
    folder.mkdir()
    for name, wait in (("pg_dump", "sleep 1"), ("pg_restore", "true")):
        real = Path(os.environ["PG_BIN"]) / name
        lines = f'#!/bin/sh\n{real} "$@" || exit\ncase $1 in --version) ;; *) {wait};; esac\n'
        (folder / name).write_text(lines)
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PG_BIN", str(folder))


def test_what_is_told_of_as_whole_may_be_taken_away(filled, tmp_path, lingering):
    """While the rest is still dumped: it has its end, and counts all the same."""
    copy, taken = tmp_path / "copy", tmp_path / "taken"
    taken.mkdir()
    dumped = filled.dump(copy, Told(), lambda path: path.rename(taken / path.name))
    assert dumped.rows == TABLES
    moved = list(taken.iterdir())
    assert len(moved) == len(TABLES) + 1  # and the migrations' own
    for path in moved:
        path.rename(copy / path.name)
    assert filled.prove(copy) == TABLES


def test_when_it_cannot_be_taken_away_the_dump_ends(filled, tmp_path, lingering):
    """The disk that it should go to is full: pg_dump ends, and nothing is left."""

    def full(path):
        raise OSError(28, "No space left on device", str(path))

    with pytest.raises(Broken, match="cannot be written: No space left on device"):
        filled.dump(tmp_path / "copy", Told(), full)
    assert not (tmp_path / "copy").exists()


@pytest.mark.parametrize("damage", ["cut", "zeros", "lines", "missing", "toc"])
def test_a_damaged_dump_is_not_proven(filled, tmp_path, damage):
    """Whatever happened to the copy, prove raises Broken and names it."""
    copy = tmp_path / "copy"
    filled.dump(copy, Told())
    victim = max(copy.glob("*.dat"), key=lambda file: (file.name != "toc.dat", file.stat().st_size))
    whole = victim.read_bytes()
    half = len(whole) // 2
    if damage == "missing":
        victim.unlink()
    elif damage == "toc":
        (copy / "toc.dat").write_bytes((copy / "toc.dat").read_bytes()[:50])
    else:
        change = {
            "cut": whole[:half],
            "zeros": whole[:half] + bytes(16) + whole[half + 16 :],
            "lines": whole[whole.index(b"\n") + 1 :],
        }
        victim.write_bytes(change[damage])
    with pytest.raises(Broken, match=str(copy)):
        filled.prove(copy)


def test_a_dump_that_is_told_to_stop_leaves_nothing(filled, tmp_path):
    """Interrupted, and no folder."""
    with pytest.raises(Interrupted):
        filled.dump(tmp_path / "copy", Told(after=0))
    assert list(tmp_path.iterdir()) == []


def test_a_dump_under_a_writer_is_one_moment_and_comes_back_so(postgres, filled, archive):
    """Two tables that always agree agree in the backup, in its manifest and when restored."""
    name = filled.access.name
    postgres.run(
        "CREATE TABLE debit (n int)", "CREATE TABLE credit (n int)", name=name, user="dhash"
    )
    stop, written = threading.Event(), threading.Event()

    def write() -> None:
        with postgres.connect(name) as connection:
            n = 0
            while not stop.is_set():
                n += 1
                with connection.transaction():
                    connection.execute("INSERT INTO debit VALUES (%s)", (n,))
                    connection.execute("INSERT INTO credit VALUES (%s)", (n,))
                written.set()

    thread = threading.Thread(target=write)
    thread.start()
    try:
        assert written.wait(DEADLINE)
        backup = archive.create(REQUEST, filled, Told())
    finally:
        stop.set()
        thread.join(DEADLINE)
    assert backup.rows["debit"] == backup.rows["credit"] > 0
    assert filled.rows()["debit"] > backup.rows["debit"]
    done = drill(archive, filled).run(Path(backup.file), Told())
    assert done.hashed
    assert not {one for one in postgres.databases() if one.startswith(f"{name}_")}


def test_other_tools_read_the_backup(postgres, filled, archive, tmp_path):
    """unzip and sha256sum -c; and no password is inside."""
    from postgres_of_ours import PASSWORD

    backup = archive.create(REQUEST, filled, Told())
    subprocess.run(["sha256sum", "-c", f"{backup.file}.sha256"], cwd=tmp_path, check=True)
    subprocess.run(["unzip", "-tq", backup.file], cwd=tmp_path, check=True)
    with zipfile.ZipFile(tmp_path / backup.file) as packed:
        assert "database/toc.dat" in packed.namelist()
        assert not any(PASSWORD.encode() in packed.read(name) for name in packed.namelist())
    assert backup.server.startswith("16.")


def test_a_killed_owners_scratch_goes_and_a_living_ones_stays(postgres, filled):
    """By the lock that dies with its session."""
    code = """
import sys
from guarded_rollout.adapters.clock import SystemClock
from guarded_rollout.adapters.postgres import Access, PostgresDatabase
host, port, name, user = sys.argv[1:]
scratch = PostgresDatabase(Access(host, int(port), name, user), SystemClock()).scratch("verify")
print(scratch.access.name, flush=True)
sys.stdin.read()
"""
    access = filled.access
    arguments = (access.host, str(access.port), access.name, access.user)
    process = subprocess.Popen(
        [sys.executable, "-c", code, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with process:
        left = process.stdout.readline().decode().strip()
        filled.scratch("verify").discard()
        assert left in postgres.databases()
        process.kill()
    assert process.returncode == -signal.SIGKILL
    clock = SystemClock()
    until = clock.monotonic() + DEADLINE
    while left in postgres.databases():
        assert clock.monotonic() < until
        filled.scratch("verify").discard()


def test_two_migrations_at_once_are_impossible(filled):
    """From two sessions, as from two machines; afterwards the lock is free."""
    with filled.alone("to 1.0"), pytest.raises(Busy, match=r"rollout .* to 1\.0"):
        filled.alone("to 2.0").__enter__()
    with filled.alone("to 2.0"):
        pass


def test_a_locked_table_is_busy(postgres, filled, tmp_path):
    """After a bounded wait; nothing is left."""
    quick = PostgresDatabase(filled.access, SystemClock(), wait_seconds=0.2)
    with postgres.connect(filled.access.name) as other, other.transaction():
        other.execute("LOCK TABLE images IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(Busy, match="is locked"):
            quick.rows()
        with pytest.raises(Busy, match="is locked"):
            quick.dump(tmp_path / "copy", Told())
    assert list(tmp_path.iterdir()) == []


def test_the_password_may_be_in_a_file_and_a_wrong_one_is_told(filled, monkeypatch, tmp_path):
    """The message says whose, where, and never the password."""
    password = os.environ["PGPASSWORD"]
    monkeypatch.delenv("PGPASSWORD")
    (tmp_path / "secret").write_text(password + "\n")
    monkeypatch.setenv("PGPASSWORD_FILE", str(tmp_path / "secret"))
    assert filled.exists()
    assert filled.environment()["PGPASSWORD"] == password
    (tmp_path / "secret").write_text("swordfish")
    with pytest.raises(BadInput, match="refuses the password of dhash") as caught:
        filled.exists()
    assert "swordfish" not in str(caught.value)
    (tmp_path / "secret").unlink()
    with pytest.raises(BadInput, match="PGPASSWORD_FILE names cannot be read"):
        filled.exists()


def test_a_server_that_is_away_is_told(filled):
    """With its address."""
    away = replace(filled, access=replace(filled.access, port=1))
    with pytest.raises(Broken, match=r"on 127\.0\.0\.1:1 failed"):
        away.exists()


def test_missing_and_older_tools_are_named(filled, monkeypatch, tmp_path):
    """PG_BIN is taken at its word."""
    monkeypatch.setenv("PG_BIN", str(tmp_path))
    with pytest.raises(BadInput, match="pg_dump and pg_restore are not in PG_BIN"):
        filled.dump(tmp_path / "copy", Told())
    for name in ("pg_dump", "pg_restore"):
        (tmp_path / name).write_text(f"#!/bin/sh\necho '{name} (PostgreSQL) 9.6.24'\n")
        (tmp_path / name).chmod(0o755)
    with pytest.raises(BadInput, match=r"is PostgreSQL 16, but .* is of version 9\.6\.24"):
        filled.dump(tmp_path / "copy", Told())
    assert not (tmp_path / "copy").exists()


def until_nobody_works_in(folder):
    """Wait until no process has the folder on its command line."""
    clock = SystemClock()
    deadline = clock.monotonic() + 30
    while any(str(folder).encode() in line for line in command_lines()):
        assert clock.monotonic() < deadline, "pg_dump outlived its maker"
        clock.sleep(0.05)


def command_lines():
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            yield file.read_bytes()


def test_a_maker_killed_in_mid_dump_leaves_no_backup_and_no_lie(filled, archive, tmp_path):
    """What it left is swept by the next one."""
    code = """
import os, signal, sys
from pathlib import Path
from guarded_rollout.adapters.archive import ZipArchive
from guarded_rollout.adapters.clock import SystemClock
from guarded_rollout.adapters.postgres import Access, PostgresDatabase
from guarded_rollout.ports import BackupRequest
root, host, port, name, user = sys.argv[1:]
class Dies:
    def stopped(self):
        if list(Path(root).glob("backups/.*/dump")):
            os.kill(os.getpid(), signal.SIGKILL)
        return False
    def say(self, text): pass
database = PostgresDatabase(Access(host, int(port), name, user), SystemClock())
ZipArchive(Path(root), SystemClock(), "dhash").create(
    BackupRequest("production", None, "ada", "", ()), database, Dies())
"""
    access = filled.access
    arguments = (str(tmp_path), access.host, str(access.port), access.name, access.user)
    died = subprocess.run([sys.executable, "-c", code, *arguments], check=False)
    assert died.returncode == -signal.SIGKILL
    assert archive.backups() == ()
    until_nobody_works_in(tmp_path)  # the leash ends pg_dump a moment after its maker
    backup = archive.create(REQUEST, filled, Told())
    names = sorted(path.name for path in (tmp_path / "backups").iterdir())
    assert names == [Path(backup.file).name, Path(backup.file).name + ".sha256"]


def test_a_substituted_backup_is_refused(filled, postgres, archive, tmp_path):
    """A good zip under another one's checksum."""
    first = archive.create(REQUEST, filled, Told())
    second = archive.create(REQUEST, filled, Told())
    shutil.copy(tmp_path / first.file, tmp_path / second.file)
    with pytest.raises(Broken, match="is not what was written"):
        drill(archive, filled).run(Path(second.file), Told())


def test_a_backup_without_a_tables_data_is_not_made(filled, archive, monkeypatch, tmp_path):
    """The tools say that all is well; the server has a table more than the dump."""
    for name in ("pg_dump", "pg_restore"):
        real = Path(os.environ["PG_BIN"]) / name
        without = "--exclude-table-data=images" if name == "pg_dump" else ""
        (tmp_path / name).write_text(f'#!/bin/sh\nexec {real} "$@" {without}\n')
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PG_BIN", str(tmp_path))
    with pytest.raises(Broken, match="is not a whole dump: it has no rows of images"):
        archive.create(REQUEST, filled, Told())
    assert archive.backups() == ()


def test_a_table_whose_data_are_missing_does_not_go_in(filled, tmp_path):
    """The dump says itself what was there."""
    copy = tmp_path / "copy"
    filled.dump(copy, Told())
    said = (copy / FILE).read_bytes()
    shutil.rmtree(copy)
    tool = Path(os.environ["PG_BIN"]) / "pg_dump"
    environment = {**os.environ, **filled.access.tool_environment()}
    without = ("-Fd", "-Z0", "--exclude-table-data=images", f"--file={copy}")
    subprocess.run([tool, *without], env=environment, check=True)
    (copy / FILE).write_bytes(said)
    with pytest.raises(Broken, match="images has no rows, not 300"):
        filled.prove(copy)
    with pytest.raises(Broken, match="images has no rows, not 300"):
        filled.restore(copy, Told())
    assert filled.rows() == TABLES
