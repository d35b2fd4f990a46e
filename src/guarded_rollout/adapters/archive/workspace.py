"""Folders for work in progress: locked while their owner lives, swept away once it is dead.

A workspace is a hidden folder `.<name>.partial` beside the finished backups, so that a finished
file is moved into place by a rename. Its owner holds a lock on the folder itself, and the kernel
lets go of it when the owner dies in whatever way.
"""

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from guarded_rollout.adapters.file_locks import fcntl

SUFFIX = ".partial"


class Taken(Exception):  # noqa: N818 - not an error: use another name
    """A workspace of that name exists, or was swept before it could be locked."""


@contextmanager
def workspace(folder: Path, name: str) -> Iterator[Path]:
    """A new locked folder, 0700, gone afterwards. Raises Taken, or OSError when it cannot be."""
    path = folder / f".{name}{SUFFIX}"
    try:
        path.mkdir(mode=0o700)
    except FileExistsError as error:
        raise Taken(name) from error
    try:
        handle = _locked(path)
    except OSError:
        path.rmdir()
        raise
    if handle is None:
        raise Taken(name)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)  # what cannot go now is swept by the next one
        os.close(handle)


@contextmanager
def scratch(folder: Path, service: str) -> Iterator[Path]:
    """A workspace whose name does not matter."""
    with workspace(folder, f"{service}_check_{secrets.token_hex(8)}") as path:
        yield path


def sweep(folder: Path, *before: str) -> tuple[str, ...]:
    """Remove the workspaces of dead owners. Returns the names they were made for.

    `before`: what such a name may begin with, up to its first underscore.
    """
    dead = []
    for path in sorted(path for word in before for path in folder.glob(f".{word}_*{SUFFIX}")):
        handle = _locked(path)
        if handle is None:
            continue
        try:
            shutil.rmtree(path, ignore_errors=True)
            dead.append(path.name[1 : -len(SUFFIX)])
        finally:
            os.close(handle)
    return tuple(dead)


def sync(path: Path) -> None:
    """The file's bytes, or the folder's entries, are on the disk when this returns."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _locked(path: Path) -> int | None:
    """A handle that holds the folder's lock; None: somebody else does, or the folder is gone."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(handle), path.stat()):
            return handle
    except (BlockingIOError, FileNotFoundError):
        pass
    except OSError:
        os.close(handle)
        raise
    os.close(handle)
    return None
