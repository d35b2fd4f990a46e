"""A disk that is full, at one point after the other of a migration and of its rehearsal.

Files that may not grow stand for it: every write beyond a limit fails, also those of Alembic.
"""

import resource
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from database_kinds import SqliteKind
from toy_migrations import CREATED, MIGRATIONS, Step, Toy

from guarded_rollout.core.problems import Problem
from guarded_rollout.engine.drill import filled
from guarded_rollout.testing.control import Told

ROWS = 4000
GROWS = Step(
    'op.add_column("images", sa.Column("text", sa.Text))\n'
    'op.execute("UPDATE images SET text = hex(zeroblob(100))")\n'
    'op.create_index("by_text", "images", ["text"])',
    'op.drop_index("by_text", "images")\nop.drop_column("images", "text")',
)
PARTS = (0.02, 0.9, 1.3, 3.0, 8.0, 20.0, 60.0)
"""Of the database's size, before it grows by about thirty times."""


@contextmanager
def no_file_beyond(size: int) -> Iterator[None]:
    """For this process and those that it starts meanwhile."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.fixture
def toy(tmp_path) -> Toy:
    toy = Toy(tmp_path / "toy", SqliteKind(tmp_path))
    toy.up(toy.release(CREATED))
    rows = [(number,) for number in range(ROWS)]
    toy.kind.write(toy.database, "INSERT INTO images (id) VALUES (?)", rows)
    toy.kind.run(toy.database, "PRAGMA wal_checkpoint(TRUNCATE)")
    return toy


def state(toy):
    database = toy.database
    return database.revision(), database.schema(), database.fingerprint(Told())


def file_of(database) -> Path:
    return Path(database.url().removeprefix("sqlite:///"))


def test_a_full_disk_leaves_the_old_schema_or_the_new_one(toy):
    """Never something in between, and every row in any case; at the end there is room, and it
    goes on.
    """
    old, size = state(toy), file_of(toy.database).stat().st_size
    newer = toy.release(CREATED, GROWS)
    toy.up(newer)
    new = state(toy)
    toy.down(newer, "0001")
    assert state(toy) == old
    endings = []
    for part in PARTS:
        with no_file_beyond(int(size * part)):
            try:
                toy.up(newer)
                endings.append("new")
            except Problem:
                endings.append("old")
        assert state(toy) == (new if endings[-1] == "new" else old), part
        assert toy.kind.read(toy.database, "PRAGMA integrity_check") == [("ok",)]
        if endings[-1] == "new":
            break
    assert endings[0] == "old"
    assert len(endings) > 3
    toy.up(newer)
    assert state(toy) == new


def test_a_full_disk_in_a_rehearsal_leaves_no_scratch_database_and_touches_nothing(toy, tmp_path):
    """Restoring the dump, migrating up, comparing: whichever of these the disk ends."""
    old, folder = state(toy), file_of(toy.database).parent
    size = file_of(toy.database).stat().st_size
    dump = tmp_path / "dump.db"
    toy.database.dump(dump, Told())
    newer = toy.release(CREATED, GROWS)
    before = sorted(folder.iterdir())
    done = []
    for part in PARTS:
        with (
            no_file_beyond(int(size * part)),
            suppress(Problem),
            filled(toy.database, "rehearse", dump, Told()) as scratch,
        ):
            done.append("filled")
            toy.migrator.on(scratch).up(newer, MIGRATIONS, Told())
            done.append("migrated")
        assert sorted(folder.iterdir()) == before, part
        assert state(toy) == old
    assert 0 < done.count("migrated") < done.count("filled") < len(PARTS)
