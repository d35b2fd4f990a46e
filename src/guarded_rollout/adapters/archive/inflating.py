"""Reading a member of a zip, fast, and with every check that zipfile makes."""

import struct
import zipfile
from collections.abc import Iterator
from typing import BinaryIO

from isal import isal_zlib

CHUNK = 1 << 19  # twice as fast as 1 << 20: it stays in the processor's cache
UNREADABLE: type[Exception] = isal_zlib.error  # type: ignore[assignment] # its stub says an instance
_LOCAL_HEADER = 30


def inflated(archive: zipfile.ZipFile, content: BinaryIO, name: str) -> Iterator[bytes]:
    """The member's bytes in chunks of bounded size. `content`: the file that the zip is in.

    Raises zipfile.BadZipFile or UNREADABLE when it is not what its headers say.
    """
    info = archive.getinfo(name)
    archive.open(info).close()  # compares the two headers
    if info.compress_type not in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
        raise zipfile.BadZipFile(f"{name} is compressed by method {info.compress_type}")
    content.seek(info.header_offset)
    lengths = struct.unpack("<HH", content.read(_LOCAL_HEADER)[-4:])
    content.seek(info.header_offset + _LOCAL_HEADER + sum(lengths))
    packed = _packed(content, info.compress_size, name)
    crc, size = 0, 0
    for chunk in packed if info.compress_type == zipfile.ZIP_STORED else _inflated(packed, name):
        crc = isal_zlib.crc32(chunk, crc)
        size += len(chunk)
        yield chunk
    if crc != info.CRC or size != info.file_size:
        raise zipfile.BadZipFile(f"{name} has a wrong checksum or size")


def _packed(content: BinaryIO, size: int, name: str) -> Iterator[bytes]:
    while size:
        chunk = content.read(min(CHUNK, size))
        if not chunk:
            raise zipfile.BadZipFile(f"{name} ends early")
        size -= len(chunk)
        yield chunk


def _inflated(packed: Iterator[bytes], name: str) -> Iterator[bytes]:
    unpacker = isal_zlib.decompressobj(-15)
    for piece in packed:
        rest = piece
        while rest and not unpacker.eof:
            chunk = unpacker.decompress(rest, CHUNK)
            rest = unpacker.unconsumed_tail
            if chunk:
                yield chunk
        if unpacker.eof and (rest or unpacker.unused_data):
            raise zipfile.BadZipFile(f"{name} has bytes behind its end")
    while not unpacker.eof and (chunk := unpacker.decompress(b"", CHUNK)):
        yield chunk
    if not unpacker.eof:
        raise zipfile.BadZipFile(f"{name} ends early")
