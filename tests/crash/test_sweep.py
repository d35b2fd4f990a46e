"""kill -9 around every fact and every effect of every kind of rollout, on the real journal.

Each kill is real: the guard is a process that ends itself by SIGKILL inside the commit of a fact,
right after it, or right before an effect. Another process carries on. The world is in files, and
what was done to it in a ledger that neither the journal nor the guard reads. The files lie in
memory where the machine has such a place: a killed process loses nothing that it wrote, so fsync
is asked for as in production and decides nothing here. What a power cut does is in
`test_power_loss.py`.
"""

import json
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import crash_driver
import pytest
from crash_points import Place
from crash_stories import STORIES

from guarded_rollout.core.transitions import TABLE

pytestmark = pytest.mark.slow

MEMORY = Path("/dev/shm")
DRIVERS = 2

ALL = {
    f"{phase} {fact.__name__} {after}"
    for phase, facts in TABLE.items()
    for fact, nexts in facts.items()
    for after in nexts
}


@pytest.fixture(scope="module")
def sweeps() -> Iterator[dict[str, Future]]:
    """Every story's sweep, in a few processes at a time, the long ones first."""
    with (
        tempfile.TemporaryDirectory(
            prefix="crash", dir=MEMORY if MEMORY.is_dir() else None
        ) as name,
        ThreadPoolExecutor(DRIVERS) as pool,
    ):
        yield {
            story: pool.submit(swept, Path(name) / str(number), story)
            for number, story in enumerate(STORIES)
        }
        pool.shutdown(cancel_futures=True)


def swept(folder: Path, story: str) -> list[dict]:
    """What the driver of one story told: the uninterrupted run, then a line per kill."""
    done = subprocess.run(
        [sys.executable, crash_driver.__file__, str(folder), story],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stderr[-2000:]
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.parametrize("story", STORIES)
def test_a_killed_guard_changes_no_ending(sweeps, story):
    """The same ending, nothing done twice, an intent for each effect, and a sound chain."""
    calm, *kills = sweeps[story].result()
    wrong = {str(told["kills"]): told["wrong"] for told in kills if told["wrong"]}
    assert not calm["wrong"]
    assert not wrong
    assert any(told["dead"] for told in kills)
    assert len(kills) >= calm["points"]


def test_every_transition_was_killed_before_and_after_its_commit(sweeps):
    """A transition that is new in the table has no kill yet, and fails here by its name."""
    kills = [told for story in STORIES for told in sweeps[story].result()[1:]]
    dead = [told for told in kills if told["dead"]]
    places: dict[str, set[str]] = {}
    for told in dead:
        last = told["kills"][-1]
        places.setdefault(" ".join(last["name"].split()[:3]), set()).add(last["place"])
    crossed = Counter(one for told in dead for one in told["crossed"])
    report(kills, dead, crossed)
    assert crossed.keys() <= ALL, "a transition that the table does not have"
    unkilled = {
        f"{one}: never killed {place} its commit"
        for one in ALL
        for place in (Place.BEFORE, Place.AFTER)
        if place not in places.get(one, ())
    }
    assert not unkilled
    assert not ALL - crossed.keys(), "never crossed by a rollout that was killed and resumed"


def report(kills: list[dict], dead: list[dict], crossed: Counter[str]) -> None:
    """The counts, for whoever runs with -s or -rP."""
    died = [point["place"] for told in dead for point in told["kills"]]
    print(  # noqa: T201 - the sweep tells its counts
        f"{len(STORIES)} stories; {len(died)} kills ({', '.join(told_by(died))}); "
        f"{len(kills) - len(dead)} points that a watch did not come to again; "
        f"{len(crossed.keys() & ALL)} of {len(ALL)} transitions crossed by killed rollouts"
    )


def told_by(places: list[str]) -> list[str]:
    return [f"{count} {place}" for place, count in sorted(Counter(places).items())]
