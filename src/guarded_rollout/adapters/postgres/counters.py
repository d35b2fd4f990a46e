"""What gives out keys goes on: a dump in the live database's place must not lower a sequence.

Rows that were written since the dump are set aside with their keys. If a sequence gave those keys
out again, strangers would have them by the time that the rows come back.
"""

from dataclasses import dataclass

from guarded_rollout.adapters.postgres.access import Access
from guarded_rollout.adapters.postgres.sessions import Connection, connect, told
from guarded_rollout.core.problems import BadInput, Broken
from guarded_rollout.ports import Control

_SEQUENCES = """
    SELECT n.nspname, c.relname, q.seqincrement, q.seqmin, q.seqmax, q.seqcycle
    FROM pg_catalog.pg_sequence q
    JOIN pg_catalog.pg_class c ON c.oid = q.seqrelid
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relpersistence <> 't' ORDER BY 1, 2
"""
_Name = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Counter:
    """A sequence. `last`: the value that came last if it was `called`, else the one to come."""

    step: int
    least: int
    most: int
    cycles: bool
    last: int
    called: bool

    @property
    def next(self) -> int:
        """What it gives out next, unless it is exhausted."""
        return self.last + self.step if self.called else self.last

    def takes(self, other: "Counter") -> bool:
        """The position of `other` is one of ours."""
        return self.least <= other.last <= self.most

    def behind(self, other: "Counter") -> bool:
        """It would give out again what `other` has given out. One that cycles has no order."""
        if self.cycles:
            return self.next != other.next
        return self.next < other.next if self.step > 0 else self.next > other.next


def carry_on(live: Access, fresh: Access, wait_seconds: float, control: Control) -> None:
    """Put each sequence of `fresh` where the one of its name in `live` is, if that is further.

    What cannot be read in `live` is said and left as it is in `fresh`; Busy when it is locked.
    """
    try:
        now = counters(live, wait_seconds, control)
    except (BadInput, Broken) as problem:
        control.say(f"sequences go on from the backup's values: {problem.why.what}")
        return
    connection = connect(fresh, wait_seconds)
    try:
        with told(fresh, "moving the sequences of"):
            for name, counter in _counters(connection, control).items():
                found = now.get(name)
                if found is None or not counter.behind(found):
                    continue
                if counter.takes(found):
                    _set(connection, name, found)
                else:
                    control.say(
                        f"sequence {'.'.join(name)} goes on from the backup's value: "
                        f"{found.last} is beyond its bounds"
                    )
    finally:
        connection.close()


def counters(access: Access, wait_seconds: float, control: Control) -> dict[_Name, Counter]:
    """Look: every sequence that can be read, by schema and name. The others are said."""
    connection = connect(access, wait_seconds)
    try:
        with told(access, "reading the sequences of"):
            return _counters(connection, control)
    finally:
        connection.close()


def _counters(connection: Connection, control: Control) -> dict[_Name, Counter]:
    from psycopg import Error, errors, sql  # noqa: PLC0415 - only PostgreSQL's users should wait

    found = {}
    for schema, name, *shape in connection.execute(_SEQUENCES).fetchall():
        query = sql.SQL("SELECT last_value, is_called FROM {}").format(sql.Identifier(schema, name))
        try:
            row = connection.execute(query).fetchone()
        except (errors.LockNotAvailable, errors.QueryCanceled):
            raise
        except Error as error:
            if connection.broken:
                raise
            shown = str(error).splitlines()[0]
            control.say(f"sequence {schema}.{name} goes on from the backup's value: {shown}")
            continue
        assert row is not None, "a sequence has one row"
        found[schema, name] = Counter(*shape, *row)
    return found


def _set(connection: Connection, name: _Name, to: Counter) -> None:
    from psycopg import sql  # noqa: PLC0415 - as above

    words = sql.Identifier(*name).as_string(connection)
    connection.execute("SELECT pg_catalog.setval(%s, %s, %s)", (words, to.last, to.called))
