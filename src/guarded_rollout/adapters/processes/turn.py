"""One at a time: a lock file whose lock ends with its holder, however that ends."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from guarded_rollout.adapters.file_locks import fcntl
from guarded_rollout.core.problems import Busy
from guarded_rollout.ports import Clock

PAUSE = 0.02


@contextlib.contextmanager
def turn(lock: Path, clock: Clock, seconds: float) -> Iterator[int]:
    """Hold the lock; yields its descriptor, for commands that must keep it when we are killed.

    Raises Busy when somebody else holds it for longer than `seconds`.
    """
    until = clock.monotonic() + seconds
    while (held := _take(lock)) is None:
        if clock.monotonic() >= until:
            raise Busy(
                f"another process holds {lock} for longer than {seconds:g} s",
                "wait until it has finished, or find it: fuser -v " + str(lock),
            )
        clock.sleep(PAUSE)
    try:
        yield held
    finally:
        os.close(held)


def _take(lock: Path) -> int | None:
    """The descriptor of the locked file, or None. Its folder may be deleted while we wait."""
    try:
        lock.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        held = os.open(lock, os.O_RDWR | os.O_CREAT, 0o600)
    except FileNotFoundError:
        return None
    except FileExistsError:
        # It was there, and was deleted before anybody could see that it is a folder.
        if os.path.lexists(lock.parent) and not lock.parent.is_dir():
            raise
        return None
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # A file that was deleted while it was opened locks nothing that anybody else will see.
        same = lock.stat().st_ino == os.fstat(held).st_ino
    except OSError:
        same = False
    if not same:
        os.close(held)
        return None
    return held
