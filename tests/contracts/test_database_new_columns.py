"""What every adapter of ports.Database keeps: columns that only the live table had.

A release added them, users filled them, a restore went back to before; later the release is
deployed again and the rows come back. `test_database.py` beside this file has the rest.
"""

import pytest
from database_shop import columns, records

from guarded_rollout.core.changes import Change, changes
from guarded_rollout.core.problems import BadInput
from guarded_rollout.ports import Applied, Database
from guarded_rollout.testing.control import Told

ADDED = (
    "ALTER TABLE zebras ADD COLUMN colour TEXT",
    "ALTER TABLE zebras ADD COLUMN size INTEGER NOT NULL DEFAULT 7",
    "ALTER TABLE loose ADD COLUMN colour TEXT DEFAULT 'it''s red'",
)
FILLED = (
    "UPDATE zebras SET colour = 'striped' WHERE id = 2",
    "UPDATE zebras SET size = 8, stripes = 40 WHERE id = 3",
    "INSERT INTO zebras (id, name, stripes, colour) VALUES (90, 'new', 5, 'grey')",
    "INSERT INTO zebras (id, name, stripes) VALUES (91, 'plain', 5)",
    "DELETE FROM ants WHERE zebra = 12",
    "DELETE FROM zebras WHERE id = 12",
    "UPDATE loose SET colour = 'blue' WHERE a = 2",
    "UPDATE loose SET colour = NULL WHERE a = 10",
    "INSERT INTO loose VALUES (7, 'new', 'blue')",
)


@pytest.fixture
def told(live, kind, dump) -> list[Change]:
    """What is set aside; the database is what it was before the release."""
    kind.run(live, *ADDED, *FILLED)
    scratch = live.scratch("aside")
    try:
        scratch.fill(dump, Told())
        aside = since(scratch, live, ("zebras", "ants", "loose"))
    finally:
        scratch.discard()
    live.restore(dump, Told())
    return aside


def since(before: Database, now: Database, tables: tuple[str, ...]) -> list[Change]:
    """As a rollback does it."""
    found = []
    for table in tables:
        shared = columns(before, table)
        blank = now.blank(table)
        beside = tuple(name for name in blank if name not in shared)
        with (
            before.records(table, shared, Told()) as left,
            now.records(table, shared, Told(), beside=beside) as right,
        ):
            found += changes(table, left, right, blank)
    return found


def look(live, kind):
    return sorted(kind.read(live, "SELECT id, stripes, colour, size FROM zebras"))


def test_a_row_that_differs_only_there_is_set_aside(told):
    """With all that it holds there; not one that nobody filled."""
    found = {(one.table, one.key[0]): one for one in told if one.table == "zebras"}
    assert {key for _, key in found} == {"2", "3", "12", "90", "91"}
    two = found["zebras", "2"]
    assert two.before == two.now
    assert two.beside.keys() == {"colour", "size"}
    assert str(two.beside["colour"]).endswith("striped")
    assert found["zebras", "91"].beside == {"colour": None, "size": "7"}
    assert found["zebras", "12"].beside == {}
    assert sorted(
        str(one.beside.get("colour")).strip("'") for one in told if one.table == "loose"
    ) == [
        "None",
        "blue",
        "blue",
    ]


def test_it_comes_back_when_the_columns_are_there_again(live, kind, told):
    """All of it, and twice is the same as once."""
    kind.run(live, *ADDED)
    applied = live.apply(told, Told())
    assert (applied.conflicts, applied.left_out) == ((), ())
    assert applied.added + applied.changed + applied.removed >= len(told)
    rows = look(live, kind)
    assert rows[1:3] == [(2, 2, "striped", 7), (3, 40, None, 8)]
    assert rows[-2:] == [(90, 5, "grey", 7), (91, 5, None, 7)]
    assert not [row for row in rows if row[0] == 12]
    assert sorted(kind.read(live, "SELECT a, b, colour FROM loose WHERE a IN (2, 7, 10)")) == [
        (2, None, "blue"),
        (7, "new", "blue"),
        (10, "", None),
    ]
    again = [one for one in told if one.table != "loose"]
    assert live.apply(again, Told()).conflicts == ()
    assert look(live, kind) == rows


def test_what_has_no_place_is_left_out_and_comes_back_later(live, kind, told):
    """The old release serves: the rows first, and what they hold there when there is a place."""
    told = [one for one in told if one.table != "loose"]
    kind.run(live, ADDED[1])
    applied = live.apply(told, Told())
    assert applied.conflicts == ()
    assert applied.left_out == ("zebras.colour",)
    kind.run(live, ADDED[0])
    applied = live.apply(told, Told())
    assert (applied.conflicts, applied.left_out) == ((), ())
    rows = look(live, kind)
    assert rows[1:3] == [(2, 2, "striped", 7), (3, 40, None, 8)]
    assert rows[-2:] == [(90, 5, "grey", 7), (91, 5, None, 7)]


def test_a_row_that_has_nothing_else_to_bring_is_in_no_count(live, told):
    """None of the columns is there."""
    only = [one for one in told if one.before == one.now]
    assert {one.table for one in only} == {"zebras", "loose"}
    before = live.fingerprint(Told())
    left_out = ("loose.colour", "zebras.colour", "zebras.size")
    assert live.apply(only, Told()) == Applied(0, 0, 0, (), left_out)
    assert live.fingerprint(Told()) == before


def test_what_somebody_filled_meanwhile_is_theirs(live, kind, told):
    """A conflict by name; the others come back."""
    kind.run(live, *ADDED, "UPDATE zebras SET colour = 'mine' WHERE id = 2")
    applied = live.apply([one for one in told if one.table != "loose"], Told())
    (conflict,) = applied.conflicts
    assert "zebras" in conflict
    assert "2" in conflict
    assert look(live, kind)[1] == (2, 2, "mine", 7)
    assert look(live, kind)[-2] == (90, 5, "grey", 7)


def test_what_a_row_holds_that_nobody_filled(live, kind):
    """As records write it: a constant only. What is computed cannot be filled."""
    kind.run(
        live,
        "CREATE TABLE given (id INTEGER PRIMARY KEY, n INTEGER DEFAULT 42, low INTEGER DEFAULT -1, "
        "real REAL DEFAULT 2, text TEXT DEFAULT 'a''b', yes BOOLEAN DEFAULT TRUE, "
        "empty TEXT DEFAULT NULL, short VARCHAR(9) DEFAULT 'x', "
        "at TIMESTAMP DEFAULT CURRENT_TIMESTAMP, "
        "plain TEXT, twice INTEGER GENERATED ALWAYS AS (n * 2) STORED)",
        "INSERT INTO given (id) VALUES (1)",
    )
    blank = live.blank("given")
    assert blank.keys() == set(columns(live, "given")) - {"twice"}
    (row,) = records(live, "given")
    constant = set(blank) - {"id", "at"}
    assert {name: blank[name] for name in constant} == {name: row.values[name] for name in constant}
    assert blank["id"] is blank["at"] is None
    with pytest.raises(BadInput, match="nowhere"):
        live.blank("nowhere")
