"""Changes come back, in one transaction: what fits is done, what does not is a conflict by name.

First everything at once, with constraints that can wait until the end waiting. If anything does
not fit, everything again, carefully: each group as a whole; one that fails is halved until the
rows that fail are alone. Those are tried again as long as that brings any of them in, because a
row may need another one: its parent, or a unique value that another row gives up. If then a row
came back that points to one which did not, all of it is taken back and done without that row.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from guarded_rollout.adapters.postgres.access import Access
from guarded_rollout.adapters.postgres.kin import Kin, disarmed, kin, move_sequences
from guarded_rollout.adapters.postgres.sessions import Connection, connect, stoppable, told
from guarded_rollout.adapters.postgres.shapes import shapes
from guarded_rollout.adapters.postgres.staging import Group, Staged, conflict, stage
from guarded_rollout.adapters.postgres.statements import Statements
from guarded_rollout.adapters.postgres.strangers import Stranded, move_out, stranded
from guarded_rollout.core.changes import Change, What
from guarded_rollout.core.problems import Interrupted
from guarded_rollout.ports import Applied, Control

if TYPE_CHECKING:
    import psycopg

# The row does not fit, by class or by state: data, integrity, WITH CHECK; an identity that cannot
# be set, a type that cannot be had from text or compared, a rule's own error.
_MISFITS = ("22", "23", "44", "428C9", "42804", "42846", "42883", "P0001")
_TAKEN = {
    What.ADDED: "another row has this key now",
    What.CHANGED: "the row is another one now",
    What.REMOVED: "the row is another one now, or other rows point to it",
}
_GONE = "the row is not there any more"
_STRANDED = "the row in {} that it points to does not come back"


def apply(
    access: Access,
    wait_seconds: float,
    changes: Iterable[Change],
    control: Control,
    *,
    whole: bool,
) -> Applied:
    """All that fit, or nothing at all when it raises. `whole`: with a conflict nothing.

    Triggers do not fire: what they wrote is among the changes. Their tables are locked for
    writers meanwhile. Constraints hold. Busy when a row or table stays locked.
    """
    from psycopg import Rollback  # noqa: PLC0415 - only PostgreSQL's users should wait for it

    connection = connect(access, wait_seconds)
    try:
        with (
            told(access, "bringing rows back into"),
            stoppable(connection, control, access),
            connection.transaction(),
        ):
            known = shapes(connection)
            staged = stage(connection, _asking(changes, control, access), known)
            groups = [group for group in staged.groups if group.size]
            related = kin(connection, {group.shape.label for group in groups})
            order = sorted(groups, key=lambda group: related.place(group.shape.label, group.what))
            with disarmed(connection, groups):
                failed = _Applying(connection, related, control, staged.refused).run(order)
            for failure in failed:
                staged.conflicts.append(failure.told())
            move_sequences(connection, groups, [(f.group.number, f.at) for f in failed])
            if whole and staged.conflicts:
                raise Rollback
    finally:
        connection.close()
    if whole and staged.conflicts:
        return Applied(0, 0, 0, tuple(staged.conflicts), tuple(sorted(staged.missing)))
    return _counted(staged, failed)


def _asking(changes: Iterable[Change], control: Control, access: Access) -> Iterator[Change]:
    for number, change in enumerate(changes):
        if number % 1000 == 0 and control.stopped():
            raise Interrupted(f"bringing rows back into {access} was told to stop", "start again")
        yield change


@dataclass(slots=True)
class _Failure:
    """One change that does not fit."""

    group: Group
    at: int
    why: str
    key: tuple[str | None, ...] = ()

    def told(self) -> str:
        return conflict(self.group.shape.label, self.key, self.why)


@dataclass(slots=True)
class _Applying:
    connection: Connection
    kin: Kin
    control: Control
    refused: list[Group]
    why: str = ""

    def run(self, groups: list[Group]) -> list[_Failure]:
        from psycopg import Rollback  # noqa: PLC0415 - only PostgreSQL's users should wait for it

        out = self._moved_out(self._stranded(groups, []))
        while True:
            with self.connection.transaction():
                failed = self._bring(groups)
                found = self._stranded(groups, failed)
                if found:
                    raise Rollback
            if not found:
                return [*out, *failed]
            out += self._moved_out(found)

    def _stranded(self, groups: list[Group], failed: list[_Failure]) -> list[Stranded]:
        if not failed and not self.refused:
            return []
        gone = [(failure.group, failure.at) for failure in failed]
        return stranded(self.connection, self.kin.links, groups, self.refused, gone)

    def _moved_out(self, found: list[Stranded]) -> list[_Failure]:
        return [
            _Failure(some.group, at, _STRANDED.format(some.parent), tuple(key))
            for some in found
            for at, key in move_out(self.connection, some)
        ]

    def _bring(self, groups: list[Group]) -> list[_Failure]:
        if self._at_once(groups):
            return []
        self.connection.execute("SET CONSTRAINTS ALL IMMEDIATE")
        failed: list[_Failure] = []
        for group in groups:
            self._halving(group, 0, group.size, failed)
        return self._again(failed)

    def _at_once(self, groups: list[Group]) -> bool:
        import psycopg  # noqa: PLC0415 - only PostgreSQL's users should wait for it

        try:
            with self.connection.transaction():
                self.connection.execute("SET CONSTRAINTS ALL DEFERRED")
                for group in groups:
                    if not self._fits(group, 0, group.size):
                        raise psycopg.Rollback
                self.connection.execute("SET CONSTRAINTS ALL IMMEDIATE")
                return True
        except psycopg.Error as error:
            self._misfit(error)
        return False

    def _halving(self, group: Group, low: int, high: int, failed: list[_Failure]) -> None:
        if self._try(group, low, high):
            return
        if high - low == 1:
            failed.append(_Failure(group, low, self.why))
            return
        middle = (low + high) // 2
        self._halving(group, low, middle, failed)
        self._halving(group, middle, high, failed)

    def _again(self, failed: list[_Failure]) -> list[_Failure]:
        while failed:
            left = []
            for failure in failed:
                if not self._try(failure.group, failure.at, failure.at + 1):
                    failure.why = self.why
                    left.append(failure)
            if len(left) == len(failed):
                break
            failed = left
        for failure in failed:
            statements = Statements(failure.group, self.kin.fragile(failure.group.shape.label))
            failure.key, there = statements.look(self.connection, failure.at)
            taken = _TAKEN[failure.group.what]
            gone = failure.group.what is What.CHANGED and not there
            failure.why = failure.why or (_GONE if gone else taken)
        return failed

    def _try(self, group: Group, low: int, high: int) -> bool:
        import psycopg  # noqa: PLC0415 - as above

        self.why = ""
        try:
            with self.connection.transaction():
                if self._fits(group, low, high):
                    return True
                raise psycopg.Rollback
        except psycopg.Error as error:
            self.why = self._misfit(error)
        return False

    def _fits(self, group: Group, low: int, high: int) -> bool:
        if self.control.stopped():
            raise Interrupted("bringing rows back was told to stop", "start it again")
        statements = Statements(group, self.kin.fragile(group.shape.label))
        return statements.run(self.connection, low, high)

    @staticmethod
    def _misfit(error: "psycopg.Error") -> str:
        """What the server says about a row; all else is no row's fault."""
        if not (error.sqlstate or "").startswith(_MISFITS):
            raise error
        detail = error.diag.message_detail
        return (error.diag.message_primary or str(error)) + (f" ({detail})" if detail else "")


def _counted(staged: Staged, failed: list[_Failure]) -> Applied:
    counts = dict.fromkeys(What, 0)
    for group in staged.groups:
        counts[group.what] += group.size
    for failure in failed:
        counts[failure.group.what] -= 1
    added, changed, removed = (counts[what] for what in (What.ADDED, What.CHANGED, What.REMOVED))
    left_out = tuple(sorted(staged.missing))
    return Applied(added, changed, removed, tuple(staged.conflicts), left_out)
