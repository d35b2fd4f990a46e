"""What every adapter of ports.Database keeps: records, changes that come back, restore.

`test_database.py` beside this file has the rest.
"""

from collections.abc import Sequence
from dataclasses import replace

import pytest
from database_kinds import NAMES, kind_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from guarded_rollout.core.changes import Change, Record, changes, order
from guarded_rollout.core.problems import BadInput, Broken, Interrupted, Problem
from guarded_rollout.ports import Applied, Database
from guarded_rollout.testing.control import Told

ODD = "it's \"odd\"\t\n\r\\.\\N 'ä€😀' \x01\x7f  "
VALUES = {
    "a": (ODD, ODD.encode(), 0.1 + 0.2, 2**63 - 1, "2026-02-28 23:59:59.999999+00:00"),
    "b": ("", b"", -0.0, -(2**63), "1970-01-01 00:00:00+00:00"),
    "c": (None, None, None, None, None),
    "d": ("NULL", bytes(range(256)), 5e-324, 0, "0001-01-01 00:00:00+00:00"),
    "e": ("x" * 100_000, b"\0" * 3, 1.7976931348623157e308, 1, "9999-12-31 00:00:00+00:00"),
    "f": ("None", b"NULL", float("inf"), 10, "2026-10-25 01:30:00+00:00"),
    "ä": ("0", b"0", 1e16, 2, "2026-01-01 00:00:00+00:00"),
    "\U0001f600": ("1.0", b"1.0", 1.0, 9, "2026-01-01 00:00:00.000001+00:00"),
    "\uff61": ("1", b"1", 100.0, 99, "2026-01-01 00:00:00.1+00:00"),
    "": (" ", b" ", -1.5, 100, "2026-01-01 00:00:00.12+00:00"),
}
WHOLE = ("name", "text", "bytes", "float", "big", "moment")


@pytest.fixture(params=NAMES)
def kind(request, tmp_path):
    return kind_of(request.param, tmp_path, request)


def shop(kind) -> Database:
    """A database with every kind of table that there is trouble with."""
    database = kind.database()
    words = kind.words
    kind.run(
        database,
        "CREATE TABLE alembic_version (version_num TEXT)",
        "INSERT INTO alembic_version VALUES ('0007')",
        f"CREATE TABLE every (name TEXT PRIMARY KEY, text TEXT, bytes {words['bytes']}, "
        f"float {words['float']}, big BIGINT, moment {words['moment']})",
        # children are named before their parents
        f"CREATE TABLE zebras (id {words['serial']}, name TEXT UNIQUE, stripes INTEGER NOT NULL "
        "CHECK (stripes > 0), herd INTEGER REFERENCES zebras(id))",
        f"CREATE TABLE ants (id {words['serial']}, zebra INTEGER NOT NULL REFERENCES zebras(id))",
        'CREATE TABLE "odd "" name" ("a %b" INTEGER, "select" TEXT, "c""d" TEXT, '
        'PRIMARY KEY ("select", "a %b"))',
        "CREATE TABLE loose (a INTEGER, b TEXT)",
        "CREATE TABLE sums (id INTEGER PRIMARY KEY, n INTEGER, "
        "twice INTEGER GENERATED ALWAYS AS (n * 2) STORED)",
    )
    rows = [(name, *values) for name, values in VALUES.items()]
    kind.write(database, "INSERT INTO every VALUES (?, ?, ?, ?, ?, ?)", rows)
    herds = [(i, f"zebra {i}", i, None if i == 1 else i - 1) for i in range(1, 13)]
    kind.write(database, "INSERT INTO zebras VALUES (?, ?, ?, ?)", herds)
    kind.write(database, "INSERT INTO ants VALUES (?, ?)", [(i, i % 12 + 1) for i in range(1, 31)])
    odd = [(i, text, f"{text}{i}") for i in (1, 2, 10, -1) for text in ("", "a", "A", "ä")]
    kind.write(database, 'INSERT INTO "odd "" name" VALUES (?, ?, ?)', odd)
    loose = [(1, "x"), (1, "x"), (None, "x"), (None, None), (None, None), (10, ""), (2, None)]
    kind.write(database, "INSERT INTO loose VALUES (?, ?)", loose)
    kind.write(database, "INSERT INTO sums (id, n) VALUES (?, ?)", [(1, 4), (2, None)])
    # keys given by hand did not move what gives them out
    for table, last in (("zebras", 12), ("ants", 30)):
        kind.advance(database, table, last)
    return database


def columns(database: Database, table: str) -> tuple[str, ...]:
    return tuple(database.tables()[table].columns)


def records(database: Database, table: str, asked: Sequence[str] = ()) -> list[Record]:
    asked = tuple(asked) or columns(database, table)
    with database.records(table, asked, Told()) as found:
        return list(found)


def differences(before: Database, now: Database, only: Sequence[str] = ()) -> list[Change]:
    """As a rollback makes them: table by table, by name."""
    found = []
    seen = before.tables()
    for table in sorted(only or seen):
        asked = tuple(seen[table].columns)
        with (
            before.records(table, asked, Told()) as left,
            now.records(table, asked, Told()) as right,
        ):
            found += changes(table, left, right)
    return found


@pytest.fixture
def live(kind) -> Database:
    return shop(kind)


@pytest.fixture
def dump(live, tmp_path):
    live.dump(tmp_path / "dump", Told())
    return tmp_path / "dump"


WRITES = (
    "INSERT INTO zebras (name, stripes, herd) VALUES ('new', 5, 12)",
    "INSERT INTO zebras (name, stripes, herd) SELECT 'newer', 6, id FROM zebras WHERE name = 'new'",
    "INSERT INTO ants (zebra) SELECT id FROM zebras WHERE name = 'newer'",
    "UPDATE zebras SET stripes = 99, herd = NULL WHERE id = 3",
    "UPDATE zebras SET herd = (SELECT id FROM zebras WHERE name = 'newer') WHERE id = 5",
    "DELETE FROM ants WHERE zebra = 2",
    "UPDATE zebras SET herd = NULL WHERE herd = 2",
    "DELETE FROM zebras WHERE id = 2",
    "UPDATE every SET text = 'now', big = NULL WHERE name = 'a'",
    "INSERT INTO every SELECT 'copy', text, bytes, float, big, moment FROM every WHERE name = 'd'",
    "DELETE FROM every WHERE name IN ('b', 'ä', '')",
    'UPDATE "odd "" name" SET "c""d" = NULL WHERE "a %b" = 10',
    """DELETE FROM "odd "" name" WHERE "select" = 'A'""",
    'INSERT INTO "odd "" name" VALUES (3, \'ß\', NULL)',
    "INSERT INTO loose VALUES (1, 'x'), (NULL, NULL), (3, 'y'), (3, 'y')",
    "DELETE FROM loose WHERE a = 10 OR a IS NULL AND b = 'x'",
    "INSERT INTO sums (id, n) VALUES (3, 8)",
    "UPDATE sums SET n = 1 WHERE id = 2",
)


@pytest.mark.parametrize(
    ("table", "key"),
    [
        ("every", ("name",)),
        ("zebras", ("id",)),
        ('odd " name', ("select", "a %b")),
        ("loose", ("a", "b")),
    ],
)
def test_records_come_in_the_order_of_their_keys(live, kind, table, key):
    """All of them, each key once where there is a primary key."""
    asked = columns(live, table)
    found = records(live, table)
    assert len(found) == live.rows()[table]
    assert [one.key for one in found] == sorted((one.key for one in found), key=order)
    assert all(set(one.values) == set(asked) for one in found)
    assert all(len(one.key) == len(key) for one in found)
    if table != "loose":
        assert len({one.key for one in found}) == len(found)
        assert all(one.key == tuple(one.values[part] for part in key) for one in found)


def test_different_values_have_different_texts(live):
    """Nothing, the empty one and the word NULL too; and all of it is text."""
    for column in WHOLE:
        texts = [one.values[column] for one in records(live, "every", ("name", column))]
        assert len(set(texts)) == len(VALUES)
        assert all(text is None or isinstance(text, str) for text in texts)
        assert texts.count(None) == (0 if column == "name" else 1)


def test_records_have_the_columns_that_were_asked_for_and_their_whole_key(live):
    """Also when the key was not asked for."""
    found = records(live, "zebras", ("stripes",))
    assert len(found) == 12
    assert {tuple(one.values) for one in found} == {("stripes",)}
    assert len({one.key for one in found}) == 12


def test_duplicates_in_a_table_without_a_key_all_come(live):
    found = records(live, "loose")
    assert len(found) == 7
    assert len({one.key for one in found}) == 5
    assert found[-1].key == (None, None)


def test_records_are_of_the_moment_of_the_first(live, kind):
    """Writers are not kept waiting, and what they write is not seen."""
    rows = [(f"many {i}", i) for i in range(20_000)]
    kind.write(live, "INSERT INTO every (name, big) VALUES (?, ?)", rows)
    with live.records("every", ("big",), Told()) as found:
        first = next(found)
        kind.run(live, "DELETE FROM every")
        assert len([first, *found]) == 20_000 + len(VALUES)
    assert records(live, "every") == []


def test_records_that_are_told_to_stop_stop(live):
    with (
        pytest.raises(Interrupted),
        live.records("every", ("big",), Told(after=0)) as found,
    ):
        list(found)


@pytest.mark.parametrize(("table", "column"), [("nowhere", "id"), ("every", "nothing")])
def test_records_of_what_is_not_there_are_refused(live, table, column):
    with pytest.raises(BadInput, match=f"{table}|{column}"), live.records(table, (column,), Told()):
        pass


def test_what_was_written_since_a_dump_comes_back_after_a_restore(live, kind, dump):
    """Dump, write, set aside, restore, apply: the content is what it was, to the last byte."""
    old = live.fingerprint(Told())
    kind.run(live, *WRITES)
    new = live.fingerprint(Told())
    assert not [table for table in old if old[table] == new[table]]
    scratch = live.scratch("restore")
    try:
        scratch.fill(dump, Told())
        aside = differences(scratch, live)
    finally:
        scratch.discard()
    counts = {what: sum(one.what == what for one in aside) for what in ("added", "changed")}
    removed = len(aside) - sum(counts.values())
    live.restore(dump, Told())
    assert live.fingerprint(Told()) == old
    assert live.revision() == "0007"
    applied = live.apply(iter(aside), Told())
    assert applied == Applied(counts["added"], counts["changed"], removed)
    assert live.fingerprint(Told()) == new
    assert kind.leftovers(live) == set()
    kind.run(
        live,
        "INSERT INTO zebras (name, stripes) VALUES ('the next', 1)",
        "INSERT INTO ants (zebra) SELECT id FROM zebras WHERE name = 'the next'",
    )


def test_applying_twice_harms_nothing(live, kind, dump):
    """What already is as it should be counts as having come back. Tables with a key only."""
    kind.run(live, *(one for one in WRITES if "loose" not in one))
    new = live.fingerprint(Told())
    scratch = live.scratch("restore")
    try:
        scratch.fill(dump, Told())
        aside = differences(scratch, live)
    finally:
        scratch.discard()
    live.restore(dump, Told())
    first = live.apply(aside, Told())
    assert live.apply(aside, Told()) == first
    assert live.fingerprint(Told()) == new


def change_of(database: Database, kind, table: str, statement: str) -> list[Change]:
    """What a statement changes in a table; the statement is taken back."""
    before = records(database, table)
    kind.run(database, statement)
    return list(changes(table, before, records(database, table)))


def named(applied: Applied, table: str, *changed: Change) -> None:
    assert len(applied.conflicts) == len(changed)
    for change in changed:
        parts = [part for part in change.key if part is not None]
        found = [one for one in applied.conflicts if all(part in one for part in parts)]
        assert found, (change.key, applied.conflicts)
        assert all(table in one for one in found)


def test_a_key_that_is_taken_meanwhile_is_a_conflict_and_the_others_come_back(live, kind):
    values = "('ours', 1), ('theirs', 2)"
    aside = change_of(live, kind, "every", f"INSERT INTO every (name, big) VALUES {values}")
    kind.run(
        live,
        "DELETE FROM every WHERE name IN ('ours', 'theirs')",
        "INSERT INTO every (name, big) VALUES ('theirs', 3)",
    )
    applied = live.apply(aside, Told())
    assert (applied.added, applied.changed, applied.removed) == (1, 0, 0)
    named(applied, "every", next(one for one in aside if "theirs" in str(one.key)))
    assert kind.read(live, "SELECT name, big FROM every WHERE name IN ('ours', 'theirs')") in (
        [("ours", 1), ("theirs", 3)],
        [("theirs", 3), ("ours", 1)],
    )


@pytest.mark.parametrize("statement", ["UPDATE zebras SET stripes = 50", "DELETE FROM ants"])
def test_a_row_that_is_another_one_meanwhile_is_a_conflict(live, kind, dump, statement):
    """It stays as it is now; the others change."""
    table = "zebras" if "zebras" in statement else "ants"
    aside = change_of(live, kind, table, statement)
    live.restore(dump, Told())
    meanwhile = {
        "zebras": "UPDATE zebras SET stripes = 7, herd = NULL WHERE id = 6",
        "ants": "UPDATE ants SET zebra = 9 WHERE id = 6",
    }[table]
    kind.run(live, meanwhile)
    applied = live.apply(aside, Told())
    assert applied.changed + applied.removed == len(aside) - 1
    assert len(applied.conflicts) == 1
    assert table in applied.conflicts[0]
    assert len(kind.read(live, f"SELECT 1 FROM {table} WHERE id = 6")) == 1
    if table == "zebras":
        assert kind.read(live, "SELECT stripes FROM zebras WHERE id = 6") == [(7,)]


def test_a_changed_row_that_is_gone_meanwhile_is_a_conflict(live, kind):
    aside = change_of(live, kind, "every", "UPDATE every SET big = 77 WHERE name = 'a'")
    kind.run(live, "DELETE FROM every WHERE name = 'a'")
    named(live.apply(aside, Told()), "every", *aside)
    assert kind.read(live, "SELECT 1 FROM every WHERE name = 'a'") == []


def test_rows_that_break_a_rule_are_conflicts_and_the_others_come_back(live, kind):
    """A unique column, a missing parent, a NOT NULL, a CHECK."""
    statement = "INSERT INTO zebras VALUES (100, 'one', 1, NULL), (101, 'two', 1, 100), "
    statement += "(102, 'three', 1, NULL), (103, 'four', 1, NULL), (104, 'five', 1, NULL)"
    fine, orphan, twin, none, low = change_of(live, kind, "zebras", statement)
    kind.run(live, "DELETE FROM zebras WHERE id > 101", "DELETE FROM zebras WHERE id > 99")
    values = dict(fine.now)
    nine = next(one for one in records(live, "zebras") if one.values["stripes"] == "9").values
    aside = [
        fine,
        replace(orphan, now={**orphan.now, "herd": low.key[0]}),  # it is not there to the end
        replace(twin, now={**twin.now, "name": nine["name"]}),
        replace(none, now={**none.now, "stripes": None}),
        replace(low, now={**low.now, "stripes": "0"}),
    ]
    applied = live.apply(aside, Told())
    assert (applied.added, applied.changed, applied.removed) == (1, 0, 0)
    named(applied, "zebras", *aside[1:])
    assert values in [one.values for one in records(live, "zebras")]
    assert live.rows()["zebras"] == 13


def test_a_parent_whose_children_are_not_among_the_removed_stays(live, kind):
    """Rows that nobody announced are never taken along, not even where the schema would."""
    kind.run(
        live,
        "CREATE TABLE fleas (id INTEGER PRIMARY KEY, ant INTEGER REFERENCES ants(id) "
        "ON DELETE CASCADE)",
    )
    aside = change_of(live, kind, "ants", "DELETE FROM ants WHERE id = 7")
    kind.run(
        live,
        "INSERT INTO ants VALUES (7, 8)",
        "INSERT INTO fleas VALUES (1, 7)",
    )
    named(live.apply(aside, Told()), "ants", *aside)
    assert kind.read(live, "SELECT id FROM fleas") == [(1,)]


def test_columns_and_tables_that_are_not_there_are_conflicts(live, kind):
    """All else comes back."""
    aside = change_of(live, kind, "sums", "INSERT INTO sums (id, n) VALUES (7, 1), (8, 2)")
    kind.run(live, "DELETE FROM sums WHERE id > 6")
    seven, eight = aside
    elsewhere = replace(seven, table="nowhere")
    more = replace(eight, now={**eight.now, "colour": "red"})
    applied = live.apply([elsewhere, seven, more], Told())
    assert (applied.added, applied.changed, applied.removed) == (1, 0, 0)
    assert len(applied.conflicts) == 2
    assert any("nowhere" in one for one in applied.conflicts)
    assert any("sums" in one and "colour" in one for one in applied.conflicts)
    assert kind.read(live, "SELECT id FROM sums WHERE id > 6") == [(7,)]


def test_apply_that_is_told_to_stop_changes_nothing(live, kind):
    before = live.fingerprint(Told())
    statement = "INSERT INTO every (name, big) VALUES ('new', 1), ('newer', 2)"
    aside = change_of(live, kind, "every", statement)
    kind.run(live, "DELETE FROM every WHERE name IN ('new', 'newer')")
    with pytest.raises(Interrupted):
        live.apply(aside, Told(after=0))
    assert live.fingerprint(Told()) == before


def test_no_changes_are_applied_to_the_full(live):
    assert live.apply([], Told()) == Applied(0, 0, 0)


def test_a_dump_is_put_where_nothing_was(live, kind, dump):
    """The same content, under another name."""
    other = kind.database()
    other.restore(dump, Told())
    assert other.fingerprint(Told()) == live.fingerprint(Told())
    assert other.schema() == live.schema()
    assert kind.leftovers(other) == set()


def test_a_restore_takes_away_what_came_since(live, kind, dump):
    """Tables too; twice is the same as once."""
    before, shape = live.fingerprint(Told()), live.schema()
    kind.run(live, "CREATE TABLE later (id INTEGER)", "DROP TABLE loose", *WRITES[:3])
    for _ in range(2):
        live.restore(dump, Told())
        assert live.fingerprint(Told()) == before
        assert live.schema() == shape
        assert kind.leftovers(live) == set()


@pytest.mark.parametrize("damage", ["cut", "gone", "no dump"])
def test_a_damaged_dump_is_not_restored(live, kind, dump, damage):
    """Broken or BadInput; everything is as it was, and nothing is left."""
    kind.run(live, *WRITES[:3])
    before = live.fingerprint(Told())
    victim = kind.files(dump)[0]
    if damage == "cut":
        victim.write_bytes(victim.read_bytes()[:-1000])
    elif damage == "gone":
        victim.unlink()
    else:
        dump = dump.with_name("nowhere")
    with pytest.raises(Problem) as caught:
        live.restore(dump, Told())
    assert isinstance(caught.value, Broken | BadInput)
    assert str(dump) in str(caught.value)
    assert live.fingerprint(Told()) == before
    assert kind.leftovers(live) == set()


def test_a_restore_that_is_told_to_stop_changes_nothing(live, kind, dump):
    """Whenever: or it was too late, and it is done."""
    old = live.fingerprint(Told())
    kind.run(live, *WRITES[:3])
    new = live.fingerprint(Told())
    for after in (0, 1, 2, 4):
        try:
            live.restore(dump, Told(after))
        except Interrupted:
            assert live.fingerprint(Told()) == new
        else:
            assert live.fingerprint(Told()) == old
        assert kind.leftovers(live) == set()


TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=4)
KEYS = st.one_of(st.sampled_from(["", "a", "B", "10", "2", "ä", "NULL"]), TEXT)
ROWS = st.dictionaries(
    KEYS,
    st.tuples(
        st.none() | TEXT,
        st.none() | st.binary(max_size=4),
        st.none() | st.floats(allow_nan=False),
        st.none() | st.integers(-(2**63), 2**63 - 1),
        st.none() | st.sampled_from(["2026-02-28 23:59:59.5+00:00", "1970-01-01 00:00:00+00:00"]),
    ),
    max_size=8,
)
LOOSE = st.lists(
    st.tuples(st.none() | st.integers(0, 2), st.none() | st.sampled_from(["", "x", "X"])),
    max_size=8,
)


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(before=ROWS, now=ROWS, loose_before=LOOSE, loose_now=LOOSE)
def test_whatever_the_rows_are_the_changes_lead_from_one_to_the_other(
    kind, before, now, loose_before, loose_now
):
    """Two databases; what differs is applied to the first, and nothing differs any more."""
    if not hasattr(kind, "pair"):
        kind.pair = (shop(kind), shop(kind))
    contents = ((before, loose_before), (now, loose_now))
    for database, (rows, loose) in zip(kind.pair, contents, strict=True):
        kind.run(database, "DELETE FROM every", "DELETE FROM loose")
        values = [(name, *row) for name, row in rows.items()]
        if values:
            kind.write(database, "INSERT INTO every VALUES (?, ?, ?, ?, ?, ?)", values)
        if loose:
            kind.write(database, "INSERT INTO loose VALUES (?, ?)", loose)
    here, there = kind.pair
    applied = here.apply(differences(here, there, ("every", "loose")), Told())
    assert applied.conflicts == ()
    assert here.fingerprint(Told()) == there.fingerprint(Told())
