"""One lock file per environment, held for the owner's life: its death frees it at once.

The locks belong to the process, not to one journal object. A forked child gives its copies back
at once, so that only what was handed on by purpose (`pass_fds`) keeps a dead owner's lock.
The files are never deleted: a lock on a deleted file would guard nothing.
"""

import contextlib
import os
import re
import signal
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from guarded_rollout.adapters.journal.owner import Process, started
from guarded_rollout.core.problems import Broken

_LOCK_LINE = re.compile(r"^lock:\s+\d+: FLOCK\s+\S+\s+\S+\s+(-?\d+) ", re.MULTILINE)


@dataclass(slots=True)
class Lock:
    """An environment's lock. `turn` is for the threads of this process."""

    path: Path
    handle: int | None = None
    fence: int = 0
    turn: threading.Lock = field(default_factory=threading.Lock)

    @property
    def held(self) -> bool:
        """This process has it."""
        return self.handle is not None

    def take(self) -> bool:
        """Take it, without waiting. False: another process has it."""
        import fcntl  # noqa: PLC0415 - not on every system

        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        try:
            handle = os.open(self.path, flags, 0o600)
        except OSError as error:
            raise Broken(
                f"the lock file {self.path} cannot be opened: {error.strerror}",
                "see that its folder is there and that you may write to it",
            ) from error
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            return False
        except BaseException:
            os.close(handle)
            raise
        if not self._still_there(handle):
            os.close(handle)
            return False
        self.handle = handle
        return True

    def _still_there(self, handle: int) -> bool:
        """Somebody may have deleted the file between our opening it and our locking it."""
        try:
            return os.path.samestat(os.fstat(handle), self.path.stat())
        except OSError:
            return False

    def give_back(self) -> None:
        """Close our copy. A command that was handed one still holds the lock."""
        handle, self.handle, self.fence = self.handle, None, 0
        if handle is not None:
            os.close(handle)

    def holders(self) -> Iterator[tuple[int, int]]:
        """Look: each process that holds the lock, and who took it (0: a process long gone).

        Linux only, and only processes we may look into.
        """
        try:
            file = self.path.stat()
        except OSError:
            return
        for folder in Path("/proc").glob("[0-9]*/fd"):
            with contextlib.suppress(OSError):  # gone while we looked, or not ours
                for name in os.listdir(folder):  # noqa: PTH208 - names are all we need
                    taker = _taker(folder, name, (file.st_dev, file.st_ino))
                    if taker is not None:
                        yield int(folder.parent.name), taker
                        break

    def end(self, owner: Process) -> None:
        """Kill the owner, its group if it leads one, and what holds the lock it took.

        Never this process, and never one that is not proven to be the owner or its heir.
        """
        if sys.platform != "linux" or not owner.here:
            return
        me = os.getpid()
        leads = owner.group == owner.pid and owner.group != os.getpgid(0)
        if owner.pid != me and started(owner.pid) == owner.started != 0:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                if leads:
                    os.killpg(owner.group, signal.SIGKILL)
                else:
                    os.kill(owner.pid, signal.SIGKILL)
        for pid, taker in self.holders():
            is_owner = pid == owner.pid
            if pid == me or is_owner or taker not in {0, owner.pid}:
                continue
            self._kill_holder(pid, taker)

    def _kill_holder(self, pid: int, taker: int) -> None:
        """Through a handle on the process, so that the number cannot change hands."""
        with contextlib.suppress(OSError):
            process = os.pidfd_open(pid)
            try:
                if (pid, taker) in self.holders():
                    signal.pidfd_send_signal(process, signal.SIGKILL)
            finally:
                os.close(process)


def _taker(folder: Path, name: str, file: tuple[int, int]) -> int | None:
    """Who took the lock that this descriptor holds; None when it holds none on `file`."""
    with contextlib.suppress(OSError):
        found = (folder / name).stat()
        if (found.st_dev, found.st_ino) == file:
            line = _LOCK_LINE.search((folder.parent / "fdinfo" / name).read_text())
            return int(line[1]) if line else None
    return None


_known: dict[Path, Lock] = {}
_turn = threading.Lock()


def lock_of(folder: Path, environment: str) -> Lock:
    """The process's one lock object for this environment."""
    path = folder.resolve() / f"{quote(environment, safe='')}.lock"
    with _turn:
        return _known.setdefault(path, Lock(path))


def close_locks(folder: Path) -> None:
    """Give back all of this process's locks in the folder."""
    with _turn:
        mine = [lock for path, lock in _known.items() if path.parent == folder.resolve()]
    for lock in mine:
        with lock.turn:
            lock.give_back()


def _after_fork() -> None:
    global _turn  # noqa: PLW0603 - the old one may be held by a thread that is not here
    for lock in _known.values():
        lock.give_back()
    _known.clear()
    _turn = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
