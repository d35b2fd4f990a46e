"""Changes that would come back to a stranger: what they point to does not come back.

Whoever has that key now is somebody else. Only where a foreign key says so. A row that pointed
there before, and does so still, may go on.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from guarded_rollout.adapters.postgres.kin import Link
from guarded_rollout.adapters.postgres.sessions import Connection
from guarded_rollout.adapters.postgres.staging import Group
from guarded_rollout.core.changes import What

if TYPE_CHECKING:
    from psycopg import sql

_FIND = """
    SELECT DISTINCT c.at FROM pg_temp.staged p JOIN pg_temp.staged c ON c.grp = {children}
    WHERE p.grp = {parents} AND (%(all)s OR p.at = ANY(%(at)s))
        AND {same} AND ({parent_new}) AND ({child_new})
"""


@dataclass(frozen=True, slots=True)
class Stranded:
    """Changes of a group, by their numbers, that point to `parent`."""

    group: Group
    at: tuple[int, ...]
    parent: str


@dataclass(frozen=True, slots=True)
class _Gone:
    """Changes that do not come back. `number`: where they lie; `at` None: all of them."""

    group: Group
    number: int
    at: tuple[int, ...] | None


def stranded(
    connection: Connection,
    links: Iterable[Link],
    groups: Sequence[Group],
    refused: Iterable[Group],
    failed: Iterable[tuple[Group, int]],
) -> list[Stranded]:
    """Look: all of `groups` that point to what is `refused` or `failed`, or to one of these."""
    links = tuple(links)
    seen: dict[int, set[int]] = {group.number: set() for group in groups}
    by_number = {group.number: group for group in groups}
    for group, number in failed:
        seen[group.number].add(number)
    ahead = [_Gone(group, group.outside, None) for group in refused]
    ahead += [_Gone(by_number[n], n, tuple(some)) for n, some in seen.items() if some]
    found = []
    while ahead:
        gone = ahead.pop()
        for link in links:
            if link.parent != gone.group.shape.label or gone.group.what is What.REMOVED:
                continue
            for group in groups:
                if group.shape.label != link.child or group.what is What.REMOVED:
                    continue
                new = _pointing(connection, link, gone, group) - seen[group.number]
                if new:
                    seen[group.number] |= new
                    at = tuple(sorted(new))
                    found.append(Stranded(group, at, link.parent))
                    ahead.append(_Gone(group, group.number, at))
    return found


def move_out(connection: Connection, some: Stranded) -> list[tuple[int, tuple[str | None, ...]]]:
    """Out of their group, so that nobody brings them. Returns numbers and keys."""
    some.group.out += len(some.at)
    return connection.execute(
        "UPDATE pg_temp.staged SET grp = %s WHERE grp = %s AND at = ANY(%s) RETURNING at, key",
        (some.group.outside, some.group.number, list(some.at)),
    ).fetchall()


def _pointing(connection: Connection, link: Link, gone: _Gone, group: Group) -> set[int]:
    from psycopg import sql  # noqa: PLC0415 - only PostgreSQL's users should wait for it

    ours = [name for name, _ in link.columns]
    theirs = [name for _, name in link.columns]
    if not set(ours) <= set(group.names) or not set(theirs) <= set(gone.group.names):
        return set()
    child = [_text("c", group, name) for name in ours]
    parent = [_text("p", gone.group, name) for name in theirs]
    same = (sql.SQL("{} = {}").format(*pair) for pair in zip(child, parent, strict=True))
    query = sql.SQL(_FIND).format(
        children=sql.Literal(group.number),
        parents=sql.Literal(gone.number),
        same=sql.SQL(" AND ").join(same),
        parent_new=_new("p", gone.group, theirs),
        child_new=_new("c", group, ours),
    )
    values = {"all": gone.at is None, "at": list(gone.at or ())}
    return {row[0] for row in connection.execute(query, values)}


def _text(side: str, group: Group, name: str) -> "sql.Composed":
    from psycopg import sql  # noqa: PLC0415 - as above

    at = sql.Literal(group.names.index(name) + 1)
    return sql.SQL("{}.now[{}]").format(sql.Identifier(side), at)


def _new(side: str, group: Group, names: Sequence[str]) -> "sql.Composed":
    """The change puts something there that was not there before."""
    from psycopg import sql  # noqa: PLC0415 - as above

    tests = [sql.SQL("{}.before IS NULL").format(sql.Identifier(side))]
    for name in names:
        at = sql.Literal(group.names.index(name) + 1)
        words = "{side}.before[{at}] IS DISTINCT FROM {side}.now[{at}]"
        tests.append(sql.SQL(words).format(side=sql.Identifier(side), at=at))
    return sql.SQL(" OR ").join(tests)
