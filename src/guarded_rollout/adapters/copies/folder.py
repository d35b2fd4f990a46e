"""A folder on another disk, or on a file server that is mounted.

The folder must exist: it is never made here. Where a disk is not mounted its folder is missing,
and copies must not fill the mount point's own disk instead. So name a folder inside the mount.
"""

import contextlib
import os
import shutil
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from guarded_rollout.adapters.copies.shelf import Absent
from guarded_rollout.adapters.file_locks import fcntl
from guarded_rollout.adapters.whole_files import sync_folder
from guarded_rollout.core.problems import Broken, Busy

_CHUNK = 1 << 20
_MARGIN = 1 << 20
_PARTIAL = ".partial"


@dataclass(frozen=True, slots=True)
class FolderShelf:
    """Files of one folder, 0600. `prefix`: what all names of ours begin with."""

    folder: Path
    prefix: str

    @property
    def name(self) -> str:
        """As rollout.toml has it."""
        return f"folder:{self.folder}"

    def sizes(self) -> Mapping[str, int]:
        """Look: plain files. Broken when the folder is not there."""
        try:
            with os.scandir(self.folder) as entries:
                return {
                    entry.name: entry.stat().st_size
                    for entry in entries
                    if entry.is_file(follow_symlinks=False)
                }
        except OSError as error:
            raise self._broken(error) from error

    def write(self, file: str, chunks: Iterator[bytes], size: int) -> None:
        """Into a hidden file first, then by a rename. Busy when somebody else writes it."""
        try:
            self._sweep()
            free = shutil.disk_usage(self.folder).free
            if free < size + _MARGIN:
                raise Broken(
                    f"{self.name} has {free} bytes free, {file} needs {size}", "make room there"
                )
            partial = self.folder / f".{file}{_PARTIAL}"
            handle = self._locked(partial)
            if handle is None:
                raise Busy(f"{self.name}: somebody else writes {file} now", "wait for its end")
            with os.fdopen(handle, "wb") as target:
                try:
                    target.truncate(0)
                    for chunk in chunks:
                        target.write(chunk)
                    target.flush()
                    os.fsync(target.fileno())
                    partial.rename(self.folder / file)
                except BaseException:
                    with contextlib.suppress(OSError):
                        partial.unlink(missing_ok=True)
                    raise
            sync_folder(self.folder)
        except OSError as error:
            raise self._broken(error) from error

    def read(self, file: str) -> Generator[bytes, None, None]:
        """From the disk, not from the memory it came from."""
        try:
            with (self.folder / file).open("rb") as content:
                if hasattr(os, "posix_fadvise"):
                    os.posix_fadvise(content.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
                while chunk := content.read(_CHUNK):
                    yield chunk
        except FileNotFoundError as error:
            if not self.folder.is_dir():
                raise self._broken(error) from error
            raise Absent(file) from None
        except OSError as error:
            raise self._broken(error) from error

    def remove(self, file: str) -> None:
        """Delete it, durably."""
        try:
            (self.folder / file).unlink(missing_ok=True)
            sync_folder(self.folder)
        except OSError as error:
            raise self._broken(error) from error

    def _locked(self, partial: Path) -> int | None:
        """The file, held until it is closed; None: somebody else has it."""
        handle = os.open(partial, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(handle), partial.stat()):
                return handle
        except (BlockingIOError, FileNotFoundError):
            pass  # taken, or renamed into its place between the two calls
        except OSError:
            os.close(handle)
            raise
        os.close(handle)
        return None

    def _sweep(self) -> None:
        """Remove what dead writers left."""
        for path in self.folder.glob(f".{self.prefix}*{_PARTIAL}"):
            handle = self._locked(path)
            if handle is not None:
                path.unlink(missing_ok=True)
                os.close(handle)

    def _broken(self, error: OSError) -> Broken:
        if not self.folder.is_dir():
            return Broken(
                f"{self.name} is not there",
                "mount its disk, or make the folder; it is never made by itself, so that copies "
                "do not fill the disk below an empty mount point",
            )
        return Broken(
            f"{self.name} cannot be used: {error.strerror or error}",
            "check that disk and the folder's rights",
        )
