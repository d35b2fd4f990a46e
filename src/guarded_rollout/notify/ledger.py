"""`logs/notifications.json`: every notice, one entry per channel, a JSON list, the newest last.

Written whole under a lock. Bounded: old entries that are done with go first.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

from guarded_rollout.adapters.whole_files import write_whole
from guarded_rollout.notify.locks import locked

FILE = "logs/notifications.json"
MOST_ENTRIES = 1000
MOST_BYTES = 4 * 2**20


class Status(StrEnum):
    """Where a notice is on its way through one channel."""

    SENDING = "sending"
    """Written before each attempt. Found later: the sender died, and nobody knows."""
    WAITING = "waiting"
    """It did not arrive yet."""
    DELIVERED = "delivered"
    KEPT = "kept"
    """Given up: it is in notifications_out/ with the reason."""
    SKIPPED = "skipped"
    """The channel does not want notices that quiet."""
    DRY_RUN = "dry-run"


OPEN = frozenset({Status.SENDING, Status.WAITING})


@dataclass(frozen=True, slots=True)
class Entry:
    """One notice on one channel. Times are Unix seconds.

    `unsure`: attempts of which nobody knows whether they arrived. `file`: in notifications_out/.
    """

    key: str
    channel: str
    kind: str
    status: Status
    type: str
    environment: str
    severity: str
    message: str
    at: float
    time: str
    changed: float
    attempts: int = 0
    unsure: int = 0
    attempted: float | None = None
    reason: str = ""
    file: str = ""
    notice: dict[str, Any] | None = None


_Member = dict[str, Any]
"""An entry as JSON has it: a thousand of them are read and written for each change of one."""


class Ledger:
    """The file, below the project's root. All methods raise OSError when the disk does."""

    def __init__(self, root: Path, now: Callable[[], float], wait: Callable[[], bool]) -> None:
        self.path = root / FILE
        self._lock = root / ".rollout" / "locks" / "notifications.lock"
        self._now = now
        self._wait = wait

    def entries(self) -> list[Entry]:
        """All of them, oldest first. A file that is no ledger reads as empty."""
        return [_entry(member) for member in self._read() or []]

    def find(self, key: str, channel: str) -> Entry | None:
        """The newest entry of a notice on a channel; dry runs do not count."""
        matching = (
            entry
            for entry in reversed(self.entries())
            if (entry.key, entry.channel) == (key, channel) and entry.status is not Status.DRY_RUN
        )
        return next(matching, None)

    def attempted(self, channel: str) -> list[float]:
        """When something was last sent on the channel, per notice."""
        times = (entry.attempted for entry in self.entries() if entry.channel == channel)
        return [time for time in times if time is not None]

    def write(self, entry: Entry) -> None:
        """Put the entry in the place of the same one, or at the end."""
        fresh = asdict(replace(entry, changed=self._now()))
        with self._changing() as members:
            for index in reversed(range(len(members))):
                if _same(members[index], fresh):
                    members[index] = fresh
                    return
            members.append(fresh)

    @contextmanager
    def _changing(self) -> Iterator[list[_Member]]:
        with locked(self._lock, self._wait):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            found = self._read()
            if found is None:
                self.path.replace(
                    self.path.with_name(f"notifications.broken-{self._now():.0f}.json")
                )
            members = found or []
            yield members
            write_whole(self.path, _encoded(members))

    def _read(self) -> list[_Member] | None:
        """None: the file is there and is no ledger."""
        try:
            data = self.path.read_bytes()
        except FileNotFoundError:
            return []
        try:
            found = json.loads(data)
            for member in found:
                _entry(member)
        except (ValueError, TypeError, KeyError):
            return None
        return found if isinstance(found, list) else None


def _same(old: _Member, new: _Member) -> bool:
    dry = (old["status"] == Status.DRY_RUN) == (new["status"] == Status.DRY_RUN)
    return dry and all(old[name] == new[name] for name in ("key", "channel", "at"))


def _entry(member: _Member) -> Entry:
    return Entry(**{**member, "status": Status(member["status"])})


def _encoded(members: list[_Member]) -> bytes:
    """The JSON, without the oldest finished entries where it would be too long."""
    lines = [json.dumps(member, sort_keys=True) for member in members]
    size = sum(len(line) + 2 for line in lines)
    kept: list[str] = []
    most = len(lines) - MOST_ENTRIES
    for member, line in zip(members, lines, strict=True):
        last = member is members[-1]
        if (most > 0 or size > MOST_BYTES) and member["status"] not in OPEN and not last:
            most -= 1
            size -= len(line) + 2
        else:
            kept.append(line)
    return ("[\n" + ",\n".join(kept) + "\n]\n").encode()
