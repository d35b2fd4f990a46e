"""Where the journal may lie, and how its folder and file come into being."""

import contextlib
import os
import re
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path

from guarded_rollout.adapters.journal import schema
from guarded_rollout.adapters.journal.connection import in_words
from guarded_rollout.core.problems import Broken, NotPossible

MOUNTS = Path("/proc/self/mountinfo")

_NETWORK = frozenset(
    {
        "9p",
        "afs",
        "beegfs",
        "ceph",
        "cifs",
        "davfs",
        "glusterfs",
        "lustre",
        "ncpfs",
        "nfs",
        "nfs4",
        "smb2",
        "smb3",
        "smbfs",
    }
)
_NETWORK_FUSE = re.compile(r"fuse\.(sshfs|glusterfs|ceph.*|davfs.*|rclone|s3fs|gcsfuse|smbnetfs)")


def make_folder(folder: Path) -> None:
    """Create it (0700) and what is missing above it; on the disk when this returns."""
    missing = [folder]
    while not missing[-1].exists() and missing[-1].parent != missing[-1]:
        missing.append(missing[-1].parent)
    try:
        for path in reversed(missing[:-1]):
            with contextlib.suppress(FileExistsError):
                path.mkdir(mode=0o700)
            _sync(path.parent)
        if not folder.is_dir():
            raise NotADirectoryError(20, "is no folder", str(folder))
    except OSError as error:
        raise Broken(
            f"the folder {folder} cannot be created: {error.strerror}",
            "see that the disk is there and that you may write to it",
        ) from error


def make_file(path: Path) -> None:
    """Create an empty journal (0600), whole or not at all. It is there already: no error."""
    if path.exists():
        return
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            os.close(handle)
            with in_words(path), closing(sqlite3.connect(name, isolation_level=None)) as connection:
                connection.execute("PRAGMA synchronous=FULL")
                schema.create(connection)
            with contextlib.suppress(FileExistsError):  # somebody else was quicker
                path.hardlink_to(name)
        finally:
            Path(name).unlink()
        _sync(path.parent)
    except OSError as error:
        raise Broken(
            f"the journal {path} cannot be created: {error.strerror}",
            "see that the disk is there, has space, and that you may write to it",
        ) from error


def refuse_network(path: Path) -> None:
    """Raise NotPossible when `path` lies on a filesystem whose locks and fsync are hearsay."""
    try:
        mounts = MOUNTS.read_text(errors="surrogateescape")
    except OSError:
        return  # not Linux: nothing to ask
    found = filesystem(mounts, path)
    if found in _NETWORK or _NETWORK_FUSE.fullmatch(found):
        raise NotPossible(
            f"{path} is on a network filesystem ({found}), where locks cannot be trusted",
            "put the journal on a disk of this machine",
        )


def filesystem(mounts: str, path: Path) -> str:
    """The type of the filesystem that `path` is or would be on; `mounts` as in mountinfo."""
    real = Path(os.path.realpath(path))
    best, kind = -1, ""
    for line in mounts.splitlines():
        before, _, after = line.partition(" - ")
        fields, rest = before.split(), after.split()
        if len(fields) < 5 or not rest:
            continue
        point = Path(re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), fields[4]))
        deeper = len(point.parts) >= best  # a later mount hides an earlier one at the same place
        if deeper and (real == point or point in real.parents):
            best, kind = len(point.parts), rest[0]
    return kind


def _sync(folder: Path) -> None:
    """A new name is durable only once its folder is."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
