"""A zip written in one pass, deflated once, in blocks, by all cores.

Every block ends on a byte and needs no other block, so that they are made in parallel and simply
follow one another; what comes out is an ordinary deflate stream. Nothing is ever written twice or
seeked back to, so that the whole file's hash is known with its last byte.
"""

import hashlib
import os
import struct
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import BinaryIO, Protocol

from isal import isal_zlib

LEVEL = 1
BLOCK = 1 << 20
_DEFLATED = 8
_UTF8_AND_DESCRIPTOR = 0x808
_UNIX = 3 << 8
_MODE = 0o100600 << 16
_FULL = 0xFFFFFFFF
_MANY = 0xFFFF
_MAYBE_LARGE = 1 << 30
_LAST = b"\x03\x00"  # an empty final block

_Moment = tuple[int, int, int, int, int, int]


class Sink(Protocol):
    """Where the zip goes."""

    def write(self, data: bytes) -> int:
        """Append."""


@dataclass(frozen=True, slots=True)
class Written:
    """One member. `offset`: of its header; `packed`: its bytes in the zip."""

    name: bytes
    offset: int
    crc: int
    size: int
    packed: int
    large: bool
    sha256: str


@dataclass(slots=True)
class ZipStream:
    """Add members, then finish. `at`: the time that all members carry, in UTC."""

    out: Sink
    at: _Moment
    _threads: ThreadPoolExecutor = field(init=False)
    _offset: int = 0
    _members: list[Written] = field(default_factory=list)

    def __post_init__(self) -> None:
        """As many threads as cores: the compressor lets go of the interpreter."""
        self._threads = ThreadPoolExecutor(_cores())

    def close(self) -> None:
        """End the threads."""
        self._threads.shutdown(wait=True, cancel_futures=True)

    def add(self, name: str, content: BinaryIO, size: int, told: Callable[[int], None]) -> Written:
        """One member. `size`: what is expected, for the choice of Zip64. `told`: bytes read."""
        offset, raw = self._offset, name.encode()
        large = size >= _MAYBE_LARGE
        extra = struct.pack("<HHQQ", 1, 16, 0, 0) if large else b""
        limit = _FULL if large else 0
        header = (
            *(b"PK\3\4", 45 if large else 20, _UTF8_AND_DESCRIPTOR, _DEFLATED, *self._stamp()),
            *(0, limit, limit, len(raw), len(extra)),
        )
        self._write(struct.pack("<4sHHHHHIIIHH", *header) + raw + extra)
        began = self._offset
        digest, crc, total = hashlib.sha256(), 0, 0
        waiting: deque[Future[bytes]] = deque()
        try:
            for block in _blocks(content):
                waiting.append(self._threads.submit(_deflated, block))
                digest.update(block)
                crc = isal_zlib.crc32(block, crc)
                total += len(block)
                told(len(block))
                if len(waiting) > 2 * _cores():
                    self._write(waiting.popleft().result())
            while waiting:
                self._write(waiting.popleft().result())
        finally:
            for future in waiting:
                future.cancel()
        self._write(_LAST)
        packed = self._offset - began
        if not large and max(total, packed) >= _FULL:
            raise OSError(None, "grew while it was packed", name)
        how = "<4sIQQ" if large else "<4sIII"
        self._write(struct.pack(how, b"PK\7\x08", crc, packed, total))
        member = Written(raw, offset, crc, total, packed, large, digest.hexdigest())
        self._members.append(member)
        return member

    def finish(self) -> None:
        """The directory of all members."""
        began = self._offset
        for member in self._members:
            self._write(self._entry(member))
        size, count = self._offset - began, len(self._members)
        if began >= _FULL or size >= _FULL or count >= _MANY:
            at = self._offset
            self._write(
                struct.pack(
                    "<4sQHHIIQQQQ", b"PK\6\6", 44, _UNIX | 45, 45, 0, 0, count, count, size, began
                )
                + struct.pack("<4sIQI", b"PK\6\7", 0, at, 1)
            )
        shown = (min(count, _MANY), min(count, _MANY), min(size, _FULL), min(began, _FULL))
        self._write(struct.pack("<4sHHHHIIH", b"PK\5\6", 0, 0, *shown, 0))

    def _entry(self, member: Written) -> bytes:
        values = (member.size, member.packed, member.offset)
        extra = b"".join(struct.pack("<Q", value) for value in values if value >= _FULL)
        if extra:
            extra = struct.pack("<HH", 1, len(extra)) + extra
        needed = 45 if extra or member.large else 20
        size, packed, offset = (min(value, _FULL) for value in values)
        fields = (
            *(b"PK\1\2", _UNIX | 45, needed, _UTF8_AND_DESCRIPTOR, _DEFLATED, *self._stamp()),
            *(member.crc, packed, size, len(member.name), len(extra), 0, 0, 0, _MODE, offset),
        )
        return struct.pack("<4sHHHHHHIIIHHHHHII", *fields) + member.name + extra

    def _stamp(self) -> tuple[int, int]:
        year, month, day, hour, minute, second = self.at
        return hour << 11 | minute << 5 | second // 2, (year - 1980) << 9 | month << 5 | day

    def _write(self, data: bytes) -> None:
        self.out.write(data)
        self._offset += len(data)


def _blocks(content: BinaryIO) -> Iterator[bytes]:
    while block := content.read(BLOCK):
        yield block


def _deflated(block: bytes) -> bytes:
    packer = isal_zlib.compressobj(LEVEL, isal_zlib.DEFLATED, -15)
    return packer.compress(block) + packer.flush(isal_zlib.Z_FULL_FLUSH)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
