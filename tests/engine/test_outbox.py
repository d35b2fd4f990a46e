"""The outbox on a world in memory: everything arrives, in order, whoever dies."""

from types import SimpleNamespace

import pytest

from guarded_rollout.core.facts import Acknowledged, Notified
from guarded_rollout.core.state import Phase
from guarded_rollout.engine.outbox import OLD_NEWS, Outbox, owed, recent
from guarded_rollout.testing import examples

NEW = examples.NEW.name


@pytest.fixture
def heard(settled):
    """Two channels listen from now on."""
    settled.world.channels = ("slack", "email")
    return settled


def tell_people(bench, rollout):
    outbox = Outbox(bench.ports, "production", rollout)
    outbox.start()
    outbox.finish(lambda: False)


def types(bench, channel):
    return [notice.type for where, notice in bench.world.told if where == channel]


def records(bench, rollout):
    facts = [entry.fact for entry in bench.journal.entries(rollout)]
    return [fact for fact in facts if isinstance(fact, Notified)]


def test_every_notice_arrives_in_order_and_is_written_down(heard):
    """On each channel; the ending is in the journal with what came of it."""
    rollout = heard.begin()
    assert heard.drive(rollout).phase is Phase.DONE
    tell_people(heard, rollout)
    told = ["deploy-start", "watch", "deploy-success"]
    assert types(heard, "slack") == types(heard, "email") == told
    found = records(heard, rollout)
    assert len(found) == 2 * len(told)
    assert {fact.status for fact in found} == {"delivered"}
    assert heard.journal.verify().problem is None


def test_a_second_outbox_tells_nothing_again(heard):
    """What is in the journal was told."""
    rollout = heard.begin()
    heard.drive(rollout)
    tell_people(heard, rollout)
    before = list(heard.world.told), heard.journal.entries(rollout)
    tell_people(heard, rollout)
    assert (list(heard.world.told), heard.journal.entries(rollout)) == before


def test_two_at_once_tell_it_once(heard):
    """As when a guard is replaced while its successor starts."""
    rollout = heard.begin()
    heard.drive(rollout)
    both = [Outbox(heard.ports, "production", rollout) for _ in range(2)]
    for outbox in both:
        outbox.start()
    for outbox in both:
        outbox.finish(lambda: False)
    for channel in ("slack", "email"):
        keys = [fact.notice for fact in records(heard, rollout) if fact.channel == channel]
        assert sorted(keys) == sorted(set(keys))


def test_a_deaf_channel_holds_nobody_up_and_is_on_record(heard):
    """The other one hears all; the failure is a fact."""
    heard.world.deaf = {"slack"}
    rollout = heard.begin()
    heard.drive(rollout)
    tell_people(heard, rollout)
    assert types(heard, "email") == ["deploy-start", "watch", "deploy-success"]
    kept = [fact for fact in records(heard, rollout) if fact.channel == "slack"]
    assert [fact.status for fact in kept] == ["kept"] * 3
    assert {fact.reason for fact in kept} == {"no answer"}


def test_what_is_owed_is_known_until_it_was_told(heard):
    """By whoever comes after a guard that was killed; a day later it is no news any more."""
    rollout = heard.begin()
    heard.drive(rollout)
    known = heard.journal.known("production")[0]
    looking = (heard.journal, heard.ports.notices, heard.clock, known)
    assert owed(*looking)
    tell_people(heard, rollout)
    assert not owed(*looking)
    assert known in recent(heard.journal, heard.clock, "production")
    tomorrow = SimpleNamespace(now=lambda: known.began + OLD_NEWS + 1)
    assert recent(heard.journal, tomorrow, "production") == ()


def test_an_alarm_is_told_again_until_somebody_acknowledges(heard):
    """After a quarter of an hour; then the outbox has nothing more to do."""
    heard.world.failing = {NEW: 0.5}
    rollout = heard.begin()
    assert heard.drive(rollout).phase is Phase.ROLLED_BACK
    outbox = Outbox(heard.ports, "production", rollout)
    outbox.start()

    def halted():
        if "escalation" in types(heard, "slack") and not asked:
            asked.append(True)
            heard.ask(rollout, Acknowledged("ann", "on it"))
        return False

    asked: list[bool] = []
    outbox.finish(halted)
    assert types(heard, "slack").count("escalation") in {1, 2}
    assert asked
