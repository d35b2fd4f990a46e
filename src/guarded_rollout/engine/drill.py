"""The only proof that counts: a backup is restored into a scratch database and compared."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from guarded_rollout.core.problems import Broken, NotPossible
from guarded_rollout.core.retention import Backup, shape_of
from guarded_rollout.ports import Archive, Clock, Control, Database, Scratch

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
                control.say("comparing every table with what was written down")
                problems = differences(found.backup, scratch, control)
        if problems:
            raise Broken(
                f"{found.backup.file} does not come back as it was: {'; '.join(problems)}",
                "do not rely on it: make another backup and drill that; keep this one for study",
            )
        rows = sum(found.backup.rows.values())
        seconds = self.clock.monotonic() - began
        return Drilled(found.backup, rows, bool(found.backup.hashes), seconds)


@contextmanager
def filled(database: Database, purpose: str, dump: Path, control: Control) -> Iterator[Scratch]:
    """A scratch database with a dump in it. It is gone afterwards."""
    scratch = database.scratch(purpose)
    try:
        scratch.fill(dump, control)
        yield scratch
    finally:
        scratch.discard()


def differences(backup: Backup, restored: Database, control: Control) -> list[str]:
    """What the restored database has otherwise than the backup says; empty: nothing."""
    found = restored.fingerprint(control)
    problems = []
    for name in sorted({*backup.rows, *backup.hashes, *found}):
        said, is_now = backup.rows.get(name), found.get(name)
        if said is None or is_now is None:
            problems.append(f"table {name} is {'missing' if is_now is None else 'not expected'}")
        elif said != is_now.rows:
            problems.append(f"table {name} has {is_now.rows} rows, not {said}")
        elif backup.hashes.get(name, is_now.hash) != is_now.hash:
            problems.append(f"table {name} has {said} rows, but other contents")
    revision = restored.revision()
    if revision != backup.schema:
        problems.append(f"its schema is at {revision}, not {backup.schema}")
    if backup.shape and shape_of(restored.schema()) != backup.shape:
        problems.append("its schema is another one")
    return problems
