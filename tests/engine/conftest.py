"""A world in memory, a fast clock, and a guard that drives rollouts in it."""

import contextlib
import threading

import pytest

from guarded_rollout.core.facts import Started
from guarded_rollout.core.plan import Kind, Wish, make_plan
from guarded_rollout.core.rollout import replay
from guarded_rollout.core.state import Phase, State
from guarded_rollout.engine.agent import drive
from guarded_rollout.engine.situation import read_situation
from guarded_rollout.ports import Behind
from guarded_rollout.testing import examples
from guarded_rollout.testing.clock import FastClock
from guarded_rollout.testing.fakes import ports_of
from guarded_rollout.testing.journal import MemoryJournal
from guarded_rollout.testing.world import World


class Bench:
    """One environment: its world, its journal, and the verbs of the tests."""

    def __init__(self, root):
        self.clock = FastClock(speed=200)
        self.world = World(self.clock, root)
        self.journal = MemoryJournal(self.clock)
        self.ports = ports_of(self.world, self.journal)
        self.shown = []
        self._number = 0

    @property
    def count(self):
        """How many rollouts were begun."""
        return self._number

    def begin(
        self,
        kind=Kind.DEPLOY,
        candidate=examples.NEW,
        policy=None,
        forward_only=None,
        wish=None,
        stages=(),
        *,
        controlled=False,
    ):
        """Write the plan down, as the command line does."""
        self._number += 1
        wish = wish or Wish(forward_only=forward_only)
        situation = read_situation(self.journal, "production", self.world.schema)
        self.world.candidate = candidate
        plan = make_plan(kind, examples.spec(policy=policy), candidate, situation, wish)
        plan = examples.canary(plan, *stages) if stages else plan
        plan = examples.controlled(plan) if controlled else plan
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

    def deploy(self, candidate=examples.NEW, policy=None, forward_only=None, stages=()) -> State:
        return self.drive(self.begin(Kind.DEPLOY, candidate, policy, forward_only, None, stages))

    def ask(self, rollout, fact):
        """What a person writes down, whoever else writes."""
        while True:
            entries = self.journal.entries(rollout)
            with contextlib.suppress(Behind):
                return self.journal.append(None, rollout, fact, after=entries[-1].seq)

    def held(self, rollout):
        """The rollout waits for a person."""
        return replay(e.fact for e in self.journal.entries(rollout)).phase is Phase.HOLDING

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


@pytest.fixture
def advancing(settled):
    """OLD serves on schema 0001; NEW brings 0002."""
    settled.world.schema = "0001"
    return settled
