"""What backups hash to, remembered, so that a list of them does not read gigabytes each time.

For lists only: `verify`, and with it whatever restores or deploys, reads every byte. A disk that
forgets bits changes nothing about a file that could be seen, so what is known is known for a day.
"""

import contextlib
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import msgspec

from guarded_rollout.adapters.archive.packing import file_sha256
from guarded_rollout.adapters.whole_files import write_whole
from guarded_rollout.ports import Clock

TRUSTED_SECONDS = 86400.0


@dataclass(frozen=True, slots=True)
class Known:
    """The SHA-256 of a file that looked like this when it was read, at `at` (Unix seconds)."""

    inode: int
    size: int
    modified_ns: int
    changed_ns: int
    sha256: str
    at: float

    def fits(self, stat: os.stat_result, now: float) -> bool:
        """The file was not touched since, and not long ago."""
        seen = (self.inode, self.size, self.modified_ns, self.changed_ns)
        return seen == _seen(stat) and 0 <= now - self.at < TRUSTED_SECONDS


@dataclass(slots=True)
class Checksums:
    """By file name. `file`: where they outlive this process; it may be missing or unreadable."""

    clock: Clock
    file: Path | None
    _known: dict[str, Known] | None = None
    _kept: bool = field(default=True)

    def sha256(self, path: Path, content: BinaryIO) -> str:
        """The file's hash, read only when it is not known. Raises OSError."""
        known, now = self._all().get(path.name), self.clock.now()
        before = os.fstat(content.fileno())
        if known is not None and known.fits(before, now):
            return known.sha256
        content.seek(0)
        sha256 = file_sha256(content)
        if _seen(os.fstat(content.fileno())) == _seen(before):
            self._remember(path, before, sha256, now)
        return sha256

    def remember(self, path: Path, sha256: str) -> None:
        """What was read just now. Raises OSError."""
        self._remember(path, path.stat(), sha256, self.clock.now())
        self.keep()

    def keep(self, only: set[str] | None = None) -> None:
        """Write down what is new, if that can be. `only`: forget all others."""
        known = self._all()
        for name in known.keys() - (known.keys() if only is None else only):
            del known[name]
            self._kept = False
        if self._kept or self.file is None or not self.file.parent.is_dir():
            return
        with contextlib.suppress(OSError):
            write_whole(self.file, msgspec.json.encode(known))
            self._kept = True

    def _remember(self, path: Path, stat: os.stat_result, sha256: str, now: float) -> None:
        self._all()[path.name] = Known(*_seen(stat), sha256, now)
        self._kept = False

    def _all(self) -> dict[str, Known]:
        if self._known is None:
            self._known = {}
            if self.file is not None:
                with contextlib.suppress(OSError, msgspec.MsgspecError, UnicodeDecodeError):
                    self._known = msgspec.json.decode(self.file.read_bytes(), type=dict[str, Known])
        return self._known


def _seen(stat: os.stat_result) -> tuple[int, int, int, int]:
    return stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns
