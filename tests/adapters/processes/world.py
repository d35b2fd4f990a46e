"""Real replicas of the toy service, from its source: nothing has to be built."""

import contextlib
import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path

from guarded_rollout.adapters.clock import SystemClock
from guarded_rollout.adapters.processes.target import ProcessTarget
from guarded_rollout.core.spec import Release
from guarded_rollout.ports import Built, Launch

TOY = Path(__file__).parents[2] / "toy_service"
CLOCK = SystemClock()


def until(what, seconds=60.0):
    """The first true answer within the deadline."""
    end = CLOCK.monotonic() + seconds
    while True:
        if answer := what():
            return answer
        assert CLOCK.monotonic() < end, f"not within {seconds} s"
        CLOCK.sleep(0.02)


def processes_of(socket):
    """The pids of all that have the socket's path on their command line, without their guards."""
    wanted, found = os.fsencode(socket), []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            words = file.read_bytes().split(b"\0")
            if wanted in words and not any(word.endswith(b"guard.py") for word in words):
                found.append(int(file.parent.name))
    return found


class ProcessWorld:
    """A folder of its own for state, sockets and releases."""

    def __init__(self):
        self.folder = Path(tempfile.mkdtemp(prefix="gr", dir="/tmp"))
        self.target = self.controller()
        self._releases = []

    def controller(self):
        """Another controller for the same replicas."""
        return ProcessTarget(self.folder / "state", self.folder / "run", CLOCK)

    def launch(self, version, replicas=2, service="toy", env=(), argv=None):
        """What to start: a release of its own per version."""
        digest = f"{hash((version, service)) & (2**64 - 1):016x}" * 4
        release = Release(service, version, digest)
        self._releases.append(release)
        built = self.folder / "releases" / release.name
        python = built / "venv" / "bin" / "python"
        if not python.exists():
            python.parent.mkdir(parents=True)
            python.symlink_to(sys.executable)
        return Launch(
            Built(release, built, None),
            argv or ("{python}", "-m", "toy_service", "--uds", "{socket}"),
            (("PYTHONPATH", str(TOY / "src")), *env),
            replicas,
        )

    def kill(self, release):
        """All processes of a release die."""
        for replica in self.target.replicas(release):
            os.kill(replica.pid, signal.SIGKILL)

    def close(self):
        """Nothing is left."""
        for release in self._releases:
            self.target.stop(release, 0)
        shutil.rmtree(self.folder)
