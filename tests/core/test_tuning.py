"""What some days of watching say about the gates."""

import json
import re

import pytest
from made_journals import HOSTILE, deploy, good, lines, rolled_back, steps, utc, watched

from guarded_rollout.core.account import account_of
from guarded_rollout.core.custom_suggestion import proposal
from guarded_rollout.core.facts import Acknowledged, Judged, Started
from guarded_rollout.core.gates import Answer, Verdict
from guarded_rollout.core.suggestion import Suggestion
from guarded_rollout.core.tuning import Tuning, tuning_page, watched_in
from guarded_rollout.testing import examples


def tuning(*accounts):
    offered = proposal("production", [], examples.gates())
    return Tuning("production", 0.0, 9e9, watched_in(accounts), offered.suggestions, offered.paste)


def back(reason):
    return account_of("r1", [*rolled_back(), (98, 2000.0, Acknowledged("bob", reason))])


def later(journal, seconds=5000.0):
    return [(number, at + seconds, fact) for number, at, fact in journal]


@pytest.mark.parametrize(
    ("reason", "counts"),
    [
        ("harmless: a load test", True),
        ("False alarm, the disk was full", True),
        ("FALSE POSITIVE", True),
        ("not harmless at all", False),
        ("on it", False),
    ],
)
def test_a_person_says_what_was_harmless(reason, counts):
    """At the beginning of the acknowledgement."""
    found = tuning(back(reason))
    assert bool(found.false_alarms) is counts
    assert (reason in tuning_page(found, utc)) is counts


def test_a_release_that_was_promoted_later_was_harmless():
    """The same one, and later."""
    alarm = account_of("r1", rolled_back())
    promoted = account_of("r2", later(good()))
    assert tuning(alarm, promoted).false_alarms[0].harmless == "promoted later by r2"
    earlier = account_of("r0", later(good(), -900.0))
    assert tuning(earlier, alarm).false_alarms == ()
    assert tuning(alarm, account_of("r3", later(rolled_back()))).false_alarms == ()


def test_how_far_from_the_limits():
    """The worst of all looks, not the last one; a value beyond the limit is more than 100 %."""
    looks = [
        Judged(at, (Verdict("p95", answer, f"{value} ms", value, 2000.0),))
        for at, value, answer in (
            (10.0, 1500.0, Answer.PASS),
            (20.0, 1900.0, Answer.PASS),
            (30.0, 200.0, Answer.PASS),
        )
    ]
    plan = examples.plan()
    seen = list(watched())
    pairs = [fact for pair in zip(seen[1:], looks, strict=True) for fact in pair]
    journal = lines(Started(plan, "ann"), *steps(*plan.forward), seen[0], *pairs)
    (near,) = watched_in([account_of("r1", journal)])[0].gates
    assert (near.share, near.judged, near.unknown) == (95.0, 3, 0)
    assert near.last == "200.0 ms"
    (breached,) = watched_in([account_of("r1", rolled_back())])[0].gates
    assert (breached.share, breached.breached) == (115.0, True)


def test_what_there_is_too_little_of_is_said():
    """Few watches, gates that never had enough, numbers without history."""
    unknown = Judged(30.0, (Verdict("p95", Answer.UNKNOWN, "too few", None, 2000.0),))
    found = tuning(account_of("r1", deploy(unknown)))
    assert any("1 watches" in gap for gap in found.gaps)
    assert "r1: never enough for p95" in found.gaps
    assert any(gap.startswith("extractionFailureRate: ") for gap in found.gaps)
    page = tuning_page(found, utc)
    assert "too little history" in page
    assert "1 of 1 unknown" in page


def test_what_is_proposed_is_there_to_paste():
    """As `gates suggest` has it."""
    paste = {"environments": {"production": {"qualityGates": {"p95": {"threshold": 250}}}}}
    offered = (Suggestion("p95HashTime", 250.0, "ms", "a boundary", 3, 900),)
    page = tuning_page(Tuning("production", 0.0, 9e9, (), offered, paste), utc)
    block = re.search(r"```text\n(.*?)\n```", page, re.DOTALL)
    assert json.loads(block[1]) == paste
    assert "`250 ms`" in page


def test_nothing_hostile_gets_through():
    """The page is made of journals that anybody may have written to."""
    bad = Judged(30.0, (Verdict(HOSTILE, Answer.BREACH, HOSTILE, 2.0, 1.0),))
    plan = examples.plan()
    journal = [
        *deploy(bad, *steps(*plan.back), plan=plan),
        (98, 2000.0, Acknowledged("bob", f"harmless {HOSTILE}")),
    ]
    page = tuning_page(tuning(account_of("r1", journal)), utc)
    assert "hunter2secret" not in page
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f\u202e]", page)


def test_nothing_watched_is_no_error():
    """A quiet week end."""
    page = tuning_page(tuning(), utc)
    assert "0 watches, 0 false alarms" in page
