"""The machine, and the logger of the service on it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from guarded_rollout.core.series import HostSeen


@dataclass(frozen=True, slots=True)
class Written:
    """What processes logged: `output` as it lies on the disk, `modes` of the files it lies in.

    `problem`: why a process did not end well. `seconds`: from the second record to the last.
    """

    output: bytes
    modes: Mapping[str, int]
    seconds: float
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class Rotated:
    """A log that was written past its limit twice.

    Fields:
        older, newer: the file that was put aside, and the one that is written to.
        files: all that there is of this log.
        problem: why it did not come to that.
    """

    older: bytes
    newer: bytes
    files: tuple[str, ...]
    modes: Mapping[str, int]
    problem: str | None = None


class LogWriter(Protocol):
    """A program that logs what it is told, as a service or this tool does."""

    def feed(
        self, batches: Sequence[Sequence[str]], timeout: float, env: Mapping[str, str] = ...
    ) -> Written:
        """One process per batch of records, JSON lines; all at once into the same log."""

    def rotate(self, rounds: Sequence[Sequence[str]], timeout: float) -> Rotated | None:
        """Each round is more than the log may hold, the last one is not. None: it is not rotated.

        It is written on when the round before was rotated away.
        """


class Host(Protocol):
    """The machine."""

    def seen(self) -> HostSeen:
        """Look: CPU, memory and disk in use. What cannot be read is None."""

    def free_bytes(self) -> int:
        """Look: what the disk of `root` still takes."""
