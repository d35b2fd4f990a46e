"""A table's rows as pg_dump writes them: a line per row, and an end of their own."""

from dataclasses import dataclass
from pathlib import Path

from guarded_rollout.core.problems import Broken

_CHUNK = 1 << 19
_END = b"\\.\n\n\n"
_DAMAGED = "do not restore it; use another backup, and check the disk"


@dataclass(slots=True)
class DataFile:
    """Counted as far as it was read. pg_dump may still write it."""

    path: Path
    _at: int = 0
    _lines: int = 0
    _tail: bytes = b""
    _torn: bool = False

    @property
    def ended(self) -> bool:
        """Its end was read: no row looks like it, so nothing comes behind it."""
        return self._tail in {_END, b"\n" + _END}

    def follow(self) -> None:
        """Read what is new. Raises OSError."""
        with self.path.open("rb", buffering=0) as data:
            data.seek(self._at)
            while chunk := data.read(_CHUNK):
                self._at += len(chunk)
                self._torn = self._torn or b"\0" in chunk
                self._lines += chunk.count(b"\n")
                self._tail = (self._tail + chunk[-len(_END) - 1 :])[-len(_END) - 1 :]

    def rows(self, label: str) -> int:
        """All of them, once nobody writes. Broken when they have no end. Raises OSError."""
        if not self.ended:
            self.follow()
        folder = self.path.parent
        if self._torn:
            raise Broken(f"{folder} is damaged: the data of {label} hold zero bytes", _DAMAGED)
        if not self.ended:
            raise Broken(f"{folder} is damaged: the data of {label} have no end", _DAMAGED)
        return self._lines - _END.count(b"\n")
