"""Changes that come back: kinds of tables, triggers, foreign keys, kills, full disks."""

import os
import signal
import sqlite3
from contextlib import closing

import pytest
import sqlite_files as files

from guarded_rollout.core.changes import Change, changes
from guarded_rollout.core.problems import BadInput, Broken, Busy, Interrupted
from guarded_rollout.ports import Applied
from guarded_rollout.testing.control import Told

APPLY = """
import json, os, resource, signal, sys
from pathlib import Path
from guarded_rollout.adapters.clock import SystemClock
from guarded_rollout.adapters.sqlite import SqliteDatabase
from guarded_rollout.core.changes import Change
from guarded_rollout.core.problems import Broken

class Dies:
    asked = 0
    def stopped(self):
        self.asked += 1
        if self.asked == int(sys.argv[2]):
            os.kill(os.getpid(), signal.SIGKILL)
        return False
    def say(self, text):
        pass

if limit := int(sys.argv[3]):
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    if sys.argv[4] == "dies":
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
value = "x'" + "ab" * 3000
new = [Change("t", (str(i),), None, {"id": str(i), "x": value}) for i in range(2000, 4000)]
old = [Change("t", (str(i),), {"id": str(i)}, None) for i in range(1, 100)]
try:
    print(SqliteDatabase(Path(sys.argv[1]), SystemClock()).apply(old + new, Dies()))
except Broken as problem:
    print(problem)
"""


@pytest.fixture
def live(tmp_path):
    return files.database(tmp_path / "data" / "it.db")


class Story:
    """A database, a copy of it from before, and what was written since."""

    def __init__(self, live, tmp_path) -> None:
        self.live, self.before = live, files.database(tmp_path / "before" / "it.db")
        self.folder = tmp_path

    def begin(self, *statements: str) -> None:
        files.run(self.live.path, *statements)
        self.live.dump(self.before.path, Told())

    def since(self) -> list[Change]:
        """What the copy does not have, in the columns that both have."""
        found = []
        for table, seen in self.live.tables().items():
            columns = tuple(seen.columns)
            with self.live.records(table, columns, Told()) as now:
                if table not in self.before.tables():
                    found += changes(table, (), now)
                    continue
                with self.before.records(table, columns, Told()) as before:
                    found += changes(table, before, now)
        return found

    def there_and_back(self, *statements: str) -> Applied:
        """Write, set aside, restore, apply. All must be there again, to the last bit."""
        files.run(self.live.path, *statements)
        aside, now = self.since(), self.live.fingerprint(Told())
        self.live.restore(self.before.path, Told())
        applied = self.live.apply(aside, Told())
        assert self.live.fingerprint(Told()) == now
        assert applied.conflicts == ()
        assert applied.added + applied.changed + applied.removed == len(aside)
        return applied


@pytest.fixture
def story(live, tmp_path) -> Story:
    return Story(live, tmp_path)


def test_values_that_are_no_text_and_keys_of_any_type_come_back(story):
    """In one column: numbers, texts with zero bytes, bytes that are no UTF-8, NULL as a key."""
    story.begin(
        "CREATE TABLE t (k PRIMARY KEY, v)",
        "INSERT INTO t VALUES (1, 1), ('1', '1'), (x'31', x'31'), (CAST(x'ff' AS TEXT), 0.1 + 0.2)",
        "INSERT INTO t VALUES (NULL, 'one'), (NULL, 'two')",
    )
    applied = story.there_and_back(
        "UPDATE t SET v = CAST(x'fe00ff' AS TEXT) WHERE typeof(k) = 'text'",
        "UPDATE t SET v = 'a' || char(0) || 'b' WHERE typeof(k) = 'integer'",
        "DELETE FROM t WHERE typeof(k) = 'blob'",
        "INSERT INTO t VALUES (1.5, -9e999), (x'', NULL), ('', ''), (NULL, 'three'), "
        "(CAST(x'fe' AS TEXT), x'fe')",
        "DELETE FROM t WHERE v = 'one'",
    )
    assert applied.removed >= 1


@pytest.mark.parametrize("rowid", ["", " WITHOUT ROWID"])
def test_composite_keys_in_another_order_than_the_columns(story, rowid):
    story.begin(
        f'CREATE TABLE t (v, b TEXT, "a ""a" INTEGER, PRIMARY KEY ("a ""a", b)){rowid}',
        "INSERT INTO t VALUES (1, 'x', 1), (2, 'y', 1), (3, 'x', 2)",
    )
    applied = story.there_and_back(
        "UPDATE t SET v = 9 WHERE b = 'y'",
        "DELETE FROM t WHERE v = 1",
        "INSERT INTO t VALUES (4, 'z', 10), (5, 'X', 2)",
    )
    assert applied == Applied(2, 1, 1)


def test_generated_columns_are_computed_again(story):
    """Stored and virtual ones; also when they alone say what changed."""
    story.begin(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, a INT, "
        "b INT GENERATED ALWAYS AS (a * 2) STORED, c TEXT AS (a || 'x') VIRTUAL)",
        "INSERT INTO t VALUES (1, 1), (2, 2)",
    )
    story.there_and_back("UPDATE t SET a = 7 WHERE id = 1", "INSERT INTO t VALUES (3, NULL)")
    assert files.read(story.live.path, "SELECT b, c FROM t WHERE id = 1") == [(14, "7x")]


def test_a_key_that_was_given_out_is_not_given_out_again(story):
    """AUTOINCREMENT goes on behind the rows that came back."""
    story.begin(
        "CREATE TABLE t (id INTEGER PRIMARY KEY AUTOINCREMENT, x)", "INSERT INTO t VALUES (5, 'x')"
    )
    story.there_and_back("INSERT INTO t (x) VALUES ('y'), ('z')", "UPDATE t SET id = 40 WHERE id=7")
    files.run(story.live.path, "INSERT INTO t (x) VALUES ('next')")
    assert files.read(story.live.path, "SELECT id FROM t WHERE x = 'next'") == [(41,)]


def test_columns_that_hide_the_row_number(story):
    """With a key there is still a way to each row."""
    story.begin(
        "CREATE TABLE t (rowid TEXT PRIMARY KEY, oid, _rowid_)",
        "CREATE TABLE loose (rowid, oid, v)",
        "INSERT INTO t VALUES ('a', 1, 2), ('b', 1, 2)",
        "INSERT INTO loose VALUES ('a', 1, 2), ('b', 1, 2), ('b', 1, 2)",
    )
    story.there_and_back(
        "UPDATE t SET oid = 5 WHERE rowid = 'a'",
        "DELETE FROM t WHERE rowid = 'b'",
        "INSERT INTO t VALUES ('c', NULL, 0)",
        "DELETE FROM loose WHERE _rowid_ = 3",
        "INSERT INTO loose VALUES ('a', 1, 2)",
    )


def test_a_row_that_nothing_can_name_is_a_conflict(live):
    """No key, and all three names of the row number taken."""
    files.run(live.path, "CREATE TABLE t (rowid, oid, _rowid_)", "INSERT INTO t VALUES (1, 2, 3)")
    row = {"rowid": "1", "oid": "2", "_rowid_": "3"}
    key = tuple(row.values())
    applied = live.apply([Change("t", key, row, None), Change("t", key, None, row)], Told())
    assert (applied.added, applied.removed, len(applied.conflicts)) == (1, 0, 1)
    assert "t (1, 2, 3), removed: the table has no key" in applied.conflicts[0]
    assert live.rows() == {"t": 2}


def test_triggers_do_not_do_again_what_they_did(story):
    """What they wrote is among the changes. A search index is not, so its triggers fire."""
    story.begin(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, words TEXT, at TEXT)",
        "CREATE TABLE audit (id INTEGER PRIMARY KEY, what TEXT)",
        "CREATE VIRTUAL TABLE found USING fts5(words, content='t', content_rowid='id')",
        "CREATE TRIGGER noted AFTER INSERT ON t BEGIN "
        "INSERT INTO audit (what) VALUES ('added ' || new.words); END",
        "CREATE TRIGGER stamped AFTER UPDATE OF words ON t BEGIN "
        "UPDATE t SET at = hex(randomblob(8)) WHERE id = new.id; END",
        "CREATE TRIGGER never BEFORE DELETE ON t BEGIN SELECT RAISE(ABORT, 'never'); END",
        "CREATE TRIGGER indexed AFTER INSERT ON t BEGIN "
        "INSERT INTO found (rowid, words) VALUES (new.id, new.words); END",
        "INSERT INTO t (id, words) VALUES (1, 'meeple'), (2, 'dice')",
    )
    schema = story.live.schema()
    applied = story.there_and_back(
        "INSERT INTO t (id, words) VALUES (3, 'pawn')", "UPDATE t SET words = 'token' WHERE id = 2"
    )
    assert applied == Applied(2, 1, 0)
    assert story.live.schema() == schema
    query = "SELECT rowid FROM found WHERE found MATCH 'pawn'"
    assert files.read(story.live.path, query) == [(3,)]
    with pytest.raises(sqlite3.IntegrityError, match="never"):
        files.run(story.live.path, "DELETE FROM t WHERE id = 3")


def test_names_that_moved_from_row_to_row_come_back(story):
    """A unique name that is free only after a later change."""
    story.begin(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT UNIQUE)",
        "INSERT INTO t VALUES (1, 'a'), (2, 'b'), (3, 'c'), (4, 'd')",
    )
    story.there_and_back(
        "UPDATE t SET name = 'e' WHERE id = 4",
        "UPDATE t SET name = 'd' WHERE id = 3",
        "UPDATE t SET name = 'c' WHERE id = 2",
        "UPDATE t SET name = 'b' WHERE id = 1",
        "INSERT INTO t VALUES (0, 'a')",
    )


def test_places_that_all_moved_by_one_come_back(story):
    """In a unique column, up and down."""
    story.begin(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, up INT UNIQUE, down INT UNIQUE)",
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300) "
        "INSERT INTO t SELECT i, i, i FROM n",
    )
    story.there_and_back(
        "UPDATE t SET up = -up - 1", "UPDATE t SET up = -up", "UPDATE t SET down = -down"
    )
    story.there_and_back("UPDATE t SET down = 1 - down")


def test_a_conflict_does_not_keep_its_names_for_others(live):
    """Two rows that changed places in a unique column are told, and nothing is half done."""
    files.run(
        live.path,
        "CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT UNIQUE)",
        "INSERT INTO t VALUES (1, 'a'), (2, 'b')",
    )
    swapped = [
        Change("t", ("1",), {"id": "1", "name": "'a"}, {"id": "1", "name": "'b"}),
        Change("t", ("2",), {"id": "2", "name": "'b"}, {"id": "2", "name": "'a"}),
    ]
    applied = live.apply(swapped, Told())
    assert (applied.changed, len(applied.conflicts)) == (0, 2)
    assert all("UNIQUE constraint failed: t.name" in one for one in applied.conflicts)
    assert files.read(live.path, "SELECT * FROM t") == [(1, "a"), (2, "b")]


FAMILY = (
    "CREATE TABLE parents (id INTEGER PRIMARY KEY, name TEXT UNIQUE)",
    """CREATE TABLE children (a TEXT, b INT, parent INT REFERENCES Parents ON DELETE CASCADE,
    PRIMARY KEY (a, b)) WITHOUT ROWID""",
    """CREATE TABLE toys (child_a, child_b, owner TEXT REFERENCES parents(name),
    FOREIGN KEY (child_a, child_b) REFERENCES children(a, b) ON DELETE SET NULL)""",
    "INSERT INTO parents VALUES (1, 'one'), (2, 'two')",
    "INSERT INTO children VALUES ('x', 1, 1), ('y', 1, 2)",
    "INSERT INTO toys VALUES ('x', 1, 'two'), ('y', 1, NULL), ('y', NULL, 'one')",
)


def test_rows_that_hang_together_come_back_together(story):
    """Over tables of each kind, whatever their order."""
    story.begin(*FAMILY)
    story.there_and_back(
        "DELETE FROM toys WHERE owner = 'two'",
        "DELETE FROM children WHERE a = 'x'",
        "INSERT INTO parents VALUES (3, 'three')",
        "INSERT INTO children VALUES ('z', 9, 3)",
        "INSERT INTO toys VALUES ('z', 9, 'three'), ('z', 9, 'three')",
    )


def test_what_would_point_to_nothing_stays_out_with_all_that_hangs_on_it(live):
    """A chain of three: the first link does not fit, so none does; the others come back."""
    files.run(live.path, *FAMILY)
    aside = [
        Change("parents", ("3",), None, {"id": "3", "name": "'one"}),  # the name is taken
        Change("children", ("'z", "9"), None, {"a": "'z", "b": "9", "parent": "3"}),
        Change(
            "toys",
            ("'z", "9", None),
            None,
            {"child_a": "'z", "child_b": "9", "owner": None},
        ),
        Change("toys", ("'x", "1", None), None, {"child_a": "'x", "child_b": "1", "owner": None}),
        Change("parents", ("2",), {"id": "2", "name": "'two"}, None),  # children and toys stay
    ]
    before = live.rows()
    applied = live.apply(aside, Told())
    assert (applied.added, applied.changed, applied.removed) == (1, 0, 0)
    assert [one.partition(": ")[2] for one in applied.conflicts] == [
        "UNIQUE constraint failed: parents.name",
        "the row in parents that it points to does not come back",
        "the row in children that it points to does not come back",
        "a row in children points to it",
    ]
    assert live.rows() == {**before, "toys": before["toys"] + 1}
    assert files.read(live.path, "PRAGMA foreign_key_check") == []


def test_a_row_that_pointed_to_nothing_before_is_nobodys_fault(live):
    files.run(
        live.path,
        *FAMILY,
        "PRAGMA foreign_keys = OFF",
        "INSERT INTO children VALUES ('old', 1, 99)",
    )
    aside = [
        Change("children", ("'new", "1"), None, {"a": "'new", "b": "1", "parent": "1"}),
        Change("children", ("'lost", "1"), None, {"a": "'lost", "b": "1", "parent": "98"}),
    ]
    applied = live.apply(aside, Told())
    assert (applied.added, len(applied.conflicts)) == (1, 1)
    assert "'lost, 1" in applied.conflicts[0]


def test_whose_fault_it_is_need_not_be_sure(live):
    """Keys that SQL finds equal and Python does not, and columns that were not set aside."""
    files.run(
        live.path,
        "CREATE TABLE parents (name TEXT COLLATE NOCASE PRIMARY KEY)",
        "CREATE TABLE toys (owner REFERENCES parents DEFAULT 'Y', parent REFERENCES parents, n)",
        "INSERT INTO parents VALUES ('X'), ('Y')",
        "INSERT INTO toys VALUES ('y', 'x', 1)",
    )
    aside = [
        Change("parents", ("'X",), {"name": "'X"}, None),
        Change("toys", ("'z", "2"), None, {"parent": "'z", "n": "2"}),
        Change("toys", ("'y", "3"), None, {"parent": "'y", "n": "3"}),
    ]
    applied = live.apply(aside, Told())
    assert (applied.added, applied.removed) == (1, 0)
    assert [one.partition(": ")[2] for one in applied.conflicts] == [
        "a row in toys may point to it",
        "the row in parents that it points to is not there",
    ]
    assert files.read(live.path, "SELECT parent, n FROM toys") == [("x", 1), ("y", 3)]
    assert files.read(live.path, "PRAGMA foreign_key_check") == []


def test_a_type_that_changed_takes_the_same_digits_and_nothing_else(live):
    """What was set aside as a text goes into a number's column, if it reads back the same."""
    files.run(live.path, "CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER, words TEXT)")
    aside = [
        Change("t", ("1",), None, {"id": "1", "n": "'42", "words": "7"}),
        Change("t", ("2",), None, {"id": "2", "n": "'4.0", "words": "'fine"}),
        Change("t", ("3",), None, {"id": "3", "n": "5", "words": "hello"}),
        Change("t", ("4", "5"), None, {"id": "4", "n": "5", "words": None}),
        Change("t", ("'six",), None, {"id": "'six", "n": "5", "words": None}),
    ]
    applied = live.apply(aside, Told())
    assert applied.added == 1
    assert [one.partition(": ")[2] for one in applied.conflicts] == [
        "column n does not take this value as it is",
        "column words: 'hello' is no value",
        "the key is (id) now",
        "datatype mismatch",
    ]
    assert files.read(live.path, "SELECT * FROM t") == [(1, 42, "7")]


def test_keys_that_differ_in_case_are_not_one_row(live):
    """SQL finds them equal; the row that is there is not touched."""
    files.run(
        live.path,
        "CREATE TABLE t (k TEXT COLLATE NOCASE PRIMARY KEY, v)",
        "INSERT INTO t VALUES ('A', 1)",
    )
    aside = [
        Change("t", ("'a",), {"k": "'a", "v": "1"}, {"k": "'a", "v": "2"}),
        Change("t", ("'a",), None, {"k": "'a", "v": "1"}),
    ]
    applied = live.apply(aside, Told())
    assert (applied.added, applied.changed, len(applied.conflicts)) == (0, 0, 2)
    assert files.read(live.path, "SELECT * FROM t") == [("A", 1)]


@pytest.mark.parametrize("mode", ["wal", "delete"])
@pytest.mark.parametrize("how", ["asked", "killed at a byte", "no room"])
def test_apply_is_done_whole_or_not_at_all(tmp_path, mode, how):
    """kill -9 between rows and within a write, and a full disk."""
    file = tmp_path / "data" / "it.db"
    files.padded(file, mode, 200)
    old = files.content(file)
    asked, limit = (9, 0) if how == "asked" else (0, 3_000_000)
    done = files.child(APPLY, file, asked, limit, "dies" if "killed" in how else "")
    if how == "no room":
        assert f"make room in {file.parent}" in done.stdout
        assert {path.name for path in file.parent.iterdir()} == {"it.db"}
    else:
        assert done.returncode == -(signal.SIGKILL if how == "asked" else signal.SIGXFSZ)
    assert files.content(file) == old
    assert "added=2000" in files.child(APPLY, file, 0, 0, "").stdout
    assert len(files.content(file)) == 2101


@pytest.mark.parametrize("mode", ["wal", "delete"])
def test_a_writer_that_holds_the_lock_makes_it_busy(tmp_path, mode):
    database = files.padded(tmp_path / "it.db", mode, 3)
    change = Change("t", ("1",), {"id": "1"}, None)
    with closing(sqlite3.connect(database.path, isolation_level=None)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        with pytest.raises(Busy, match=r"it\.db is locked.*0\.3 s"):
            database.apply([change], Told())
        writer.execute("ROLLBACK")
    assert database.apply([change], Told()) == Applied(0, 0, 1)


def test_a_reader_where_there_is_no_log_makes_it_busy(tmp_path):
    """Before anything is written, and nothing is lost. With a log readers are in nobody's way."""
    for mode in ("delete", "wal"):
        database = files.padded(tmp_path / mode / "it.db", mode, 1000)
        with database.records("t", ("id",), Told()) as found:
            aside = [Change("t", record.key, record.values, None) for record in found]
            if mode == "delete":
                with pytest.raises(Busy):
                    database.apply(aside, Told())
                assert database.rows() == {"t": 1000}
                continue
            assert database.apply(aside, Told()) == Applied(0, 0, 1000)
        assert database.rows() == {"t": 0}


def test_what_goes_wrong_while_changes_are_read_changes_nothing(live):
    """Their source fails half way, or somebody stops it."""
    files.run(live.path, "CREATE TABLE t (id INTEGER PRIMARY KEY)")

    def failing():
        yield Change("t", ("1",), None, {"id": "1"})
        raise Broken("the file ends here", "look at it")

    with pytest.raises(Broken, match="ends here"):
        live.apply(failing(), Told())
    many = [Change("t", (str(i),), None, {"id": str(i)}) for i in range(5000)]
    for after in (0, 3, 12, 18):
        with pytest.raises(Interrupted):
            live.apply(many, Told(after))
        assert live.rows() == {"t": 0}
    assert live.apply(many, Told()).added == 5000


def test_without_a_database_there_is_nothing_to_apply_to_or_to_read(live):
    with pytest.raises(Broken, match="no database"):
        live.apply([Change("t", ("1",), None, {"id": "1"})], Told())
    with pytest.raises(Broken, match="no database"), live.records("t", ("id",), Told()):
        pass
    assert live.tables() == {}
    assert list(live.path.parent.iterdir()) == []


def test_a_quoted_name_that_is_no_column_is_not_taken_for_a_text(live):
    """As SQLite itself would."""
    files.run(live.path, "CREATE TABLE t (id INTEGER PRIMARY KEY)", "INSERT INTO t VALUES (1)")
    with pytest.raises(BadInput, match="no column nope"), live.records("t", ("nope",), Told()):
        pass


def test_two_databases_read_at_once_are_named_apart(tmp_path):
    """The one that fails is the one in the message."""
    one = files.padded(tmp_path / "one.db", "delete", 3000)
    two = files.padded(tmp_path / "two.db", "delete", 3000)
    with one.path.open("r+b") as file:
        file.seek(100 * 4096)
        file.write(os.urandom(400 * 4096))
    with (
        pytest.raises(Broken, match=r"one\.db"),
        one.records("t", ("x",), Told()) as left,
        two.records("t", ("x",), Told()) as right,
    ):
        list(changes("t", left, right))
