"""What a restore would lose: rows that differ, and columns that only one side has."""

import pytest

from guarded_rollout.core.changes import Change, Record, What, changes, counted


def record(key: str, name: str, **beside: str | None) -> Record:
    return Record((key,), {"id": key, "name": name}, beside)


def told(before, now, **blank: str | None) -> list[tuple[str | None, What]]:
    return [(one.key[0], one.what) for one in changes("t", before, now, blank)]


def test_rows_are_paired_by_their_keys():
    """Added, changed, removed; what is equal is not among them."""
    before = [record("1", "a"), record("2", "b"), record("3", "c")]
    now = [record("1", "a"), record("2", "x"), record("4", "d")]
    found = list(changes("t", before, now))
    assert [one.what for one in found] == [What.CHANGED, What.REMOVED, What.ADDED]
    assert found[0] == Change("t", ("2",), before[1].values, now[1].values)
    assert counted(found) == {"t": {"changed": 1, "removed": 1, "added": 1}}


@pytest.mark.parametrize(
    ("held", "blank", "differs"),
    [
        (None, {}, False),
        ("red", {}, True),
        ("red", {"colour": "red"}, False),
        ("blue", {"colour": "red"}, True),
        (None, {"colour": "red"}, True),
        ("", {}, True),
    ],
)
def test_a_column_beside_counts_where_somebody_filled_it(held, blank, differs):
    """NULL too, where the default is something."""
    before, now = [record("1", "a")], [record("1", "a", colour=held)]
    assert told(before, now, **blank) == ([("1", What.CHANGED)] if differs else [])


def test_what_is_beside_goes_along_with_a_row_that_differs_anyway():
    """Filled or not: a default may be another one when the row comes back."""
    before = [record("1", "a"), record("2", "b")]
    now = [record("1", "x", colour="red"), record("3", "c", colour="red")]
    found = {one.key[0]: one for one in changes("t", before, now, {"colour": "red"})}
    assert found["1"].beside == found["3"].beside == {"colour": "red"}
    assert found["2"].beside == {}


def test_a_side_out_of_order_is_refused():
    """Half a result would lose rows."""
    with pytest.raises(ValueError, match="out of its order"):
        told([], [record("2", "b"), record("1", "a")])
