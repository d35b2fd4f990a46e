"""A journal in memory that keeps every promise of ports.Journal but durability."""

import os
import threading
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from guarded_rollout.core.chain import GENESIS, link
from guarded_rollout.core.facts import (
    AFTERWARDS,
    BY_ANYBODY,
    Fact,
    Started,
    decode,
    encode,
)
from guarded_rollout.core.problems import Busy, NotPossible
from guarded_rollout.ports import Audit, Behind, Clock, Entry, Holder, Known, Lease

LEASE_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class _Held:
    """An environment's lease. `owner` None: given back. `locked`: its owner has not died."""

    owner: str | None
    fence: int
    until: float
    locked: bool


@dataclass(frozen=True, slots=True)
class _Stored:
    """An entry as a file would hold it."""

    entry: Entry
    kind: str
    body: bytes


@dataclass(slots=True)
class _Rollout:
    known: Known
    exclusive: bool
    entries: list[Entry] = field(default_factory=list)


class MemoryJournal:
    """Satisfies ports.Journal, for any number of threads."""

    def __init__(self, clock: Clock, *, lease_seconds: float = LEASE_SECONDS) -> None:
        """Empty."""
        self._clock = clock
        self._seconds = lease_seconds
        self._turn = threading.RLock()
        self._all: list[_Stored] = []
        self._rollouts: dict[str, _Rollout] = {}
        self._leases: dict[str, _Held] = {}

    def begin(self, environment: str, rollout: str, fact: Started, *, exclusive: bool) -> Entry:
        """Open a rollout. Busy names the active one; NotPossible: this id is taken."""
        if fact.plan.spec.environment.name != environment:
            raise NotPossible(
                f"rollout {rollout} is for {fact.plan.spec.environment.name}, not {environment}"
            )
        with self._turn:
            active = self.active(environment)
            if exclusive and active is not None:
                raise Busy(
                    f"{environment} is taken: {active.kind} {active.rollout} is active since "
                    f"{_utc(active.began)}",
                    f"see how far it is: rollout status --env {environment}",
                )
            if rollout in self._rollouts:
                raise NotPossible(f"there is a rollout {rollout} already")
            at = self._clock.now()
            kind = fact.plan.kind.value
            opened = _Rollout(Known(rollout, environment, kind, at, None), exclusive)
            entry = self._write(opened, at, fact)
            self._rollouts[rollout] = opened
            return entry

    def append(
        self, lease: Lease | None, rollout: str, fact: Fact, *, after: int, ended: str | None = None
    ) -> Entry:
        """Append one fact; see ports.Journal. NotPossible: the rollout has ended, or never was."""
        with self._turn:
            found = self._rollouts.get(rollout)
            if found is None:
                raise NotPossible(f"there is no rollout {rollout}")
            self._expect_allowed(lease, found.known.environment, fact)
            if found.entries[-1].seq != after:
                raise Behind
            if found.known.ended is not None and not isinstance(fact, AFTERWARDS):
                raise NotPossible(f"rollout {rollout} has ended: {found.known.ended}")
            entry = self._write(found, self._clock.now(), fact)
            found.known = replace(found.known, ended=found.known.ended or ended)
            return entry

    def entries(self, rollout: str, after: int = 0) -> tuple[Entry, ...]:
        """The rollout's entries with a higher seq, in order."""
        with self._turn:
            found = self._rollouts.get(rollout)
            return tuple(e for e in found.entries if e.seq > after) if found else ()

    def active(self, environment: str) -> Known | None:
        """The environment's exclusive rollout that has not ended."""
        with self._turn:
            for found in self._rollouts.values():
                known = found.known
                if found.exclusive and known.environment == environment and known.ended is None:
                    return known
        return None

    def known(self, environment: str | None = None) -> tuple[Known, ...]:
        """Rollouts, newest first."""
        with self._turn:
            every = [found.known for found in self._rollouts.values()]
        return tuple(k for k in reversed(every) if environment in {None, k.environment})

    def claim(self, environment: str, owner: str) -> Lease:
        """Take the lease: given back, over, or its owner's process has died (`close`)."""
        with self._turn:
            held = self._leases.get(environment)
            if held and held.owner is not None and held.locked and self._in_time(held):
                raise Busy(
                    f"{held.owner} (process {os.getpid()}) has the lease of {environment} until "
                    f"{_utc(held.until)}",
                    f"watch it: rollout status --env {environment}",
                )
            fence = held.fence + 1 if held else 1
            until = self._clock.now() + self._seconds
            self._leases[environment] = _Held(owner, fence, until, locked=True)
            return Lease(environment, owner, fence)

    def renew(self, lease: Lease) -> None:
        """Heartbeat. Busy when the lease is lost."""
        with self._turn:
            held = self._check(lease)
            until = self._clock.now() + self._seconds
            self._leases[lease.environment] = replace(held, until=until)

    def release(self, lease: Lease) -> None:
        """Give it back. Lost already: no error."""
        with self._turn:
            held = self._leases.get(lease.environment)
            if held and (held.owner, held.fence) == (lease.owner, lease.fence):
                self._leases[lease.environment] = replace(held, owner=None)

    def holder(self, environment: str) -> Holder | None:
        """Who has the lease and did not give it back."""
        with self._turn:
            held = self._leases.get(environment)
            if held is None or held.owner is None:
                return None
            return Holder(held.owner, os.getpid(), held.until, alive=self._in_time(held))

    def verify(self) -> Audit:
        """Walk the chain from the first entry."""
        with self._turn:
            head = GENESIS
            for seq, stored in enumerate(self._all, 1):
                entry = stored.entry
                head = _link(head, seq, entry.rollout, entry.at, stored)
                if (entry.seq, entry.hash) != (seq, head):
                    return Audit(seq - 1, 0, seq, f"entry {seq} was changed", head)
            return Audit(len(self._all), len(self._rollouts), None, None, head)

    def close(self) -> None:
        """What the death of the owner's process does: a successor may claim at once."""
        with self._turn:
            for environment, held in self._leases.items():
                self._leases[environment] = replace(held, locked=False)

    def _write(self, rollout: _Rollout, at: float, fact: Fact) -> Entry:
        kind, body = encode(fact)
        stored = _Stored(Entry(0, "", 0.0, fact, ""), kind, body)
        prev = self._all[-1].entry.hash if self._all else GENESIS
        seq = len(self._all) + 1
        own = _link(prev, seq, rollout.known.rollout, float(at), stored)
        entry = Entry(seq, rollout.known.rollout, float(at), decode(kind, body), own)
        self._all.append(replace(stored, entry=entry))
        rollout.entries.append(entry)
        return entry

    def _expect_allowed(self, lease: Lease | None, environment: str, fact: Fact) -> None:
        if isinstance(fact, Started):
            raise NotPossible("a rollout starts once")
        if lease is None:
            if not isinstance(fact, BY_ANYBODY):
                raise NotPossible(
                    f"{type(fact).__name__} can only be written by who has the lease of "
                    f"{environment}"
                )
            return
        if lease.environment != environment:
            raise NotPossible(
                f"the lease of {lease.environment} does not allow writing for {environment}"
            )
        self._check(lease)

    def _check(self, lease: Lease) -> _Held:
        held = self._leases.get(lease.environment)
        if held is None or (held.owner, held.fence) != (lease.owner, lease.fence):
            now_with = held.owner if held and held.owner else "nobody"
            raise Busy(
                f"{lease.owner} has lost the lease of {lease.environment}; now {now_with} has it",
                "this controller stops here and nothing was written",
            )
        return held

    def _in_time(self, held: _Held) -> bool:
        return held.until > self._clock.now()


def _link(prev: str, seq: int, rollout: str, at: float, stored: _Stored) -> str:
    return link(prev, seq, rollout=rollout, at=at, kind=stored.kind, body=stored.body)


def _utc(at: float) -> str:
    return datetime.fromtimestamp(at, tz=UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
