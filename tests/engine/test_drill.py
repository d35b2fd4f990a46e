"""Dumps that are intact but incomplete, of both databases: every SHA-256 fits, the drill does not.

Each backup here is a whole zip with a fitting checksum whose members all have the hashes that
its manifest lists. `counted`: even the row counts are those of the incomplete dump; `whole`: even
the hash of the whole dump. And sound backups that come back otherwise.
"""

import json
import re
import subprocess

import pytest

from guarded_rollout.adapters.clock import SystemClock
from guarded_rollout.core.problems import Broken, Interrupted, NotPossible
from guarded_rollout.engine.drill import Drill
from guarded_rollout.testing.control import Told
from tests.adapters.archive.worlds import KINDS, postgres_world, sqlite_world

ROWS_GONE = ("DELETE FROM reviews WHERE id >= 15",)
TABLE_EMPTY = ("DELETE FROM reviews",)
TABLE_GONE = ("DROP TABLE reviews",)
VALUES_CHANGED = ("UPDATE images SET hash = 'x' WHERE id = 7",)
SWAPPED = ("UPDATE images SET hash = '000000000000000' || (15 - id) WHERE id IN (7, 8)",)
INDEX_GONE = ("DROP INDEX reviews_image",)
REVISION_CHANGED = ("UPDATE alembic_version SET version_num = '0006'",)
TABLE_MORE = ("CREATE TABLE more (id int PRIMARY KEY)",)


@pytest.fixture(params=KINDS)
def world(request, tmp_path):
    if request.param == "sqlite":
        return sqlite_world(tmp_path)
    return postgres_world(tmp_path, request.getfixturevalue("postgres"))


def sha256sum(world, backup):
    done = subprocess.run(
        ["sha256sum", "-c", f"{backup.file}.sha256"],
        cwd=world.root,
        check=False,
        stdout=subprocess.DEVNULL,
    )
    return done.returncode == 0


def drilled_away(world, backup, words):
    """The drill says what is not as it was, and leaves no scratch database."""
    before = _scratches(world)
    with pytest.raises(Broken, match=words) as caught:
        world.drill(backup)
    assert backup.file in str(caught.value)
    assert "make another backup" in caught.value.why.hint
    assert _scratches(world) == before


def _scratches(world):
    beside = sorted(path.name for path in world.root.parent.iterdir())
    if world.database.url().startswith("sqlite"):
        return beside
    scratch = world.database.scratch("look")
    try:
        from guarded_rollout.adapters.postgres.sessions import connect

        connection = connect(scratch.access, 5.0)
        rows = connection.execute("SELECT datname FROM pg_database WHERE datname ~ '_verify_'")
        return beside, sorted(str(row[0]) for row in rows)
    finally:
        connection.close()
        scratch.discard()


@pytest.mark.parametrize(
    ("statements", "words"),
    [
        (ROWS_GONE, "table reviews has 15 rows, not 20"),
        (TABLE_EMPTY, "table reviews has 0 rows, not 20"),
        (TABLE_GONE, "table reviews is missing"),
        (TABLE_MORE, "table more is not expected"),
    ],
    ids=["rows gone", "table empty", "table gone", "table more"],
)
def test_what_was_counted_when_it_was_dumped_is_found_by_counting(world, statements, words):
    """sha256sum finds nothing; verify counts what is in the dump, and so does the drill."""
    backup = world.create()
    world.dump_again(backup, statements, counted=False)
    assert sha256sum(world, backup)
    name = words.split()[1]
    with pytest.raises(Broken, match=f"has other rows than.*{name}: "):
        world.verify(backup)
    with pytest.raises(Broken, match=f"has other rows than.*{name}: "):
        world.drill(backup)


@pytest.mark.parametrize("counted", [False, True], ids=["", "counted"])
@pytest.mark.parametrize(
    "statements",
    [ROWS_GONE, TABLE_GONE, TABLE_MORE, VALUES_CHANGED, INDEX_GONE, REVISION_CHANGED],
    ids=["rows gone", "table gone", "table more", "values changed", "index gone", "revision"],
)
def test_another_dump_than_the_one_that_was_made_is_refused(world, statements, counted):
    """Whatever it holds, and however well it was counted and listed."""
    backup = world.create()
    world.dump_again(backup, statements, counted=counted, whole=False)
    assert sha256sum(world, backup)
    for look in (world.verify, world.drill):
        with pytest.raises(Broken, match="holds another dump than the one that was made for it"):
            look(backup)


@pytest.mark.parametrize(
    ("statements", "words"),
    [
        (INDEX_GONE, "its schema is another one"),
        (REVISION_CHANGED, "its schema is at 0006, not 0007"),
        (TABLE_GONE, "its schema is another one"),
        (TABLE_MORE, "its schema is another one"),
    ],
    ids=["index gone", "revision changed", "table gone", "table more"],
)
def test_what_no_count_and_no_hash_shows_only_the_drill_finds(world, statements, words):
    """Neither sha256sum nor verify can."""
    backup = world.create()
    world.dump_again(backup, statements, counted=True)
    assert sha256sum(world, backup)
    world.verify(backup)
    assert world.archive.backups()[0].verified
    drilled_away(world, backup, words)


@pytest.mark.parametrize(
    ("statements", "words"),
    [
        (ROWS_GONE, "table reviews has 15 rows, not 20"),
        (TABLE_EMPTY, "table reviews has 0 rows, not 20"),
        (TABLE_GONE, "table reviews is missing; its schema is another one"),
        (TABLE_MORE, "table more is not expected; its schema is another one"),
        (VALUES_CHANGED, "as it was: table images has 40 rows, but other contents\n"),
        (SWAPPED, "as it was: table images has 40 rows, but other contents\n"),
        (INDEX_GONE, "as it was: its schema is another one"),
        (REVISION_CHANGED, "as it was: its schema is at 0006, not 0007"),
    ],
    ids=[
        *("rows gone", "table empty", "table gone", "table more"),
        *("values changed", "values swapped", "index gone", "revision changed"),
    ],
)
def test_a_sound_backup_that_comes_back_otherwise_is_found(world, statements, words):
    """Nothing is wrong with the zip: what is in the restored database is compared."""
    backup = world.create()
    assert world.drill(backup).hashed
    drilled_away(world.spoiling(*statements), backup, words)


def _postgres(request, tmp_path):
    return postgres_world(tmp_path, request.getfixturevalue("postgres"))


def _reviews(members):
    """The file with the data of the table reviews."""
    (name,) = [name for name, content in members.items() if b"\tword 7\n" in content]
    return name


def file_gone(said, members):
    del members[_reviews(members)]


def lines_gone(said, members):
    name = _reviews(members)
    lines = members[name].splitlines(keepends=True)
    members[name] = b"".join(lines[:5] + lines[10:])


def file_cut(said, members):
    name = _reviews(members)
    members[name] = members[name][:100]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (file_gone, "is not a whole dump: .*No such file"),
        (lines_gone, "reviews has 15 rows, not 20"),
        (file_cut, "the data of reviews have no end"),
    ],
)
def test_a_postgresql_dump_with_a_part_missing_is_refused(request, tmp_path, change, words):
    """sha256sum and unzip find nothing; nothing of it goes into a scratch database."""
    world = _postgres(request, tmp_path)
    backup = world.create()
    world.remake(backup, change)
    assert sha256sum(world, backup)
    subprocess.run(["unzip", "-tq", world.zip(backup)], check=True)
    for look in (world.verify, world.drill):
        with pytest.raises(Broken, match=words):
            look(backup)


def test_postgresql_rows_cut_out_and_counted_out_are_found(request, tmp_path):
    """In the data, in the dump's own count and in the manifest: it is another dump."""
    world = _postgres(request, tmp_path)
    backup = world.create()

    def thorough(said, members):
        lines_gone(said, members)
        counted = json.loads(members["database/CONTENT.json"])
        counted["rows"]["reviews"] -= 5
        members["database/CONTENT.json"] = json.dumps(counted).encode()
        said["database"]["rows"]["reviews"] = 15

    world.remake(backup, thorough, whole=False)
    assert sha256sum(world, backup)
    with pytest.raises(Broken, match="holds another dump"):
        world.verify(backup)


def test_rows_that_only_lie_otherwise_are_the_same(request, tmp_path):
    """The order of rows on the server's disk is nothing that a backup promises."""
    world = _postgres(request, tmp_path)
    backup = world.create()
    assert world.spoiling("UPDATE images SET hash = hash WHERE id < 30").drill(backup).hashed


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("SELECT setval('\"odd \"\"name''s\"', 8)", "stands at 8, not 7"),
        ("SELECT nextval('\"odd \"\"name''s\"')", "stands at 8, not 7"),
        ('DROP SEQUENCE "odd ""name\'s"', "sequence .* is missing; its schema is another one"),
        ("SELECT lo_put(4711, 3, 'x')", "large object blob_4711.dat has other contents"),
        ("SELECT lo_unlink(4711)", "large object blob_4711.dat is missing"),
        ("SELECT lo_create(4712)", "large object blob_4712.dat is not expected"),
    ],
)
def test_postgresql_sequences_and_large_objects_are_compared(request, tmp_path, statement, words):
    """They are no rows."""
    world = _postgres(request, tmp_path)
    world.run(
        world.database,
        (
            'CREATE SEQUENCE "odd ""name\'s"',
            "SELECT setval('\"odd \"\"name''s\"', 7)",
            "SELECT lo_from_bytea(4711, 'picture')",
        ),
    )
    backup = world.create()
    assert world.drill(backup).hashed
    drilled_away(world.spoiling(statement), backup, words)


def test_a_dump_that_postgresql_itself_refuses_leaves_no_scratch(request, tmp_path):
    """The data break a constraint: pg_restore says so, which no reading can."""
    world = _postgres(request, tmp_path)
    backup = world.create()

    def orphaned(said, members):
        name = _reviews(members)
        changed = members[name].replace(b"\n7\t7\tword 7\n", b"\n7\t4711\tword 7\n")
        assert changed != members[name]
        members[name] = changed

    world.remake(backup, orphaned)
    assert world.verify(backup).rows == backup.rows
    before = _scratches(world)
    with pytest.raises(Broken, match=re.compile("foreign key", re.IGNORECASE)):
        world.drill(backup)
    assert _scratches(world) == before


def test_a_backup_without_a_database_cannot_be_drilled(tmp_path):
    """It is sound, but nothing comes back from it."""
    world = sqlite_world(tmp_path)
    world.database.path.unlink()
    backup = world.create()
    with pytest.raises(NotPossible, match="holds no database"):
        world.drill(backup)


def test_told_to_stop_the_drill_leaves_no_scratch(world):
    """At the first questions that it asks, and at some of the later ones."""
    backup = world.create()
    before = _scratches(world)
    drill = Drill(world.archive, world.database, SystemClock(), "production")
    for after in (0, 1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 10**9):
        control = Told(after)
        try:
            drill.run(world.zip(backup), control)
        except Interrupted:
            assert _scratches(world) == before
        else:
            break
    assert after > 0
