"""A file that cannot be read, kept as it is: byte by byte, with its log and its journal."""

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from guarded_rollout.adapters.sqlite import access
from guarded_rollout.adapters.whole_files import sync_folder
from guarded_rollout.core.problems import Broken
from guarded_rollout.ports import Control

if TYPE_CHECKING:
    from guarded_rollout.adapters.sqlite.database import SqliteDatabase

_KEPT = ("", "-journal", "-wal")
_AT_A_TIME = 2**20


def keep(database: "SqliteDatabase", folder: Path, control: Control) -> str | None:
    """Returns the folder, whole and on the disk; None when there is nothing to keep.

    A folder of that name was made whole before, and is not made again. Broken when there is no
    room: then there is no such folder.
    """
    files = [file for suffix in _KEPT if (file := access.beside(database.path, suffix)).exists()]
    if folder.exists():
        return str(folder)
    if not files:
        return None
    control.say(f"copying {database.path.name} as it is into {folder.name}")
    fresh = folder.with_name(f".{folder.name}")
    go_on = database.going_on(control)
    try:
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(parents=True, mode=0o700)
        for file in files:
            with file.open("rb") as source, (fresh / file.name).open("xb") as copy:
                os.fchmod(copy.fileno(), 0o600)
                while some := source.read(_AT_A_TIME):
                    go_on()
                    copy.write(some)
                copy.flush()
                os.fsync(copy.fileno())
        sync_folder(fresh)
        fresh.rename(folder)
        sync_folder(folder.parent)
    except OSError as error:
        raise Broken(
            f"{database.path} could not be copied into {folder}: {error.strerror}; "
            "nothing was replaced",
            f"make room in {folder.parent}; where {database.path} itself has a bad sector, copy "
            "what can be had by hand and move the file away",
        ) from error
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return str(folder)
