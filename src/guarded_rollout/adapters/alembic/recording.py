"""What the recorder in the release's process wrote down, read from outside.

It is a file without a name: it needs no reader while Alembic runs, says what was going on when
Alembic was killed, and is gone with the last of its two owners.
"""

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from guarded_rollout.core.problems import Broken
from guarded_rollout.ports import Ran

_MERGED = frozenset({"select", "insert", "update", "delete"})
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Failed:
    """The statement that failed. `state`: its SQLSTATE. `holders`: who held the locks it wanted."""

    sql: str
    ms: float
    state: str | None
    holders: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Recording:
    """A run of Alembic. `running`: what had begun and not ended; `failed`: what went wrong last."""

    ran: tuple[Ran, ...]
    running: str | None
    failed: Failed | None
    no_way_down: bool


@contextmanager
def recording(folder: Path) -> Iterator[int]:
    """A descriptor for the recorder, which may inherit it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - entered below
    except OSError as error:
        raise Broken(
            f"{folder} cannot be written: {error.strerror}", "make room on that disk, then retry"
        ) from error
    with file:
        yield file.fileno()


def read(descriptor: int) -> Recording:
    """What was written so far. A line that was cut off when the recorder was killed is left out."""
    content = b""
    while chunk := os.pread(descriptor, _CHUNK, len(content)):
        content += chunk
    reading = _Reading()
    for line in content.split(b"\n")[:-1]:
        reading.take(json.loads(line))
    return Recording(tuple(reading.ran), reading.running, reading.failed, reading.no_way_down)


@dataclass(slots=True)
class _Reading:
    ran: list[Ran] = field(default_factory=list)
    running: str | None = None
    failed: Failed | None = None
    no_way_down: bool = False
    _alike: dict[str, tuple[int, int]] = field(default_factory=dict)

    def take(self, line: dict[str, Any]) -> None:
        if "mark" in line:
            self._ran(Ran(line["mark"], 0.0))
        elif "run" in line:
            self.running, self.failed = line["run"], None
        elif "failed" in line:
            holders = tuple(line["holders"])
            self.failed = Failed(line["failed"], line["ms"], line["state"], holders)
            self.running = None
        elif "no_way_down" in line:
            self.no_way_down = True
        elif self.running is not None:
            self._ran(Ran(self.running, line["ms"], tuple(line["locks"])))
            self.running = None

    def _ran(self, one: Ran) -> None:
        """The same statement for row after row is one, with the time of all."""
        if one.sql.split(maxsplit=1)[0].lower() not in _MERGED:
            self._alike.clear()
        elif one.sql in self._alike:
            at, times = self._alike[one.sql]
            ms = round(self.ran[at].ms + one.ms, 3)
            self.ran[at] = Ran(f"{one.sql} /* {times + 1} times */", ms)
            self._alike[one.sql] = at, times + 1
            return
        else:
            self._alike[one.sql] = len(self.ran), 1
        self.ran.append(one)
