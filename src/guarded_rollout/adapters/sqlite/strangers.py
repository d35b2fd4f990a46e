"""Rows that would come back to a stranger: what they point to does not come back, but its key is.

Only where a foreign key says so. A row that pointed there before, and does so still, may go on.
"""

from collections.abc import Iterable, Mapping

from guarded_rollout.adapters.sqlite.foreign_keys import Link
from guarded_rollout.core.changes import Change

_Values = tuple[str | None, ...]
_Wanted = list[tuple[Link, set[_Values]]]


def strangers(
    links: Iterable[Link],
    not_done: Iterable[tuple[int, Change, str]],
    changes: Iterable[tuple[int, Change]],
) -> dict[int, str]:
    """The changes, by number, that point to one of those that are `not_done`; and why.

    Those that point to these are among them. `changes` is read as often as it takes.
    """
    wanted: _Wanted = [(link, set()) for link in links if link.to is not None]
    out = set()
    for number, change, _ in not_done:
        out.add(number)
        _gone(wanted, change)
    if not any(values for _, values in wanted):
        return {}
    found: dict[int, str] = {}
    while True:
        size = len(found)
        for number, change in changes:
            if number in out or change.now is None:
                continue
            parent = _points_to(wanted, change)
            if parent is not None:
                out.add(number)
                found[number] = f"the row in {parent} that it points to does not come back"
                _gone(wanted, change)
        if len(found) == size:
            return found


def _gone(wanted: _Wanted, change: Change) -> None:
    """What others could have pointed to if this change had come back."""
    for link, values in wanted:
        if link.parent == change.table and link.to is not None:
            given = _new(change, link.to)
            if given is not None:
                values.add(given)


def _points_to(wanted: _Wanted, change: Change) -> str | None:
    for link, values in wanted:
        if values and link.child.name == change.table and _new(change, link.columns) in values:
            return link.parent
    return None


def _new(change: Change, columns: tuple[str, ...]) -> _Values | None:
    """What the change puts into these columns; None: nothing that was not there before."""
    if change.now is None:
        return None
    now = _values({**change.beside, **change.now}, columns)
    before = None if change.before is None else _values(change.before, columns)
    return None if None in now or now == before else now


def _values(row: Mapping[str, str | None], columns: tuple[str, ...]) -> _Values:
    """A text of digits is that number where it is a key: see `values`."""
    texts = map(row.get, columns)
    return tuple(text[1:] if text is not None and text[:1] == "'" else text for text in texts)
