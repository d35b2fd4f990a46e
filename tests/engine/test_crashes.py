"""The guard dies around every fact and inside every effect: the same ending all the same."""

import pytest

from guarded_rollout.core.plan import Kind, Step, Way, Wish
from guarded_rollout.core.problems import Broken
from guarded_rollout.core.state import Phase
from guarded_rollout.engine.situation import backup_to_restore
from guarded_rollout.testing import examples
from guarded_rollout.testing.fakes import ports_of


class PowerCut(BaseException):
    """Nothing catches this, as nothing catches kill -9."""


class Fragile:
    """A journal whose owner dies around the nth append."""

    def __init__(self, journal, cut_at, *, after):
        self._journal, self._left, self._after = journal, cut_at, after

    def __getattr__(self, name):
        return getattr(self._journal, name)

    def append(self, lease, rollout, fact, *, after, ended=None):
        self._left -= 1
        if self._left == 0 and not self._after:
            raise PowerCut
        entry = self._journal.append(lease, rollout, fact, after=after, ended=ended)
        if self._left == 0:
            raise PowerCut
        return entry

    def release(self, lease):
        """The dead give nothing back by themselves; the operating system frees their locks."""
        self._journal.release(lease)


def harm_nothing(_):
    """A good release."""


def fail_extractions(world):
    world.failing[examples.NEW.name] = 0.2


def break_migration(world):
    world.head = "0003"
    world.fails["migrate"] = Broken("halfway", "mend it")


STORIES = {
    "good": (harm_nothing, Phase.DONE, examples.NEW.name),
    "failing": (fail_extractions, Phase.ROLLED_BACK, examples.OLD.name),
    "migration": (break_migration, Phase.ROLLED_BACK, examples.OLD.name),
}


@pytest.mark.parametrize("after", [False, True], ids=["before the fact", "after the fact"])
@pytest.mark.parametrize("story", STORIES)
def test_a_guard_that_dies_around_a_fact_changes_no_ending(settled, story, after):
    """Each of the first facts in turn kills its writer; a second crash follows the first."""
    harm, ending, serves = STORIES[story]
    harm(settled.world)
    rollout = settled.begin()
    for cut_at in range(1, 40):
        fragile = ports_of(settled.world, Fragile(settled.journal, cut_at % 4 + 1, after=after))
        try:
            settled.drive(rollout, ports=fragile)
        except PowerCut:
            continue
        else:
            break
    state = settled.drive(rollout)
    assert state.phase is ending
    assert settled.world.serving() == serves
    assert set(settled.world.started) == {serves}
    assert settled.world.scratches == {}
    trials = ("route", "try", "scratch", "fill", "discard", "migrate on", "unmigrate on")
    effects = [line for line in settled.world.ledger if not line.startswith(trials)]
    assert len(effects) == len(set(effects)), "an effect was done twice"


@pytest.mark.parametrize("verb", ["build", "backup", "start", "stop"])
def test_a_guard_that_dies_inside_an_effect_changes_no_ending(settled, verb):
    """The effect may or may not have happened; the next guard looks first."""
    settled.world.fails[verb] = PowerCut()
    rollout = settled.begin()
    with pytest.raises(PowerCut):
        settled.drive(rollout)
    del settled.world.fails[verb]
    assert settled.drive(rollout).phase is Phase.DONE
    assert settled.world.serving() == examples.NEW.name


@pytest.mark.parametrize("after", [False, True], ids=["before the fact", "after the fact"])
def test_a_guard_that_dies_in_a_restore_loses_no_row(advancing, after):
    """Every fact in turn; the rows are in the file of the first attempt that was done."""
    assert advancing.deploy().phase is Phase.DONE
    advancing.world.things = {"1": "a", "9": "late"}
    wish = Wish(backup_to_restore(advancing.journal, "production"), way=Way.RESTORE)
    rollout = advancing.begin(Kind.ROLLBACK, wish=wish)
    for cut_at in range(1, 40):
        fragile = ports_of(advancing.world, Fragile(advancing.journal, cut_at % 4 + 1, after=after))
        try:
            advancing.drive(rollout, ports=fragile)
        except PowerCut:
            continue
        else:
            break
    state = advancing.drive(rollout)
    assert state.phase is Phase.ROLLED_BACK
    assert advancing.world.things == {"1": "a", "2": "b", "3": "c"}
    aside = state.outcomes[Step.SET_ASIDE]
    assert aside["rows"] == {"things": {"added": 1, "removed": 2}}
    assert advancing.world.scratches == {}


@pytest.mark.parametrize("verb", ["set-aside", "snapshot", "restore", "fill"])
def test_a_guard_that_dies_inside_a_restore_loses_no_row(advancing, verb):
    """The database is the old one or the backup, and the next guard goes on."""
    assert advancing.deploy().phase is Phase.DONE
    advancing.world.things = {"1": "a", "9": "late"}
    wish = Wish(backup_to_restore(advancing.journal, "production"), way=Way.RESTORE)
    rollout = advancing.begin(Kind.ROLLBACK, wish=wish)
    advancing.world.fails[verb] = PowerCut()
    with pytest.raises(PowerCut):
        advancing.drive(rollout)
    del advancing.world.fails[verb]
    state = advancing.drive(rollout)
    assert state.phase is Phase.ROLLED_BACK
    assert state.outcomes[Step.SET_ASIDE]["rows"] == {"things": {"added": 1, "removed": 2}}
