"""Programs that a power cut may meet. Each says on standard output what it promises by then.

Run: `python power_writers.py VERB FOLDER [DATABASE]`.
"""

import sys
from pathlib import Path

from guarded_rollout.adapters.archive import ZipArchive
from guarded_rollout.adapters.clock import SystemClock
from guarded_rollout.adapters.journal.sqlite import SqliteJournal
from guarded_rollout.adapters.set_aside import AsideFiles
from guarded_rollout.adapters.sqlite import SqliteDatabase
from guarded_rollout.adapters.whole_files import write_whole
from guarded_rollout.core.changes import Change
from guarded_rollout.core.facts import Adopted, Started
from guarded_rollout.ports import AsideNote, BackupRequest
from guarded_rollout.testing import examples
from guarded_rollout.testing.control import Told

REQUEST = BackupRequest("production", "1.2.0-3f9c0a1b2c4d", "ada", "before 1.3.0", ())
NOTE = AsideNote("dhash", "production", "backups/some.zip", "0002", 1_800_000_000.0, "ada")


def say(*words: object) -> None:
    """A promise, in one write."""
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


def journal(folder: Path) -> None:
    """A new journal, a rollout, a lease, some facts long and short, and its end."""
    clock = SystemClock()
    it = SqliteJournal(folder / "journal.db", clock, folder / "locks")
    last = it.begin("production", "r1", Started(examples.plan(), "ann"), exclusive=True)
    say(last.seq, last.hash)
    lease = it.claim("production", "guard")
    for number in range(6):
        long = "x" * (9000 if number == 3 else 10)
        last = it.append(lease, "r1", Adopted(long), after=last.seq)
        say(last.seq, last.hash)
        it.renew(lease)
    it.release(lease)


def archive(folder: Path, database: str) -> None:
    """A backup, a second one, and the first one removed."""
    it = ZipArchive(folder, SystemClock(), "dhash")
    made = [it.create(REQUEST, SqliteDatabase(Path(database), SystemClock()), Told())]
    say("made", made[0].file, made[0].sha256)
    made.append(it.create(REQUEST, SqliteDatabase(Path(database), SystemClock()), Told()))
    say("made", made[1].file, made[1].sha256)
    say("removing", made[0].file)
    it.remove(made[0])


def whole(folder: Path) -> None:
    """One file, three times over."""
    for number in range(3):
        say("begun", number)
        write_whole(folder / "file", bytes([number]) * (700 + 5000 * number))
        say("done", number)


def aside(folder: Path) -> None:
    """A file of rows."""
    rows = (Change("images", (str(n),), None, {"id": str(n), "hash": "0" * 16}) for n in range(500))
    kept = AsideFiles(folder).keep(NOTE, rows, Told())
    say("kept", kept.file, kept.sha256)


def main() -> None:
    verb, folder, *more = sys.argv[1:]
    {"journal": journal, "archive": archive, "whole": whole, "aside": aside}[verb](
        Path(folder), *more
    )


if __name__ == "__main__":
    main()
