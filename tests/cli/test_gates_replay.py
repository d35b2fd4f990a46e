"""`rollout gates replay`: a recorded watch, judged again, by its own gates and by others."""

import json
import random
from dataclasses import replace

import pytest
from recorded_watches import state_of, take, write

from guarded_rollout.core.facts import Judged, Lane, Observed
from guarded_rollout.core.gates import Answer, Verdict
from guarded_rollout.core.rollout import advance, verdicts
from guarded_rollout.core.series import ArmSeen, Histogram, Observation, Reading
from guarded_rollout.core.spec import AtTheEnd
from guarded_rollout.core.state import Phase
from guarded_rollout.testing import examples

BOUNDS = (0.1, 0.5, 1.0, 2.0, 5.0)


def watch(rate, *, polls, queue=0.0, seed=5):
    """Observations every 5 s, a look every 30 s: 50 requests each, `rate` of them fail."""
    chance = random.Random(seed)
    total = bad = 0.0
    for number in range(1, polls + 1):
        total += 50
        bad += sum(chance.random() < rate for _ in range(50))
        durations = Histogram(BOUNDS, (total - 1, *(total,) * 5))
        reading = Reading("new-0", bad, total, durations, queue)
        look = number // 6 if number % 6 == 0 else None
        arm = ArmSeen(healthy=True, replicas_alive=1, readings=(reading,))
        yield Observation(5.0 * number, arm, ArmSeen(healthy=True), look=look)


def facts_of(state, observations):
    """What a guard writes down: everything seen, and each judgement that is due."""
    for seen in observations:
        yield Observed(seen)
        state = advance(state, Observed(seen))
        if state.judge_due:
            judged = Judged(state.elapsed, verdicts(state))
            yield judged
            state = advance(state, judged)
        if state.phase is not Phase.WATCHING:
            return


def record(project, observations, *, change=lambda fact: fact):
    """A deploy in production with this watch, to its end. Returns its name."""
    rollout = project.begin()
    take(project, rollout)
    facts = facts_of(state_of(project, rollout), observations)
    write(project, rollout, (change(fact) for fact in facts))
    take(project, rollout)
    return rollout


@pytest.fixture
def sick(project):
    """A third of the requests fails: evidence rolls it back, between two looks."""
    return record(project, watch(0.34, polls=60))


def test_a_recorded_breach_by_evidence_replays_byte_for_byte(project, sick):
    """The journal's own words: rolled back by evidence, and the same again."""
    state = state_of(project, sick)
    assert state.phase is Phase.ROLLED_BACK
    assert "evidence" in state.reason
    before = project.tree()
    answer = project.run("gates", "replay", "--env", "production")
    assert (answer.code, answer.err) == (0, "")
    assert f"{sick}: deploy in production, rolled-back" in answer.out
    judged = "recorded judgements, replayed: every verdict is the same, byte for byte"
    assert judged in answer.out
    assert project.tree() == before
    document = project.run("gates", "replay", sick, "--env", "production", "--json").document
    assert document["same"] is True
    (fired,) = [one for one in document["fired"] if one["at"] is not None]
    assert fired["gate"] == "extractionFailureRate"
    assert fired["at"] == document["seconds"] < 300
    assert document["observations"] == document["seconds"] / 5
    assert fired["verdict"]["answer"] == "breach"


def test_a_judgement_that_was_not_the_cores_is_named(project):
    """Somebody else judged: one number of the second judgement differs."""
    count = iter(range(1000))

    def forge(fact):
        if not isinstance(fact, Judged) or next(count) != 1:
            return fact
        first, *others = fact.verdicts
        return replace(fact, verdicts=(replace(first, samples=first.samples + 1), *others))

    record(project, watch(0.0, polls=14), change=forge)
    answer = project.run("gates", "replay", "--env", "production")
    assert answer.code == 1
    assert "judgement 2, at 60 s, is not the same" in answer.out
    said = next(line for line in answer.out.splitlines() if line.startswith("  recorded {"))
    assert json.loads(said.removeprefix("  recorded "))["gate"] == "healthFailures"
    document = project.run("gates", "replay", "--env", "production", "--json").document
    assert document["same"] is False
    assert document["difference"]["number"] == 2


def test_judgements_of_the_probes_are_counted_not_replayed(project):
    """Their rounds are not in the journal."""
    rollout = project.begin()
    take(project, rollout)
    down = Verdict("down", Answer.BREACH, "no replica answered", 5.0)
    seen = Observed(examples.seen(7.0))
    write(project, rollout, [seen, Judged(7.0, (down,), Lane.DOWN)])
    answer = project.run("gates", "replay", "--env", "production")
    assert answer.code == 0
    assert "1 of the probes' judgements, which are not replayed" in answer.out


def two_arms(rates, *, polls, seed=5):
    """As `watch`, with a baseline that has users too; `rates` of the candidate, of the baseline."""
    ours = watch(rates[0], polls=polls, seed=seed)
    theirs = watch(rates[1], polls=polls, seed=seed + 1)
    for one, other in zip(ours, theirs, strict=True):
        reading = replace(other.candidate.readings[0], instance="old-0")
        yield replace(one, baseline=replace(other.candidate, readings=(reading,)))


def test_a_recorded_canary_replays_too(project):
    """Both arms fail less than the limit allows; the candidate more than the baseline."""
    stage = '[[environments.production.stages]]\npercent = 50\nbake = "5m"\n'
    project.edit("[environments.staging]", f"{stage}\n[environments.staging]")
    project.edit('listen = "127.0.0.1:18080"', 'listen = "127.0.0.1:18080"\nstrategy = "canary"')
    rollout = record(project, two_arms((0.2, 0.01), polls=100))
    assert state_of(project, rollout).phase is Phase.ROLLED_BACK
    document = project.run("gates", "replay", "--env", "production", "--json").document
    assert document["same"] is True
    fired = {one["gate"]: one["at"] for one in document["fired"]}
    assert fired["failuresCompared"] == document["seconds"]
    loose = gates_file(
        project,
        qualityGates={"extractionFailureRate": {"threshold": 50}},
        evidence={"margin": 60, "tolerated": 90},
    )
    words = ["gates", "replay", "--env", "production", "--gates", loose, "--json"]
    again = project.run(*words).document
    assert {one["gate"]: one["at"] for one in again["fired"]}["failuresCompared"] is None
    assert again["ending"] is None


def gates_file(project, **own):
    project.write("other.json", json.dumps({"environments": {"production": own}}))
    return "other.json"


def test_another_file_may_roll_back_what_was_taken(project):
    """A queue of 40 was fine; under a limit of 30 it would not have been."""
    record(project, watch(0.0, polls=12, queue=40.0))
    own = project.run("gates", "replay", "--env", "production", "--json").document
    assert {one["at"] for one in own["fired"]} == {None}
    other = gates_file(project, qualityGates={"lowConfidenceQueue": {"threshold": 30}})
    answer = project.run("gates", "replay", "--env", "production", "--gates", other)
    assert answer.code == 0
    assert "under other.json it rolls back at 30 s: lowConfidenceQueue: 40 items wait" in answer.out


def test_another_file_may_take_what_was_rolled_back(project, sick):
    """With a limit of 60 % a third is fine. The looks are those of the other file."""
    other = gates_file(
        project,
        qualityGates={"extractionFailureRate": {"threshold": 60}},
        monitoring={"initialInterval": 10},
    )
    answer = project.run("gates", "replay", sick, "--env", "production", "--gates", other)
    assert answer.code == 0
    assert "under other.json no gate breaches in what was recorded" in answer.out
    words = ["gates", "replay", "--env", "production", "--gates", other, "--json"]
    document = project.run(*words).document
    assert document["ending"] is None
    assert document["judged"] == document["seconds"] // 10


def test_the_same_limits_in_another_file_give_the_same_breach(project, sick):
    """What is asked otherwise is judged by the same core."""
    own = project.run("gates", "replay", "--env", "production", "--json").document
    other = gates_file(project, unknownAtEnd=AtTheEnd.HOLD)
    again = project.run("gates", "replay", "--env", "production", "--gates", other, "--json")
    fired = {one["gate"]: one for one in own["fired"]}
    for one in again.document["fired"]:
        assert one["at"] == fired[one["gate"]]["at"]
    assert again.document["ending"]["at"] == own["seconds"]
    assert again.document["ending"]["rolls_back"] is True


def test_where_nothing_goes_back_by_itself_it_holds(project, sick):
    """autoRollback is off in the other file."""
    other = gates_file(project, autoRollback=False)
    answer = project.run("gates", "replay", "--env", "production", "--gates", other)
    assert "under other.json it holds, and a person is asked" in answer.out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--env", "production"], "no rollout in production was watched yet"),
        (["--env", "nowhere"], "environments.nowhere: no such environment"),
        (["x-1", "--env", "production"], "there is no rollout x-1 in production"),
    ],
    ids=["empty", "environment", "rollout"],
)
def test_what_is_not_there_is_said(project, words, said):
    """On an empty journal; nothing is created."""
    before = project.tree()
    answer = project.run("gates", "replay", *words)
    assert answer.code == 1
    assert said in answer.err
    assert "Traceback" not in answer.err
    assert project.tree() == before


def test_a_rollout_that_was_never_watched_cannot_be_replayed(project):
    """It was refused."""
    rollout = project.refused()
    answer = project.run("gates", "replay", rollout, "--env", "production")
    assert (answer.code, answer.out) == (1, "")
    assert f"{rollout} was never watched" in answer.err


@pytest.mark.parametrize(
    ("content", "said"),
    [(None, "other.json does not exist"), ("{", "other.json:1"), ("\x00", "other.json:1")],
    ids=["missing", "cut off", "no JSON"],
)
def test_a_gates_file_that_cannot_be_read(project, sick, content, said):
    """The loader's words."""
    if content is not None:
        project.write("other.json", content)
    answer = project.run("gates", "replay", "--env", "production", "--gates", "other.json")
    assert answer.code == 1
    assert said in answer.err
    assert "Traceback" not in answer.err
