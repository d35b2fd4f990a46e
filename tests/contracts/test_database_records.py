"""What every adapter of ports.Database keeps: records.

`test_database.py` beside this file has the rest.
"""

import pytest
from database_shop import VALUES, WHOLE, columns, records

from guarded_rollout.core.changes import order
from guarded_rollout.core.problems import BadInput, Interrupted
from guarded_rollout.testing.control import Told


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
