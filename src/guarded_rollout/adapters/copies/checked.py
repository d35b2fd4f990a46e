"""Copies with checksums on any shelf: what was not read back is no copy.

The zip goes first, is read back, and only then its checksum is written beside it. So whatever
was cut off half-way has no checksum, or a checksum that does not fit, and is sent again.
"""

import hashlib
import os
import re
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from guarded_rollout.adapters.archive import names
from guarded_rollout.adapters.copies.shelf import Absent, Shelf
from guarded_rollout.adapters.whole_files import sync_folder, write_whole
from guarded_rollout.core.problems import BadInput, Broken, Interrupted
from guarded_rollout.core.retention import Backup
from guarded_rollout.ports import Clock, Control, Copy

CHUNK = 1 << 20
SUFFIX = ".sha256"
_LINE = re.compile(rb"([0-9a-f]{64}) [ *](?:[^\n]*/)?([^/\n]+)\n?")
_LINE_LIMIT = 4096
_SAY_EVERY_SECONDS = 2.0
_DAMAGED = "use another copy; remove this one or send it again, and check that storage"


@dataclass(frozen=True, slots=True)
class CheckedPlace:
    """ports.Place on a shelf. `root`: the folder that a backup's file is relative to."""

    shelf: Shelf
    root: Path
    service: str
    clock: Clock

    def put(self, backup: Backup, control: Control) -> Copy:
        """See to it that a sound copy is there. Broken when it is not; what is there is no copy."""
        name = self._named(Path(backup.file).name)
        there = self.shelf.sizes()
        if there.get(name) == backup.size and self._sound(name, backup.sha256, control):
            return Copy(name, backup.size, backup.sha256, sent=False)
        try:
            with (self.root / backup.file).open("rb") as content:
                size = os.fstat(content.fileno()).st_size
                chunks = self._only(_chunks(content.fileno()), backup, size, control)
                self.shelf.write(name, chunks, size)
        except OSError as error:
            raise Broken(
                f"{backup.file} cannot be read: {error.strerror or error}", "check the local disk"
            ) from error
        found = self._read_back(name, size, control)
        if found.sha256 != backup.sha256:
            self.remove(name)
            raise Broken(
                f"{self.shelf.name} gave back something else than was sent as {name}: SHA-256 "
                f"{found.sha256[:12]}... instead of {backup.sha256[:12]}...; the copy was removed",
                "check that storage, then copy again",
            )
        line = f"{backup.sha256}  {names.FOLDER}/{name}\n".encode()
        self.shelf.write(name + SUFFIX, iter([line]), len(line))
        return Copy(name, found.size, found.sha256, sent=True)

    def holds(self) -> tuple[Backup, ...]:
        """Look: zips and lonely checksums of this service, newest first, none of them verified."""
        sizes = self.shelf.sizes()
        found = []
        for name in {file.removesuffix(SUFFIX) for file in sizes}:
            about = names.parse(name, self.service)
            if about is not None:
                size = sizes.get(name, 0)
                found.append(
                    Backup(name, about.environment, about.created, size, "", verified=False)
                )
        return tuple(sorted(found, key=lambda b: (b.created, b.file), reverse=True))

    def verify(self, name: str, control: Control) -> Copy:
        """Look: read all of it, against the checksum beside it."""
        expected = self._written(self._named(name))
        size = self.shelf.sizes().get(name, 0)
        found = self._read_back(name, size, control)
        self._compare(found, expected)
        return found

    def fetch(self, name: str, to: Path, control: Control) -> Copy:
        """Bring it back. BadInput when `to` exists; on failure nothing is left there."""
        expected = self._written(self._named(name))
        beside = to.with_name(to.name + SUFFIX)
        if to.exists() or beside.exists():
            raise BadInput(f"{to if to.exists() else beside} exists already", "name a new file")
        size = self.shelf.sizes().get(name, 0)
        partial = to.with_name(f".{to.name}.{os.getpid()}.fetched")
        try:
            handle = os.open(partial, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
            with os.fdopen(handle, "wb") as target:
                found = self._read_back(name, size, control, target.write)
                self._compare(found, expected)
                target.flush()
                os.fsync(target.fileno())
            write_whole(beside, f"{expected}  {names.FOLDER}/{to.name}\n".encode())
            os.link(partial, to)  # unlike a rename it replaces nothing
            sync_folder(to.parent)
        except FileExistsError as error:
            raise BadInput(f"{to} was written by somebody else meanwhile", "look at it") from error
        except OSError as error:
            raise Broken(
                f"{to} cannot be written: {error.strerror or error}", f"check {to.parent}"
            ) from error
        finally:
            partial.unlink(missing_ok=True)
            if not to.exists():
                beside.unlink(missing_ok=True)
        return found

    def remove(self, name: str) -> None:
        """The zip first: a checksum without a zip misleads nobody."""
        self.shelf.remove(self._named(name))
        self.shelf.remove(name + SUFFIX)

    def _named(self, name: str) -> str:
        if "/" in name or names.parse(name, self.service) is None:
            raise BadInput(
                f"{name!r} is no name of a backup of {self.service}",
                f"they look like {self.service}_production_20260131_120000.zip",
            )
        return name

    def _sound(self, name: str, expected: str, control: Control) -> bool:
        try:
            return self.verify(name, control).sha256 == expected
        except (BadInput, Broken):
            return False

    def _written(self, name: str) -> str:
        line = b""
        try:
            with closing(self.shelf.read(name + SUFFIX)) as chunks:
                for chunk in chunks:
                    line += chunk
                    if len(line) > _LINE_LIMIT:
                        break
        except Absent:
            raise BadInput(
                f"{self.shelf.name} has no finished copy {name}: its checksum is missing",
                "use another copy, or send it again: rollout backup create --env ENVIRONMENT",
            ) from None
        found = _LINE.fullmatch(line)
        if found is None:
            raise Broken(f"{name}{SUFFIX} at {self.shelf.name} is no checksum file", _DAMAGED)
        if found[2] != name.encode():
            said = found[2].decode("utf-8", "replace")
            raise Broken(
                f"{name}{SUFFIX} at {self.shelf.name} is the checksum of {said}: files were "
                "swapped",
                _DAMAGED,
            )
        return found[1].decode()

    def _compare(self, found: Copy, expected: str) -> None:
        if found.sha256 != expected:
            raise Broken(
                f"{found.name} at {self.shelf.name} is not what was written: its SHA-256 is "
                f"{found.sha256[:12]}..., its checksum file says {expected[:12]}...",
                _DAMAGED,
            )

    def _read_back(
        self, name: str, size: int, control: Control, write: Callable[[bytes], object] | None = None
    ) -> Copy:
        digest, count = hashlib.sha256(), 0
        told = self._progress(f"reading {name} back from {self.shelf.name}", size, control)
        try:
            with closing(self.shelf.read(name)) as chunks:
                for chunk in chunks:
                    digest.update(chunk)
                    count += len(chunk)
                    if write is not None:
                        write(chunk)
                    told(count)
        except Absent:
            raise Broken(
                f"{self.shelf.name} has a checksum, but no copy {name}", _DAMAGED
            ) from None
        return Copy(name, count, digest.hexdigest())

    def _only(
        self, chunks: Iterator[bytes], backup: Backup, size: int, control: Control
    ) -> Iterator[bytes]:
        """The chunks of exactly this backup: a damaged one is never published elsewhere."""
        digest, count = hashlib.sha256(), 0
        told = self._progress(f"copying {backup.file} to {self.shelf.name}", size, control)
        for chunk in chunks:
            digest.update(chunk)
            count += len(chunk)
            told(count)
            if count == size and digest.hexdigest() != backup.sha256:
                break
            yield chunk
        if digest.hexdigest() != backup.sha256:
            raise Broken(
                f"{backup.file} is not what was written any more: its SHA-256 is "
                f"{digest.hexdigest()[:12]}..., not {backup.sha256[:12]}...",
                "make a new backup, and check the disk",
            )

    def _progress(self, doing: str, total: int, control: Control) -> Callable[[int], None]:
        began = said = self.clock.monotonic()

        def told(count: int) -> None:
            nonlocal said
            if control.stopped():
                raise Interrupted(f"{doing} was told to stop", "start it again")
            now = self.clock.monotonic()
            if now - said >= _SAY_EVERY_SECONDS and count:
                said = now
                rate = count / (now - began)
                left = max(0, total - count) / rate
                control.say(
                    f"{doing}: {100 * count // max(total, count)} %, "
                    f"{rate / 2**20:.1f} MB/s, {left:.0f} s left"
                )

        return told


def _chunks(handle: int) -> Iterator[bytes]:
    while chunk := os.read(handle, CHUNK):
        yield chunk
