"""What a table has now that it did not have before: the rows that a restore would lose."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

Key = tuple[str | None, ...]
Order = tuple[tuple[bool, bytes], ...]


@dataclass(frozen=True, slots=True)
class Record:
    """One row. `key` identifies it; values are text that the database reads back as they were."""

    key: Key
    values: Mapping[str, str | None]


class What(StrEnum):
    """What happened to a row."""

    ADDED = "added"
    CHANGED = "changed"
    REMOVED = "removed"


@dataclass(frozen=True, slots=True)
class Change:
    """One row that differs. `before` None: added; `now` None: removed."""

    table: str
    key: Key
    before: Mapping[str, str | None] | None
    now: Mapping[str, str | None] | None

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


def changes(table: str, before: Iterable[Record], now: Iterable[Record]) -> Iterator[Change]:
    """The differences, by key. Both sides come in `order`; equal keys are paired one by one.

    Raises ValueError when a side is out of order: half a result would lose rows in silence.
    """
    left, right = _ordered(before), _ordered(now)
    old, new = next(left, None), next(right, None)
    while old is not None or new is not None:
        if new is None or (old is not None and old[0] < new[0]):
            assert old is not None, "one of them is there"
            yield Change(table, old[1].key, old[1].values, None)
            old = next(left, None)
        elif old is None or new[0] < old[0]:
            yield Change(table, new[1].key, None, new[1].values)
            new = next(right, None)
        else:
            if old[1].values != new[1].values:
                yield Change(table, new[1].key, old[1].values, new[1].values)
            old, new = next(left, None), next(right, None)


def _ordered(records: Iterable[Record]) -> Iterator[tuple[Order, Record]]:
    last: Order | None = None
    for record in records:
        at = order(record.key)
        if last is not None and at < last:
            raise ValueError(f"key {record.key} comes out of its order")
        last = at
        yield at, record
