"""Real processes that are killed in the middle of it, and that race each other."""

import random

import pytest

from guarded_rollout.adapters.journal.looking import open_readonly


def test_nothing_acknowledged_is_lost_when_the_writer_is_killed(
    controllers, journal, started, tmp_path
):
    """Thirty kills at random moments of a tight loop; each successor claims at once."""
    moments = random.Random(7)
    journal.begin("production", "r1", started(), exclusive=True)
    told = {}
    for kill in range(1, 31):
        writer = controllers.start("append", "production")
        word, fence, after = controllers.said(writer)
        assert (word, int(fence)) == ("claimed", kill), "a successor had to wait"
        assert int(after) >= max(told, default=1), "an acknowledged entry is gone"
        for _ in range(moments.randrange(1, 12)):
            seq, own = controllers.said(writer)
            told[int(seq)] = own
        journal._clock.sleep(moments.random() / 100)
        controllers.kill(writer)
        for line in writer.stdout.read().splitlines(keepends=True):
            if line.endswith("\n"):  # killed inside a line: that entry was not told
                seq, own = line.split()
                told[int(seq)] = own
    entries = journal.entries("r1")
    assert journal.verify().problem is None
    assert open_readonly(tmp_path / "journal.db", journal._clock).verify() == journal.verify()
    assert {seq: own for seq, own in told.items() if seq != 1}.items() <= {
        entry.seq: entry.hash for entry in entries
    }.items()
    assert [entry.seq for entry in entries] == list(range(1, len(entries) + 1))
    assert [entry.fact.by for entry in entries[1:]] == [str(e.seq) for e in entries[1:]]
    assert len(told) > 100


@pytest.mark.parametrize("verb", ["begin", "claim"])
def test_of_sixteen_that_race_exactly_one_wins(controllers, journal, verb):
    """Twenty rounds of twenty. The others are told by name who won."""
    for environment, named in controllers.race(verb, racers=16, rounds=20):
        if verb == "begin":
            assert journal.active(environment).rollout == named
        else:
            assert f"(process {journal.holder(environment).pid})" == named
    assert journal.verify().problem is None
