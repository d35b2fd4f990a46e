"""Writing the zip: streamed, every member and the whole hashed while it is written."""

import hashlib
import io
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from guarded_rollout.adapters.archive import manifest
from guarded_rollout.adapters.archive.manifest import Member
from guarded_rollout.adapters.archive.zip_stream import ZipStream

CHUNK = 1 << 20


@dataclass(slots=True)
class _Hashed:
    """Write only, never seeks: so the zip's hash is known when its last byte is written."""

    file: BinaryIO
    sha256: "hashlib._Hash" = field(default_factory=hashlib.sha256)

    def write(self, data: bytes) -> int:
        self.sha256.update(data)
        return self.file.write(data)


@dataclass(slots=True)
class Packing:
    """A zip that is being written. `told`: called with the bytes of every chunk that went in."""

    zip: ZipStream
    out: _Hashed
    told: Callable[[int], None]
    members: list[Member] = field(default_factory=list)

    def add(
        self, name: str, content: BinaryIO, size: int, *, hidden: tuple[int, ...] = ()
    ) -> Member:
        """Put one member in. `size` is what is expected, for the choice of Zip64."""
        written = self.zip.add(name, content, size, self.told)
        member = Member(name, written.size, written.sha256, hidden)
        self.members.append(member)
        return member

    def add_manifest(self, data: bytes) -> None:
        """The last member: it lists the others, and not itself."""
        self.add(manifest.NAME, io.BytesIO(data), len(data))
        self.members.pop()

    def sha256(self) -> str:
        """Of everything written so far; of the whole file once `packing` has ended."""
        return self.out.sha256.hexdigest()


@contextmanager
def packing(path: Path, created: float, told: Callable[[int], None]) -> Iterator[Packing]:
    """A new zip, 0600, on the disk afterwards."""
    moment = datetime.fromtimestamp(created, UTC)
    at = (moment.year, moment.month, moment.day, moment.hour, moment.minute, moment.second)
    handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    with os.fdopen(handle, "wb") as file:
        out = _Hashed(file)
        stream = ZipStream(out, at)
        try:
            yield Packing(stream, out, told)
            stream.finish()
        finally:
            stream.close()
        file.flush()
        os.fsync(file.fileno())


def file_sha256(file: BinaryIO) -> str:
    """From where the file stands to its end."""
    digest = hashlib.sha256()
    while chunk := file.read(CHUNK):
        digest.update(chunk)
    return digest.hexdigest()
