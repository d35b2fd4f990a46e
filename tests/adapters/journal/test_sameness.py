"""The journal in memory, which other tests trust, does whatever the one on disk does."""

import shutil
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from still_clock import StillClock

from guarded_rollout.adapters.journal.sqlite import SqliteJournal
from guarded_rollout.core.facts import (
    Adopted,
    PromoteAsked,
    RollbackAsked,
    Started,
    StepDone,
    StepFailed,
)
from guarded_rollout.core.plan import Kind, Situation, Step, make_plan
from guarded_rollout.core.problems import Problem, Why
from guarded_rollout.ports import Behind, Lease
from guarded_rollout.testing import examples
from guarded_rollout.testing.journal import MemoryJournal

ENVIRONMENTS = st.sampled_from(["production", "staging"])
ROLLOUTS = st.sampled_from(["r1", "r2", "r3"])
OWNERS = st.sampled_from(["ann", "bob"])
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
VALUES = st.none() | st.booleans() | st.integers(-9, 9) | TEXTS | st.floats(-9, 9)
FACTS = (
    st.builds(Adopted, TEXTS)
    | st.builds(RollbackAsked, TEXTS, TEXTS)
    | st.builds(PromoteAsked, TEXTS, TEXTS)
    | st.builds(StepDone, st.sampled_from(Step), st.dictionaries(TEXTS, VALUES, max_size=3))
    | st.builds(StepFailed, st.sampled_from(Step), st.builds(Why, TEXTS, TEXTS))
)


class Both(RuleBasedStateMachine):
    """Does everything twice and compares."""

    def __init__(self):
        super().__init__()
        quick = "/dev/shm" if Path("/dev/shm").is_dir() else None
        self.folder = Path(tempfile.mkdtemp(prefix="gr", dir=quick))
        self.clock = StillClock()
        self.disk = SqliteJournal(self.folder / "journal.db", self.clock, self.folder / "locks")
        self.memory = MemoryJournal(self.clock)
        self.leases = []

    def teardown(self):
        self.disk.close()
        shutil.rmtree(self.folder)

    def both(self, verb, *arguments, **more):
        """The same answer, or a problem of the same kind."""
        answers = []
        for journal in (self.disk, self.memory):
            try:
                answers.append(getattr(journal, verb)(*arguments, **more))
            except (Problem, Behind) as problem:
                answers.append(type(problem))
        assert answers[0] == answers[1], (verb, arguments, more)
        return answers[0]

    @initialize()
    def some_are_there(self):
        """So that there is something to append to from the first step."""
        self.begin("production", "r1", Kind.DEPLOY, exclusive=True)
        self.claim("production", "ann")

    @rule(
        environment=ENVIRONMENTS,
        rollout=ROLLOUTS,
        kind=st.sampled_from([Kind.DEPLOY, Kind.BACKUP]),
        exclusive=st.booleans(),
    )
    def begin(self, environment, rollout, kind, *, exclusive):
        situation = Situation(serving=examples.OLD)
        plan = make_plan(kind, examples.spec(environment), examples.NEW, situation)
        self.both("begin", environment, rollout, Started(plan, "ann"), exclusive=exclusive)

    @rule(
        newest=st.integers(0, 3),
        lease=st.sampled_from(["best", "best", "best", "older", "any", None]),
        fact=FACTS,
        behind=st.sampled_from([0, 0, 0, 1]),
        ended=st.sampled_from([None, None, None, None, "done"]),
    )
    def append(self, newest, lease, fact, behind, ended):
        known = self.memory.known()
        found = known[newest % len(known)]
        mine = [one for one in self.leases if one.environment == found.environment]
        choice = {"best": mine[-1:], "older": mine[:1], "any": self.leases[-1:], None: []}[lease]
        lease = choice[0] if choice else None
        rollout = found.rollout
        after = self.memory.entries(rollout)[-1].seq - behind
        self.both("append", lease, rollout, fact, after=after, ended=ended)

    @rule(environment=ENVIRONMENTS, owner=OWNERS)
    def claim(self, environment, owner):
        lease = self.both("claim", environment, owner)
        if isinstance(lease, Lease):
            self.leases.append(lease)

    @rule(verb=st.sampled_from(["renew", "renew", "release"]), newest=st.integers(0, 3))
    def tend(self, verb, newest):
        if self.leases:
            self.both(verb, self.leases[-1 - newest % len(self.leases)])

    @rule(seconds=st.sampled_from([1.0, 14.9, 15.0, -3.0]))
    def wait(self, seconds):
        self.clock.at += seconds

    @rule()
    def owners_die(self):
        self.both("close")

    @rule(rollout=ROLLOUTS, after=st.integers(0, 30))
    def read_the_rest(self, rollout, after):
        self.both("entries", rollout, after)

    @invariant()
    def they_look_the_same(self):
        for environment in ("production", "staging"):
            self.both("active", environment)
            self.both("holder", environment)
        for rollout in ("r1", "r2", "r3"):
            self.both("entries", rollout)
        self.both("known")
        self.both("known", "staging")
        assert self.both("verify").problem is None


TestBoth = Both.TestCase
TestBoth.settings = settings(
    max_examples=60,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
