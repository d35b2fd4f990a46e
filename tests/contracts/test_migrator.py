"""What every adapter of ports.Migrator keeps, on each kind of database, with a toy service."""

import os
import signal
import sys
import threading

import pytest
from database_kinds import NAMES, kind_of
from toy_migrations import (
    CREATED,
    DEADLINE,
    FAILS,
    FAILS_HALFWAY,
    MIGRATIONS,
    NO_WAY,
    NOTED,
    SEEN,
    Step,
    Toy,
)

from guarded_rollout.adapters.clock import SystemClock
from guarded_rollout.core.problems import Broken, Busy, Interrupted
from guarded_rollout.core.spec import Migrations
from guarded_rollout.testing.control import Told


@pytest.fixture(params=NAMES)
def toy(request, tmp_path) -> Toy:
    return Toy(tmp_path / "toy", kind_of(request.param, tmp_path, request))


def state(toy) -> tuple[object, ...]:
    """Everything a failed run must leave alone."""
    return toy.database.revision(), toy.database.schema(), toy.database.fingerprint(Told())


def fill(toy) -> None:
    toy.kind.run(toy.database, "INSERT INTO images (id) VALUES (1), (2)")


def test_up_brings_the_schema_to_the_releases_head(toy):
    """From nothing, and then from an older release's schema, with the rows kept."""
    toy.up(toy.release(CREATED))
    assert toy.database.revision() == "0001"
    fill(toy)
    toy.up(toy.release(CREATED, SEEN))
    assert toy.database.revision() == "0002"
    rows = toy.kind.read(toy.database, "SELECT id, seen FROM images ORDER BY id")
    assert rows == [(1, 1), (2, 1)]


def test_up_tells_what_ran(toy):
    """In its order, with times, and nothing of Alembic's own."""
    ran = toy.up(toy.release(CREATED, SEEN))
    made, altered = (one for one in ran if one.sql not in {"BEGIN", "COMMIT"})
    assert made.sql.startswith("CREATE TABLE images")
    assert altered.sql == "ALTER TABLE images ADD COLUMN seen INTEGER DEFAULT '1' NOT NULL"
    assert min(made.ms, altered.ms) > 0


def test_up_at_the_head_does_nothing(toy):
    """Not even start Alembic: its python may be gone."""
    built = toy.release(CREATED)
    toy.up(built)
    (built.folder / "venv").unlink()
    before = sorted(toy.folder.rglob("*"))
    control = Told()
    assert toy.up(built, control) == ()
    assert (sorted(toy.folder.rglob("*")), control.said) == (before, [])


def test_down_and_up_again(toy):
    """To a revision in the middle, to before the first one, and back; each time as it was."""
    one = toy.release(CREATED)
    toy.up(one)
    fill(toy)
    first = state(toy)
    three = toy.release(CREATED, NOTED, SEEN)
    toy.up(three)
    third = state(toy)
    ran = toy.down(three, "0001")
    assert state(toy) == first
    dropped = [one.sql for one in ran if "DROP COLUMN" in one.sql]
    assert ["seen" in dropped[0], "note" in dropped[1]] == [True, True]
    toy.up(three)
    assert state(toy) == third
    toy.down(three, None)
    assert (toy.database.revision(), toy.database.rows()) == (None, {})
    toy.up(one)
    fill(toy)
    assert state(toy) == first


def test_down_where_it_is_already_does_nothing(toy):
    """Before the first migration and after it."""
    built = toy.release(CREATED)
    (built.folder / "venv").unlink()
    assert toy.down(built, None) == ()
    (built.folder / "venv").symlink_to(sys.prefix)
    toy.up(built)
    (built.folder / "venv").unlink()
    assert toy.down(built, "0001") == ()


@pytest.mark.parametrize("down", [NO_WAY, None])
def test_a_release_without_a_way_down_says_so(toy, down):
    """It raises NotImplementedError, or has no downgrade(): which revisions, and no change."""
    built = toy.release(CREATED, Step(SEEN.up, down), NOTED)
    toy.up(built)
    before = state(toy)
    with pytest.raises(Broken) as caught:
        toy.down(built, "0001")
    assert "has no way down from revision 0003 to 0001" in caught.value.why.what
    assert "the schema is what it was: revision 0003" in caught.value.why.what
    assert state(toy) == before


def test_down_to_a_revision_that_is_not_on_the_way_is_broken(toy):
    """Unknown to the release; and an older release does not know the database's."""
    old, new = toy.release(CREATED), toy.release(CREATED, SEEN)
    toy.up(new)
    before = state(toy)
    with pytest.raises(Broken, match="the schema is what it was: revision 0002"):
        toy.down(new, "0815")
    with pytest.raises(Broken) as caught:
        toy.down(old, None)
    assert "newer than this release's migrations" in caught.value.why.hint
    assert state(toy) == before


def test_a_failing_migration_leaves_the_schema_as_it_was(toy):
    """Halfway through the third of three; the problem has Alembic's words, revisions and log."""
    toy.up(toy.release(CREATED))
    fill(toy)
    before = state(toy)
    with pytest.raises(Broken) as caught:
        toy.up(toy.release(CREATED, SEEN, FAILS_HALFWAY))
    what = caught.value.why.what
    assert "nowhere" in what
    assert "the schema is what it was: revision 0001" in what
    assert state(toy) == before
    (log,) = [path for path in (toy.folder / "logs").iterdir() if str(path) in str(caught.value)]
    assert "nowhere" in log.read_text()


def test_a_failing_first_migration_leaves_nothing(toy):
    """From nothing, halfway, back to nothing."""
    before = state(toy)
    with pytest.raises(Broken, match="the schema is what it was: revision None"):
        toy.up(toy.release(CREATED, FAILS_HALFWAY))
    assert state(toy) == before


def test_a_failing_way_down_leaves_the_schema_as_it_was(toy):
    """Halfway through the second of two."""
    built = toy.release(CREATED, Step(SEEN.up, f"{SEEN.down}\n{FAILS}"), NOTED)
    toy.up(built)
    fill(toy)
    before = state(toy)
    with pytest.raises(Broken, match="the schema is what it was: revision 0003"):
        toy.down(built, "0001")
    assert state(toy) == before


def test_on_another_database_the_same_release_migrates_that_one(toy):
    """A scratch database goes up and down; the real one is not touched."""
    built = toy.release(CREATED, SEEN)
    toy.up(toy.release(CREATED))
    before = state(toy)
    scratch = toy.database.scratch("rehearse")
    try:
        there = toy.migrator.on(scratch)
        assert there.up(built, MIGRATIONS, Told()) != ()
        assert scratch.revision() == "0002"
        assert there.down(built, MIGRATIONS, None, Told()) != ()
        assert scratch.revision() is None
    finally:
        scratch.discard()
    assert state(toy) == before
    assert list((toy.folder / "locks").iterdir()) == []


def test_a_second_runner_is_refused_at_once_and_told_who_is_at_it(toy):
    """Up or down; the first one is not disturbed, another database may be migrated meanwhile."""
    waits = toy.waits()
    built = toy.release(CREATED, waits.code)
    other = toy.release(CREATED, SEEN)
    problems: list[BaseException] = []

    def first() -> None:
        try:
            toy.up(built)
        except BaseException as problem:  # noqa: BLE001 - shown below
            problems.append(problem)

    elsewhere = Toy(toy.folder / "elsewhere", toy.kind)
    thread = threading.Thread(target=first)
    thread.start()
    try:
        waits.arrived()
        with pytest.raises(Busy) as caught:
            toy.up(other)
        with pytest.raises(Busy):
            toy.down(other, "0001")
        elsewhere.up(other)
    finally:
        waits.go.touch()
        thread.join(DEADLINE)
    assert problems == []
    assert f"process {os.getpid()}" in caught.value.why.what
    assert built.release.name in caught.value.why.what
    assert toy.database.revision() == "0002"
    assert "late" in toy.database.rows()
    toy.up(toy.release(CREATED, waits.code, SEEN))  # the lock is free again
    assert toy.database.revision() == "0003"


def test_told_to_stop_the_schema_is_what_it_was(toy):
    """The running migration ends, and its transaction with it."""
    waits = toy.waits()
    built = toy.release(CREATED, waits.code)
    before = state(toy)
    control = Told()
    control.stopped = waits.here.exists
    with pytest.raises(Interrupted, match="the schema is what it was: revision None"):
        toy.up(built, control)
    assert state(toy) == before


def test_a_migration_that_takes_too_long_is_ended(toy):
    """By its own limit."""
    built = toy.release(CREATED, toy.waits().code)
    before = state(toy)
    limited = Migrations(MIGRATIONS.alembic_ini, timeout_seconds=0.5)
    with pytest.raises(Broken, match=r"0\.5 s.*the schema is what it was"):
        toy.up(built, migrations=limited)
    assert state(toy) == before


def test_a_killed_runner_leaves_a_whole_schema_and_no_lock(toy):
    """SIGKILL in the middle: its migration dies with it; the successor carries on."""
    waits = toy.waits()
    toy.up(toy.release(CREATED))
    fill(toy)
    before = state(toy)
    built = toy.release(CREATED, waits.code, SEEN)
    process = toy.runner(built)
    try:
        waits.arrived()
    finally:
        process.kill()
        assert process.wait() == -signal.SIGKILL
    waits.here.unlink()
    waits.go.touch()
    clock = SystemClock()
    until = clock.monotonic() + DEADLINE
    while True:  # the dead runner's migration is being ended meanwhile
        assert clock.monotonic() < until
        try:
            seen = state(toy)
            toy.up(built)
            break
        except Busy:
            clock.sleep(0.05)
    assert seen == before
    assert toy.database.revision() == "0003"
    assert toy.kind.read(toy.database, "SELECT count(*) FROM images") == [(2,)]
