"""Making one backup inside its workspace: dump, pack, read back, prove, and only then publish."""

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from guarded_rollout.adapters.archive import manifest, names
from guarded_rollout.adapters.archive.checking import check_checksum, check_content, checksum_file
from guarded_rollout.adapters.archive.contents import Content, contents
from guarded_rollout.adapters.archive.manifest import Dump, Manifest
from guarded_rollout.adapters.archive.packing import Packing, packing
from guarded_rollout.adapters.archive.workspace import sync
from guarded_rollout.core.problems import Broken, Busy, Interrupted
from guarded_rollout.ports import BackupRequest, Clock, Control, Database

MARGIN = 16 << 20
_SAY_EVERY_SECONDS = 2.0


@runtime_checkable
class Sized(Protocol):
    """A database that knows how much room it takes."""

    def size(self) -> int:
        """Look: bytes."""


@dataclass(frozen=True, slots=True)
class Made:
    """A backup that can be seen now."""

    size: int
    sha256: str
    said: Manifest


@dataclass(frozen=True, slots=True)
class Making:
    """One backup on its way. `work`: its workspace; `name`: what it will be called."""

    root: Path
    name: names.Name
    work: Path
    database: Database
    clock: Clock
    control: Control

    def run(self, request: BackupRequest) -> Made:
        """All of it. Raises OSError when the disk fails."""
        files = contents(self.root, request.files, self.database.url())
        self._need_room(files, self.database.size() if isinstance(self.database, Sized) else 0)
        schema, about = self._dump()
        size = self._dumped.stat().st_size if about.member else 0
        self._need_room(files, size)

        packed = self.work / str(self.name)
        total = size + sum(file.size for file in files)
        with packing(packed, self.name.created, self._progress(total)) as into:
            if about.member is not None:
                with self._dumped.open("rb") as content:
                    into.add(about.member, content, size)
            _add_files(into, files)
            said = Manifest(
                service=self.name.service,
                environment=request.environment,
                created=self.name.created,
                release=request.release,
                schema=schema,
                by=request.by,
                reason=request.reason,
                database=about,
                members=tuple(into.members),
            )
            into.add_manifest(manifest.encode(said))
        self._dumped.unlink(missing_ok=True)

        self._read_back(packed, into.sha256())
        self._stop_if_told()
        self._publish(packed, into.sha256())
        size = self._final.stat().st_size
        self.control.say(f"{names.FOLDER}/{self.name}: {size} bytes, verified")
        return Made(size, into.sha256(), said)

    @property
    def _dumped(self) -> Path:
        return self.work / "dump"

    @property
    def _final(self) -> Path:
        return self.root / names.FOLDER / str(self.name)

    def _dump(self) -> tuple[str | None, Dump]:
        url = self.database.url()
        if not self.database.exists():
            return None, Dump(url, None, reason="there was no database yet")
        self.control.say(f"copying the database {url}")
        schema = self.database.revision()
        rows = self.database.dump(self._dumped, self.control)
        if self.database.revision() != schema:
            raise Busy(
                f"the schema of {url} changed while it was copied",
                "wait for the migration to end, then back up again",
            )
        member = f"database/{Path(url).stem}.{manifest.kind(url)}"
        return schema, Dump(url, member, dict(rows))

    def _need_room(self, files: tuple[Content, ...], dump: int) -> None:
        """The dump and the zip at a time, or the zip and the dump that is read back from it."""
        needed = 2 * dump + sum(file.size for file in files) + MARGIN
        folder = self._final.parent
        free = shutil.disk_usage(folder).free
        if free < needed:
            raise Broken(
                f"{folder} has {free} bytes free, the backup needs {needed}",
                "make room there: remove old backups, or grow the disk",
            )

    def _progress(self, total: int) -> Callable[[int], None]:
        doing = f"packing {self.name}"
        done, said = 0, self.clock.monotonic()

        def told(count: int) -> None:
            nonlocal done, said
            self._stop_if_told()
            done += count
            if self.clock.monotonic() - said >= _SAY_EVERY_SECONDS:
                said = self.clock.monotonic()
                self.control.say(f"{doing}: {min(100, 100 * done // max(total, 1))} %")

        self.control.say(doing)
        return told

    def _read_back(self, packed: Path, sha256: str) -> None:
        self.control.say(f"reading {self.name} back")
        with packed.open("rb") as content:
            if hasattr(os, "posix_fadvise"):  # from the disk, not from the memory it came from
                os.posix_fadvise(content.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            check_checksum(content, sha256, str(self.name))
            self._stop_if_told()
            check_content(content, str(self.name), self.database, self.work / "read-back")

    def _publish(self, packed: Path, sha256: str) -> None:
        """From here on the backup can be seen: the checksum first, then the zip."""
        final, beside = self._final, checksum_file(self._final)
        written = packed.with_name(beside.name)
        written.write_text(f"{sha256}  {names.FOLDER}/{final.name}\n", "ascii")
        written.chmod(0o600)
        sync(written)
        try:
            written.rename(beside)
            sync(final.parent)
            packed.rename(final)
            sync(final.parent)
        except BaseException:
            final.unlink(missing_ok=True)
            beside.unlink(missing_ok=True)
            raise

    def _stop_if_told(self) -> None:
        if self.control.stopped():
            raise Interrupted(
                f"the backup {self.name} was told to stop", "start it again; nothing was left"
            )


def _add_files(into: Packing, files: tuple[Content, ...]) -> None:
    for file in files:
        content, hidden = file.open()
        with content:
            into.add(file.member, content, file.size, hidden=hidden)
