"""The journal's server goes away around any fact, and in the middle of a step: nothing is lost."""

import threading
from dataclasses import replace

import pytest

from guarded_rollout.core.facts import RollbackAsked, StepBegan, StepFailed
from guarded_rollout.core.problems import Interrupted
from guarded_rollout.core.state import Phase
from guarded_rollout.engine import agent
from guarded_rollout.ports import Away
from guarded_rollout.testing import examples
from guarded_rollout.testing.fakes import ports_of


class Distant:
    """A journal whose server goes away at the nth append, before or after it commits, for a while.

    `calls`: how many calls it stays away.
    """

    def __init__(self, journal, leaves_at, *, committed, calls=3):
        self._journal, self._left, self._committed = journal, leaves_at, committed
        self._calls, self._away = calls, 0
        self.times = 0

    def __getattr__(self, name):
        verb = getattr(self._journal, name)

        def asks(*args, **more):
            if self._away:
                self._away -= 1
                raise Away("the journal does not answer")
            return verb(*args, **more)

        return asks

    def append(self, lease, rollout, fact, *, after, ended=None):
        self._left -= 1
        if self._left == 0:
            self._away = self._calls
            self.times += 1
            if not self._committed:
                raise Away("the journal does not answer")
        append = self._journal.append if self._left == 0 else self.__getattr__("append")
        done = append(lease, rollout, fact, after=after, ended=ended)
        if self._left == 0:
            raise Away("the journal does not answer")
        return done

    def release(self, lease):
        """Its own process forgets a lease that cannot be given back, and may claim it again."""
        if self._away:
            self._journal.close()
            raise Away("the journal does not answer")
        self._journal.release(lease)


def guard(bench, rollout, journal):
    """As a guard process does: again, while it is away."""
    ports = ports_of(bench.world, journal)
    while True:
        try:
            return bench.drive(rollout, ports=ports)
        except Away:
            continue


@pytest.mark.parametrize("committed", [False, True], ids=["before the commit", "after the commit"])
@pytest.mark.parametrize("ends", [Phase.DONE, Phase.ROLLED_BACK], ids=str)
def test_a_server_that_goes_away_around_a_fact_changes_no_ending(settled, ends, committed):
    """Each fact in turn. Being away is no reason to go back, and no step has failed."""
    if ends is Phase.ROLLED_BACK:
        settled.world.failing[examples.NEW.name] = 0.2
    away = 0
    for number in range(1, 40, 3):
        rollout = settled.begin()
        journal = Distant(settled.journal, number, committed=committed)
        state = guard(settled, rollout, journal)
        assert state.phase is ends
        facts = [entry.fact for entry in settled.journal.entries(rollout)]
        assert not any(isinstance(fact, StepFailed | RollbackAsked) for fact in facts)
        away += journal.times
        if ends is Phase.DONE:
            back = settled.deploy(examples.OLD)
            assert back.phase is Phase.DONE
    assert away >= 8


def test_a_step_is_stopped_when_the_lease_cannot_be_renewed_and_done_again(settled, monkeypatch):
    """Its work ends before the lease does; the next attempt looks first. It has not failed."""
    monkeypatch.setattr(agent, "HEARTBEAT_SECONDS", 0.05)
    monkeypatch.setattr(agent, "RETRY_SECONDS", 0.05)
    stopped = threading.Event()
    journal = Distant(settled.journal, 0, committed=False)

    class Slow:
        """Builds until it is told to stop, the first time."""

        def __getattr__(self, name):
            return getattr(settled.ports.builder, name)

        def build(self, *args):
            control = args[-1]
            if stopped.is_set():
                return settled.ports.builder.build(*args)
            journal._away = 10**9
            while not control.stopped():
                settled.clock.sleep(1)
            stopped.set()
            journal._away = 0
            raise Interrupted("told to stop")

    rollout = settled.begin()
    ports = replace(ports_of(settled.world, journal), builder=Slow())
    with pytest.raises(Away):
        settled.drive(rollout, ports=ports)
    assert stopped.is_set()
    state = settled.drive(rollout, ports=ports)
    assert state.phase is Phase.DONE
    facts = [entry.fact for entry in settled.journal.entries(rollout)]
    assert [f.attempt for f in facts if isinstance(f, StepBegan) and f.step == "build"] == [1, 2]
    assert not any(isinstance(fact, StepFailed) for fact in facts)
