"""One migration of a database at a time: a file's lock, which the child inherits."""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from guarded_rollout.adapters.file_locks import fcntl
from guarded_rollout.core.problems import Broken, Busy


@contextmanager
def only_one(folder: Path, url: str, who: str) -> Iterator[int]:
    """Hold the lock of the database `url`; yields its descriptor, to be inherited.

    After an ordinary end its file goes, so that databases for trying things out leave none. After
    a problem it stays: something that inherited it may still live. Busy names the holder.
    """
    path = folder / f"migrate-{hashlib.sha256(url.encode()).hexdigest()[:16]}.lock"
    handle = _locked(path, url)
    try:
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"{who}\n".encode(), 0)
        try:
            yield handle
        except BaseException:
            os.ftruncate(handle, 0)
            raise
        path.unlink(missing_ok=True)
    finally:
        os.close(handle)


def _locked(path: Path, url: str) -> int:
    while True:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise Broken(
                f"{path} cannot be opened: {error.strerror}", "check the folder's rights"
            ) from error
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.pread(handle, 1000, 0).decode("utf-8", "replace").strip()
            os.close(handle)
            raise Busy(
                f"{url} is being migrated: {holder or 'somebody just began'}",
                "wait for it to end; the lock goes with the process",
            ) from error
        if _same(handle, path):
            return handle
        os.close(handle)


def _same(handle: int, path: Path) -> bool:
    """A file that was deleted while we opened it locks nothing that anybody else will see."""
    try:
        return path.stat().st_ino == os.fstat(handle).st_ino
    except FileNotFoundError:
        return False
