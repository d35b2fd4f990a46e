"""A folder with a journal, and controller processes that end with their test."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path

import pytest

from guarded_rollout.adapters.clock import SystemClock
from guarded_rollout.adapters.journal.sqlite import SqliteJournal
from guarded_rollout.core.facts import Started
from guarded_rollout.core.plan import Kind, Situation, make_plan
from guarded_rollout.core.problems import Busy
from guarded_rollout.testing import examples

CONTROLLER = Path(__file__).with_name("controller.py")


class Controllers:
    """Starts controllers on one folder."""

    def __init__(self, folder):
        self.where = str(folder)
        self.started = []
        self.strangers = []

    def on(self, access) -> None:
        """From now on on a PostgreSQL."""
        self.where = json.dumps(asdict(access))

    def start(self, verb, *arguments, lease=15.0):
        """One, in a process group of its own, as `rollout agent` would be."""
        process = subprocess.Popen(
            [sys.executable, str(CONTROLLER), self.where, str(lease), verb, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.started.append(process)
        return process

    def said(self, process) -> list[str]:
        """The words of its next line."""
        return process.stdout.readline().split()

    def race(self, verb, *, racers, rounds):
        """All at once, round by round: exactly one wins, the others are told by name who.

        Gives each round's environment, and the winner's rollout or `(process PID)`.
        """
        started = [self.start("race", verb) for _ in range(racers)]
        assert [self.said(racer) for racer in started] == [["ready"]] * racers
        for number in range(rounds):
            environment = f"round-{number}"
            for racer in started:
                racer.stdin.write(f"{environment}\n")
                racer.stdin.flush()
            answers = [self.said(racer) for racer in started]
            (winner,) = [answer[1] for answer in answers if answer[0] == "won"]
            named = f"{environment}-{winner}" if verb == "begin" else f"(process {winner})"
            for answer in answers:
                if answer[0] == "lost":
                    assert answer[1] == "Busy"
                    assert named in " ".join(answer)
            yield environment, named

    def kill(self, process) -> None:
        """As kill -9 does."""
        process.kill()
        process.wait()

    def also_end(self, pid) -> int:
        """A grandchild that the test made an orphan."""
        self.strangers.append(int(pid))
        return int(pid)

    def end(self) -> None:
        """Leave nothing running."""
        for process in self.started:
            process.kill()
            process.wait()
            process.stdin.close()
            process.stdout.close()
        for pid in self.strangers:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


@pytest.fixture
def controllers(tmp_path) -> Iterator[Controllers]:
    found = Controllers(tmp_path)
    yield found
    found.end()


@pytest.fixture
def claim_when_possible():
    """Claims production for `next`; while the lease runs the answer is Busy."""

    def claims(journal):
        deadline = journal._clock.monotonic() + 120
        while True:
            try:
                return journal.claim("production", "next")
            except Busy:
                assert journal._clock.monotonic() < deadline
                journal._clock.sleep(0.05)

    return claims


@pytest.fixture
def at_once():
    """Does the same in so many threads, and hands on what goes wrong in any."""

    def does(count, act):
        gate = threading.Barrier(count)

        def one(_):
            gate.wait()
            act()

        with ThreadPoolExecutor(count) as pool:
            list(pool.map(one, range(count)))

    return does


@pytest.fixture
def clock():
    return SystemClock()


@pytest.fixture
def open_journal(tmp_path, clock):
    """Opens the folder's journal; what was opened gives its locks back in the end."""
    opened = []

    def opens(**settings) -> SqliteJournal:
        found = SqliteJournal(tmp_path / "journal.db", clock, tmp_path / "locks", **settings)
        opened.append(found)
        return found

    yield opens
    for found in opened:
        found.close()


@pytest.fixture
def journal(open_journal) -> SqliteJournal:
    return open_journal()


@pytest.fixture
def started():
    """Makes the first fact of a rollout."""

    def makes(environment="production"):
        situation = Situation(serving=examples.OLD)
        plan = make_plan(Kind.DEPLOY, examples.spec(environment), examples.NEW, situation)
        return Started(plan, "ann")

    return makes


@pytest.fixture
def runs():
    """Tells whether a process runs; a zombie does not."""

    def tells(pid) -> bool:
        try:
            stat = Path(f"/proc/{pid}/stat").read_text()
        except OSError:
            return False
        return stat[stat.rindex(")") + 2] not in "ZX"

    return tells
