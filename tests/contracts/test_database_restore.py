"""What every adapter of ports.Database keeps: restore.

`test_database.py` beside this file has the rest.
"""

import pytest
from database_shop import WRITES, differences

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


def test_a_restore_lowers_no_counter(live, kind, tmp_path):
    """What is written after it takes no key of a row that it took out, so all of them come back."""
    write = (
        "INSERT INTO zebras (name, stripes) VALUES ('{0} 1', 1), ('{0} 2', 2)",
        "INSERT INTO ants (zebra) SELECT id FROM zebras WHERE name LIKE '{0}%'",
    )
    kind.run(live, *(one.format("before") for one in write))
    live.dump(tmp_path / "dump", Told())
    content = {file: file.read_bytes() for file in kind.files(tmp_path / "dump")}
    kind.run(live, *(one.format("since") for one in write), "DELETE FROM ants WHERE id > 32")
    kind.run(live, *(one.format("later") for one in write))
    scratch = live.scratch("restore")
    try:
        scratch.fill(tmp_path / "dump", Told())
        aside = differences(scratch, live)
    finally:
        scratch.discard()
    for _ in range(2):
        live.restore(tmp_path / "dump", Told())
    assert {file: file.read_bytes() for file in content} == content
    kind.run(live, *(one.format("after") for one in write))
    applied = live.apply(aside, Told())
    assert (applied.added, applied.conflicts) == (len(aside), ())
    named = "SELECT z.name FROM ants a JOIN zebras z ON z.id = a.zebra WHERE z.id > 12 ORDER BY 1"
    assert [name for (name,) in kind.read(live, named)] == [
        f"{when} {n}" for when in ("after", "before", "later") for n in (1, 2)
    ]
    kind.run(live, *(one.format("at last") for one in write))
    assert kind.leftovers(live) == set()


def test_what_is_kept_as_it_is_stays_when_a_dump_takes_its_place(live, kind, dump, tmp_path):
    """The restore does not look at it; asked for twice it is kept once."""
    old = live.fingerprint(Told())
    kind.run(live, *WRITES[:3])
    new = live.fingerprint(Told())
    folder = tmp_path / "backups" / "damaged_it_20260131_120000"
    folder.parent.mkdir()
    kept = live.keep_as_it_is(folder, "20260131_120000", Told())
    assert live.keep_as_it_is(folder, "20260131_120000", Told()) == kept
    for _ in range(2):
        live.restore(dump, Told(), over=kept)
        assert live.fingerprint(Told()) == old
    assert "20260131_120000" in kept
    assert kind.kept(live, kept).fingerprint(Told()) == new
    live.scratch("sweeps").discard()
    assert kind.kept(live, kept).fingerprint(Told()) == new


def test_where_there_is_nothing_there_is_nothing_to_keep(kind, tmp_path):
    assert kind.database().keep_as_it_is(tmp_path / "kept", "20260131_120000", Told()) is None
    assert not (tmp_path / "kept").exists()
