"""What every adapter of ports.Database keeps: changes that come back.

`test_database.py` beside this file has the rest.
"""

from dataclasses import replace

import pytest
from database_shop import WRITES, differences, records, shop
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from guarded_rollout.core.changes import Change, changes
from guarded_rollout.core.problems import Interrupted
from guarded_rollout.ports import Applied, Database
from guarded_rollout.testing.control import Told


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


def test_asked_for_as_a_whole_a_taken_key_keeps_everything_out(live, kind):
    """A child must not come back to a stranger who has its parent's key."""
    before = {table: records(live, table) for table in ("zebras", "ants")}
    kind.run(
        live,
        "INSERT INTO zebras (id, name, stripes) VALUES (900, 'ours', 1)",
        "INSERT INTO ants (zebra) VALUES (900)",
    )
    aside = [one for table in before for one in changes(table, before[table], records(live, table))]
    kind.run(
        live,
        "DELETE FROM ants WHERE zebra = 900",
        "DELETE FROM zebras WHERE id = 900",
        "INSERT INTO zebras (id, name, stripes) VALUES (900, 'a stranger', 2)",
    )
    content = live.fingerprint(Told())
    applied = live.apply(aside, Told(), whole=True)
    assert (applied.added, applied.changed, applied.removed) == (0, 0, 0)
    assert any("zebras" in one and "900" in one for one in applied.conflicts)
    assert live.fingerprint(Told()) == content


@pytest.mark.parametrize("rest", [(), ({"gone": "1"},)])
def test_a_child_does_not_come_back_to_a_stranger(live, kind, rest):
    """Its parent's key is taken, or its parent has no place any more; nor do its own children."""
    before = {table: records(live, table) for table in ("zebras", "ants")}
    kind.run(
        live,
        "INSERT INTO zebras (id, name, stripes) VALUES (900, 'ours', 1), (901, 'fine', 1)",
        "INSERT INTO zebras (id, name, stripes, herd) VALUES (902, 'child', 1, 900)",
        "INSERT INTO ants (id, zebra) VALUES (900, 900), (901, 901), (902, 902)",
        "UPDATE ants SET zebra = 900 WHERE id = 1",
        "UPDATE zebras SET herd = 901, stripes = 4 WHERE id = 3",
    )
    aside = [one for table in before for one in changes(table, before[table], records(live, table))]
    kind.run(
        live,
        "UPDATE zebras SET herd = 2, stripes = 3 WHERE id = 3",
        "UPDATE ants SET zebra = 2 WHERE id = 1",
        "DELETE FROM ants WHERE id >= 900",
        "DELETE FROM zebras WHERE id = 902",
        "DELETE FROM zebras WHERE id >= 900",
        "INSERT INTO zebras (id, name, stripes) VALUES (900, 'a stranger', 2)",
    )
    for more in rest:
        aside = [
            replace(one, now={**one.now, **more})
            if one.key == ("900",) and "name" in one.now
            else one
            for one in aside
        ]
    applied = live.apply(aside, Told())
    out = [one for one in aside if one.key in {("900",), ("902",), ("1",)}]
    assert len(out) == 5
    assert (applied.added, applied.changed, applied.removed) == (2, 1, 0)
    assert len(applied.conflicts) == len(out)
    strays = [one for one in applied.conflicts if "does not come back" in one]
    assert sorted(one.partition(" ")[0] for one in strays) == ["ants", "ants", "ants", "zebras"]
    assert all("the row in zebras that it points to" in one for one in strays)
    assert kind.read(live, "SELECT id FROM ants WHERE zebra > 899") == [(901,)]
    assert kind.read(live, "SELECT name FROM zebras WHERE herd > 899") == [("zebra 3",)]


def test_a_row_that_points_where_it_pointed_before_may_change(live, kind):
    """Its parent is another one now, and was no other then."""
    aside = [
        *change_of(live, kind, "zebras", "UPDATE zebras SET stripes = 70 WHERE id = 2"),
    ]
    aside += change_of(live, kind, "ants", "INSERT INTO ants (id, zebra) VALUES (700, 2)")
    kind.run(live, "UPDATE zebras SET stripes = 71 WHERE id = 2", "DELETE FROM ants WHERE id = 700")
    applied = live.apply(aside, Told())
    assert (applied.added, len(applied.conflicts)) == (1, 1)


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
