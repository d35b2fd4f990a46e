"""The rows of one table, as changes meet them."""

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from guarded_rollout.adapters.sqlite.layout import Layout, listed, quoted
from guarded_rollout.adapters.sqlite.values import Bound, alike, decode, encode
from guarded_rollout.core.changes import Change

Values = Mapping[str, str | None]


class Misfit(Exception):  # noqa: N818 - not an error: it becomes a conflict
    """Why a change does not fit. Nothing of it was done."""


@dataclass(frozen=True, slots=True)
class _Row:
    """`at`: what its table's `address` has, as text."""

    at: tuple[str | None, ...]
    values: Values


@dataclass(frozen=True, slots=True)
class Rows:
    """Inside a transaction; the connection reads texts as `values` wants them.

    `blank`: what the columns that can be written hold in a row that nobody filled.
    """

    connection: sqlite3.Connection
    made: Layout
    blank: Values

    def bring(self, change: Change) -> None:
        """Do it, or find it done. Raises Misfit."""
        self._check(change)
        beside = self.beside(change)
        if change.before is None:
            self._add(change, change.now or {}, beside)
        elif change.now is None:
            self._remove(change, change.before)
        else:
            with self._one():
                self._fill(self._change(change, change.before, change.now), beside)

    def beside(self, change: Change) -> Values:
        """The columns beside that are there now and can be written."""
        return {name: value for name, value in change.beside.items() if name in self.blank}

    def _check(self, change: Change) -> None:
        names = {**(change.before or {}), **(change.now or {})}
        if missing := [name for name in names if name not in self.made.columns]:
            raise Misfit(f"there is no column {', '.join(missing)}")
        if self.made.key and len(self.made.key) != len(change.key):
            raise Misfit(f"the key is ({', '.join(self.made.key)}) now")
        if not self.made.address and change.before is not None:
            raise Misfit("the table has no key, and its columns hide its row numbers")

    def _add(self, change: Change, now: Values, beside: Values) -> None:
        key = self._key(change)
        if key and None not in key.values():  # else any number of rows may have it
            for row in self._found(key, now):
                if row.values == now:
                    with self._one():
                        self._fill(row.at, beside)
                    return
                raise Misfit("the key is taken")
        all_of_it = {**key, **now, **beside}
        new = {name: _bound(name, value) for name, value in self._stored(all_of_it).items()}
        with self._one():
            number = self.connection.execute(
                f"INSERT INTO {quoted(self.made.name)} ({listed(tuple(new))}) "  # noqa: S608 - names are quoted
                f"VALUES ({', '.join(bound.sql for bound in new.values())})",
                [bound.value for bound in new.values()],
            ).lastrowid
            if self.made.address:
                at = tuple(key.values()) if self.made.number is None else (str(number),)
                self._read_back(at, all_of_it)

    def _change(self, change: Change, before: Values, now: Values) -> tuple[str | None, ...]:
        """Returns where the row is."""
        row = self._still(change, before, now)
        if row is None:
            raise Misfit("the row is not there")
        self._set(row.at, {n: value for n, value in now.items() if row.values.get(n) != value})
        return row.at

    def _fill(self, at: tuple[str | None, ...], beside: Values) -> None:
        """What nobody filled is filled. What somebody did is theirs: Misfit."""
        if not beside:
            return
        if not self.made.address:
            raise Misfit("the table has no key, and its columns hide its row numbers")
        where, bound = _where(self.made.address, at)
        row = self.connection.execute(
            f"SELECT {listed(tuple(beside))} FROM {quoted(self.made.name)} WHERE {where}",  # noqa: S608 - names are quoted
            bound,
        ).fetchone()
        found = dict(zip(beside, map(encode, row), strict=True))
        other = {name: value for name, value in beside.items() if not alike(found[name], value)}
        if filled := [
            name for name in other if not alike(found[name], self.blank[name]) and found[name]
        ]:
            raise Misfit(f"the row is another one now: {', '.join(filled)}")
        self._set(at, other)

    def _set(self, at: tuple[str | None, ...], changed: Values) -> None:
        new = {name: _bound(name, value) for name, value in self._stored(changed).items()}
        if not new:
            return
        sets = ", ".join(f"{quoted(name)} = {bound.sql}" for name, bound in new.items())
        where, row = _where(self.made.address, at)
        with self._one():
            self.connection.execute(
                f"UPDATE {quoted(self.made.name)} SET {sets} WHERE {where}",  # noqa: S608 - names are quoted
                [bound.value for bound in new.values()] + row,
            )
            self._read_back(at, changed)

    def _remove(self, change: Change, before: Values) -> None:
        row = self._still(change, before, None)
        if row is None:
            return
        where, at = _where(self.made.address, row.at)
        with self._one():
            self.connection.execute(
                f"DELETE FROM {quoted(self.made.name)} WHERE {where}",  # noqa: S608 - names are quoted
                at,
            )

    def _still(self, change: Change, before: Values, now: Values | None) -> _Row | None:
        """The row as it was before, else as it is to be; None where there is none at all."""
        other: _Row | None = None
        for row in self._found(self._key(change) or before, before):
            if row.values == before:
                return row
            other = row
        if other is not None and (now is None or other.values != now):
            names = [name for name, value in before.items() if other.values[name] != value]
            raise Misfit(f"the row is another one now: {', '.join(names)}")
        return other

    def _found(self, identity: Values, asked: Values) -> Iterator[_Row]:
        """The rows that have exactly these values, as far as is asked."""
        names = (*self.made.address, *identity, *asked)
        where, bound = _where(tuple(identity), tuple(identity.values()))
        cursor = self.connection.execute(
            f"SELECT {listed(names)} FROM {quoted(self.made.name)} WHERE {where}",  # noqa: S608 - names are quoted
            bound,
        )
        end = len(self.made.address)
        for row in cursor:
            found = [encode(value) for value in row]
            values = dict(zip(names[end:], found[end:], strict=True))
            if all(values[name] == value for name, value in identity.items()):  # SQL's = is looser
                yield _Row(tuple(found[:end]), {name: values[name] for name in asked})

    def _read_back(self, at: tuple[str | None, ...], written: Values) -> None:
        where, bound = _where(self.made.address, at)
        stored = self._stored(written)
        row = self.connection.execute(
            f"SELECT {listed(tuple(stored))} FROM {quoted(self.made.name)} WHERE {where}",  # noqa: S608 - names are quoted
            bound,
        ).fetchone()
        if row is None:
            raise Misfit("the row is gone as soon as it is written")
        for (name, value), now in zip(stored.items(), row, strict=True):
            if not alike(value, encode(now)):
                raise Misfit(f"column {name} does not take this value as it is")

    def _key(self, change: Change) -> Values:
        """By name; empty where the table has no key."""
        return dict(zip(self.made.key, change.key, strict=True)) if self.made.key else {}

    def _stored(self, values: Values) -> Values:
        """Without the columns that SQLite computes."""
        return {name: value for name, value in values.items() if name not in self.made.computed}

    @contextmanager
    def _one(self) -> Iterator[None]:
        """What is done inside is done whole, or it is a Misfit and not done."""
        self.connection.execute("SAVEPOINT one")
        try:
            yield
        except (sqlite3.IntegrityError, sqlite3.DataError, Misfit) as error:
            self.connection.execute("ROLLBACK TO one")
            self.connection.execute("RELEASE one")
            raise Misfit(str(error)) from error
        self.connection.execute("RELEASE one")


def _where(
    names: tuple[str, ...], values: tuple[str | None, ...]
) -> tuple[str, list[int | float | str | bytes | None]]:
    """A condition and what is bound in it."""
    bound = [_bound(name, value) for name, value in zip(names, values, strict=True)]
    tests = [f"{quoted(name)} IS {one.sql}" for name, one in zip(names, bound, strict=True)]
    return " AND ".join(tests), [one.value for one in bound]


def _bound(name: str, value: str | None) -> Bound:
    try:
        return decode(value)
    except ValueError as error:
        raise Misfit(f"column {name}: {error}") from error
