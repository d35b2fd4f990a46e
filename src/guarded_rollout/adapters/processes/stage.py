"""Releases on trial: one process each, on a leash, on a socket that no traffic goes to.

The log tells who lives: everything of a trial has it open, with a lock on it that the kernel lets
go of when the last of them has ended. So what a killed controller left is known at once.
"""

import contextlib
import os
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from guarded_rollout.adapters.file_locks import fcntl
from guarded_rollout.adapters.processes.command import check_socket, command_of, on_disk
from guarded_rollout.adapters.processes.leash import Running, running
from guarded_rollout.adapters.processes.turn import turn
from guarded_rollout.ports import Clock, Launch

KEPT_LOGS = 10
TURN_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class ProcessTrial:
    """Satisfies ports.Trial."""

    _socket: Path
    _log: Path
    _running: Running

    def socket(self) -> Path:
        """Where it answers, as soon as it does."""
        return self._socket

    def log(self) -> Path:
        """What it prints. It stays, until ten others have ended."""
        return self._log

    def ended(self) -> str | None:
        """Look: `exit 1`, `signal 9` or why it could not be started; None while it runs."""
        return self._running.ended()


class ProcessStage:
    """Satisfies ports.Stage.

    Args:
        logs: a folder for `<release>.<try>.log`; nothing else should be in it.
        run_dir: the sockets `t-<try>.sock`; its path must be short. Others' sockets may be there.
    """

    def __init__(self, logs: Path, run_dir: Path, clock: Clock) -> None:
        self._logs = logs.absolute()
        self._run_dir = run_dir.absolute()
        self._clock = clock

    @contextlib.contextmanager
    def try_out(self, launch: Launch) -> Iterator[ProcessTrial]:
        """Run replica 0 of it while inside; `launch.replicas` does not matter.

        When left: SIGTERM, a few seconds, SIGKILL, for whatever it started too. When this
        process is killed: SIGKILL at once.
        """
        name = secrets.token_hex(4)
        socket = self._run_dir / f"t-{name}.sock"
        check_socket(socket)
        log = self._logs / f"{launch.built.release.name}.{name}.log"
        with on_disk():
            self._run_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            with turn(self._logs / "turn.lock", self._clock, TURN_SECONDS):
                self._sweep()
                output = _opened(log)
        try:
            command = command_of(launch, 0, socket)
            with running(command.argv, env=command.env, cwd=command.cwd, output=output) as it:
                yield ProcessTrial(socket, log, it)
        finally:
            os.close(output)
            with on_disk():
                socket.unlink(missing_ok=True)

    def _sweep(self) -> None:
        """Sockets that a SIGKILL left, and all logs but the last ten. Never of who still runs."""
        found = list(self._logs.glob("*.log"))
        alive = {log for log in found if _locked(log)}
        names = {log.name.split(".")[-2] for log in alive}
        for socket in self._run_dir.glob("t-*.sock"):
            if socket.name[len("t-") : -len(".sock")] not in names:
                socket.unlink(missing_ok=True)
        ended = sorted(set(found) - alive, key=lambda log: log.stat().st_mtime_ns)
        for log in ended[:-KEPT_LOGS]:
            log.unlink(missing_ok=True)


def _opened(log: Path) -> int:
    """A new file that only we may read, locked."""
    output = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL, 0o600)
    fcntl.flock(output, fcntl.LOCK_EX)
    return output


def _locked(log: Path) -> bool:
    """Look: somebody of this trial lives."""
    handle = os.open(log, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False
