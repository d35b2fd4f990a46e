"""What a table has now that it did not have before: the rows that a restore would lose."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType

Key = tuple[str | None, ...]
Order = tuple[tuple[bool, bytes], ...]


@dataclass(frozen=True, slots=True)
class Record:
    """One row. `key` identifies it; values are text that the database reads back as they were.

    `beside`: columns that the other side's table does not have. The key never has any of them.
    """

    key: Key
    values: Mapping[str, str | None]
    beside: Mapping[str, str | None] = field(default_factory=dict)


class What(StrEnum):
    """What happened to a row."""

    ADDED = "added"
    CHANGED = "changed"
    REMOVED = "removed"


@dataclass(frozen=True, slots=True)
class Change:
    """One row that differs. `before` None: added; `now` None: removed.

    `beside`: what the row has now in columns that its table did not have before.
    """

    table: str
    key: Key
    before: Mapping[str, str | None] | None
    now: Mapping[str, str | None] | None
    beside: Mapping[str, str | None] = field(default_factory=dict)

    @property
    def what(self) -> What:
        """What happened to the row."""
        if self.before is None:
            return What.ADDED
        return What.REMOVED if self.now is None else What.CHANGED


def counted(found: Iterable[Change]) -> dict[str, dict[str, int]]:
    """How many rows per table, and what happened to them. Reads them once."""
    counts: dict[str, dict[str, int]] = {}
    for change in found:
        table = counts.setdefault(change.table, {})
        table[change.what] = table.get(change.what, 0) + 1
    return counts


def order(key: Key) -> Order:
    """How keys are ordered: by their UTF-8 bytes, NULL last."""
    return tuple((part is None, (part or "").encode("utf-8", "surrogatepass")) for part in key)


def changes(
    table: str,
    before: Iterable[Record],
    now: Iterable[Record],
    blank: Mapping[str, str | None] = MappingProxyType({}),
) -> Iterator[Change]:
    """The differences, by key. Both sides come in `order`; equal keys are paired one by one.

    `blank`: what columns beside hold in a row that nobody filled, NULL where it says nothing. A
    row that holds anything else there has changed, whoever put it there. Raises ValueError when a
    side is out of order: half a result would lose rows in silence.
    """
    left, right = _ordered(before), _ordered(now)
    old, new = next(left, None), next(right, None)
    while old is not None or new is not None:
        if new is None or (old is not None and old[0] < new[0]):
            assert old is not None, "one of them is there"
            yield Change(table, old[1].key, old[1].values, None)
            old = next(left, None)
        elif old is None or new[0] < old[0]:
            yield Change(table, new[1].key, None, new[1].values, new[1].beside)
            new = next(right, None)
        else:
            filled = any(value != blank.get(name) for name, value in new[1].beside.items())
            if filled or old[1].values != new[1].values:
                yield Change(table, new[1].key, old[1].values, new[1].values, new[1].beside)
            old, new = next(left, None), next(right, None)


def _ordered(records: Iterable[Record]) -> Iterator[tuple[Order, Record]]:
    last: Order | None = None
    for record in records:
        at = order(record.key)
        if last is not None and at < last:
            raise ValueError(f"key {record.key} comes out of its order")
        last = at
        yield at, record
