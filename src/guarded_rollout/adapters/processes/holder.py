"""Who holds a record lock: the kernel's own word, and a signal that reaches nobody else."""

import contextlib
import os
import signal
import struct
import sys
from collections.abc import Iterator
from pathlib import Path

from guarded_rollout.adapters.file_locks import fcntl
from guarded_rollout.core.problems import Busy


def lock_holder(lock: Path) -> int | None:
    """The pid of the process that holds the lock now; None when nobody does. Raises OSError.

    Nothing is taken for that: a look can never keep the rightful holder from its lock.
    """
    try:
        with lock.open("rb") as file:
            if sys.platform == "darwin":
                shape, ask = "qqihh", (0, 0, 0, fcntl.F_WRLCK, os.SEEK_SET)
                said = fcntl.fcntl(file, fcntl.F_GETLK, struct.pack(shape, *ask))
                _, _, pid, kind, _ = struct.unpack(shape, said)
            else:
                shape, ask = "hhqqi4x", (fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
                said = fcntl.fcntl(file, fcntl.F_GETLK, struct.pack(shape, *ask))
                kind, _, _, _, pid = struct.unpack(shape, said)
    except FileNotFoundError:
        return None
    return None if kind == fcntl.F_UNLCK else int(pid)


@contextlib.contextmanager
def alone(lock: Path) -> Iterator[None]:
    """Hold the lock, so that `lock_holder` tells who does. It ends with the process. Busy.

    While it is held this process must not open the file again: closing it would free the lock.
    """
    lock.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with lock.open("ab") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise Busy(f"process {lock_holder(lock)} holds {lock}", "wait until it ends") from None
        yield


def signal_holder(lock: Path, holder: int, number: signal.Signals) -> None:
    """Signal this holder of the lock, if it still is: its pid may have been given away."""
    with contextlib.suppress(ProcessLookupError):
        if not hasattr(os, "pidfd_open"):  # not Linux
            if lock_holder(lock) == holder:
                os.kill(holder, number)
            return
        handle = os.pidfd_open(holder)
        try:
            if lock_holder(lock) == holder:
                signal.pidfd_send_signal(handle, number)
        finally:
            os.close(handle)
