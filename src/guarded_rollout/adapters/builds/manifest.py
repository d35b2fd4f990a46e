"""What is in a release's folder: written when it was built, compared ever after."""

import hashlib
import json
import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from guarded_rollout.core.spec import Release

NAME = "manifest.json"
FORMAT = 1
Entry = tuple[int, str]
"""A file's size in bytes and its SHA-256; a link's is -1 and where it points to."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """A release, the schema revision it needs, and every file of it by relative path."""

    release: Release
    head: str | None
    files: Mapping[str, Entry]

    def write(self, folder: Path) -> None:
        """Into the release's folder, on the disk when this returns. Raises OSError."""
        data = {
            "format": FORMAT,
            "release": asdict(self.release),
            "head": self.head,
            "files": self.files,
        }
        with (folder / NAME).open("x") as file:
            json.dump(data, file, indent=0, sort_keys=True)
            file.flush()
            os.fsync(file.fileno())


def read_manifest(folder: Path) -> Manifest | None:
    """The folder's manifest; None when there is none, or none that can be understood."""
    try:
        data = json.loads((folder / NAME).read_bytes())
        if data["format"] != FORMAT:
            return None
        files = {name: (int(size), str(digest)) for name, (size, digest) in data["files"].items()}
        return Manifest(Release(**data["release"]), data["head"], files)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def take_stock(folder: Path) -> dict[str, Entry]:
    """Every file below the folder except the manifest. Raises OSError."""
    return {name: _entry(folder / name) for name in _names(folder)}


def whole(folder: Path, manifest: Manifest) -> bool:
    """Look quickly: every file is there with its size. A power cut shortens files."""
    try:
        return all(
            size < 0 or (folder / name).lstat().st_size == size
            for name, (size, _) in manifest.files.items()
        )
    except OSError:
        return False


def changed(folder: Path, manifest: Manifest) -> tuple[str, ...]:
    """Look thoroughly: the files that are missing, different, or were not there, by name."""
    there = set(_names(folder))
    different = {
        name
        for name, entry in manifest.files.items()
        if name not in there or _entry(folder / name) != entry
    }
    return tuple(sorted(different | (there - manifest.files.keys())))


def _names(folder: Path) -> Iterator[str]:
    for where, folders, files in os.walk(folder):
        links = [name for name in folders if (Path(where) / name).is_symlink()]
        for name in (*files, *links):
            path = (Path(where) / name).relative_to(folder).as_posix()
            if path != NAME:
                yield path


def _entry(file: Path) -> Entry:
    found = file.lstat()
    if stat.S_ISLNK(found.st_mode):
        return (-1, f"-> {file.readlink()}")
    return (found.st_size, hashlib.sha256(file.read_bytes()).hexdigest())
