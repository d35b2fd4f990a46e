"""One picture out of an upload, with its hash."""

import hashlib
from dataclasses import dataclass

from dhash.clock import elapsed
from dhash.hashing import ImageHash, hash_image


@dataclass(frozen=True, slots=True)
class Picture:
    """What is known of a picture; `page` counts from 1, None outside a PDF.

    `seconds` is what decoding and hashing took, 0 where the same bytes came by just before.
    """

    content_sha256: str
    hash: str
    stable_bits: int
    path: str
    format: str
    width: int
    height: int
    page: int | None
    seconds: float


def read_picture(content: bytes, *, exact: bool = False) -> Picture:
    """Hash an uploaded picture; errors as from `hash_image`."""
    start = elapsed()
    result = hash_image(content, exact=exact)
    return describe(result, hashlib.sha256(content).hexdigest(), None, elapsed() - start)


def describe(result: ImageHash, digest: str, page: int | None, seconds: float) -> Picture:
    """A hash together with where it comes from."""
    return Picture(
        content_sha256=digest,
        hash=result.value,
        stable_bits=result.stable_bits,
        path=result.path,
        format=result.format,
        width=result.width,
        height=result.height,
        page=page,
        seconds=seconds,
    )
