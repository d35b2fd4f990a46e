"""The folder of premerge's artifacts, every byte of it read again."""

import hashlib
import os
import re
from collections.abc import Iterator
from pathlib import Path

from guarded_rollout.core.premerge_manifest import NAME, File, Manifest, manifest_of
from guarded_rollout.core.problems import BadInput
from guarded_rollout.core.pull_checklist import AGAIN, Bundle

_CHECKSUM = re.compile(r"([0-9a-f]{64}) [ *](\S.*)\n?")


def read_bundle(folder: Path) -> Bundle:
    """Look. BadInput when there is no manifest, or none that can be understood."""
    shown = f"{folder.name}/{NAME}"
    try:
        text = (folder / NAME).read_bytes()
    except OSError as error:
        raise BadInput(f"{shown} cannot be read: {error.strerror}", f"make it: {AGAIN}") from error
    manifest = manifest_of(text, shown)
    faults = {one.path: why for one in manifest.files if (why := _fault(folder, one)) is not None}
    known = {NAME, *(one.path for one in manifest.files)}
    strangers = tuple(sorted(path for path in _paths(folder) if path not in known))
    return Bundle(manifest, faults, strangers, dict(_zips(folder, manifest)))


def _fault(folder: Path, file: File) -> str | None:
    path = folder / file.path
    if path.is_symlink() or not path.resolve().is_relative_to(folder.resolve()):
        return "is a link"
    try:
        with path.open("rb") as content:
            size = os.fstat(content.fileno()).st_size
            digest = hashlib.file_digest(content, "sha256").hexdigest()
    except FileNotFoundError:
        return "is missing"
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    if digest == file.sha256 and size == file.bytes:
        return None
    return (
        f"was altered: sha256 {digest[:12]}, {size} bytes; {file.sha256[:12]}, {file.bytes} bytes"
    )


def _paths(folder: Path) -> Iterator[str]:
    for where, folders, files in os.walk(folder):
        links = [name for name in folders if (Path(where) / name).is_symlink()]
        for name in (*files, *links):
            yield (Path(where) / name).relative_to(folder).as_posix()


def _zips(folder: Path, manifest: Manifest) -> Iterator[tuple[str, str]]:
    """Each backup that has a checksum of its own name, and the digest there."""
    known = {one.path for one in manifest.files}
    for one in manifest.files:
        beside = f"{one.path}.sha256"
        if one.kind != "backup" or beside not in known:
            continue
        try:
            found = _CHECKSUM.fullmatch((folder / beside).read_text("utf-8"))
        except (OSError, UnicodeDecodeError):
            continue
        if found is not None and Path(found[2]).name == Path(one.path).name:
            yield one.path, found[1]
