"""File locks that end with their process, also when it is killed. On Linux, macOS and Windows."""

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

PAUSE = 0.05


class Held(Exception):  # noqa: N818 - it names what the lock is
    """Somebody else kept the lock for as long as we would wait."""


@contextlib.contextmanager
def locked(file: Path, wait: Callable[[], bool]) -> Iterator[None]:
    """Hold the lock. `wait` pauses and says whether to try again; else Held. Raises OSError."""
    file.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(file, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        while not _take(handle):
            if not wait():
                raise Held
        yield
    finally:
        os.close(handle)


def _take(handle: int) -> bool:
    try:
        if sys.platform == "win32":
            import msvcrt  # noqa: PLC0415 - there only

            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl  # noqa: PLC0415 - there only

            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    return True
