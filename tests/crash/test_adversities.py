"""What machines and people do to guards. Each is a real process, on the real journal."""

import json
import subprocess
import sys

import crash_adversities
import pytest


@pytest.fixture
def lived(tmp_path):
    """Lives through it, in a process that may fork. Returns what it told, and its last words."""

    def lives(verb, *arguments) -> tuple[dict, str]:
        done = subprocess.run(
            [sys.executable, crash_adversities.__file__, str(tmp_path), verb, *arguments],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-2000:]
        assert "Traceback" not in done.stderr, done.stderr[-2000:]
        told = json.loads(done.stdout)
        assert not told.get("wrong")
        return told, done.stderr

    return lives


@pytest.mark.parametrize("seconds", [3600, -3600], ids=["an hour ahead", "an hour back"])
def test_a_clock_that_jumps_changes_nothing(lived, seconds):
    """In mid life, and between the death of a guard and the next one's start."""
    told, _ = lived("jump", str(seconds))
    assert told["dead"]
    assert told["lives"] == 5


@pytest.mark.parametrize(("what", "says"), [("files", "cannot be opened"), ("size", "the journal")])
def test_a_guard_that_runs_into_a_limit_says_so_and_the_next_carries_on(lived, what, says):
    """No descriptors left, or no room in the file. No traceback, and one of the known endings."""
    told, stderr = lived("limited", what)
    assert 3 in told["codes"], "no limit was met"
    assert set(told["codes"]) <= {0, 3}
    assert set(told["endings"]) <= {"done", "rolled-back"}
    assert says in stderr


@pytest.mark.parametrize(
    ("what", "says"), [("full", "the disk is full"), ("readonly", "Read-only file system")]
)
def test_a_disk_that_takes_nothing_stops_the_guard_and_loses_nothing(lived, what, says):
    """A disk of its own; mended, the rollout goes on to the same ending."""
    told, stderr = lived("disk", what)
    if "skipped" in told:
        pytest.skip(told["skipped"])
    assert told["code"] == 3
    assert told["facts"] == 0
    assert says in stderr


def test_a_guard_that_was_frozen_beyond_its_lease_writes_nothing_any_more(lived):
    """The next one ends it before it takes the lock; waking it up wakes nobody."""
    told, _ = lived("frozen")
    assert told["wrote"] == 0
    assert told["woken"] == -9


def test_the_state_of_a_machine_that_is_gone_is_taken_over(lived):
    """Its lease of a year, its lock, a dead socket, a dangling link, half a journal."""
    lived("stale")


def test_of_sixteen_operators_one_deploys(lived):
    """The others are told by whom, and the one ends as if there had been nobody else."""
    told, _ = lived("race")
    assert len(told["won"]) == 1
    assert len(told["lost"]) == 15
