"""A thousand rounds of three processes that race for one environment, in a random order."""

import itertools
import json
import random
import sqlite3
import subprocess
import sys
import tempfile
from contextlib import closing
from pathlib import Path

import crash_racers
import pytest

from guarded_rollout.adapters.clock import SystemClock
from guarded_rollout.adapters.journal.looking import open_readonly

pytestmark = pytest.mark.slow

MEMORY = Path("/dev/shm")
ROUNDS = 1000

HISTORY = """
    SELECT r.environment, r.id, r.ended, min(f.seq), max(f.seq)
    FROM rollouts r JOIN facts f ON f.rollout = r.id
    GROUP BY r.id ORDER BY r.environment, min(f.seq)
"""
FENCES = """
    SELECT r.environment, f.seq, f.fence, f.body FROM facts f JOIN rollouts r ON r.id = f.rollout
    WHERE f.kind = 'adopted' ORDER BY r.environment, f.seq
"""


@pytest.fixture
def folder():
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as name:
        yield Path(name)


def test_two_rollouts_are_never_active_at_once(folder):
    """Each begins after the end of the one before, and no write carries an older fence."""
    seed = random.SystemRandom().randrange(2**32)
    print(f"seed {seed}")  # noqa: T201 - to run the same choices again
    done = subprocess.run(
        [sys.executable, crash_racers.__file__, str(folder), str(seed), str(ROUNDS)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    told = json.loads(done.stdout)
    print(told)  # noqa: T201 - how often they met
    assert told["codes"] == [0] * crash_racers.RACERS
    assert told["refused"] > ROUNDS, "they hardly met"
    assert open_readonly(folder / "journal.db", SystemClock()).verify().problem is None
    with closing(sqlite3.connect(folder / "journal.db")) as journal:
        history = journal.execute(HISTORY).fetchall()
        fences = journal.execute(FENCES).fetchall()
    assert len({environment for environment, *_ in history}) > ROUNDS / 2
    followers = len(history) - len({environment for environment, *_ in history})
    assert followers > ROUNDS / 50, "hardly anybody came after another"
    for before, after in itertools.pairwise(history):
        if before[0] == after[0]:
            assert before[2] is not None, f"{after[1]} began beside {before[1]}"
            assert before[4] < after[3], f"{after[1]} began before {before[1]} ended"
    assert len(fences) > ROUNDS / 20
    for one, next_one in itertools.pairwise(fences):
        assert json.loads(one[3])["by"] == str(one[2])
        if one[0] == next_one[0]:
            assert one[2] <= next_one[2], f"{next_one[:3]} was written by an owner of before"
