"""What every adapter of ports.Journal keeps. A new adapter adds itself to `journal_kinds`."""

import hashlib
import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from journal_kinds import KINDS, NOON

from guarded_rollout.core.facts import (
    Adopted,
    PromoteAsked,
    RollbackAsked,
    Started,
    StepBegan,
    StepDone,
    encode,
)
from guarded_rollout.core.plan import Kind, Situation, Step, make_plan
from guarded_rollout.core.problems import Busy, NotPossible
from guarded_rollout.ports import Behind, Journal, Known, Lease
from guarded_rollout.testing import examples

LEASE = 15.0


@dataclass
class Place:
    """One journal, opened as often as wanted: each is another controller's."""

    clock: Any
    open: Callable[[], Journal]
    opened: list[Journal] = field(default_factory=list)

    def __call__(self) -> Journal:
        self.opened.append(self.open())
        return self.opened[-1]


@pytest.fixture(params=sorted(KINDS))
def place(request, tmp_path) -> Iterator[Place]:
    place = Place(*KINDS[request.param](tmp_path, request))
    yield place
    for journal in place.opened:
        journal.close()


@pytest.fixture
def journal(place) -> Journal:
    return place()


def started(environment="production", by="ann", kind=Kind.DEPLOY) -> Started:
    """The first fact of a rollout."""
    situation = Situation(serving=examples.OLD)
    return Started(make_plan(kind, examples.spec(environment), examples.NEW, situation), by)


def begin(journal, rollout="r1", environment="production", *, exclusive=True):
    """Open a rollout."""
    return journal.begin(environment, rollout, started(environment), exclusive=exclusive)


def stands(journal, *rollouts) -> list[tuple]:
    """Everything a reader can see."""
    return [journal.entries(rollout) for rollout in rollouts] + [journal.known()]


class TestFacts:
    def test_an_empty_journal_knows_nothing(self, journal):
        """And is sound."""
        assert journal.entries("r1") == ()
        assert journal.known() == ()
        assert journal.active("production") is None
        assert journal.holder("production") is None
        audit = journal.verify()
        assert (audit.entries, audit.rollouts, audit.problem) == (0, 0, None)

    def test_what_is_appended_is_what_is_read(self, journal, place):
        """In order, with the time it was written, from every controller."""
        first = begin(journal)
        lease = journal.claim("production", "guard")
        place.clock.at += 1.5
        second = journal.append(lease, "r1", StepBegan(Step.PREFLIGHT, 1), after=first.seq)
        outcome = {"free_gb": 30, "names": ["a", "ü"], "deep": {"none": None}}
        third = journal.append(lease, "r1", StepDone(Step.PREFLIGHT, outcome), after=second.seq)
        assert place().entries("r1") == (first, second, third)
        assert [entry.at for entry in (first, second)] == [NOON, NOON + 1.5]
        assert first.fact == started()
        assert third.fact == StepDone(Step.PREFLIGHT, outcome)
        assert {entry.rollout for entry in (first, second, third)} == {"r1"}

    def test_a_reader_who_knows_some_gets_the_rest(self, journal):
        """`after` is the last entry known."""
        first = begin(journal)
        lease = journal.claim("production", "guard")
        second = journal.append(lease, "r1", Adopted("guard"), after=first.seq)
        assert journal.entries("r1", first.seq) == (second,)
        assert journal.entries("r1", second.seq) == ()

    def test_rollouts_do_not_mix(self, journal):
        """Each has its own entries; the order of all is one."""
        a = begin(journal, "a", "production")
        b = begin(journal, "b", "staging")
        production = journal.claim("production", "guard")
        staging = journal.claim("staging", "guard")
        a2 = journal.append(production, "a", Adopted("x"), after=a.seq)
        b2 = journal.append(staging, "b", Adopted("y"), after=b.seq)
        assert journal.entries("a") == (a, a2)
        assert journal.entries("b") == (b, b2)
        assert a.seq < b.seq < a2.seq < b2.seq

    def test_who_has_not_read_everything_is_behind(self, journal):
        """And writes nothing."""
        first = begin(journal)
        lease = journal.claim("production", "guard")
        journal.append(None, "r1", RollbackAsked("bob", "smells"), after=first.seq)
        before = stands(journal, "r1")
        with pytest.raises(Behind):
            journal.append(lease, "r1", Adopted("guard"), after=first.seq)
        with pytest.raises(Behind):
            journal.append(lease, "r1", Adopted("guard"), after=99)
        assert stands(journal, "r1") == before

    def test_another_rollouts_entries_make_nobody_behind(self, journal):
        """`after` counts within the rollout."""
        first = begin(journal)
        begin(journal, "other", "staging")
        lease = journal.claim("production", "guard")
        assert journal.append(lease, "r1", Adopted("guard"), after=first.seq).seq == 3

    def test_a_rollout_that_never_was_takes_no_facts(self, journal):
        """The message names it."""
        lease = journal.claim("production", "guard")
        with pytest.raises(NotPossible, match="no rollout r9"):
            journal.append(lease, "r9", Adopted("guard"), after=0)

    def test_a_rollout_starts_once(self, journal):
        """`started` comes from begin alone, and a name is used once."""
        first = begin(journal)
        lease = journal.claim("production", "guard")
        before = stands(journal, "r1")
        with pytest.raises(NotPossible):
            journal.append(lease, "r1", started(), after=first.seq)
        with pytest.raises(NotPossible, match="r1 already"):
            begin(journal, "r1", "staging")
        assert stands(journal, "r1") == before

    def test_a_plan_for_one_environment_does_not_begin_in_another(self, journal):
        """Its lease would guard the wrong one."""
        with pytest.raises(NotPossible, match="production, not staging"):
            journal.begin("staging", "r1", started("production"), exclusive=True)
        assert journal.known() == ()


class TestRollouts:
    def test_the_active_one_is_known_until_it_ends(self, journal, place):
        """With its kind and when it began."""
        first = begin(journal)
        alive = Known("r1", "production", "deploy", NOON, None)
        assert journal.active("production") == alive
        assert journal.active("staging") is None
        lease = journal.claim("production", "guard")
        journal.append(lease, "r1", Adopted("guard"), after=first.seq, ended="done")
        assert journal.active("production") is None
        assert place().known() == (Known("r1", "production", "deploy", NOON, "done"),)

    def test_an_ended_rollout_takes_no_more_facts(self, journal):
        """Neither the guard's nor a person's; who is behind reads on first."""
        first = begin(journal)
        lease = journal.claim("production", "guard")
        last = journal.append(lease, "r1", Adopted("g"), after=first.seq, ended="rolled-back")
        with pytest.raises(NotPossible, match="ended: rolled-back"):
            journal.append(lease, "r1", Adopted("g"), after=last.seq)
        with pytest.raises(NotPossible, match="ended"):
            journal.append(None, "r1", PromoteAsked("ann", "why not"), after=last.seq)
        with pytest.raises(Behind):
            journal.append(None, "r1", PromoteAsked("ann", "why not"), after=first.seq)
        assert journal.entries("r1") == (first, last)

    def test_only_one_exclusive_rollout_is_active(self, journal, place):
        """The second is told which, of what kind, since when, and what to do."""
        begin(journal)
        place.clock.at += 60
        with pytest.raises(Busy) as caught:
            begin(place(), "r2")
        assert "deploy r1" in caught.value.why.what
        assert "2027-01-15 12:00:00 UTC" in caught.value.why.what
        assert "rollout status --env production" in caught.value.why.hint
        assert [known.rollout for known in journal.known()] == ["r1"]
        assert journal.entries("r2") == ()

    def test_others_may_run_beside_it(self, journal):
        """Not exclusive: a backup. And another environment is another matter."""
        begin(journal)
        journal.begin("production", "b1", started(kind=Kind.BACKUP), exclusive=False)
        begin(journal, "s1", "staging")
        assert journal.active("production").rollout == "r1"
        assert [(k.rollout, k.kind) for k in journal.known()] == [
            ("s1", "deploy"),
            ("b1", "backup"),
            ("r1", "deploy"),
        ]
        assert [known.rollout for known in journal.known("production")] == ["b1", "r1"]

    def test_the_next_may_begin_when_it_has_ended(self, journal):
        """In the same journal."""
        first = begin(journal)
        lease = journal.claim("production", "guard")
        journal.append(lease, "r1", Adopted("guard"), after=first.seq, ended="done")
        begin(journal, "r2")
        assert journal.active("production").rollout == "r2"

    def test_newest_first_even_when_the_clock_goes_back(self, journal, place):
        """The order is the journal's, not the clock's."""
        begin(journal, "r1", "production")
        place.clock.at -= 7200
        begin(journal, "r2", "staging")
        assert [known.rollout for known in journal.known()] == ["r2", "r1"]


class TestLease:
    def test_the_holder_is_known(self, journal, place):
        """Who, which process, until when."""
        journal.claim("production", "guard")
        holder = place().holder("production")
        assert (holder.owner, holder.pid) == ("guard", os.getpid())
        assert (holder.until, holder.alive) == (NOON + LEASE, True)
        assert journal.holder("staging") is None

    def test_a_held_lease_cannot_be_claimed(self, journal, place):
        """Not even by the same name: two guards of one name are still two."""
        journal.claim("production", "guard")
        for owner in ("other", "guard"):
            with pytest.raises(Busy) as caught:
                place().claim("production", owner)
            assert f"guard (process {os.getpid()})" in caught.value.why.what
            assert "until 2027-01-15 12:00:15 UTC" in caught.value.why.what
            assert "rollout status --env production" in caught.value.why.hint

    def test_each_environment_has_its_own(self, journal):
        """Two guards at once."""
        assert journal.claim("production", "a") == Lease("production", "a", 1)
        assert journal.claim("staging", "b") == Lease("staging", "b", 1)

    def test_every_claim_raises_the_fence(self, journal):
        """Also after it was given back."""
        fences = []
        for owner in ("a", "b", "a"):
            lease = journal.claim("production", owner)
            fences.append(lease.fence)
            journal.release(lease)
        assert fences == [1, 2, 3]
        assert journal.holder("production") is None

    def test_a_renewed_lease_goes_on(self, journal, place):
        """A heartbeat counts from now."""
        lease = journal.claim("production", "guard")
        place.clock.at += 10
        journal.renew(lease)
        place.clock.at += 10
        with pytest.raises(Busy):
            place().claim("production", "other")
        assert journal.holder("production").until == NOON + 10 + LEASE

    def test_a_lease_that_ran_out_can_be_claimed(self, journal, place):
        """And the holder is called dead before."""
        journal.claim("production", "guard")
        place.clock.at += LEASE
        assert not journal.holder("production").alive
        lease = place().claim("production", "other")
        assert lease == Lease("production", "other", 2)
        assert journal.holder("production").owner == "other"

    def test_the_loser_is_stopped_at_once(self, journal, place):
        """It can write nothing, renew nothing, and gives nothing back that is not its own."""
        first = begin(journal)
        lost = journal.claim("production", "guard")
        place.clock.at += LEASE
        successor = place()
        lease = successor.claim("production", "other")
        before = stands(journal, "r1")
        with pytest.raises(Busy, match="guard has lost the lease of production; now other has it"):
            journal.append(lost, "r1", Adopted("guard"), after=first.seq, ended="done")
        with pytest.raises(Busy):
            journal.renew(lost)
        journal.release(lost)
        assert stands(journal, "r1") == before
        assert successor.append(lease, "r1", Adopted("other"), after=first.seq).seq == 2

    def test_a_late_owner_whom_nobody_succeeded_goes_on(self, journal, place):
        """The fence decides, not the clock."""
        first = begin(journal)
        lease = journal.claim("production", "guard")
        place.clock.at += 100 * LEASE
        journal.append(lease, "r1", Adopted("guard"), after=first.seq)
        journal.renew(lease)
        assert journal.holder("production").alive

    def test_what_was_given_back_is_worth_nothing(self, journal):
        """Twice given back is no error."""
        first = begin(journal)
        lease = journal.claim("production", "guard")
        journal.release(lease)
        journal.release(lease)
        with pytest.raises(Busy):
            journal.append(lease, "r1", Adopted("guard"), after=first.seq)
        with pytest.raises(Busy):
            journal.renew(lease)

    def test_a_dead_owner_is_succeeded_at_once(self, journal, place):
        """Its lease need not run out (`close` does what death does)."""
        lost = journal.claim("production", "guard")
        journal.close()
        lease = place().claim("production", "other")
        assert lease.fence == lost.fence + 1
        with pytest.raises(Busy):
            journal.renew(lost)

    def test_a_lease_is_for_one_environment(self, journal):
        """Production's does not write for staging."""
        first = begin(journal, "s1", "staging")
        lease = journal.claim("production", "guard")
        with pytest.raises(NotPossible, match="lease of production"):
            journal.append(lease, "s1", Adopted("guard"), after=first.seq)

    def test_an_invented_lease_is_refused(self, journal):
        """The name and the fence must both fit."""
        first = begin(journal)
        journal.claim("production", "guard")
        for lease in (Lease("production", "guard", 2), Lease("production", "other", 1)):
            with pytest.raises(Busy):
                journal.append(lease, "r1", Adopted("x"), after=first.seq)


class TestPeople:
    def test_a_person_may_ask_without_a_lease(self, journal):
        """While a guard holds it."""
        first = begin(journal)
        lease = journal.claim("production", "guard")
        asked = journal.append(None, "r1", RollbackAsked("bob", "smells"), after=first.seq)
        again = journal.append(None, "r1", PromoteAsked("bob", "no, fine"), after=asked.seq)
        assert journal.append(lease, "r1", Adopted("guard"), after=again.seq).seq == 4

    def test_without_a_lease_nothing_else_is_written(self, journal):
        """What happened is the guard's to tell."""
        first = begin(journal)
        before = stands(journal, "r1")
        for fact in (Adopted("x"), StepBegan(Step.BUILD, 1), StepDone(Step.BUILD)):
            with pytest.raises(NotPossible) as caught:
                journal.append(None, "r1", fact, after=first.seq)
            assert type(fact).__name__ in caught.value.why.what
        assert stands(journal, "r1") == before

    def test_what_a_person_asks_may_end_it(self, journal):
        """Nothing was touched yet: asking for the way back is the end."""
        first = begin(journal)
        journal.append(None, "r1", RollbackAsked("b", "no"), after=first.seq, ended="refused")
        assert journal.active("production") is None


class TestChain:
    def test_every_journal_makes_the_same_chain(self, journal):
        """So that one can be moved to another and still verify. Computed here by hand."""
        entries = [begin(journal, "r-ü")]
        entries.append(
            journal.append(None, "r-ü", RollbackAsked("bob", "so"), after=entries[0].seq)
        )
        head = hashlib.sha256(b"guarded-rollout journal 1").hexdigest()
        for seq, entry in enumerate(entries, 1):
            kind, body = encode(entry.fact)
            parts = [head.encode(), str(seq).encode(), "r-ü".encode(), b"1800014400.25"]
            spelled = b"".join(
                str(len(part)).encode() + b":" + part + b","
                for part in [*parts, kind.encode(), body]
            )
            head = hashlib.sha256(spelled).hexdigest()
            assert (entry.seq, entry.hash) == (seq, head)
        audit = journal.verify()
        assert (audit.entries, audit.rollouts, audit.head) == (2, 1, head)
        assert (audit.problem, audit.broken_at) == (None, None)

    def test_threads_share_one_journal(self, journal):
        """Each entry once, the chain whole; who came second read on and tried again."""
        begin(journal)
        failures = []

        def ask(name):
            try:
                for number in range(10):
                    while True:
                        after = journal.entries("r1")[-1].seq
                        try:
                            fact = RollbackAsked(name, str(number))
                            journal.append(None, "r1", fact, after=after)
                        except Behind:
                            continue
                        break
            except BaseException as error:  # noqa: BLE001 - told to the test below
                failures.append(error)

        threads = [threading.Thread(target=ask, args=(f"t{n}",)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failures == []
        facts = [entry.fact for entry in journal.entries("r1")[1:]]
        for n in range(4):
            mine = [int(fact.reason) for fact in facts if fact.by == f"t{n}"]
            assert mine == list(range(10))
        assert journal.verify().entries == 41

    def test_threads_cannot_both_have_the_lease(self, journal):
        """Of many at once, one wins."""
        won, lost = [], []
        gate = threading.Barrier(8)

        def claim(name):
            gate.wait()
            try:
                won.append(journal.claim("production", name))
            except Busy as problem:
                lost.append(problem)

        threads = [threading.Thread(target=claim, args=(f"t{n}",)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert (len(won), len(lost)) == (1, 7)
