"""The only proof that counts: a backup is restored into a scratch database and compared."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from guarded_rollout.core.problems import Broken, NotPossible
from guarded_rollout.core.retention import Backup, shape_of
from guarded_rollout.ports import Archive, Clock, Compared, Control, Database, Scratch

PURPOSE = "verify"


@dataclass(frozen=True, slots=True)
class Drilled:
    """A backup that came back. `hashed`: contents were compared too, not only rows."""

    backup: Backup
    rows: int
    hashed: bool
    seconds: float


@dataclass(frozen=True, slots=True)
class Drill:
    """What a drill needs of one environment."""

    archive: Archive
    database: Database
    clock: Clock
    environment: str

    def run(self, file: Path, control: Control) -> Drilled:
        """Restore, compare, drop. Broken names every table that is not what was written down."""
        began = self.clock.monotonic()
        with self.archive.unpacked(file, self.environment, self.database) as found:
            if found.dump is None:
                raise NotPossible(
                    f"{found.backup.file} holds no database: nothing can be restored from it",
                    "drill one that was made after the first deploy",
                )
            with filled(self.database, PURPOSE, found.dump, control) as scratch:
                control.say("comparing every table with the backup")
                compared = compare(found.backup, found.dump, scratch, control)
        if compared.problems:
            raise Broken(
                f"{found.backup.file} does not come back as it was: {'; '.join(compared.problems)}",
                "do not rely on it: make another backup and drill that; keep this one for study",
            )
        rows = sum(found.backup.rows.values())
        seconds = self.clock.monotonic() - began
        return Drilled(found.backup, rows, compared.contents, seconds)


@contextmanager
def filled(database: Database, purpose: str, dump: Path, control: Control) -> Iterator[Scratch]:
    """A scratch database with a dump in it. It is gone afterwards."""
    scratch = database.scratch(purpose)
    try:
        scratch.fill(dump, control)
        yield scratch
    finally:
        scratch.discard()


def compare(backup: Backup, dump: Path, restored: Scratch, control: Control) -> Compared:
    """What the restored database has otherwise than the backup and its dump say.

    That the dump is what was written down about it was verified when it was unpacked.
    """
    compared = restored.compare(dump, control)
    problems = list(compared.problems)
    revision = restored.revision()
    if revision != backup.schema:
        problems.append(f"its schema is at {revision}, not {backup.schema}")
    if backup.shape and shape_of(restored.schema()) != backup.shape:
        problems.append("its schema is another one")
    return replace(compared, problems=tuple(problems))
