"""What every adapter of ports.Database keeps: restore.

`test_database.py` beside this file has the rest.
"""

import pytest
from database_shop import WRITES

from guarded_rollout.core.problems import BadInput, Broken, Interrupted, Problem
from guarded_rollout.testing.control import Told


def test_a_dump_is_put_where_nothing_was(live, kind, dump):
    """The same content, under another name."""
    other = kind.database()
    other.restore(dump, Told())
    assert other.fingerprint(Told()) == live.fingerprint(Told())
    assert other.schema() == live.schema()
    assert kind.leftovers(other) == set()


def test_a_restore_takes_away_what_came_since(live, kind, dump):
    """Tables too; twice is the same as once."""
    before, shape = live.fingerprint(Told()), live.schema()
    kind.run(live, "CREATE TABLE later (id INTEGER)", "DROP TABLE loose", *WRITES[:3])
    for _ in range(2):
        live.restore(dump, Told())
        assert live.fingerprint(Told()) == before
        assert live.schema() == shape
        assert kind.leftovers(live) == set()


@pytest.mark.parametrize("damage", ["cut", "gone", "no dump"])
def test_a_damaged_dump_is_not_restored(live, kind, dump, damage):
    """Broken or BadInput; everything is as it was, and nothing is left."""
    kind.run(live, *WRITES[:3])
    before = live.fingerprint(Told())
    victim = kind.files(dump)[0]
    if damage == "cut":
        victim.write_bytes(victim.read_bytes()[:-1000])
    elif damage == "gone":
        victim.unlink()
    else:
        dump = dump.with_name("nowhere")
    with pytest.raises(Problem) as caught:
        live.restore(dump, Told())
    assert isinstance(caught.value, Broken | BadInput)
    assert str(dump) in str(caught.value)
    assert live.fingerprint(Told()) == before
    assert kind.leftovers(live) == set()


def test_a_restore_that_is_told_to_stop_changes_nothing(live, kind, dump):
    """Whenever: or it was too late, and it is done."""
    old = live.fingerprint(Told())
    kind.run(live, *WRITES[:3])
    new = live.fingerprint(Told())
    for after in (0, 1, 2, 4):
        try:
            live.restore(dump, Told(after))
        except Interrupted:
            assert live.fingerprint(Told()) == new
        else:
            assert live.fingerprint(Told()) == old
        assert kind.leftovers(live) == set()
