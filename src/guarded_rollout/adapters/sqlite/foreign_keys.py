"""Rows that point to nothing. SQLite's own check does not name rows of tables WITHOUT ROWID."""

import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from guarded_rollout.adapters.sqlite.layout import Layout, quoted
from guarded_rollout.adapters.sqlite.values import encode
from guarded_rollout.core.changes import Change


@dataclass(frozen=True, slots=True)
class Link:
    """A foreign key. `columns`: the child's; `to`: the parent's; without a parent none is met."""

    child: Layout
    parent: str
    columns: tuple[str, ...]
    to: tuple[str, ...] | None

    @property
    def name(self) -> tuple[object, ...]:
        """Tells it from all others."""
        return (self.child.name, self.columns, self.parent)


@dataclass(frozen=True, slots=True)
class Orphan:
    """A row whose parent is missing. `at`: its table's `address`, as text."""

    link: Link
    at: tuple[str | None, ...]
    values: Mapping[str, str | None]

    @property
    def name(self) -> tuple[object, ...]:
        """Tells it from all others."""
        return (self.link.name, self.at)


def links(connection: sqlite3.Connection, layouts: Mapping[str, Layout]) -> list[Link]:
    """The foreign keys of these tables. One that SQLite itself cannot follow is left out."""
    by_name = {name.lower(): made for name, made in layouts.items()}
    found: dict[tuple[str, int], list[tuple[str, str, str | None]]] = {}
    for name in layouts:
        for number, parent, column, to in connection.execute(
            'SELECT id, "table", "from", "to" FROM pragma_foreign_key_list(?) ORDER BY id, seq',
            (name,),
        ):
            found.setdefault((name, number), []).append((parent, column, to))
    return [
        link
        for (name, _), parts in found.items()
        if (link := _link(layouts[name], by_name.get(parts[0][0].lower()), parts)) is not None
    ]


def orphans(connection: sqlite3.Connection, wanted: Iterable[Link]) -> Iterator[Orphan]:
    """The rows that point to nothing. The connection reads texts as `values` wants them."""
    for link in wanted:
        child = link.child
        names = (*child.address, *(child.key or child.columns), *link.columns)
        columns = ", ".join(f"child.{quoted(name)}" for name in names)
        tests = [f"child.{quoted(name)} IS NOT NULL" for name in link.columns]
        if link.to is not None:
            same = " AND ".join(
                f"parent.{quoted(to)} = child.{quoted(name)}"
                for to, name in zip(link.to, link.columns, strict=True)
            )
            tests.append(
                f"NOT EXISTS (SELECT 1 FROM {quoted(link.parent)} AS parent WHERE {same})"  # noqa: S608 - names are quoted
            )
        end = len(child.address)
        for row in connection.execute(
            f"SELECT {columns} FROM {quoted(child.name)} AS child WHERE {' AND '.join(tests)}"  # noqa: S608 - names are quoted
        ):
            texts = [encode(value) for value in row]
            yield Orphan(link, tuple(texts[:end]), dict(zip(names[end:], texts[end:], strict=True)))


def blamed(changes: Iterable[tuple[int, Change]], found: list[Orphan]) -> dict[int, str]:
    """The changes, by number, without which these rows would not be orphans; and why.

    Whoever added or moved the child is to blame, else whoever took the parent away. Where neither
    can be told (SQL finds values equal that are not), it is all who took from the parent's
    table, else all who gave to the child's.
    """
    children, parents = _Index(found), _Index(found)
    links = {orphan.link.name: orphan.link for orphan in found}.values()
    by_child: dict[int, list[int]] = {}
    by_parent: dict[int, list[int]] = {}
    takers: dict[int, str] = {}
    givers: dict[int, str] = {}
    for number, change in changes:
        for link in links:
            if change.now is not None and change.table == link.child.name:
                names, values = link.child.key, change.key
                if not names:
                    names, values = tuple(change.now), tuple(change.now.values())
                by_child.setdefault(number, []).extend(children.find(link, names, values))
                givers[number] = f"it may point to nothing in {link.parent}"
            if change.before is not None and change.table == link.parent and link.to is not None:
                values = tuple(map(change.before.get, link.to))
                by_parent.setdefault(number, []).extend(parents.find(link, link.columns, values))
                takers[number] = f"a row in {link.child.name} may point to it"
    settled = {orphan for numbers in by_child.values() for orphan in numbers}
    why = {
        number: f"the row in {found[numbers[0]].link.parent} that it points to is not there"
        for number, numbers in by_child.items()
        if numbers
    }
    for number, numbers in by_parent.items():
        if left := [orphan for orphan in numbers if orphan not in settled]:
            why.setdefault(number, f"a row in {found[left[0]].link.child.name} points to it")
    return why or takers or givers


class _Index:
    """Orphans by some of their columns."""

    def __init__(self, orphans: list[Orphan]) -> None:
        self._orphans = orphans
        self._by: dict[tuple[object, ...], dict[tuple[str | None, ...], list[int]]] = {}

    def find(self, link: Link, names: tuple[str, ...], values: tuple[str | None, ...]) -> list[int]:
        """The numbers of those that have these values."""
        which = (link.name, names)
        if which not in self._by:
            made: dict[tuple[str | None, ...], list[int]] = {}
            for number, orphan in enumerate(self._orphans):
                if orphan.link.name == link.name:
                    made.setdefault(tuple(map(orphan.values.get, names)), []).append(number)
            self._by[which] = made
        return self._by[which].get(values, [])


def _link(
    child: Layout, parent: Layout | None, parts: list[tuple[str, str, str | None]]
) -> Link | None:
    own = {name.lower(): name for name in child.columns}
    columns = tuple(own[column.lower()] for _, column, _ in parts)
    if parent is None:
        return Link(child, parts[0][0], columns, None)
    theirs = {name.lower(): name for name in parent.columns}
    named = [to for _, _, to in parts]
    to = (
        parent.key
        if None in named
        else tuple(theirs[name.lower()] for name in named if name and name.lower() in theirs)
    )
    return Link(child, parent.name, columns, to) if len(to) == len(columns) else None
