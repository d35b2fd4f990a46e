"""What is kept of the data, here and in other places."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from guarded_rollout.core.changes import Change
from guarded_rollout.core.retention import Backup
from guarded_rollout.core.spec import CopyPlace
from guarded_rollout.ports.clock import Control
from guarded_rollout.ports.databases import Database


@dataclass(frozen=True, slots=True)
class BackupRequest:
    """What to put into a backup, and what to write down about it. Files relative to the root.

    `safety`: a snapshot before a restore. It is named otherwise, never listed and never pruned.
    """

    environment: str
    release: str | None
    by: str
    reason: str
    files: tuple[str, ...]
    safety: bool = False


@dataclass(frozen=True, slots=True)
class Unpacked:
    """A verified backup and the dump from inside it; None when there was no database."""

    backup: Backup
    dump: Path | None


class Archive(Protocol):
    """Backups: a plain zip and its `.sha256`, written whole, read back."""

    def create(self, request: BackupRequest, database: Database, control: Control) -> Backup:
        """Write and verify one. On any failure nothing is left behind."""

    def verify(self, file: Path, environment: str, database: Database) -> Backup:
        """Look: checksum, every member, the dump inside. Raises naming file and what is wrong."""

    def unpacked(
        self, file: Path, environment: str, database: Database
    ) -> AbstractContextManager[Unpacked]:
        """Look: verify, and lend the dump while inside. It is gone afterwards."""

    def backups(self) -> tuple[Backup, ...]:
        """Look: all of them, newest first; `verified` means their checksum fits."""

    def remove(self, backup: Backup) -> None:
        """Delete one and its checksum."""


@dataclass(frozen=True, slots=True)
class AsideNote:
    """What set-aside rows belong to. `schema`: the revision that they were written under."""

    service: str
    environment: str
    backup: str
    schema: str | None
    at: float
    by: str


@dataclass(frozen=True, slots=True)
class Kept:
    """A file of set-aside rows. `rows`: per table and per `core.changes.What`, how many."""

    file: str
    sha256: str
    rows: Mapping[str, Mapping[str, int]]


class Aside(Protocol):
    """Rows that a restore takes out of the database: kept in files that people can read."""

    def keep(self, note: AsideNote, changes: Iterable[Change], control: Control) -> Kept:
        """Write them, whole or not at all, with a checksum beside."""

    def read(
        self, file: Path, environment: str
    ) -> AbstractContextManager[tuple[AsideNote, Iterator[Change]]]:
        """Look: check the file, then stream it. BadInput: not one of ours, or of elsewhere."""


@dataclass(frozen=True, slots=True)
class Copy:
    """A copy of a backup that was read back. `sent`: False when it was there already."""

    name: str
    size: int
    sha256: str
    sent: bool = False


class Place(Protocol):
    """Copies of one service's backups and their checksums, away from the backups themselves.

    A copy has its backup's file name. Nothing counts as a copy before it was read back.
    """

    def put(self, backup: Backup, control: Control) -> Copy:
        """See to it that a sound copy is there. One that is there already is not sent again."""

    def holds(self) -> tuple[Backup, ...]:
        """Look: what lies there, newest first. Nothing is read back: none is `verified`."""

    def verify(self, name: str, control: Control) -> Copy:
        """Look: read the copy back, against the checksum beside it. Broken says what is wrong."""

    def fetch(self, name: str, to: Path, control: Control) -> Copy:
        """Bring a copy and its checksum back to the new file `to`, verified, whole or not."""

    def remove(self, name: str) -> None:
        """Delete a copy and its checksum. No copy, no error."""


class Copies(Protocol):
    """The places that copies of backups go to."""

    def at(self, place: CopyPlace) -> Place:
        """The place. Sends nothing. BadInput names a package or a credential that is missing."""
