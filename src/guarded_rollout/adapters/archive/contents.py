"""The files in a backup beside the dump: configuration without secrets, data as it is."""

import io
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from guarded_rollout.adapters.archive import names
from guarded_rollout.adapters.archive.secrets import without_secrets
from guarded_rollout.core.problems import BadInput

_TEXT_LIMIT = 4 << 20
_SECRET_SUFFIXES = frozenset({".conf", ".env", ".key", ".pem"})
_DATABASE_SUFFIXES = ("", "-wal", "-shm", "-journal")


@dataclass(frozen=True, slots=True)
class Content:
    """One file to pack. `text`: look for secrets in it. `size` in bytes, when it was found."""

    member: str
    path: Path
    size: int
    text: bool

    def open(self) -> tuple[BinaryIO, tuple[int, ...]]:
        """Its bytes without secrets, and the numbers of the lines that were changed."""
        if not self.text:
            return self.path.open("rb"), ()
        raw = self.path.read_bytes()
        if b"\0" in raw:
            return io.BytesIO(raw), ()
        # Whatever the encoding: bytes that are not UTF-8 come out as they went in.
        cleaned = without_secrets(raw.decode("utf-8", "surrogateescape"))
        return io.BytesIO(cleaned.text.encode("utf-8", "surrogateescape")), cleaned.lines


def contents(root: Path, files: tuple[str, ...], database_url: str) -> tuple[Content, ...]:
    """What `files` name: a file is configuration, a folder is data and goes in with all its files.

    The database's own files and the backups are left out. BadInput names what is missing.
    """
    found: dict[str, Content] = {}
    for file in files:
        for content in _contents(root, file, _not_these(root, database_url)):
            before = found.setdefault(content.member, content)
            if before.path != content.path:
                raise BadInput(
                    f"{before.path} and {content.path} would both be {content.member} in a backup",
                    "rename one of them",
                )
    return tuple(found[member] for member in sorted(found))


def _contents(root: Path, file: str, but: frozenset[Path]) -> Iterator[Content]:
    relative = PurePosixPath(file)
    if relative.is_absolute() or ".." in relative.parts:
        raise BadInput(
            f"{file} cannot go into a backup: it is not below {root}",
            "name files relative to the root",
        )
    path = root / relative
    if path.is_dir():
        for inside in _walk(path, but):
            secret = inside.suffix in _SECRET_SUFFIXES or inside.name.startswith(".env")
            yield _content(root, inside, text=secret)
    elif path.is_file():
        yield _content(root, path, text=True)
    else:
        raise BadInput(
            f"{file} should go into the backup, but there is no such file below {root}",
            "make it, or take it out of the environment's files",
        )


def _content(root: Path, path: Path, *, text: bool) -> Content:
    relative = path.relative_to(root).as_posix()
    known = relative.startswith(("config/", "data/"))
    size = path.stat().st_size
    if text and size > _TEXT_LIMIT:
        raise BadInput(
            f"{relative} has {size} bytes: too many to look for secrets in it",
            f"configuration files have up to {_TEXT_LIMIT} bytes; put data into a data folder",
        )
    return Content(relative if known else f"config/{relative}", path, size, text)


def _walk(folder: Path, but: frozenset[Path]) -> Iterator[Path]:
    for where, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if (Path(where) / name).resolve() not in but)
        for name in sorted(files):
            path = Path(where) / name
            if path.is_file() and path.resolve() not in but:
                yield path


def _not_these(root: Path, database_url: str) -> frozenset[Path]:
    kind, _, path = database_url.partition(":///")
    own = {(root / names.FOLDER).resolve()}
    if kind == "sqlite":
        real = Path(path).resolve()
        own |= {real.with_name(real.name + suffix) for suffix in _DATABASE_SUFFIXES}
    return frozenset(own)
