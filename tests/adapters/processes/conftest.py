"""Folders with short names, a deadline, and a word for processes."""

import shutil
import tempfile
from pathlib import Path

import pytest

from guarded_rollout.adapters.clock import SystemClock
from guarded_rollout.adapters.processes import keeper


@pytest.fixture
def clock():
    """The real one: these tests watch real processes."""
    return SystemClock()


@pytest.fixture
def folder():
    """A short path: unix sockets may live in it."""
    made = Path(tempfile.mkdtemp(prefix="gr", dir="/tmp"))
    yield made
    shutil.rmtree(made)


@pytest.fixture
def eventually(clock):
    """The first true answer within the deadline; never a guess how long something takes."""

    def wait(what, seconds=60.0):
        until = clock.monotonic() + seconds
        while True:
            if answer := what():
                return answer
            assert clock.monotonic() < until, f"not within {seconds} s"
            clock.sleep(0.02)

    return wait


@pytest.fixture
def runs():
    """The process exists and is no zombie."""
    return lambda pid: keeper.started(pid) is not None
