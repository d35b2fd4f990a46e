"""Processes that claim, begin, write, renew and give back, all at once, in a random order.

Run: `python crash_racers.py FOLDER SEED ROUNDS`. Each round has an environment of its own and
three racers; what they wrote is checked afterwards by whoever reads the journal.
"""

import json
import os
import random
import sys
from multiprocessing import get_context
from pathlib import Path

from crash_driver import SPEED, Clock

from guarded_rollout.adapters.journal.sqlite import SqliteJournal
from guarded_rollout.core.facts import Adopted, Started
from guarded_rollout.core.plan import Kind, Situation, make_plan
from guarded_rollout.core.problems import Busy, NotPossible
from guarded_rollout.ports import Behind, Lease
from guarded_rollout.testing import examples

RACERS = 3
DEEDS = 4
LEASE_SECONDS = 600.0


class Racer:
    """One process: its own journal object, and what it holds."""

    def __init__(self, folder: Path, clock: Clock, chance: random.Random) -> None:
        self._journal = SqliteJournal(
            folder / "journal.db", clock, folder / "locks", lease_seconds=LEASE_SECONDS
        )
        self._chance = chance
        self._lease: Lease | None = None
        self.refused = 0
        self.done = 0

    def round(self, environment: str, started: Started) -> None:
        """A few deeds; those that are refused are counted."""
        deeds = (
            *(self._claim, self._begin, self._append, self._end) * 2,
            *(self._renew, self._release, self._die),
        )
        for _ in range(DEEDS):
            deed = self._chance.choice(deeds)
            try:
                deed(environment, started)
                self.done += 1
            except (Busy, Behind, NotPossible):
                self.refused += 1
        self._die(environment, started)

    def _claim(self, environment: str, _: Started) -> None:
        """Seldom of somebody who is well: whoever is refused looks through all processes."""
        holder = self._journal.holder(environment)
        if holder is not None and holder.alive and self._chance.random() < 0.9:
            return
        self._lease = self._journal.claim(environment, f"racer {os.getpid()}")

    def _begin(self, environment: str, started: Started) -> None:
        name = f"{environment}-{os.getpid()}-{self.done + self.refused}"
        self._journal.begin(environment, name, started, exclusive=True)

    def _append(self, environment: str, _: Started, ended: str | None = None) -> None:
        active = self._journal.active(environment)
        if active is None or self._lease is None:
            return
        last = self._journal.entries(active.rollout)[-1].seq
        fact = Adopted(str(self._lease.fence))
        self._journal.append(self._lease, active.rollout, fact, after=last, ended=ended)

    def _end(self, environment: str, started: Started) -> None:
        self._append(environment, started, "done")

    def _renew(self, *_) -> None:
        if self._lease is not None:
            self._journal.renew(self._lease)

    def _release(self, *_) -> None:
        """What it had it may still try to use: that is what the fence is for."""
        if self._lease is not None:
            self._journal.release(self._lease)

    def _die(self, *_) -> None:
        """What the death of a process does to its locks; the next one takes over."""
        self._journal.close()


def run(folder: Path, seed: int, rounds: int) -> dict:
    """All racers through all rounds; how often they did something and were refused."""
    context = get_context("fork")
    clock = Clock(SPEED)
    gate = context.Barrier(RACERS)
    told = context.Queue()
    situation = Situation(serving=examples.OLD)
    spec = {n: examples.spec(f"round-{n}") for n in range(rounds)}
    plans = {n: make_plan(Kind.DEPLOY, spec[n], examples.NEW, situation) for n in spec}
    SqliteJournal(folder / "journal.db", clock, folder / "locks")

    def race(number: int) -> None:
        racer = Racer(folder, clock, random.Random(f"{seed} {number}"))
        for n, plan in plans.items():
            gate.wait()
            racer.round(f"round-{n}", Started(plan, f"racer {number}"))
        told.put((racer.done, racer.refused))

    racers = [context.Process(target=race, args=(number,)) for number in range(RACERS)]
    for racer in racers:
        racer.start()
    counts = [told.get() for _ in racers]
    for racer in racers:
        racer.join()
    return {
        "codes": [racer.exitcode for racer in racers],
        "done": sum(done for done, _ in counts),
        "refused": sum(refused for _, refused in counts),
    }


def main() -> None:
    folder, seed, rounds = sys.argv[1:]
    print(json.dumps(run(Path(folder), int(seed), int(rounds))))  # noqa: T201


if __name__ == "__main__":
    main()
