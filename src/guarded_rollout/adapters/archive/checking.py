"""Reading a backup back: every byte of it, the dump included, against what was written down."""

import hashlib
import re
import shutil
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from guarded_rollout.adapters.archive import manifest, names
from guarded_rollout.adapters.archive.inflating import UNREADABLE, inflated
from guarded_rollout.adapters.archive.manifest import Manifest, Member
from guarded_rollout.adapters.archive.packing import file_sha256
from guarded_rollout.core.problems import BadInput, Broken
from guarded_rollout.ports import Database

_CHECKSUM = re.compile(r"([0-9a-f]{64}) [ *](\S.*)\n?")
_MANIFEST_LIMIT = 64 << 20
_DAMAGED = "the file is damaged: use another backup, and check the disk"
_UNREADABLE = (
    UNREADABLE,
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    NotImplementedError,
    RuntimeError,  # zipfile: encrypted members
    UnicodeDecodeError,
    ValueError,
)


def checksum_file(path: Path) -> Path:
    """Where the backup's checksum lies."""
    return path.with_name(path.name + ".sha256")


def written_checksum(path: Path, file: str) -> str:
    """What the checksum file says.

    The path inside it is for `sha256sum -c`; where the zip has the name of a backup, it must be
    the same name. A copy under a name of its own may keep the checksum file that it came with.
    """
    beside = checksum_file(path)
    try:
        line = beside.read_text("utf-8")
    except FileNotFoundError as error:
        raise BadInput(
            f"{file} has no checksum: {beside.name} is missing beside it",
            "bring the checksum file from where the backup was made; without it nobody can "
            "tell whether the backup is whole",
        ) from error
    except UnicodeDecodeError as error:
        raise Broken(f"{beside.name} is not a checksum file", _DAMAGED) from error
    found = _CHECKSUM.fullmatch(line)
    if found is None:
        raise Broken(f"{beside.name} is not one line as sha256sum writes it", _DAMAGED)
    if names.stamped(path.name) and not _names(PurePosixPath(found[2]), path.name):
        raise Broken(
            f"{file} has a checksum file that is for {found[2]!r}",
            "it is damaged, or was mixed up: bring the one that was made with this backup",
        )
    return found[1]


def _names(written: PurePosixPath, name: str) -> bool:
    beside = str(written.parent) in {".", names.FOLDER}
    return written.name == name and (beside or written.is_absolute())


def check_checksum(content: BinaryIO, expected: str, file: str) -> None:
    """Broken when the bytes are not those that were written down."""
    content.seek(0)
    actual = file_sha256(content)
    content.seek(0)
    check_sha256(actual, expected, file)


def check_sha256(actual: str, expected: str, file: str) -> None:
    """Broken when they differ."""
    if actual != expected:
        raise Broken(
            f"{file} is not what was written: its SHA-256 is {actual[:12]}..., "
            f"its checksum file says {expected[:12]}...",
            _DAMAGED,
        )


@contextmanager
def opened(content: BinaryIO, file: str) -> Iterator[zipfile.ZipFile]:
    """The zip; whatever makes it unreadable becomes Broken, naming the file."""
    try:
        with zipfile.ZipFile(content) as archive:
            yield archive
    except _UNREADABLE as error:
        raise Broken(f"{file} is not a whole zip: {error}", _DAMAGED) from error


def read_manifest(archive: zipfile.ZipFile, file: str) -> Manifest:
    """What the backup says about itself."""
    if archive.namelist().count(manifest.NAME) != 1:
        raise BadInput(
            f"{file} holds no {manifest.NAME}: it is not a backup of this tool",
            "use one that `rollout backup create` made",
        )
    if archive.getinfo(manifest.NAME).file_size > _MANIFEST_LIMIT:
        raise Broken(f"{file} has an unreadable {manifest.NAME}: it is too large", _DAMAGED)
    return manifest.decode(archive.read(manifest.NAME), file)


def check_name(path: Path, said: Manifest, file: str) -> None:
    """BadInput when it is another backup under this name, with a checksum that fits."""
    named = names.parse_any(path.name, said.service)
    if named is None:
        return  # a copy under a name of its own
    right = str(replace(named, environment=said.environment, created=said.created))
    if right != path.name:
        raise BadInput(
            f"{file} is another backup under this name: it was made as {right}",
            "somebody put it there: give it its own name again, with its checksum, and restore "
            "the backup that belongs here from a copy",
        )


def check_content(content: BinaryIO, file: str, database: Database, scratch: Path) -> Path | None:
    """Every member and the dump, which is unpacked to `scratch`: a new file or a new folder."""
    with opened(content, file) as archive:
        said = read_manifest(archive, file)
        dump = check_members(archive, content, said, file, scratch)
    if dump is not None:
        check_dump(dump, said, file, database)
    return dump


def check_bytes(content: BinaryIO, file: str) -> None:
    """Every member; nothing is unpacked. For a dump that was proven before it was packed."""
    with opened(content, file) as archive:
        check_members(archive, content, read_manifest(archive, file), file, None)


def check_members(
    archive: zipfile.ZipFile, content: BinaryIO, said: Manifest, file: str, dump_to: Path | None
) -> Path | None:
    """Read every member against the manifest; the dump goes to `dump_to`, if that is a place."""
    found = sorted(archive.namelist())
    expected = sorted([manifest.NAME, *(member.name for member in said.members)])
    if found != expected:
        odd = sorted(set(found) ^ set(expected)) or found
        raise Broken(f"{file} and its {manifest.NAME} disagree about {', '.join(odd)}", _DAMAGED)
    parts = [member for member in said.members if said.database.holds(member.name)]
    if said.database.sha256 and said.database.sha256 != manifest.whole(parts):
        raise Broken(f"{file} holds another dump than the one that was made for it", _DAMAGED)
    if dump_to is not None:
        _make_room(dump_to.parent, sum(part.size for part in parts))
    with ThreadPoolExecutor(1) as threads:
        for member in said.members:
            chunks = inflated(archive, content, member.name)
            if dump_to is None or member not in parts:
                _check_member(chunks, member, file, None, threads)
                continue
            part = _part(dump_to, said.database.member or "", member.name, file)
            with part.open("xb") as target:
                _check_member(chunks, member, file, target, threads)
    if said.database.member is not None and not parts:
        raise Broken(f"{file} lacks its dump {said.database.member}", _DAMAGED)
    return dump_to if parts else None


def _part(dump_to: Path, whole: str, member: str, file: str) -> Path:
    """Where a part of the dump is unpacked to: never outside the dump."""
    if whole == member:
        return dump_to
    name = member.removeprefix(whole)
    if "/" in name or name in {"", ".", ".."}:
        raise Broken(f"{file} has a dump with an odd part {member}", _DAMAGED)
    dump_to.mkdir(mode=0o700, exist_ok=True)
    return dump_to / name


def check_dump(dump: Path, said: Manifest, file: str, database: Database) -> None:
    """Prove the dump, and compare its rows with what was counted when it was made."""
    try:
        rows = database.prove(dump)
    except Broken as error:
        raise about_dump(error, dump, file) from error
    if dict(rows) != said.database.rows:
        raise Broken(
            f"the dump in {file} has other rows than {manifest.NAME} says: "
            + _differences(said.database.rows, rows),
            _DAMAGED,
        )


def about_dump(error: Broken, dump: Path, file: str) -> Broken:
    """The same in words about the backup: nobody knows where its dump lies meanwhile."""
    return Broken(error.why.what.replace(str(dump), f"the dump in {file}"), error.why.hint)


def _check_member(
    chunks: Iterator[bytes],
    member: Member,
    file: str,
    target: BinaryIO | None,
    threads: ThreadPoolExecutor,
) -> None:
    digest = hashlib.sha256()
    size = 0
    hashed = threads.submit(digest.update, b"")
    for chunk in chunks:
        hashed.result()
        hashed = threads.submit(digest.update, chunk)  # while the next one is inflated
        size += len(chunk)
        if size > member.size:  # enough to know; a zip bomb goes no further
            break
        if target is not None:
            target.write(chunk)
    hashed.result()
    if size != member.size or digest.hexdigest() != member.sha256:
        raise Broken(f"{member.name} in {file} is not what {manifest.NAME} says", _DAMAGED)


def _make_room(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise Broken(
            f"checking needs {needed} bytes in {folder}, {free} are free", f"make room in {folder}"
        )


def _differences(said: Mapping[str, int], found: Mapping[str, int]) -> str:
    return ", ".join(
        f"{table}: {said.get(table, 'no table')} written down, {found.get(table, 'no table')} found"
        for table in sorted({*said, *found})
        if said.get(table) != found.get(table)
    )
