"""Making one backup inside its workspace: dump, pack, read back, and only then publish.

The database proves its dump where it lies. Reading back shows that the zip holds those very bytes,
so that nothing has to be unpacked to be proven again.
"""

import math
import os
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

from guarded_rollout.adapters.archive import manifest, names
from guarded_rollout.adapters.archive.checking import (
    about_dump,
    check_bytes,
    check_checksum,
    checksum_file,
)
from guarded_rollout.adapters.archive.contents import Content, contents
from guarded_rollout.adapters.archive.manifest import Dump, Manifest
from guarded_rollout.adapters.archive.packing import Packing, packing
from guarded_rollout.adapters.archive.workspace import sync
from guarded_rollout.core.problems import Broken, Busy, Interrupted
from guarded_rollout.core.retention import shape_of
from guarded_rollout.ports import BackupRequest, Clock, Control, Database

MARGIN = 16 << 20
_SAY_EVERY_SECONDS = 2.0
_FOLDER = "database/"


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
        self._need_room(files, self.database.size())
        packed = self.work / str(self.name)
        progress = _Progress(f"packing {self.name}", self.clock, self.control)
        with packing(packed, self.name.created, progress) as into:
            schema, about = self._dump(into)
            parts = _parts(self._dumped, about.member) if about.member else {}
            size = sum(part.stat().st_size for part in parts.values())
            self._need_room(files, size)
            progress.begin(size + sum(file.size for file in files))
            for member, part in parts.items():
                _add_part(into, member, part)
            if about.member:
                about = replace(about, sha256=manifest.whole(into.members))
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
        if self._dumped.is_dir():
            self._dumped.rmdir()

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

    def _dump(self, into: Packing) -> tuple[str | None, Dump]:
        url = self.database.url()
        if not self.database.exists():
            return None, Dump(url, None, reason="there was no database yet")
        self.control.say(f"copying the database {url}")
        schema = self.database.revision()
        try:
            # What is whole is packed while the rest is still dumped.
            dumped = self.database.dump(
                self._dumped, self.control, lambda part: _add_part(into, _FOLDER + part.name, part)
            )
        except Broken as error:
            raise about_dump(error, self._dumped, str(self.name)) from error
        if self.database.revision() != schema:
            raise Busy(
                f"the schema of {url} changed while it was copied",
                "wait for the migration to end, then back up again",
            )
        whole = _FOLDER
        if not self._dumped.is_dir():
            whole += f"{Path(url).stem}.{manifest.kind(url)}"
        return schema, Dump(
            url,
            whole,
            dict(dumped.rows),
            shape=shape_of(dumped.schema),
            tools=dict(dumped.tools),
        )

    def _need_room(self, files: tuple[Content, ...], dump: int) -> None:
        """The dump and the zip at a time."""
        needed = 2 * dump + sum(file.size for file in files) + MARGIN
        folder = self._final.parent
        free = shutil.disk_usage(folder).free
        if free < needed:
            raise Broken(
                f"{folder} has {free} bytes free, the backup needs {needed}",
                "make room there: remove old backups, or grow the disk",
            )

    def _read_back(self, packed: Path, sha256: str) -> None:
        self.control.say(f"reading {self.name} back")
        with packed.open("rb") as content:
            if hasattr(os, "posix_fadvise"):  # from the disk, not from the memory it came from
                os.posix_fadvise(content.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            check_checksum(content, sha256, str(self.name))
            self._stop_if_told()
            check_bytes(content, str(self.name))

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


@dataclass(slots=True)
class _Progress:
    """Called with the bytes of every chunk that was packed: stops when told to, says how far."""

    doing: str
    clock: Clock
    control: Control
    _total: int = 0
    _done: int = 0
    _began: float = 0.0
    _said: float = math.inf

    def begin(self, total: int) -> None:
        """From here on it is worth saying; `total` bytes are left."""
        self.control.say(self.doing)
        self._total, self._done = total, 0
        self._began = self._said = self.clock.monotonic()

    def __call__(self, count: int) -> None:
        if self.control.stopped():
            raise Interrupted(f"{self.doing} was told to stop", "start it again; nothing was left")
        self._done += count
        now = self.clock.monotonic()
        if now - self._said >= _SAY_EVERY_SECONDS:
            self._said = now
            rate = self._done / (now - self._began)
            self.control.say(
                f"{self.doing}: {min(100, 100 * self._done // max(self._total, 1))} %, "
                f"{rate / 1e6:.0f} MB/s, {max(0, self._total - self._done) / rate:.0f} s left"
            )


def _add_part(into: Packing, member: str, part: Path) -> None:
    with part.open("rb") as content:
        into.add(member, content, part.stat().st_size)
    part.unlink()


def _parts(dumped: Path, whole: str) -> dict[str, Path]:
    """The dump's files by the names that they get in the zip."""
    if not whole.endswith("/"):
        return {whole: dumped}
    return {whole + part.name: part for part in sorted(dumped.iterdir())}


def _add_files(into: Packing, files: tuple[Content, ...]) -> None:
    for file in files:
        content, hidden = file.open()
        with content:
            into.add(file.member, content, file.size, hidden=hidden)
