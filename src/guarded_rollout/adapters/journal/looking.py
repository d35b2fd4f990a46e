"""The journal's verbs that look, and a journal that has no others."""
# ruff: noqa: ARG002 - a journal that only looks refuses whatever it is asked to write

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Never

from guarded_rollout.adapters.journal import audit, transfer
from guarded_rollout.adapters.journal.connection import Ask, Untouched
from guarded_rollout.adapters.journal.owner import record
from guarded_rollout.core.chain import link
from guarded_rollout.core.facts import Fact, Started, decode
from guarded_rollout.core.problems import Broken, NotPossible
from guarded_rollout.ports import Audit, Clock, Entry, Holder, Known, Lease


class Looking:
    """What both journals can do. Broken: the file cannot be read; Busy: not just now."""

    def __init__(
        self, ask: Ask, name: object, clock: Clock, beside: audit.Beside = audit.quick_check
    ) -> None:
        """`name`: for messages; `clock`: the leases'; `beside`: what else `verify` looks at."""
        self._ask = ask
        self._name = name
        self._clock = clock
        self._beside = beside

    def entries(self, rollout: str, after: int = 0) -> tuple[Entry, ...]:
        """The rollout's entries with a higher seq, in order. Broken: one of them was changed."""
        rows = self._ask(
            "SELECT seq, rollout, at, kind, body, prev, hash FROM facts"
            " WHERE rollout = ? AND seq > ? ORDER BY seq",
            rollout,
            after,
        )
        return tuple(self._entry(row) for row in rows)

    def active(self, environment: str) -> Known | None:
        """The environment's exclusive rollout that has not ended."""
        rows = self._ask(
            "SELECT id, environment, kind, began, ended FROM rollouts"
            " WHERE environment = ? AND exclusive = 1 AND ended IS NULL",
            environment,
        )
        return Known(*rows[0]) if rows else None

    def known(self, environment: str | None = None) -> tuple[Known, ...]:
        """Rollouts, newest first."""
        rows = self._ask(
            "SELECT id, environment, kind, began, ended FROM rollouts"
            " WHERE environment = coalesce(?, environment)"
            " ORDER BY (SELECT min(seq) FROM facts WHERE rollout = id) DESC",
            environment,
        )
        return tuple(Known(*row) for row in rows)

    def holder(self, environment: str) -> Holder | None:
        """Who has the lease and did not give it back.

        Not `alive`: the owner's process is gone, or it did not renew in time.
        """
        found = record(self._ask, environment)
        if found is None or found.owner is None:
            return None
        in_time = found.until > self._clock.now()
        runs = found.process.lives or not found.process.here
        return Holder(found.owner, found.process.pid, found.until, alive=in_time and runs)

    def verify(self) -> Audit:
        """Walk the chain from the first entry; see `audit.verify` for what it cannot see."""
        return audit.verify(self._ask, self._beside)

    def has(self, digest: str) -> bool:
        """Some entry has this hash. Whether it is sound, `verify` says."""
        return bool(self._ask("SELECT 1 FROM facts WHERE hash = ? LIMIT 1", digest))

    def lines(self, environment: str | None = None) -> Iterator[bytes]:
        """The journal as JSON lines; see `transfer`. Broken: it was changed."""
        return transfer.lines(self._ask, environment)

    def _entry(self, row: tuple[Any, ...]) -> Entry:
        """An entry is believed only when its own hash fits: nobody acts on a damaged plan."""
        seq, rollout, at, kind, body, prev, stored = row
        try:
            own = link(prev, seq, rollout=rollout, at=at, kind=kind, body=body)
            fact = decode(kind, body)
        except (AttributeError, TypeError, ValueError) as error:
            raise self._distrust(seq, str(error)) from error
        if own != stored:
            raise self._distrust(seq, "its content does not give its hash")
        return Entry(seq, rollout, at, fact, stored)

    def _distrust(self, seq: int, why: str) -> Broken:
        return Broken(
            f"entry {seq} of the journal {self._name} cannot be trusted: {why}",
            "see how far it is sound: rollout audit verify; then restore it from a copy",
        )


class LookingJournal(Looking):
    """Satisfies ports.Journal; every verb that writes raises NotPossible."""

    def begin(self, environment: str, rollout: str, fact: Started, *, exclusive: bool) -> Entry:
        """Not here."""
        self._refuse()

    def append(
        self, lease: Lease | None, rollout: str, fact: Fact, *, after: int, ended: str | None = None
    ) -> Entry:
        """Not here."""
        self._refuse()

    def claim(self, environment: str, owner: str) -> Lease:
        """Not here."""
        self._refuse()

    def renew(self, lease: Lease) -> None:
        """Not here."""
        self._refuse()

    def release(self, lease: Lease) -> None:
        """Not here."""
        self._refuse()

    def _refuse(self) -> Never:
        raise NotPossible(
            f"the journal {self._name} was opened to look only",
            "this is a fault of the tool: please report it with the command you ran",
        )


def open_readonly(path: Path, clock: Clock) -> LookingJournal:
    """A journal that creates and changes no file, and is empty when there is none."""
    path = path.absolute()
    return LookingJournal(Untouched(path).ask, path, clock)
