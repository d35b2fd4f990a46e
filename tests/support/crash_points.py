"""Where a guard dies: a place in its journal or among its effects, found by name and number."""

import contextlib
import json
import os
import signal
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path

from guarded_rollout.adapters.journal.connection import Writable
from guarded_rollout.adapters.journal.sqlite import SqliteJournal
from guarded_rollout.core.facts import Fact, Started, StepBegan
from guarded_rollout.core.rollout import advance
from guarded_rollout.core.state import State
from guarded_rollout.ports import Behind


class Place(StrEnum):
    """BEFORE: all is written, nothing is committed. AFTER: committed, nobody was told yet.

    EFFECT: in a step, right before an effect.
    """

    BEFORE = "before"
    EFFECT = "effect"
    AFTER = "after"


@dataclass(frozen=True, slots=True)
class Point:
    """The `nth` time (from 1) that this process comes here.

    `name`: of an effect, or `PHASE FACT NEXT-PHASE [STEP]`.
    """

    place: Place
    name: str
    nth: int

    def __str__(self) -> str:
        return f"{self.place} {self.name}" + (f", time {self.nth}" if self.nth > 1 else "")


def crossing(before: State, fact: Fact, after: State) -> str:
    """The transition's name, as `core.rollout.TABLE` has it."""
    return f"{before.phase} {type(fact).__name__} {after.phase}"


class Doom:
    """Kills its process at one point, and writes down every point that it lives to see."""

    def __init__(
        self, at: Point | None, trace: Path | None = None, sign: int = signal.SIGKILL
    ) -> None:
        self._at = at
        self._sign = sign
        self._trace = trace
        self._seen: Counter[tuple[Place, str]] = Counter()
        self._turn = threading.Lock()

    def come(self, place: Place, name: str) -> None:
        """This process is there now."""
        with self._turn:
            self._seen[place, name] += 1
            here = Point(place, name, self._seen[place, name])
            if here == self._at:
                os.kill(os.getpid(), self._sign)
            if self._trace is not None:
                with self._trace.open("a") as trace:
                    trace.write(f"{json.dumps(asdict(here))}\n")


@dataclass(frozen=True, kw_only=True)
class _Doomed(Writable):
    """The journal's file. `name`: of the fact that is being written."""

    doom: Doom
    name: str

    @contextlib.contextmanager
    def writing(self, wait=None) -> Iterator:
        with super().writing(wait) as connection:
            yield connection
            self.doom.come(Place.BEFORE, self.name)
        self.doom.come(Place.AFTER, self.name)


class DoomedJournal(SqliteJournal):
    """The real journal in the real file; its writer may die inside a commit and right after it."""

    def __init__(self, path: Path, clock, locks: Path, doom: Doom, ledger, **settings) -> None:
        super().__init__(path, clock, locks, **settings)
        self._doom = doom
        self._ledger = ledger
        self._plain = self._file
        self._folded: dict[str, tuple[int, State]] = {}

    def begin(self, environment, rollout, fact: Started, *, exclusive):
        self._about_to_write(State(), fact)
        return super().begin(environment, rollout, fact, exclusive=exclusive)

    def append(self, lease, rollout, fact: Fact, *, after, ended=None):
        last, state = self._state(rollout, after)
        if last != after:
            raise Behind
        self._about_to_write(state, fact)
        entry = super().append(lease, rollout, fact, after=after, ended=ended)
        self._folded[rollout] = (entry.seq, advance(state, fact))
        if isinstance(fact, StepBegan):
            self._ledger.key = f"{rollout}/{fact.step}"
            self._ledger.attempt = fact.attempt
        return entry

    def _state(self, rollout: str, after: int) -> tuple[int, State]:
        seq, state = self._folded.get(rollout, (0, State()))
        if seq == after:
            return seq, state
        for entry in self.entries(rollout, seq):
            seq, state = entry.seq, advance(state, entry.fact)
        self._folded[rollout] = (seq, state)
        return seq, state

    def _about_to_write(self, before: State, fact: Fact) -> None:
        name = f"{crossing(before, fact, advance(before, fact))} {getattr(fact, 'step', '')}"
        self._file = _Doomed(
            path=self._plain.path, wait=self._plain.wait, doom=self._doom, name=name.strip()
        )
