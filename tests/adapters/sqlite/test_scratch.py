"""Databases for trying things out: whose owner is dead is gone, whose owner lives is not."""

import signal
import subprocess
import sys
from contextlib import contextmanager

import pytest
import sqlite_files as files

from guarded_rollout.core.problems import Broken
from guarded_rollout.testing.control import Told

OWNER = """
import sys
from pathlib import Path
from guarded_rollout.adapters.clock import SystemClock
from guarded_rollout.adapters.sqlite import SqliteDatabase
from guarded_rollout.testing.control import Told
scratch = SqliteDatabase(Path(sys.argv[1]), SystemClock()).scratch("rehearsal")
scratch.fill(Path(sys.argv[2]), Told())
print(scratch.path, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def database(tmp_path):
    made = files.padded(tmp_path / "data" / "it.db", "wal", 5)
    made.dump(tmp_path / "dump", Told())
    return made


@contextmanager
def owner(database, dump):
    """A process with a filled scratch database, for as long as it lives."""
    process = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(database.path), str(dump)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        path = process.stdout.readline().strip()
        assert path
        yield process, files.database(database.path.parent / path)
    finally:
        process.kill()
        process.communicate()


def beside(database) -> list[str]:
    return sorted(path.name for path in database.path.parent.iterdir() if path != database.path)


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM])
def test_what_a_dead_owner_left_is_gone_with_the_next(database, tmp_path, end):
    """With all that was in it, also when it died while it wrote."""
    with owner(database, tmp_path / "dump") as (process, scratch):
        files.leave_a_log(scratch.path)
        process.send_signal(end)
        process.wait()
        assert len(beside(database)) == 1
        mine = database.scratch("drill")
        assert beside(database) == [mine.path.parent.name]
        mine.discard()
    assert beside(database) == []


def test_those_of_living_owners_stay_side_by_side(database, tmp_path):
    """In processes of their own and within one; each has its own content."""
    before = files.content(database.path)
    dump = tmp_path / "dump"
    with owner(database, dump) as (_, one), owner(database, dump) as (_, two):
        mine, another = database.scratch("rehearsal"), database.scratch("rehearsal")
        assert len({one.path, two.path, mine.path, another.path}) == 4
        mine.fill(dump, Told())
        files.run(one.path, "DELETE FROM t WHERE id < 3")
        files.run(mine.path, "DELETE FROM t WHERE id < 2")
        counts = [each.rows() for each in (one, two, mine, another)]
        assert counts == [{"t": 3}, {"t": 5}, {"t": 4}, {}]
        mine.discard()
        mine.discard()
        assert len(beside(database)) == 3
        another.discard()
    database.scratch("drill").discard()
    assert beside(database) == []
    assert files.content(database.path) == before


def test_a_process_that_the_owner_started_does_not_keep_it(database):
    """A release on trial may outlive its owner; its database does not."""
    mine = database.scratch("rehearsal")
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as started:
        mine.discard()
        assert beside(database) == []
        started.communicate(b"\n")


def test_another_databases_leftovers_are_not_ours(database, tmp_path):
    """Two databases in one folder, one name the beginning of the other's."""
    other = files.database(database.path.with_name("it.db_other"))
    theirs = other.scratch("drill")
    names = beside(database)
    mine = database.scratch("drill")
    assert set(names) < set(beside(database))
    mine.discard()
    theirs.discard()
    assert beside(database) == []


def test_a_dump_that_does_not_go_in_is_broken(database, tmp_path):
    mine = database.scratch("drill")
    with pytest.raises(Broken, match="nowhere could not be restored"):
        mine.fill(tmp_path / "nowhere", Told())
    mine.discard()
