"""What every adapter of ports.Database keeps: looking, copying, proving, trying out.

The files `test_database_*.py` beside this one have the rest. A new adapter adds itself to
`database_kinds.py`.
"""

import threading

import pytest

from guarded_rollout.core.problems import BadInput, Broken, Interrupted
from guarded_rollout.ports import Compared, Database
from guarded_rollout.testing.control import Told

TABLES = {"images": 300, 'odd "name"': 2, "select": 1, "empty": 0}
DEADLINE = 120.0


@pytest.fixture
def empty(kind) -> Database:
    return kind.database()


@pytest.fixture
def filled(kind, empty) -> Database:
    kind.run(
        empty,
        "CREATE TABLE alembic_version (version_num TEXT)",
        "INSERT INTO alembic_version VALUES ('0007')",
    )
    for table, rows in TABLES.items():
        name = '"' + table.replace('"', '""') + '"'
        kind.run(empty, f"CREATE TABLE {name} (id INTEGER PRIMARY KEY, words TEXT)")
        values = [(i, f"word\n{i}\t\\.\\") for i in range(1, rows + 1)]
        kind.write(empty, f"INSERT INTO {name} VALUES (?, ?)", values)
    return empty


@pytest.fixture
def dumps(tmp_path):
    (tmp_path / "dumps").mkdir()
    return tmp_path / "dumps"


def test_a_database_that_was_never_made_is_empty_and_stays_unmade(empty, dumps):
    """Looking at nothing finds nothing and makes nothing."""
    assert not empty.exists()
    assert (empty.revision(), empty.schema(), empty.size()) == (None, (), 0)
    assert (empty.rows(), empty.fingerprint(Told()), empty.tables()) == ({}, {}, {})
    with pytest.raises(Broken, match="no database"):
        empty.dump(dumps / "copy", Told())
    assert list(dumps.iterdir()) == []
    assert not empty.exists()


def test_the_url_is_one_that_sqlalchemy_reads(empty):
    """The URL goes to the service and to Alembic as it is."""
    from sqlalchemy.engine import make_url

    url = make_url(empty.url())
    assert url.password is None
    assert url.render_as_string() == empty.url()


def test_rows_are_counted_per_table_and_tools_tables_are_left_out(filled):
    """Odd names, reserved words and empty tables count too."""
    assert filled.exists()
    assert filled.rows() == TABLES
    assert filled.size() > 0


def test_tables_are_seen_with_rows_bytes_and_types(filled, kind):
    """By the same names; small ones are counted to the row."""
    seen = filled.tables()
    assert {name: table.rows for name, table in seen.items()} == TABLES
    assert {name.lower(): kind.lower() for name, kind in seen["images"].columns.items()} == {
        "id": "integer",
        "words": "text",
    }
    before = seen["images"].bytes
    assert before is not None
    assert before > 0
    rows = [(i, "x" * 1000) for i in range(1000, 2000)]
    kind.write(filled, "INSERT INTO images VALUES (?, ?)", rows)
    assert filled.tables()["images"].bytes > before + 900_000


def test_the_revision_is_what_the_last_migration_wrote(filled, kind):
    """Before the first migration's row there is none; two at once are nothing to guess about."""
    assert filled.revision() == "0007"
    kind.run(filled, "DELETE FROM alembic_version")
    assert filled.revision() is None
    kind.run(filled, "INSERT INTO alembic_version VALUES ('0007'), ('0008')")
    with pytest.raises(Broken, match="0007, 0008"):
        filled.revision()


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE images SET words = 'Word' WHERE id = 7",
        "UPDATE images SET words = '' WHERE id = 7",
        "UPDATE images SET words = NULL WHERE id = 7",
        "DELETE FROM images WHERE id = 7",
        "UPDATE images SET id = 4711 WHERE id = 7",
    ],
)
def test_the_fingerprint_changes_with_any_value_and_with_that_table_alone(filled, kind, change):
    """And comes back with it."""
    before = filled.fingerprint(Told())
    assert {name: table.rows for name, table in before.items()} == TABLES
    kind.run(filled, "INSERT INTO images VALUES (-1, 'a'), (-2, 'b')")
    kind.run(filled, "DELETE FROM images WHERE id < 0")
    assert filled.fingerprint(Told()) == before
    kind.run(filled, change)
    after = filled.fingerprint(Told())
    assert after.pop("images") != before.pop("images")
    assert after == before


def test_nothing_an_empty_text_and_the_word_null_have_different_fingerprints(empty, kind):
    """Wherever they stand in the row."""
    kind.run(empty, "CREATE TABLE t (a TEXT, b TEXT)")
    found = set()
    for a in ("NULL", "''", "'NULL'", "','", "'a,b'"):
        for b in ("NULL", "''", "'NULL'", "','", "'a,b'"):
            kind.run(empty, "DELETE FROM t", f"INSERT INTO t VALUES ({a}, {b})")
            found.add(empty.fingerprint(Told())["t"].hash)
    assert len(found) == 25


def test_values_that_change_places_between_rows_change_the_fingerprint(empty, kind):
    """In one column, in two, and between columns: nothing adds up to the same."""
    kind.run(empty, "CREATE TABLE t (id INTEGER, a TEXT, b TEXT, n INTEGER, m INTEGER)")
    found = set()
    for one, two in (
        (("'x', 'y', 5", "6"), ("'v', 'w', 7", "8")),
        (("'v', 'y', 5", "6"), ("'x', 'w', 7", "8")),
        (("'x', 'w', 5", "6"), ("'v', 'y', 7", "8")),
        (("'y', 'x', 5", "6"), ("'v', 'w', 7", "8")),
        (("'x', 'y', 7", "6"), ("'v', 'w', 5", "8")),
        (("'x', 'y', 5", "8"), ("'v', 'w', 7", "6")),
        (("'x', 'y', 6", "5"), ("'v', 'w', 7", "8")),
    ):
        kind.run(
            empty,
            "DELETE FROM t",
            f"INSERT INTO t VALUES (1, {one[0]}, {one[1]}), (2, {two[0]}, {two[1]})",
        )
        found.add(empty.fingerprint(Told())["t"].hash)
    assert len(found) == 7


def test_a_fingerprint_that_is_told_to_stop_stops(filled):
    with pytest.raises(Interrupted):
        filled.fingerprint(Told(after=0))


def test_a_dump_has_the_same_rows_and_proves_sound(filled, kind, dumps):
    """What dump counts, the others count; nobody else may read it."""
    copy = dumps / "copy"
    dumped = filled.dump(copy, Told())
    assert dumped.rows == TABLES == filled.prove(copy)
    assert dumped.schema == filled.schema()
    assert dumped.tools
    assert all(file.stat().st_mode & 0o777 == 0o600 for file in kind.files(copy))
    assert copy.stat().st_mode & 0o077 == 0


def test_a_dump_does_not_follow_later_writes(filled, kind, dumps):
    """The copy is of the moment it was made."""
    copy = dumps / "copy"
    filled.dump(copy, Told())
    kind.run(filled, "DELETE FROM images", "DROP TABLE empty")
    assert filled.prove(copy) == TABLES


def test_a_dump_under_a_writer_is_of_one_moment(filled, kind, dumps):
    """Two tables that always agree agree in the copy, and in what was written down about it."""
    kind.run(filled, "CREATE TABLE debit (n INTEGER)", "CREATE TABLE credit (n INTEGER)")
    stop, written = threading.Event(), threading.Event()

    def write() -> None:
        with kind.connect(filled) as connection:
            n = 0
            while not stop.is_set():
                n += 1
                connection.execute("BEGIN")
                connection.execute("INSERT INTO debit VALUES (?)", (n,))
                connection.execute("INSERT INTO credit VALUES (?)", (n,))
                connection.execute("COMMIT")
                written.set()

    thread = threading.Thread(target=write)
    thread.start()
    try:
        assert written.wait(DEADLINE)
        dumped = filled.dump(dumps / "copy", Told())
    finally:
        stop.set()
        thread.join(DEADLINE)
    assert dumped.rows["debit"] == dumped.rows["credit"] > 0
    assert filled.prove(dumps / "copy") == dumped.rows
    scratch = filled.scratch("verify")
    try:
        scratch.fill(dumps / "copy", Told())
        assert scratch.compare(dumps / "copy", Told()) == Compared((), contents=True)
    finally:
        scratch.discard()


def test_a_dump_never_overwrites(filled, dumps):
    """A name that is taken is refused, and the file is left alone."""
    copy = dumps / "copy"
    copy.write_bytes(b"mine")
    with pytest.raises(BadInput, match="exists already"):
        filled.dump(copy, Told())
    assert copy.read_bytes() == b"mine"


def test_a_dump_that_is_told_to_stop_leaves_nothing(filled, dumps):
    """Interrupted, and no file."""
    with pytest.raises(Interrupted):
        filled.dump(dumps / "copy", Told(after=0))
    assert list(dumps.iterdir()) == []


def test_a_dump_into_a_missing_folder_says_so(filled, dumps):
    """The message names the file and the folder."""
    with pytest.raises(Broken, match="cannot be written"):
        filled.dump(dumps / "nowhere" / "copy", Told())


@pytest.mark.parametrize("damage", ["cut", "noise", "empty page", "not one", "missing"])
def test_a_damaged_dump_is_not_proven(filled, kind, dumps, damage):
    """Whatever happened to the copy, prove raises Broken and names it."""
    kind.run(filled, "CREATE INDEX by_words ON images (words)")
    copy = dumps / "copy"
    filled.dump(copy, Told())
    victim = kind.files(copy)[0]
    whole = victim.read_bytes()
    half = len(whole) // 2
    victim.write_bytes(
        {
            "cut": whole[:half],
            "noise": whole[:half] + bytes(range(256)) * 8 + whole[half + 2048 :],
            "empty page": whole[:half] + b"\0" * 4096 + whole[half + 4096 :],
            "not one": b"this is a text about databases" * 400,
            "missing": b"",
        }[damage]
    )
    if damage == "missing":
        victim.unlink()
    with pytest.raises(Broken, match=str(copy)):
        filled.prove(copy)


def test_a_dump_whose_rows_point_to_nothing_is_not_made_or_does_not_go_in(filled, kind, dumps):
    """The message names the table."""
    kind.run(
        filled,
        "CREATE TABLE reviews (id INTEGER PRIMARY KEY, image INTEGER REFERENCES images(id))",
        "INSERT INTO reviews VALUES (1, 7)",
    )
    kind.orphan(filled, "INSERT INTO reviews VALUES (2, 4711)")
    with pytest.raises(Broken, match="reviews"):
        dump_and_fill(filled, dumps / "copy")


def dump_and_fill(database, copy):
    database.dump(copy, Told())
    scratch = database.scratch("verify")
    try:
        scratch.fill(copy, Told())
    finally:
        scratch.discard()


def test_a_scratch_is_empty_filled_once_and_gone(filled, kind, dumps):
    """Whatever happens in it, the real one stays as it is."""
    before = filled.fingerprint(Told())
    filled.dump(dumps / "copy", Told())
    scratch = filled.scratch("rehearse")
    try:
        assert scratch.url() != filled.url()
        assert (scratch.rows(), scratch.revision()) == ({}, None)
        scratch.fill(dumps / "copy", Told())
        assert scratch.compare(dumps / "copy", Told()) == Compared((), contents=True)
        assert scratch.fingerprint(Told()) == before
        assert scratch.schema() == filled.schema()
        assert scratch.revision() == "0007"
        assert kind.leftovers(filled)
        kind.run(scratch, "DELETE FROM images")
        assert scratch.compare(dumps / "copy", Told()).problems == (
            "table images has 0 rows, not 300",
        )
        assert [path.name for path in dumps.iterdir()] == ["copy"]
    finally:
        scratch.discard()
    scratch.discard()
    assert kind.leftovers(filled) == set()
    assert filled.fingerprint(Told()) == before


def test_two_scratches_at_once_are_two(filled, dumps):
    """The second one does not sweep the first."""
    filled.dump(dumps / "copy", Told())
    first, second = filled.scratch("verify"), filled.scratch("verify")
    try:
        first.fill(dumps / "copy", Told())
        assert first.rows() == TABLES
        assert second.rows() == {}
    finally:
        second.discard()
        assert first.rows() == TABLES
        first.discard()


def test_a_scratch_has_a_purpose(filled, kind):
    with pytest.raises(BadInput, match="purpose"):
        filled.scratch("no Purpose")
    assert kind.leftovers(filled) == set()


def test_somebody_may_be_alone_with_it(filled):
    """Twice one after the other."""
    with filled.alone("to 1.0"):
        assert filled.rows() == TABLES
    with filled.alone("to 1.0"):
        pass
