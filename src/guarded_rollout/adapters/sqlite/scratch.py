"""SQLite files for trying things out, each in a locked folder `.<file>_<purpose>_<random>.scratch`.

The kernel lets go of the lock when the owner dies in whatever way, so leftovers are known at once.
"""

import os
import re
import secrets
import shutil
from dataclasses import dataclass
from pathlib import Path

from guarded_rollout.adapters.file_locks import fcntl
from guarded_rollout.adapters.sqlite import comparison
from guarded_rollout.adapters.sqlite.database import SqliteDatabase
from guarded_rollout.core.problems import BadInput, Broken
from guarded_rollout.ports import Compared, Control

SUFFIX = ".scratch"


@dataclass(frozen=True, slots=True)
class SqliteScratch(SqliteDatabase):
    """A database of its own. `handle` holds its folder's lock."""

    handle: int = -1

    def fill(self, dump: Path, control: Control) -> None:
        """A dump is a database: it is copied."""
        control.say(f"restoring into {self.path.name}")
        try:
            shutil.copyfile(dump, self.path)
            self.path.chmod(0o600)
        except OSError as error:
            raise Broken(
                f"{dump} could not be restored to {self.path}: {error.strerror}",
                f"make room in {self.path.parent.parent}",
            ) from error

    def compare(self, dump: Path, control: Control) -> Compared:
        """Byte beside byte; where they differ, table beside table."""
        return comparison.compare(self, dump, control)

    def discard(self) -> None:
        """Remove the folder and let go of it."""
        shutil.rmtree(self.path.parent, ignore_errors=True)
        try:
            os.close(self.handle)
        except OSError:
            return  # discarded before


def make(database: SqliteDatabase, purpose: str) -> SqliteScratch:
    """A new one, after the leftovers of dead owners are gone. Broken when there is no room."""
    if re.fullmatch(r"[a-z]{1,12}", purpose) is None:
        raise BadInput(f"{purpose!r} is no purpose of a scratch database", "use small letters")
    database.prepare()
    real = database.path.resolve()
    sweep(real)
    folder = real.parent / f".{real.name}_{purpose}_{secrets.token_hex(8)}{SUFFIX}"
    try:
        folder.mkdir(mode=0o700)
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        raise Broken(
            f"{folder} cannot be made: {error.strerror}", f"check the folder {folder.parent}"
        ) from error
    return SqliteScratch(folder / real.name, database.clock, database.wait_seconds, handle)


def sweep(real: Path) -> tuple[str, ...]:
    """Remove what dead owners left beside the database `real`. Returns the folders' names."""
    gone = []
    for folder in sorted(real.parent.glob(f".{real.name}_*{SUFFIX}")):
        try:
            handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        except OSError:
            continue
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
            gone.append(folder.name)
        except BlockingIOError:
            pass
        finally:
            os.close(handle)
    return tuple(gone)
