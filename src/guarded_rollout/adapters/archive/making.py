"""Making one backup inside its workspace: dump, pack, read back, prove, and only then publish."""

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from guarded_rollout.adapters.archive import manifest, names
from guarded_rollout.adapters.archive.checking import check_checksum, check_content, checksum_file
from guarded_rollout.adapters.archive.contents import Content, contents
from guarded_rollout.adapters.archive.manifest import Dump, Manifest
from guarded_rollout.adapters.archive.packing import Packing, packing
from guarded_rollout.adapters.archive.workspace import sync
from guarded_rollout.core.problems import Broken, Busy, Interrupted
from guarded_rollout.core.retention import shape_of
from guarded_rollout.ports import BackupRequest, Clock, Control, Database

MARGIN = 16 << 20
_SAY_EVERY_SECONDS = 2.0


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
        schema, about = self._dump()
        parts = _parts(self._dumped, about.member) if about.member else {}
        size = sum(part.stat().st_size for part in parts.values())
        self._need_room(files, size)

        packed = self.work / str(self.name)
        total = size + sum(file.size for file in files)
        with packing(packed, self.name.created, self._progress(total)) as into:
            for member, part in parts.items():
                with part.open("rb") as content:
                    into.add(member, content, part.stat().st_size)
                part.unlink()
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

    def _dump(self) -> tuple[str | None, Dump]:
        url = self.database.url()
        if not self.database.exists():
            return None, Dump(url, None, reason="there was no database yet")
        self.control.say(f"copying the database {url}")
        schema = self.database.revision()
        dumped = self.database.dump(self._dumped, self.control)
        if self.database.revision() != schema:
            raise Busy(
                f"the schema of {url} changed while it was copied",
                "wait for the migration to end, then back up again",
            )
        whole = "database/"
        if not self._dumped.is_dir():
            whole += f"{Path(url).stem}.{manifest.kind(url)}"
        return schema, Dump(
            url,
            whole,
            dumped.rows(),
            hashes={name: table.hash for name, table in dumped.tables.items()},
            shape=shape_of(dumped.schema),
            tools=dict(dumped.tools),
        )

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
        done, began = 0, self.clock.monotonic()
        said = began

        def told(count: int) -> None:
            nonlocal done, said
            self._stop_if_told()
            done += count
            now = self.clock.monotonic()
            if now - said >= _SAY_EVERY_SECONDS:
                said = now
                rate = done / (now - began)
                self.control.say(
                    f"{doing}: {min(100, 100 * done // max(total, 1))} %, {rate / 1e6:.0f} MB/s, "
                    f"{max(0, total - done) / rate:.0f} s left"
                )

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
