"""What people are told, and when: one notice for a change, none for a look."""

from dataclasses import replace

import pytest

from guarded_rollout.core.announcing import ESCALATIONS, due, next_due, read, tell
from guarded_rollout.core.facts import (
    Acknowledged,
    Judged,
    Notified,
    Observed,
    PauseAsked,
    PromoteAsked,
    RollbackAsked,
    Started,
    StepBegan,
    StepDone,
    StepFailed,
)
from guarded_rollout.core.gates import Answer, Verdict
from guarded_rollout.core.notice import TYPES
from guarded_rollout.core.plan import Kind, Step
from guarded_rollout.core.problems import Why
from guarded_rollout.core.rollout import replay
from guarded_rollout.core.series import HostSeen
from guarded_rollout.testing import examples

BREACH = Judged(30.0, (Verdict("p95", Answer.BREACH, "p95 is 2300 ms, the limit is 2000 ms"),))
PASS = Judged(60.0, (Verdict("p95", Answer.PASS, "p95 is 900 ms"),))
OUTCOMES = {
    Step.BACKUP: {"verified": True, "file": "backups/toy.zip"},
    Step.REHEARSE: {"ways": ["flip"], "because": {}},
    Step.MIGRATE: {"moved": False},
}


def steps(plan, *names):
    for name in names:
        yield StepBegan(name, 1)
        yield StepDone(name, OUTCOMES.get(name, {}))


def lines(*facts):
    return [(number, 1000.0 + number, fact) for number, fact in enumerate(facts, 1)]


def deploy(*more, plan=None):
    plan = plan or examples.plan()
    return lines(Started(plan, "ann"), *steps(plan, *plan.forward), *more)


def types(story):
    return [notice.type for notice in story.notices]


def back(plan):
    return steps(plan, *plan.back)


def test_a_good_release_is_told_three_times():
    """Begun, on its way, done; a look is no news."""
    plan = examples.plan()
    seen = Observed(examples.seen(60.0, look=2))
    early = Observed(examples.seen(30.0, look=1))
    facts = deploy(early, Judged(30.0, PASS.verdicts), seen, PASS, *steps(plan, *plan.finish))
    story = read("r1", facts)
    assert types(story) == ["deploy-start", "watch", "deploy-success"]
    last = story.notices[-1]
    assert last.key == f"r1:{facts[-1][0]}:deploy-success"
    assert (last.initiator, last.service, last.rollout) == ("ann", "toy", "r1")
    assert "promoted" in last.message
    assert last.duration
    assert next_due(story, 0.0) is None


def test_a_breach_is_told_with_its_numbers_and_calls_a_person_afterwards():
    """Breach, going back, back; then again until somebody acknowledges."""
    plan = examples.plan()
    facts = deploy(Observed(examples.seen(30.0, look=1)), BREACH, *back(plan))
    story = read("r1", facts)
    assert types(story) == [
        *("deploy-start", "watch", "gate-breach", "rollback-start", "rollback-success")
    ]
    assert "p95: breach, p95 is 2300 ms, the limit is 2000 ms" in story.notices[2].evidence
    assert story.notices[-1].look == ("incidents/INC-r1.md",)
    ended = facts[-1][1]
    assert next_due(story, ended) == ended + ESCALATIONS[0]
    for late, seconds in enumerate(ESCALATIONS, 1):
        told = due(story, ended + seconds)[len(story.notices) :]
        assert len(told) == late
        assert {notice.type for notice in told} == {"escalation"}
        assert len({notice.key for notice in told}) == late
    on_it = tell(story, (99, ended + 60.0, Acknowledged("bob", "looking")))
    assert due(on_it, ended + 9000.0) == story.notices
    assert next_due(on_it, ended) is None


@pytest.mark.parametrize("fact", [PauseAsked("ann", "x"), PromoteAsked("ann", "x")])
def test_a_person_who_acts_is_called_no_more(fact):
    """A hold is an alarm until somebody does something."""
    plan = examples.plan(policy=examples.watch(auto_rollback=False))
    facts = deploy(Observed(examples.seen(30.0, look=1)), BREACH, plan=plan)
    held = read("r1", facts)
    assert types(held)[-2:] == ["gate-breach", "hold"]
    assert held.alarm is not None
    if isinstance(fact, PauseAsked):
        fact = Acknowledged("ann")
    assert tell(held, (99, 2000.0, fact)).alarm is None


def test_who_asks_for_the_way_back_is_not_called():
    """It is what they wanted."""
    plan = examples.plan()
    facts = deploy(RollbackAsked("ann", "slow"), *back(plan))
    story = read("r1", facts)
    assert types(story)[-2:] == ["rollback-start", "rollback-success"]
    assert story.alarm is None
    asked = examples.plan(Kind.ROLLBACK)
    story = read("r2", lines(Started(asked, "ann", "slow"), *back(asked)))
    assert types(story) == ["rollback-start", "rollback-success"]
    assert story.alarm is None


def test_a_way_back_that_fails_is_the_loudest():
    """Stuck: a person is wanted at once."""
    plan = examples.plan()
    broken = [StepBegan(plan.back[0], n) for n in (1, 2, 3)]
    why = StepFailed(plan.back[0], Why("the proxy is gone", "look"))
    facts = deploy(
        Observed(examples.seen(30.0, look=1)),
        BREACH,
        *(f for began in broken for f in (began, why)),
    )
    story = read("r1", facts)
    assert types(story)[-1] == "rollback-failure"
    assert "the proxy is gone" in story.notices[-1].message
    assert story.alarm is not None


def test_a_refused_release_is_told_and_no_alarm():
    """Nobody noticed anything."""
    plan = examples.plan()
    facts = lines(
        Started(plan, "ann"),
        StepBegan(Step.PREFLIGHT, 1),
        StepFailed(Step.PREFLIGHT, Why("the port is taken")),
    )
    story = read("r1", facts)
    assert types(story) == ["deploy-start", "deploy-failure"]
    assert story.alarm is None


@pytest.mark.parametrize("kind", [Kind.BACKUP, Kind.REHEARSE])
def test_what_nobody_waits_for_is_not_told(kind):
    """A backup in the night."""
    plan = examples.plan(kind)
    story = read("r1", lines(Started(plan, "ann"), *steps(plan, *plan.forward)))
    assert story.notices == ()


def test_a_service_that_is_taken_down_and_comes_again_is_told():
    """Who did it, before and after; coming again it is not said to be taken back."""
    plan = examples.plan(Kind.DOWN)
    story = read("r1", lines(Started(plan, "ann"), *steps(plan, Step.TAKE_DOWN)))
    assert types(story) == ["info", "info"]
    first, last = (notice.message for notice in story.notices)
    assert first == f"{examples.NEW.name} is taken down: nothing will serve production."
    assert last.startswith("Nothing serves production any more")
    assert story.alarm is None
    again = replace(examples.plan(Kind.ROLLBACK), baseline=examples.NEW)
    (begun,) = read("r2", lines(Started(again, "ann"))).notices
    assert begun.message == f"{examples.NEW.name} comes again."


def test_what_was_said_of_a_notice_moves_nothing():
    """The outbox is the projection minus these; the rollout is where it was."""
    facts = deploy()
    story = read("r1", facts)
    key = story.notices[0].key
    said = tell(story, (99, 2000.0, Notified(key, "slack", "delivered", 1)))
    assert said.told == {(key, "slack")}
    assert said.state == story.state
    assert said.notices == story.notices
    whole = replay([fact for _, _, fact in facts])
    assert replace(whole, acknowledged="x") != whole


def test_every_type_has_a_template_or_the_common_one():
    """A new type must be known to the notifier."""
    plan = examples.plan()
    facts = deploy(Observed(examples.seen(30.0, look=1)), BREACH, *back(plan))
    story = read("r1", facts)
    assert {notice.type for notice in due(story, 10**6)} <= TYPES.keys()


def used(cpu, look):
    seen = examples.seen(10.0 * look, look=look)
    return Observed(replace(seen, host=HostSeen(cpu=cpu, memory=20.0, disk=None)))


def test_a_machine_that_fills_up_is_told_once_and_again_after_it_was_well():
    """A number that wavers around its limit, and one that nobody can read, are no news."""
    story = read("r1", deploy(*(used(cpu, n) for n, cpu in enumerate((70, 91, 79, 92, None), 1))))
    assert types(story)[-2:] == ["watch", "warning"]
    assert "cpu 91 % (alert above 80 %)" in story.notices[-1].message
    for number, cpu in ((90, 50.0), (91, 95.0)):
        story = tell(story, (number, 3000.0, used(cpu, number)))
    assert types(story)[-2:] == ["warning", "warning"]
    assert story.alarm is None
