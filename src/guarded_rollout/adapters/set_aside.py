"""Set-aside rows as JSON lines: `backups/set-aside_<service>_<env>_<stamp>.jsonl` and `.sha256`.

The first line says what the rows belong to, every other one is a row: table, key, before, now,
and beside, which is in no file of format 1.
"""

import contextlib
import hashlib
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

import msgspec

from guarded_rollout.adapters.whole_files import sync_folder, write_whole
from guarded_rollout.core.changes import Change, counted
from guarded_rollout.core.problems import BadInput, Broken, Interrupted
from guarded_rollout.ports import AsideNote, Control, Kept

FORMAT = 2
FOLDER = "backups"


class _Head(msgspec.Struct):
    """The first line."""

    set_aside: int
    note: AsideNote


@dataclass(frozen=True, slots=True)
class AsideFiles:
    """ports.Aside. `root`: the folder of rollout.toml."""

    root: Path

    def keep(self, note: AsideNote, changes: Iterable[Change], control: Control) -> Kept:
        """Write them, whole or not at all, mode 0600, on the disk when this returns.

        Broken when the disk does not take them, Interrupted when told to stop: no file is left.
        """
        stamp = datetime.fromtimestamp(note.at, UTC).strftime("%Y%m%d_%H%M%S")
        path = self._free(f"set-aside_{note.service}_{note.environment}_{stamp}")
        fresh = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            sync_folder(self.root)  # a file is only as durable as its folder's name
            for left in path.parent.glob(".set-aside_*.jsonl.*"):
                left.unlink(missing_ok=True)
            with os.fdopen(
                os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb"
            ) as out:
                digest, rows = _write(out, note, changes, control)
            relative = str(path.relative_to(self.root))
            write_whole(_checksum(path), f"{digest}  {relative}\n".encode())
            fresh.replace(path)
            sync_folder(path.parent)
        except OSError as error:
            raise Broken(
                f"the rows cannot be set aside in {path}: {error.strerror}; nothing was replaced",
                f"make room on the disk of {path.parent}, then ask for the rollback again",
            ) from error
        finally:
            with contextlib.suppress(OSError):
                fresh.unlink(missing_ok=True)
        return Kept(relative, digest, rows)

    def _free(self, stem: str) -> Path:
        """A name that is not taken: two asked for in one second are two files."""
        folder = self.root / FOLDER
        names = [stem, *(f"{stem}_{number}" for number in range(2, 1000))]
        return next(path for name in names if not (path := folder / f"{name}.jsonl").exists())

    @contextmanager
    def read(self, file: Path, environment: str) -> Iterator[tuple[AsideNote, Iterator[Change]]]:
        """Look: compare the checksum, then stream the rows.

        BadInput when it is no such file, or another environment's; Broken when it was changed.
        """
        try:
            said = _checksum(file).read_text().split()[:1]
            with file.open("rb") as stream:
                found = hashlib.file_digest(stream, "sha256").hexdigest()
            if said != [found]:
                raise Broken(
                    f"{file} is not what its checksum says", "bring back an unchanged copy of it"
                )
            with file.open("rb") as stream:
                note = _note(file, stream.readline())
                if note.environment != environment:
                    raise BadInput(
                        f"{file} holds rows of {note.environment}, not of {environment}",
                        f"--env {note.environment}, or the right file",
                    )
                yield note, (msgspec.json.decode(line, type=Change) for line in stream)
        except OSError as error:
            raise BadInput(
                f"{error.filename} cannot be read: {error.strerror}",
                "see what is there: ls backups/set-aside_*.jsonl",
            ) from error


def _write(
    out: BinaryIO, note: AsideNote, changes: Iterable[Change], control: Control
) -> tuple[str, dict[str, dict[str, int]]]:
    digest = hashlib.sha256()

    def line(content: object) -> None:
        data = msgspec.json.encode(content) + b"\n"
        digest.update(data)
        out.write(data)

    def written() -> Iterator[Change]:
        for change in changes:
            if control.stopped():
                raise Interrupted(
                    "setting rows aside was told to stop", "ask for the rollback again"
                )
            line(change)
            yield change

    line(_Head(FORMAT, note))
    rows = counted(written())
    out.flush()
    os.fsync(out.fileno())
    return digest.hexdigest(), rows


def _note(file: Path, line: bytes) -> AsideNote:
    try:
        head = msgspec.json.decode(line, type=_Head)
    except msgspec.MsgspecError as error:
        raise BadInput(f"{file} is no file of set-aside rows: {error}", "name another") from error
    if head.set_aside > FORMAT:
        raise BadInput(
            f"{file} was written by a newer version (format {head.set_aside})",
            "use that version of rollout",
        )
    return head.note


def _checksum(file: Path) -> Path:
    return file.with_name(f"{file.name}.sha256")
