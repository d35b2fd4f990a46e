"""Backups as plain zips with a `.sha256` beside each: `unzip` and `sha256sum -c` can read them.

How one is made: everything happens in a locked workspace (a proven dump, packed, read back), and
only such a zip is moved into place, after its checksum. So a zip that can be seen has its checksum
and was verified, at whatever moment its maker died; a checksum without a zip misleads nobody.
Removal goes the other way round: the zip first.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from guarded_rollout.adapters.archive import manifest, names
from guarded_rollout.adapters.archive.checking import (
    check_checksum,
    check_content,
    check_name,
    check_sha256,
    checksum_file,
    opened,
    read_manifest,
    written_checksum,
)
from guarded_rollout.adapters.archive.checksums import Checksums
from guarded_rollout.adapters.archive.making import Making
from guarded_rollout.adapters.archive.manifest import Manifest
from guarded_rollout.adapters.archive.workspace import Taken, scratch, sweep, workspace
from guarded_rollout.adapters.whole_files import sync_folder
from guarded_rollout.core.problems import BadInput, Broken, Busy, Interrupted, Problem
from guarded_rollout.core.retention import Backup
from guarded_rollout.ports import BackupRequest, Clock, Control, Database, Unpacked

_TRIES = 60


@dataclass(slots=True)
class ZipArchive:
    """The backups of one service, in `backups/` below `root`.

    `known`: a file of ours for what unchanged backups hash to, so that a list need not read them.
    """

    root: Path
    clock: Clock
    service: str
    known: Path | None = None
    _checksums: Checksums = field(init=False)

    def __post_init__(self) -> None:
        """Read nothing yet."""
        self._checksums = Checksums(self.clock, self.known)

    def create(self, request: BackupRequest, database: Database, control: Control) -> Backup:
        """Write and verify one. On any failure nothing is left behind.

        A safety snapshot is made and checked the same way; only its name is another one.
        BadInput names a file that is missing; Broken says what failed (the disk, the database);
        Busy when the database stays locked; Interrupted when told to stop.
        """
        try:
            self._folder.mkdir(mode=0o700, exist_ok=True)
            sync_folder(self.root)  # a file is only as durable as its folder's name
            self._sweep()
            with ExitStack() as stack:
                name, work = self._reserve(request, stack, control)
                making = Making(self.root, name, work, database, self.clock, control)
                made = making.run(request)
                path = self._folder / str(name)
                if not name.safety:
                    self._checksums.remember(path, made.sha256)
                return _backup(self._relative(path), made.size, made.sha256, made.said)
        except OSError as error:
            raise _disk(error, self._folder) from error

    def verify(self, file: Path, environment: str, database: Database) -> Backup:
        """Look: checksum, every member, the dump inside. Raises naming file and what is wrong.

        A relative `file` is relative to the root. A scratch copy of the dump lies in `backups/`
        meanwhile.
        """
        with self.unpacked(file, environment, database) as found:
            return found.backup

    @contextmanager
    def unpacked(self, file: Path, environment: str, database: Database) -> Iterator[Unpacked]:
        """Look: verify, and lend the scratch copy of the dump while inside."""
        path = self.root / file
        name = self._relative(path)
        with ExitStack() as stack:
            try:
                found = self._unpack(path, name, environment, database, stack)
            except (FileNotFoundError, IsADirectoryError) as error:
                raise BadInput(
                    f"there is no backup {name}", self._right_one(environment)
                ) from error
            except OSError as error:
                raise _disk(error, path) from error
            yield found

    def _unpack(
        self, path: Path, name: str, environment: str, database: Database, stack: ExitStack
    ) -> Unpacked:
        with path.open("rb") as content:
            expected = written_checksum(path, name)
            check_checksum(content, expected, name)
            with opened(content, name) as archive:
                said = read_manifest(archive, name)
            self._check_place(said, name, environment, database)
            check_name(path, said, name)
            self._folder.mkdir(mode=0o700, exist_ok=True)
            work = stack.enter_context(scratch(self._folder, self.service))
            dump = check_content(content, name, database, work / "read-back")
        return Unpacked(_backup(name, path.stat().st_size, expected, said), dump)

    def backups(self) -> tuple[Backup, ...]:
        """Look: all of them, newest first; `verified` means name, checksum and manifest fit.

        A file that has not changed is not read again for a day. Safety snapshots are not listed.
        """
        found, there = [], set()
        for path in self._folder.glob("*.zip"):
            name = names.parse(path.name, self.service)
            backup = self._look(path, name) if name is not None and path.is_file() else None
            if backup is not None:
                found.append(backup)
                there.add(path.name)
        self._checksums.keep(there)
        return tuple(sorted(found, key=lambda b: (b.created, b.file), reverse=True))

    def remove(self, backup: Backup) -> None:
        """Delete one and its checksum. It is gone already: no error."""
        path = self.root / backup.file
        if path.parent != self._folder or names.parse(path.name, self.service) is None:
            raise BadInput(f"{backup.file} is no backup of {self.service}", "name one of backups/")
        try:
            if path.exists():
                path.unlink(missing_ok=True)
                sync_folder(self._folder)  # after a power cut no zip is back without its checksum
            checksum_file(path).unlink(missing_ok=True)
        except OSError as error:
            raise _disk(error, path) from error

    @property
    def _folder(self) -> Path:
        return self.root / names.FOLDER

    def _relative(self, path: Path) -> str:
        return str(path.relative_to(self.root) if path.is_relative_to(self.root) else path)

    def _sweep(self) -> None:
        for dead in sweep(self._folder, self.service, names.SAFETY + self.service):
            zipped = self._folder / dead
            if names.parse_any(dead, self.service) is not None and not zipped.exists():
                checksum_file(zipped).unlink(missing_ok=True)

    def _reserve(
        self, request: BackupRequest, stack: ExitStack, control: Control
    ) -> tuple[names.Name, Path]:
        """A name that nobody has, and the workspace that holds it; waits for the next second."""
        environment = request.environment
        if "/" in environment or not environment.isprintable() or not environment:
            raise BadInput(f"{environment!r} is no environment's name", "use letters and digits")
        for _ in range(_TRIES):
            if control.stopped():
                raise Interrupted("the backup was told to stop", "start it again")
            now = self.clock.now()
            name = names.Name(self.service, environment, now, request.safety)
            final = self._folder / str(name)
            attempt = ExitStack()
            try:
                work = attempt.enter_context(workspace(self._folder, final.name))
            except Taken:
                work = None
            if work is not None and not final.exists() and not checksum_file(final).exists():
                stack.push(attempt)
                return name, work
            attempt.close()
            self.clock.sleep(max(0.01, int(now) + 1 - now))
        raise Busy(
            f"{self._folder} has a backup named after every second of the last minute",
            "check the machine's clock, then try again",
        )

    def _check_place(self, said: Manifest, file: str, environment: str, database: Database) -> None:
        if said.service != self.service:
            raise BadInput(
                f"{file} is a backup of the service {said.service}, not {self.service}",
                self._right_one(environment),
            )
        if said.environment != environment:
            raise BadInput(
                f"{file} is a backup of {said.environment}, not {environment}",
                self._right_one(environment),
            )
        dumped, used = manifest.kind(said.database.url), manifest.kind(database.url())
        if said.database.member is not None and dumped != used:
            raise BadInput(
                f"{file} holds a dump of {dumped}, {environment} uses {used}",
                self._right_one(environment),
            )

    def _right_one(self, environment: str) -> str:
        for backup in self.backups():
            if backup.verified and backup.environment == environment:
                return f"use {backup.file}"
        return f"no good one is there; make one: rollout backup create --env {environment}"

    def _look(self, path: Path, name: names.Name) -> Backup | None:
        """One backup for the list; None when it was removed meanwhile or is another service's."""
        try:
            return self._read(path, name)
        except FileNotFoundError:
            return None

    def _read(self, path: Path, name: names.Name) -> Backup | None:
        file, size, sha256 = self._relative(path), path.stat().st_size, ""
        try:
            sha256 = written_checksum(path, file)
            with path.open("rb") as content:
                check_sha256(self._checksums.sha256(path, content), sha256, file)
                with opened(content, file) as archive:
                    said = read_manifest(archive, file)
            check_name(path, said, file)
        except FileNotFoundError:
            raise
        except (Problem, OSError):
            return Backup(file, name.environment, name.created, size, sha256, verified=False)
        return _backup(file, size, sha256, said) if said.service == self.service else None


def _backup(file: str, size: int, sha256: str, said: Manifest) -> Backup:
    return Backup(
        file=file,
        environment=said.environment,
        created=said.created,
        size=size,
        sha256=sha256,
        verified=True,
        release=said.release,
        schema=said.schema,
        rows=said.database.rows,
        shape=said.database.shape,
        server=said.database.tools.get("server") or said.database.tools.get("sqlite") or "",
    )


def _disk(error: OSError, path: Path) -> Broken:
    return Broken(
        f"{error.filename or path} cannot be used: {error.strerror or error}",
        f"check the disk and the rights of {path if path.is_dir() else path.parent}",
    )
