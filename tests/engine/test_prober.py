"""Rounds of probes: both versions are asked at the same moment."""

import threading
from contextlib import contextmanager
from pathlib import Path

from guarded_rollout.adapters.clock import SystemClock
from guarded_rollout.engine.prober import Prober
from guarded_rollout.ports import Answered, Replica

ALIVE = True
OURS, THEIRS = (Path("candidate"),), (Path("old-1"), Path("old-2"))


class Doors:
    """A web whose sockets answer as they are told; a closed door keeps whoever asks waiting."""

    def __init__(self):
        self.sick = set()
        self.asked = threading.Semaphore(0)
        self.count = 0
        self.doors = {socket: threading.Event() for socket in OURS + THEIRS}
        for door in self.doors.values():
            door.set()

    def get(self, address, path, timeout):
        assert (path, timeout) == ("/health", 0.8)
        if address.socket in OURS:
            self.count += 1
            self.asked.release()
        assert self.doors[address.socket].wait(30)
        return Answered(503 if address.socket in self.sick else 200, b"", 1.0)


def replicas(*sockets):
    def found():
        return tuple(Replica(str(at), at, ALIVE, 1, 0, None, Path("log")) for at in sockets)

    return found


@contextmanager
def probing(doors, *arms):
    prober = Prober(doors, SystemClock(), tuple(arms), "/health", 0.05)
    prober.start()
    try:
        yield prober
    finally:
        for door in doors.doors.values():
            door.set()
        prober.stop()


def until(true):
    clock = SystemClock()
    deadline = clock.monotonic() + 30
    while not true():
        assert clock.monotonic() < deadline
        clock.sleep(0.005)


def test_a_candidate_is_not_down_before_the_old_version_was_asked_too():
    """An old version that hangs: what the candidate has may be what both have."""
    doors = Doors()
    doors.sick = set(OURS + THEIRS)
    doors.doors[THEIRS[0]].clear()
    with probing(doors, replicas(*OURS), replicas(*THEIRS)) as prober:
        for _ in range(3):
            doors.asked.acquire(timeout=30)
        assert not prober.candidate.asked
        doors.doors[THEIRS[0]].set()
        until(lambda: prober.candidate.pulse.down)
        ours, theirs = prober.take()
    assert (ours.healthy, ours.serving) == (False, 0)
    assert (theirs.healthy, theirs.serving) == (False, 0)
    assert ours.failed * len(THEIRS) == theirs.failed


def test_a_replica_of_the_old_version_that_is_sick_is_not_all_of_it():
    """Not well, and still a place to go back to."""
    doors = Doors()
    doors.sick = {OURS[0], THEIRS[0]}
    with probing(doors, replicas(*OURS), replicas(*THEIRS)) as prober:
        until(lambda: prober.candidate.pulse.down)
        ours, theirs = prober.take()
    assert (ours.healthy, ours.serving) == (False, 0)
    assert (theirs.healthy, theirs.serving) == (False, 1)


def test_counts_are_given_once_and_the_last_round_stays():
    """The next observation has what came since."""
    doors = Doors()
    with probing(doors, replicas(*OURS)) as prober:
        taken = []
        for _ in range(3):
            until(lambda: prober.candidate.ok >= 3)
            taken.append(prober.take()[0].ok)
        assert sum(taken) <= doors.count
        assert prober.candidate.healthy is True
        assert prober.take()[1] is None


def test_a_version_that_was_retired_is_neither_well_nor_sick():
    """It has no replicas: nobody can ask."""
    doors = Doors()
    with probing(doors, replicas(*OURS), replicas()) as prober:
        until(lambda: prober.candidate.asked)
        _, theirs = prober.take()
    assert (theirs.healthy, theirs.serving) == (None, None)
