"""A world in memory, a fast clock, and a guard that drives rollouts in it."""

import threading

import pytest

from guarded_rollout.core.facts import Started
from guarded_rollout.core.plan import Kind, make_plan
from guarded_rollout.core.rollout import State
from guarded_rollout.engine.agent import drive
from guarded_rollout.engine.situation import read_situation
from guarded_rollout.testing import examples
from guarded_rollout.testing.clock import FastClock
from guarded_rollout.testing.journal import MemoryJournal
from guarded_rollout.testing.world import World, ports_of


class Bench:
    """One environment: its world, its journal, and the verbs of the tests."""

    def __init__(self, root):
        self.clock = FastClock(speed=200)
        self.world = World(self.clock, root)
        self.journal = MemoryJournal(self.clock)
        self.ports = ports_of(self.world, self.journal)
        self.shown = []
        self._number = 0

    def begin(self, kind=Kind.DEPLOY, candidate=examples.NEW, policy=None):
        """Write the plan down, as the command line does."""
        self._number += 1
        situation = read_situation(self.journal, "production", self.world.schema)
        self.world.candidate = candidate
        plan = make_plan(kind, examples.spec(policy=policy), candidate, situation)
        rollout = f"r{self._number}"
        self.journal.begin("production", rollout, Started(plan, "ops"), exclusive=True)
        return rollout

    def drive(self, rollout, ports=None, halt=None, show=None) -> State:
        """Be its guard until it rests."""
        return drive(
            ports or self.ports,
            "production",
            rollout,
            "guard",
            halt=halt or threading.Event(),
            show=show or self.shown.append,
            say=lambda _: None,
        )

    def deploy(self, candidate=examples.NEW, policy=None) -> State:
        return self.drive(self.begin(Kind.DEPLOY, candidate, policy))

    def serving(self):
        return read_situation(self.journal, "production").serving


@pytest.fixture
def bench(tmp_path):
    """An empty environment."""
    return Bench(tmp_path)


@pytest.fixture
def settled(bench):
    """An environment in which OLD serves."""
    bench.deploy(examples.OLD)
    bench.world.ledger.clear()
    return bench
