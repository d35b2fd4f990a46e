"""A Python service's source folder: which files make the release, their digest, its version."""

import hashlib
import os
import re
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from guarded_rollout.core.problems import BadInput

LOCK = "requirements.lock"
BUILD_LOCK = "requirements-build.lock"
"""Optional: the build backend, exact and hashed. Without it uv takes what pyproject.toml allows."""
NOT_AT_THE_TOP = frozenset({"tests", "golden", "bench", "build", "dist", "htmlcov"})
NOWHERE = frozenset({"__pycache__", ".DS_Store"})
PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"

_NAME = re.compile(r"[0-9A-Za-z][0-9A-Za-z._-]*")
_VERSION = re.compile(r"[0-9A-Za-z][0-9A-Za-z.+!_-]*")
_ASSIGNED = re.compile(
    r"^(?:__version__|VERSION)(?: *: *str)? *= *(['\"])v?(.+?)\1", re.IGNORECASE | re.MULTILINE
)


@dataclass(frozen=True, slots=True)
class Source:
    """A source folder, read. `files`: the relative paths that go into a build, sorted."""

    folder: Path
    version: str
    files: tuple[str, ...]

    def copy(self, to: Path) -> None:
        """The files that go into a build, and nothing else. Raises OSError."""
        for name in self.files:
            source, copy = self.folder / name, to / name
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(source.read_bytes())
            copy.chmod(0o755 if os.access(source, os.X_OK) else 0o644)
        # Hatchling looks for a .gitignore in the folders above, up to this one.
        (to / ".git").mkdir()

    def digest(self) -> str:
        """SHA-256 over Python's version and every file's path, executable bit and content."""
        total = hashlib.sha256(f"guarded-rollout source 1\npython {PYTHON}\n".encode())
        for name in self.files:
            file = self.folder / name
            try:
                content = hashlib.sha256(file.read_bytes()).hexdigest()
            except OSError as problem:
                raise _unreadable(file, problem) from problem
            mode = "x" if os.access(file, os.X_OK) else "-"
            total.update(f"{len(os.fsencode(name))} ".encode() + os.fsencode(name))
            total.update(f" {mode} {content}\n".encode())
        return total.hexdigest()


def read_source(service: str, folder: Path) -> Source:
    """Look at a source folder. Raises BadInput naming the file and the key."""
    if not _NAME.fullmatch(service):
        raise BadInput(
            f"the service's name {service!r} cannot name a folder",
            "use letters, digits, dots and dashes: [service] name in rollout.toml",
        )
    if not folder.is_dir():
        raise BadInput(
            f"{service}: there is no source folder {folder}",
            "correct [service] source in rollout.toml, or give --source FOLDER",
        )
    version = _version(folder)
    if not (folder / LOCK).is_file():
        raise BadInput(
            f"{folder / LOCK} is missing: a release is made from exact, hashed requirements",
            f"make it: uv pip compile --generate-hashes pyproject.toml -o {LOCK}",
        )
    try:
        files = tuple(sorted(_files(folder, folder), key=os.fsencode))
    except OSError as problem:
        raise _unreadable(Path(problem.filename or folder), problem) from problem
    return Source(folder, version, files)


def _files(top: Path, folder: Path) -> Iterator[str]:
    with os.scandir(folder) as found:
        entries = list(found)
    for entry in entries:
        if _excluded(entry.name, at_the_top=folder == top, is_folder=entry.is_dir()):
            continue
        path = Path(entry.path)
        if entry.is_symlink():
            target = path.resolve()
            if not (target.is_file() and target.is_relative_to(top.resolve())):
                raise BadInput(
                    f"{path} is a link to {target}: a release holds only files of its source",
                    "put the file itself there",
                )
            yield path.relative_to(top).as_posix()
        elif entry.is_dir():
            yield from _files(top, path)
        elif entry.is_file():
            yield path.relative_to(top).as_posix()
        else:
            raise BadInput(f"{path} is neither a file nor a folder", "remove it from the source")


def _excluded(name: str, *, at_the_top: bool, is_folder: bool) -> bool:
    if name in NOWHERE or name.endswith((".pyc", ".egg-info")):
        return True
    if is_folder:
        return name.startswith(".") or (at_the_top and name in NOT_AT_THE_TOP)
    return at_the_top and name.startswith(".") and name != ".gitignore"


def _version(folder: Path) -> str:
    file = folder / "pyproject.toml"
    project, hatch = _tables(file)
    if "version" in project:
        found = project["version"]
    elif isinstance(place := hatch.get("path"), str):
        found = _assigned(file, folder / place)
    else:
        raise BadInput(
            f"{file}: [project] has no version, and [tool.hatch.version] has no path to find it in",
            'write version = "1.2.3" into [project]',
        )
    if not isinstance(found, str) or not _VERSION.fullmatch(found):
        raise BadInput(f"{file}: {found!r} is no version", 'write it like "1.2.3"')
    return found


def _tables(file: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """[project] and [tool.hatch.version]."""
    try:
        data = tomllib.loads(file.read_text("utf-8"))
    except FileNotFoundError:
        raise BadInput(
            f"{file} is missing: it names the service and its version",
            "give a source folder with a pyproject.toml",
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as problem:
        raise BadInput(f"{file} is not valid TOML: {problem}", "correct that line") from problem
    except OSError as problem:
        raise _unreadable(file, problem) from problem
    found: list[dict[str, Any]] = []
    for keys in (("project",), ("tool", "hatch", "version")):
        table: Any = data
        for key in keys:
            table = table.get(key, {}) if isinstance(table, dict) else {}
        found.append(table if isinstance(table, dict) else {})
    return found[0], found[1]


def _assigned(file: Path, place: Path) -> str:
    try:
        match = _ASSIGNED.search(place.read_text("utf-8"))
    except (OSError, UnicodeDecodeError) as problem:
        raise BadInput(
            f"{file}: [tool.hatch.version] path names {place}, which cannot be read: {problem}",
            "correct the path",
        ) from problem
    if match is None:
        raise BadInput(
            f"{place} has no line like __version__ = '1.2.3' ({file}, [tool.hatch.version] path)",
            "add it, or write the version into [project]",
        )
    return match[2]


def _unreadable(file: Path, problem: OSError) -> BadInput:
    return BadInput(f"{file} cannot be read: {problem.strerror}", "make it readable for this user")
