"""Set-aside changes, brought back in one transaction.

What does not fit is tried again as long as others still go in: a name may become free. Foreign
keys are looked at when all is done: where a row points to nothing that did not before, the change
to blame is left out, and the whole is done anew without it. So it is with a row that points to one
that does not come back: whoever has its key now is a stranger. No cascade ever runs, so no row is
touched that is not among the changes.
"""

import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from guarded_rollout.adapters.sqlite.defaults import blank
from guarded_rollout.adapters.sqlite.foreign_keys import Link, blamed, links, orphans
from guarded_rollout.adapters.sqlite.layout import layout, service_tables
from guarded_rollout.adapters.sqlite.rows import Misfit, Rows
from guarded_rollout.adapters.sqlite.spool import Spool
from guarded_rollout.adapters.sqlite.strangers import strangers
from guarded_rollout.adapters.sqlite.triggers import silenced
from guarded_rollout.adapters.sqlite.values import type_of_texts
from guarded_rollout.core.changes import Change, What
from guarded_rollout.core.problems import Broken
from guarded_rollout.ports import Applied

_KEY_SHOWN = 200

_NotDone = list[tuple[int, Change, str]]


def apply(
    connection: sqlite3.Connection,
    changes: Iterable[Change],
    go_on: Callable[[], None],
    *,
    whole: bool,
) -> Applied:
    """All that fits; the rest as conflicts. `go_on` is asked now and then; it raises to stop.

    `whole`: with a conflict nothing.
    """
    try:
        with Spool(changes, go_on) as spool:
            connection.execute("PRAGMA foreign_keys = OFF")
            # Without a log, a reader that comes in between would stop each page that is written.
            connection.execute("BEGIN EXCLUSIVE")
            with silenced(connection):
                done = _fitting(connection, spool)
            if whole and done.conflicts:
                connection.execute("ROLLBACK")
                return Applied(0, 0, 0, done.conflicts, done.left_out)
            connection.execute("COMMIT")
            return done
    except OSError as error:
        raise Broken(
            f"the changes could not be set down: {error.strerror}; nothing was applied",
            "make room where temporary files go (TMPDIR, else /tmp)",
        ) from error


@dataclass(frozen=True, slots=True)
class _Tried:
    """One go. `not_done`: number, change, why. `missing`: columns beside, by table."""

    done: Mapping[What, int]
    not_done: _NotDone
    missing: frozenset[tuple[str, str]]


def _fitting(connection: sqlite3.Connection, spool: Spool) -> Applied:
    layouts = {name: layout(connection, name) for name in service_tables(connection)}
    touched = [
        link
        for link in links(connection, layouts)
        if link.child.name in spool.tables or link.parent in spool.tables
    ]
    blanks = {name: blank(connection, made) for name, made in layouts.items()}
    rows = {name: Rows(connection, made, blanks[name]) for name, made in layouts.items()}
    connection.text_factory = type_of_texts
    try:
        return _without_orphans(connection, spool, rows, touched)
    finally:
        connection.text_factory = str


def _without_orphans(
    connection: sqlite3.Connection,
    spool: Spool,
    rows: Mapping[str, Rows],
    touched: list[Link],
) -> Applied:
    known = {orphan.name for orphan in orphans(connection, touched)}
    left_out: dict[int, str] = {}
    connection.execute("SAVEPOINT all_of_it")
    while True:
        tried = _try(spool, rows, left_out)
        more = strangers(touched, tried.not_done, spool)
        if not more:
            new = [orphan for orphan in orphans(connection, touched) if orphan.name not in known]
            if not new:
                return _applied(tried)
            more = blamed(((n, change) for n, change in spool if n not in left_out), new)
        if not more:
            raise Broken(
                f"a row in {new[0].link.child.name} would point to nothing in "
                f"{new[0].link.parent}, and no change is to blame; nothing was applied",
                "look at the foreign keys of both tables",
            )
        left_out |= more
        connection.execute("ROLLBACK TO all_of_it")


def _try(spool: Spool, rows: Mapping[str, Rows], left_out: Mapping[int, str]) -> _Tried:
    done: Counter[What] = Counter()
    missing: set[tuple[str, str]] = set()
    final: _NotDone = []
    again: _NotDone = []

    def bring(number: int, change: Change, rest: _NotDone) -> None:
        table = rows[change.table]
        try:
            missing.update((change.table, name) for name in change.beside.keys() - table.blank)
            if change.before != change.now or table.beside(change):
                table.bring(change)
                done[change.what] += 1
        except Misfit as misfit:
            rest.append((number, change, str(misfit)))

    for number, change in spool:
        if number in left_out:
            final.append((number, change, left_out[number]))
        elif change.table not in rows:
            final.append((number, change, "there is no such table"))
        else:
            bring(number, change, again)
    while again:
        rest: _NotDone = []
        for number, change, _ in reversed(again):  # names that moved up by one come in one go
            bring(number, change, rest)
        stuck = len(rest) == len(again)
        again = rest
        if stuck:
            break
    return _Tried(done, sorted(final + again, key=lambda one: one[0]), frozenset(missing))


def _applied(tried: _Tried) -> Applied:
    return Applied(
        added=tried.done.get(What.ADDED, 0),
        changed=tried.done.get(What.CHANGED, 0),
        removed=tried.done.get(What.REMOVED, 0),
        conflicts=tuple(_conflict(change, why) for _, change, why in tried.not_done),
        left_out=tuple(sorted(f"{table}.{column}" for table, column in tried.missing)),
    )


def _conflict(change: Change, why: str) -> str:
    key = ", ".join("NULL" if part is None else part for part in change.key)
    shown = key if len(key) <= _KEY_SHOWN else key[:_KEY_SHOWN] + " ..."
    return f"{change.table} ({shown}), {change.what}: {why}"
