"""A backup put back: who decides, what is set aside, and that it comes back."""

import pytest

from guarded_rollout.core.changes import What
from guarded_rollout.core.facts import RollbackAsked, StepFailed
from guarded_rollout.core.plan import Kind, Step, Way, Wish
from guarded_rollout.core.problems import Broken
from guarded_rollout.core.state import Phase
from guarded_rollout.engine.situation import backup_to_restore
from guarded_rollout.testing import examples
from guarded_rollout.testing.control import Told

OLD, NEW = examples.OLD.name, examples.NEW.name


@pytest.fixture
def written(advancing):
    """NEW is deployed; users have added, changed and removed a row since its backup."""
    assert advancing.deploy().phase is Phase.DONE
    advancing.world.things = {"1": "a", "2": "changed", "4": "added"}
    advancing.world.ledger.clear()
    return advancing


def restore(bench, **more):
    wish = Wish(backup_to_restore(bench.journal, "production"), way=Way.RESTORE)
    return bench.drive(bench.begin(Kind.ROLLBACK, wish=wish, **more))


def test_the_backup_takes_the_place_and_the_rows_are_set_aside(written):
    """Closed first, counted, kept twice over, then put back under the old release."""
    state = restore(written)
    assert state.phase is Phase.ROLLED_BACK
    world = written.world
    assert world.things == {"1": "a", "2": "b", "3": "c"}
    assert (world.schema, world.serving()) == ("0001", OLD)
    aside = state.outcomes[Step.SET_ASIDE]
    assert aside["rows"] == {"things": {What.ADDED: 1, What.CHANGED: 1, What.REMOVED: 1}}
    order = [line.split()[0] for line in world.ledger]
    assert order.index("route") < order.index("stop") < order.index("set-aside")
    assert order.index("set-aside") < order.index("snapshot") < order.index("restore")
    assert order.index("restore") < order.index("start")


def test_what_was_set_aside_comes_back(written):
    """Every change that the restore took out is in again."""
    restore(written)
    (name,) = written.world.aside
    with written.ports.aside.read(written.world.root / name, "production") as (note, found):
        applied = written.ports.database.apply(found, Told())
    assert note.environment == "production"
    assert (applied.added, applied.changed, applied.removed) == (1, 1, 1)
    assert written.world.things == {"1": "a", "2": "changed", "4": "added"}


def test_the_snapshot_is_no_backup_that_anything_takes_by_itself(written):
    """It is not listed, so neither rollback, retention nor --skip-backup can choose it."""
    state = restore(written)
    snapshot = state.outcomes[Step.SET_ASIDE]["snapshot"]
    assert snapshot not in [backup.file for backup in written.ports.archive.backups()]


@pytest.mark.parametrize("broken", ["set-aside", "snapshot", "restore"])
def test_when_nothing_can_be_kept_nothing_is_replaced(written, broken):
    """Stuck with the rows in place; a person mends it and it goes on."""
    before = dict(written.world.things)
    written.world.fails = {broken: Broken("the disk is full", "make room")}
    rollout_state = restore(written)
    assert rollout_state.phase is Phase.STUCK
    assert written.world.things == before
    written.world.fails = {}
    rollout = f"r{written.count}"
    written.ask(rollout, RollbackAsked("ann", "there is room"))
    assert written.drive(rollout).phase is Phase.ROLLED_BACK
    assert written.world.things == {"1": "a", "2": "b", "3": "c"}


def test_a_live_rollout_without_a_way_back_restores_when_a_person_says_so(advancing):
    """It holds by itself; the rows since its backup are set aside."""
    world = advancing.world
    world.unfit = {(OLD, "0002")}
    world.fails = {"unmigrate on scratch": Broken("no way down", "write one")}
    world.failing = {NEW: 0.5}
    rollout = advancing.begin(forward_only="ann read it")

    def decide(_entry):
        if advancing.held(rollout) and not asked:
            world.things["5"] = "late"
            asked.append(True)
            advancing.ask(rollout, RollbackAsked("ann", "restore it", Way.RESTORE))

    asked: list[bool] = []
    state = advancing.drive(rollout, show=decide)
    assert state.phase is Phase.ROLLED_BACK
    assert state.outcomes[Step.SET_ASIDE]["rows"] == {"things": {What.ADDED: 1}}
    assert (world.schema, world.serving()) == ("0001", OLD)


def test_without_a_database_there_is_nothing_to_set_aside(written):
    """Somebody dropped it: the restore is what it is for."""
    written.world.schema, written.world.things = None, {}
    state = restore(written)
    assert state.phase is Phase.ROLLED_BACK
    assert written.world.things == {"1": "a", "2": "b", "3": "c"}


UNREADABLE = Broken("it is not a database", "check the disk")


def test_a_database_that_cannot_be_read_sticks_and_names_the_flag(written):
    """Nothing is replaced; a person gives the rows up, and what is there is kept as it is."""
    before = dict(written.world.things)
    written.world.fails = {"reading": UNREADABLE}
    assert restore(written).phase is Phase.STUCK
    assert written.world.things == before
    rollout = f"r{written.count}"
    (failed, *_) = [
        entry.fact
        for entry in written.journal.entries(rollout)
        if isinstance(entry.fact, StepFailed)
    ]
    assert failed.why.what == "it is not a database"
    assert "--env production --restore-data --give-up-rows WHY" in failed.why.hint
    written.world.ledger.clear()
    written.ask(rollout, RollbackAsked("ann", "at once", Way.RESTORE, "nobody wrote"))
    state = written.drive(rollout)
    assert state.phase is Phase.ROLLED_BACK
    kept = state.outcomes[Step.SET_ASIDE]["kept"]
    assert state.outcomes[Step.SET_ASIDE] == {"given_up": "nobody wrote", "kept": kept}
    assert kept.startswith(str(written.world.root / "backups" / "damaged_production_"))
    order = [line.split()[0] for line in written.world.ledger]
    assert order.index("keep") < order.index("restore")
    assert not {"set-aside", "snapshot"} & set(order)
    assert any(line.endswith(f" over {kept}") for line in written.world.ledger)
    assert written.world.things == {"1": "a", "2": "b", "3": "c"}


def test_rows_can_be_given_up_from_the_beginning(written):
    """The plan says why."""
    written.world.fails = {"reading": UNREADABLE}
    backup = backup_to_restore(written.journal, "production")
    wish = Wish(backup, way=Way.RESTORE, give_up_rows="nobody wrote")
    rollout = written.begin(Kind.ROLLBACK, wish=wish)
    state = written.drive(rollout)
    assert state.phase is Phase.ROLLED_BACK
    assert state.plan.give_up_rows == "nobody wrote"
    assert written.world.aside == {}


def test_a_full_disk_is_no_reason_to_give_up_rows(written):
    """What cannot be written says nothing about what can be read."""
    written.world.fails = {"set-aside": Broken("the disk is full", "make room")}
    restore(written)
    hints = {
        entry.fact.why.hint
        for entry in written.journal.entries(f"r{written.count}")
        if isinstance(entry.fact, StepFailed)
    }
    assert hints == {"make room"}
