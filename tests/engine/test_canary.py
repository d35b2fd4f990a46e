"""Canaries on a world in memory: share by share, and back from any of them."""

from guarded_rollout.core.facts import (
    Observed,
    PauseAsked,
    PromoteAsked,
    ResumeAsked,
    RollbackAsked,
    StepBegan,
    StepDone,
)
from guarded_rollout.core.plan import Step
from guarded_rollout.core.spec import Stage
from guarded_rollout.core.state import Phase
from guarded_rollout.testing import examples

OLD, NEW = examples.OLD.name, examples.NEW.name
STAGES = (Stage(5.0, 10.0), Stage(50.0, 10.0))


def routes(bench):
    return [line for line in bench.world.ledger if line.startswith("route")]


def test_a_good_release_gets_its_users_share_by_share(settled):
    """The baseline keeps the others; the last stage has everybody, the old version warm."""
    state = settled.deploy(stages=STAGES)
    assert state.phase is Phase.DONE
    assert routes(settled) == [
        f"route {OLD}, 5 % {NEW}",
        f"route {OLD}, 50 % {NEW}",
        f"route {NEW}",
        f"route {NEW}",
    ]
    assert settled.serving() == examples.NEW


def test_a_bad_release_goes_back_from_its_first_share(settled):
    """Nobody else ever met it."""
    settled.world.failing = {NEW: 0.5}
    state = settled.deploy(stages=STAGES)
    assert state.phase is Phase.ROLLED_BACK
    assert routes(settled) == [f"route {OLD}, 5 % {NEW}", f"route {OLD}"]


def test_a_canary_without_metrics_keeps_its_share_and_asks(settled):
    """Unknown is no reason to give it more users."""
    settled.world.blind = True
    rollout = settled.begin(stages=STAGES)

    def decide(_entry):
        if settled.held(rollout) and not asked:
            asked.append(True)
            settled.ask(rollout, PromoteAsked("ann", "looked by hand"))

    asked: list[bool] = []
    state = settled.drive(rollout, show=decide)
    assert state.phase is Phase.DONE
    # All users at the promotion, the old version warm; then the old version goes.
    assert routes(settled) == [f"route {OLD}, 5 % {NEW}", f"route {NEW}", f"route {NEW}"]
    facts = (entry.fact for entry in settled.journal.entries(rollout))
    steps = [fact.step for fact in facts if isinstance(fact, StepDone)]
    assert steps[steps.index(Step.SMOKE_USERS) - 1] is Step.SHIFT


def test_a_paused_canary_waits_until_it_is_resumed(settled):
    """The window's end does not promote it either."""
    rollout = settled.begin(stages=STAGES)
    seen: list[float] = []

    def steer(entry):
        if isinstance(entry.fact, Observed):
            seen.append(entry.fact.seen.elapsed)
            if len(seen) == 1:
                settled.ask(rollout, PauseAsked("ann", "lunch"))
            if entry.fact.seen.elapsed > 70 and not resumed:
                resumed.append(routes(settled))
                settled.ask(rollout, ResumeAsked("ann", "back"))

    resumed: list[list[str]] = []
    state = settled.drive(rollout, show=steer)
    assert state.phase is Phase.DONE
    assert resumed == [[f"route {OLD}, 5 % {NEW}"]]


def test_both_arms_are_seen_during_the_watch(settled):
    """A gate that compares needs the baseline of the same minutes."""
    state = settled.deploy(stages=STAGES)
    last = state.series[-1]
    assert last.baseline is not None
    assert last.candidate.readings
    assert last.baseline.readings
    assert state.outcomes[Step.SHIFT]["percent"] == 100.0


CONTROL = f"{OLD}-control"


def test_a_control_is_measured_first_and_then_compared_with(settled):
    """Fresh processes of the old version: users, and the A/A period, before the candidate's."""
    state = settled.drive(settled.begin(stages=STAGES, controlled=True))
    assert state.phase is Phase.DONE
    assert routes(settled) == [
        f"route {OLD}, 5 % {CONTROL}",
        f"route {OLD}, 5 % {NEW}, 5 % {CONTROL}",
        f"route {OLD}, 50 % {NEW}, 50 % {CONTROL}",
        f"route {NEW}",
        f"route {NEW}",
    ]
    assert state.series[-1].baseline.readings[0].instance.startswith(CONTROL)
    measured = state.outcomes[Step.CALIBRATE]
    assert measured["between"] == "the old version and its control"
    assert measured["polls"] > 3
    assert {it["signal"] for it in measured["noise"]} == {
        "requests",
        "proxy requests",
        "durations",
    }
    assert state.weighed.noise
    assert settled.world.started.keys() == {NEW}


def test_a_bad_release_leaves_no_control_behind(settled):
    """Both go, the old version serves."""
    settled.world.failing = {NEW: 0.5}
    state = settled.drive(settled.begin(stages=STAGES, controlled=True))
    assert state.phase is Phase.ROLLED_BACK
    assert settled.world.started.keys() == {OLD}


def test_who_gives_up_in_the_measurement_gets_the_users_back(settled):
    """The control had some of them already."""
    rollout = settled.begin(stages=STAGES, controlled=True)
    asked: list[bool] = []

    def ask(entry):
        fact = entry.fact
        if isinstance(fact, StepBegan) and fact.step is Step.CALIBRATE and not asked:
            asked.append(True)
            settled.ask(rollout, RollbackAsked("ann", "another day"))

    state = settled.drive(rollout, show=ask)
    assert state.phase is Phase.ROLLED_BACK
    assert routes(settled)[-1] == f"route {OLD}"
    assert settled.world.started.keys() == {OLD}
