"""From an uploaded file to hashes, matches and, where in doubt, a person's queue."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from dhash import gallery
from dhash.errors import UnreadableError
from dhash.gallery import Recorded
from dhash.picture import Picture
from dhash.service import Service
from dhash.uploads import Upload

TIME_LIMIT_S = 120


@dataclass(frozen=True, slots=True)
class Extraction:
    """All pictures of one file, each with what became of it."""

    kind: str
    pictures: Sequence[tuple[Picture, Recorded]]


async def extract(service: Service, upload: Upload, *, exact: bool) -> Extraction:
    """Hash, store and match every picture of the file.

    Raises the errors of reading and hashing, BusyError, or DatabaseError.
    """
    if upload.is_pdf:
        pictures = await service.readers.read(upload.content, exact=exact)
    else:
        try:
            async with asyncio.timeout(TIME_LIMIT_S):
                pictures = [await service.hash(upload.content, exact=exact)]
        except TimeoutError as error:
            raise UnreadableError("Reading the picture took too long.", "Try again.") from error
    for picture in pictures:
        if picture.seconds:
            service.metrics.observe_hash(picture.seconds, picture.stable_bits)
    recorded = await service.write(partial(gallery.record, source=upload.name, pictures=pictures))
    for one in recorded:
        for match in one.matches:
            service.metrics.observe_match(match.confidence)
    return Extraction(
        "pdf" if upload.is_pdf else "image", list(zip(pictures, recorded, strict=True))
    )
