"""Where the journal lies, how it is opened, and which machine an environment lives on.

The address that was used last is noted in `.rollout/journal.toml`, so that a rollout.toml that is
broken or lost does not hide what runs, and one that names another place does not begin anew.
"""

import os
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from guarded_rollout.adapters.clock import SystemClock
from guarded_rollout.adapters.configuration import SQLITE_JOURNAL, journal_address
from guarded_rollout.adapters.whole_files import write_whole
from guarded_rollout.core.problems import BadInput, Broken
from guarded_rollout.core.spec import DatabaseAddress

if TYPE_CHECKING:
    from guarded_rollout.adapters.journal.looking import LookingJournal
    from guarded_rollout.adapters.journal.postgres import PostgresJournal
    from guarded_rollout.adapters.journal.sqlite import SqliteJournal
    from guarded_rollout.adapters.postgres import Access

NOTE = ".rollout/journal.toml"
MACHINE = "ROLLOUT_MACHINE"
PATIENCE_SECONDS = 12.0
"""How long a guard waits for a server within one call: after that its lease is as good as lost."""

HASTE_SECONDS = 3.0
"""How long a person does: a restart of the server is over by then."""


@dataclass(frozen=True, slots=True)
class JournalPlace:
    """`address`: a file below `root`, or a server that several machines share."""

    root: Path
    address: DatabaseAddress

    @property
    def shared(self) -> bool:
        """Other machines may use it too."""
        return self.address.kind == "postgresql"

    @property
    def file(self) -> Path:
        """SQLite's."""
        assert self.address.path is not None
        return self.root / self.address.path

    def access(self) -> "Access":
        """PostgreSQL's."""
        from guarded_rollout.adapters.postgres import Access

        return Access.of(self.address)

    def __str__(self) -> str:
        return str(self.access()) if self.shared else str(self.file)


def journal_place(root: Path, *, moves: bool = False) -> JournalPlace:
    """Where it lies. `moves`: rollout.toml may name another place than the one used so far.

    BadInput when it does and may not, and when nothing says where it lies.
    """
    noted = _noted(root)
    try:
        named = journal_address(root / "rollout.toml", "rollout.toml")
    except BadInput:
        if noted is None:
            raise
        return JournalPlace(root, noted)
    if noted is not None and noted != named and not moves:
        old, new = JournalPlace(root, noted), JournalPlace(root, named)
        raise BadInput(
            f"rollout.toml names the journal {new}, but {old} has been used so far",
            "a new one would not know what runs. To move it: put the old place back, rollout "
            "journal export > FILE, put the new place in, rollout journal import FILE. If the "
            f"new one is this project's journal already: move {_trace(root)} away",
        )
    return JournalPlace(root, named)


def open_to_look(place: JournalPlace, *, patient: bool = False) -> "LookingJournal":
    """A journal that nothing is created or changed for. `patient`: for a guard."""
    if place.shared:
        from guarded_rollout.adapters.journal import postgres

        return postgres.open_readonly(place.access(), SystemClock(), wait_seconds=_wait(patient))
    from guarded_rollout.adapters.journal.looking import open_readonly

    return open_readonly(place.file, SystemClock())


def open_to_write(
    place: JournalPlace, locks: Path, *, patient: bool = False
) -> "SqliteJournal | PostgresJournal":
    """The journal; created when it is not there. `patient`: for a guard."""
    if place.shared:
        from guarded_rollout.adapters.journal.postgres import PostgresJournal

        return PostgresJournal(place.access(), SystemClock(), wait_seconds=_wait(patient))
    from guarded_rollout.adapters.journal.sqlite import SqliteJournal

    return SqliteJournal(place.file, SystemClock(), locks)


def _wait(patient: bool) -> float:  # noqa: FBT001 - as it was asked for
    return PATIENCE_SECONDS if patient else HASTE_SECONDS


def note(place: JournalPlace) -> None:
    """Write down where the journal lies. The usual place needs no note."""
    file = place.root / NOTE
    if _noted(place.root) == place.address:
        return
    where = place.address
    words = (
        f'path = "{where.path}"\n'
        if where.path is not None
        else f'host = "{where.host}"\nport = {where.port}\nname = "{where.name}"\n'
        f'user = "{where.user}"\n'
    )
    try:
        file.parent.mkdir(mode=0o700, exist_ok=True)
        write_whole(
            file, f"# Written by the tool: where the journal lies.\n[journal]\n{words}".encode()
        )
    except OSError as error:
        raise Broken(
            f"{file} cannot be written: {error.strerror}", "make room, see that the folder is yours"
        ) from error


def this_machine() -> str:
    """The name under which this machine's replicas are known to others."""
    return os.environ.get(MACHINE) or platform.node()


def elsewhere(place: JournalPlace, machine: str) -> bool:
    """Replicas on that machine cannot be reached from this one: they are its processes."""
    return place.shared and machine not in {"", this_machine()}


def _trace(root: Path) -> Path:
    """What remembers the old place."""
    return root / NOTE if (root / NOTE).exists() else JournalPlace(root, SQLITE_JOURNAL).file


def _noted(root: Path) -> DatabaseAddress | None:
    if (root / NOTE).exists():
        return journal_address(root / NOTE, NOTE)
    usual = JournalPlace(root, SQLITE_JOURNAL)
    return SQLITE_JOURNAL if usual.file.exists() else None
