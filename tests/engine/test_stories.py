"""Whole rollouts on a world in memory: the engine's part, without processes."""

import json
import threading
from dataclasses import replace

import pytest

from guarded_rollout.core.facts import PromoteAsked, RollbackAsked, StepFailed
from guarded_rollout.core.plan import Kind
from guarded_rollout.core.problems import Broken
from guarded_rollout.core.state import Phase
from guarded_rollout.engine.situation import read_situation
from guarded_rollout.testing import examples

OLD, NEW = examples.OLD.name, examples.NEW.name


def test_a_first_deployment_serves_and_is_remembered(bench):
    """From nothing to a promoted release."""
    state = bench.deploy(examples.OLD)
    assert state.phase is Phase.DONE
    assert bench.world.serving() == OLD
    assert bench.serving() == examples.OLD


def test_a_good_release_replaces_the_old_one_in_the_promised_order(settled):
    """Backup, migration, start, shift; the old version stops only at the very end."""
    state = settled.deploy()
    assert state.phase is Phase.DONE
    assert settled.world.ledger == [
        f"build {NEW}",
        "backup production",
        "scratch rehearse",
        "fill sqlite:////data/toy_rehearse.db",
        "discard sqlite:////data/toy_rehearse.db",
        f"start {NEW}",
        f"route {NEW}",
        f"route {NEW}",
        f"stop {OLD}",
    ]
    assert set(settled.world.started) == {NEW}
    situation = read_situation(settled.journal, "production")
    assert (situation.serving, situation.previous) == (examples.NEW, examples.OLD)


@pytest.mark.parametrize(
    ("harm", "gate"),
    [
        (lambda world: world.failing.update({NEW: 0.2}), "extractionFailureRate"),
        (lambda world: world.slow.update({NEW: 0.5}), "p95HashTime"),
        (lambda world: setattr(world, "queue", 1500), "lowConfidenceQueue"),
    ],
)
def test_a_breached_gate_puts_the_old_version_back(settled, harm, gate):
    """The reason names the gate; the report has its numbers; the old version serves."""
    harm(settled.world)
    state = settled.deploy()
    assert state.phase is Phase.ROLLED_BACK
    assert gate in state.reason
    assert settled.world.serving() == OLD
    assert settled.serving() == examples.OLD
    assert set(settled.world.started) == {OLD}
    file = max((settled.ports.root / "logs").glob("monitor_report_production_*.json"))
    reports = json.loads(file.read_text())
    assert reports["phase"] == "rolled-back"
    assert gate in reports["reason"]
    assert reports["exit_code"] == 2


class Sabotage:
    """Does something to the world when a fact of some kind is shown for the nth time."""

    def __init__(self, kind, deed, nth=1):
        self.left, self.kind, self.deed = nth, kind, deed

    def __call__(self, entry):
        if type(entry.fact).__name__ == self.kind:
            self.left -= 1
            if self.left == 0:
                self.deed()


def test_a_candidate_whose_processes_die_goes_back_by_the_fast_lane(settled):
    """No look is waited for."""
    kill = Sabotage("Observed", lambda: settled.world.dead.add(NEW))
    state = settled.drive(settled.begin(policy=examples.watch(examples.PRODUCTION)), show=kill)
    assert state.phase is Phase.ROLLED_BACK
    assert "no process is alive" in state.reason
    assert state.elapsed < 30
    assert settled.world.serving() == OLD


def test_a_candidate_that_hangs_goes_back_too(settled):
    """Processes alive, but nobody answers well."""
    hang = Sabotage("Observed", lambda: settled.world.sick.add(NEW))
    state = settled.drive(settled.begin(policy=examples.watch(examples.PRODUCTION)), show=hang)
    assert state.phase is Phase.ROLLED_BACK
    assert "2 processes are alive" in state.reason


def test_two_sick_versions_hold_and_a_person_decides(settled):
    """Nothing moves by itself; the watch goes on; a person's word ends it."""

    def sicken():
        settled.world.sick.update({NEW, OLD})

    rollout = settled.begin()
    done = threading.Event()
    states = []

    def guard():
        states.append(settled.drive(rollout, show=Sabotage("Observed", sicken)))
        done.set()

    thread = threading.Thread(target=guard)
    thread.start()
    wait_for(lambda: any("both versions" in r for r in reasons(settled, rollout)), thread)
    assert settled.world.serving() == NEW
    settled.world.sick.clear()
    last = settled.journal.entries(rollout)[-1].seq
    ask_until_taken(settled, rollout, PromoteAsked("ann", "both are fine again"), last)
    thread.join(30)
    assert done.is_set()
    assert states[0].phase is Phase.DONE
    assert settled.world.serving() == NEW


def reasons(bench, rollout):
    from guarded_rollout.core.rollout import replay

    return [replay(entry.fact for entry in bench.journal.entries(rollout)).reason]


def wait_for(condition, thread):
    for _ in range(2000):
        if condition():
            return
        assert thread.is_alive(), "the guard ended early"
        thread.join(0.01)
    raise AssertionError("it never came")


def ask_until_taken(bench, rollout, fact, after):
    from guarded_rollout.ports import Behind

    while True:
        try:
            bench.journal.append(None, rollout, fact, after=after)
        except Behind:
            after = bench.journal.entries(rollout)[-1].seq
        else:
            return


def test_a_person_can_undo_a_deploy_in_mid_watch(settled):
    """The ask is heard within a moment, and runs the same steps."""
    rollout = settled.begin(policy=examples.watch(examples.PRODUCTION))
    asked = threading.Event()

    def ask():
        if not asked.is_set():
            asked.set()
            last = settled.journal.entries(rollout)[-1].seq
            ask_until_taken(settled, rollout, RollbackAsked("ann", "customers call"), last)

    state = settled.drive(rollout, show=Sabotage("Observed", ask))
    assert state.phase is Phase.ROLLED_BACK
    assert state.reason == "asked by ann: customers call"
    assert settled.world.serving() == OLD


@pytest.mark.parametrize("verb", ["build", "backup", "database", "check_port"])
def test_what_fails_before_users_notice_is_refused_and_leaves_all_as_it_was(settled, verb):
    """Nothing was started or moved, and the hint stands in the journal."""
    settled.world.fails[verb] = Broken(f"{verb} is broken here", "mend it")
    state = settled.deploy()
    assert state.phase is Phase.REFUSED
    assert f"{verb} is broken here" in state.reason
    assert set(settled.world.started) == {OLD}
    assert settled.world.serving() == OLD


@pytest.mark.parametrize("verb", ["migrate", "start"])
def test_what_fails_later_goes_back(settled, verb):
    """The old version never stopped serving."""
    settled.world.head = "0003"
    settled.world.fails[verb] = Broken(f"{verb} is broken here", "mend it")
    state = settled.deploy()
    assert state.phase is Phase.ROLLED_BACK
    assert set(settled.world.started) == {OLD}
    assert settled.world.serving() == OLD


def test_a_defect_of_the_tool_ends_in_a_rollback_not_in_a_dead_guard(settled):
    """An exception nobody foresaw is a fact like any other."""
    settled.world.fails["start"] = KeyError("boom")
    state = settled.deploy()
    assert state.phase is Phase.ROLLED_BACK
    assert "unexpected KeyError" in state.reason


def test_a_way_back_that_fails_is_stuck_and_goes_on_later(settled):
    """Three attempts, then a person; the next guard finishes the same rollback."""
    settled.world.slow[NEW] = 0.5
    rollout = settled.begin()
    broken = Sabotage(
        "Judged", lambda: settled.world.fails.update(route=Broken("no proxy", "start it"))
    )
    state = settled.drive(rollout, show=broken)
    assert state.phase is Phase.STUCK
    failures = [e for e in settled.journal.entries(rollout) if isinstance(e.fact, StepFailed)]
    assert len(failures) == 3
    assert settled.journal.active("production") is not None
    settled.world.fails.clear()
    last = settled.journal.entries(rollout)[-1].seq
    settled.journal.append(None, rollout, RollbackAsked("ann", "again"), after=last)
    assert settled.drive(rollout).phase is Phase.ROLLED_BACK
    assert settled.world.serving() == OLD


def test_metrics_that_are_away_hold_the_rollout_and_never_roll_back(settled):
    """A dead source is unknown: no pass, no rollback."""
    settled.world.blind = True
    rollout = settled.begin()
    halt = threading.Event()
    thread = threading.Thread(target=settled.drive, args=(rollout,), kwargs={"halt": halt})
    thread.start()
    wait_for(lambda: any("unknown at the end" in r for r in reasons(settled, rollout)), thread)
    assert settled.world.serving() == NEW
    halt.set()
    thread.join(30)
    known = settled.journal.active("production")
    assert known is not None


def test_a_manual_rollback_after_promotion_starts_the_old_version_again(settled):
    """The old release is on disk; it is started, asked, and only then given traffic."""
    settled.deploy()
    settled.world.ledger.clear()
    state = settled.drive(settled.begin(Kind.ROLLBACK, examples.NEW))
    assert state.phase is Phase.ROLLED_BACK
    assert settled.world.ledger == [f"start {OLD}", f"route {OLD}", f"stop {NEW}"]
    assert settled.serving() == examples.OLD


def test_releases_that_nobody_uses_are_removed_and_the_one_to_go_back_to_stays(settled):
    """The release before the baseline is kept too while a promotion may still fail."""
    third = replace(examples.NEW, version="1.2.0", digest="c" * 64)
    fourth = replace(examples.NEW, version="1.3.0", digest="d" * 64)
    for release in (examples.NEW, third, fourth):
        settled.deploy(release)
    assert settled.world.built == {examples.NEW, third, fourth}


def test_monitoring_what_serves_ends_clean(settled):
    """`rollout monitor` touches nothing when all is well."""
    state = settled.drive(settled.begin(Kind.MONITOR, examples.OLD))
    assert state.phase is Phase.DONE
    assert settled.world.ledger == []


def test_monitoring_goes_back_to_a_version_that_was_retired(settled):
    """It does not run any more, which is no sickness: it is started and takes over."""
    settled.deploy()
    settled.world.slow[NEW] = 0.5
    state = settled.drive(settled.begin(Kind.MONITOR, examples.NEW))
    assert state.phase is Phase.ROLLED_BACK
    assert settled.world.serving() == OLD


def test_staging_waits_for_a_person_when_a_gate_breaches(settled):
    """autoRollback false: the verdict stands, nothing moves."""
    settled.world.slow[NEW] = 0.5
    rollout = settled.begin(policy=examples.watch(auto_rollback=False))
    halt = threading.Event()
    thread = threading.Thread(target=settled.drive, args=(rollout,), kwargs={"halt": halt})
    thread.start()
    wait_for(lambda: any("autoRollback is off" in r for r in reasons(settled, rollout)), thread)
    halt.set()
    thread.join(30)
    assert settled.world.serving() == NEW
