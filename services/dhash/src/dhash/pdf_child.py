"""The process that reads one PDF at a time, killed when a file takes too much.

PDFium is not safe in threads and the files come from strangers, so it lives here, with limits
on memory and processor time. Requests and answers are frames on standard input and output: a
length in eight bytes, then that many bytes.
"""

import ctypes
import hashlib
import json
import os
import resource
import signal
import sys
import warnings
from collections.abc import Iterator
from dataclasses import asdict
from typing import IO

import pypdfium2
from PIL import Image
from pypdfium2 import raw

from dhash.clock import elapsed
from dhash.errors import ServiceError, TooLargeError, UnreadableError
from dhash.hashing import MAX_PIXELS, ImageHash, hash_bitmap, hash_image
from dhash.memory import keep_freed_memory
from dhash.pdf_frames import HEADER, LENGTH
from dhash.picture import Picture, describe

MEMORY_LIMIT_BYTES = 1536 * 1024 * 1024
MOST_PAGES = 2000
MOST_PICTURES = 2000
SMALLEST_SIDE_PX = 16
"""Smaller pictures in a PDF are lines, dots and spacers."""


def main() -> None:
    """Answer frames until standard input ends."""
    parent, seconds = int(sys.argv[1]), int(sys.argv[2])
    _limit(parent)
    keep_freed_memory()
    answers = _own_stdout()
    requests = sys.stdin.buffer
    while header := requests.read(HEADER.size):
        size, exact = HEADER.unpack(header)
        _limit_processor_time(seconds)
        answer = json.dumps(_answer(requests.read(size), exact=bool(exact))).encode()
        answers.write(LENGTH.pack(len(answer)) + answer)
        answers.flush()


def _answer(content: bytes, *, exact: bool) -> dict[str, object]:
    try:
        return {"pictures": [asdict(picture) for picture in read_pictures(content, exact=exact)]}
    except ServiceError as error:
        return _failure(error)
    except MemoryError:
        return _failure(
            UnreadableError("The PDF needs more memory than one file gets.", "Split it.")
        )


def _failure(error: ServiceError) -> dict[str, object]:
    facts = {"name": type(error).__name__, "message": error.message, "hint": error.hint}
    return {"error": facts}


def read_pictures(content: bytes, *, exact: bool) -> Iterator[Picture]:
    """Hash every embedded picture, page by page.

    A picture is hashed as it is stored: masks, and how the page turns or cuts it, do not count.
    Raises UnreadableError or TooLargeError.
    """
    known: dict[str, ImageHash] = {}
    try:
        document = pypdfium2.PdfDocument(content)
        if len(document) > MOST_PAGES:
            raise TooLargeError(f"The PDF has {len(document)} pages.", f"At most {MOST_PAGES}.")
        found = 0
        for number in range(len(document)):
            page = document[number]
            for item in page.get_objects(filter=[raw.FPDF_PAGEOBJ_IMAGE]):
                if min(item.get_px_size()) < SMALLEST_SIDE_PX:
                    continue
                found += 1
                if found > MOST_PICTURES:
                    raise TooLargeError("The PDF has too many pictures.", f"At most {found - 1}.")
                yield _hash_item(item, number + 1, known, exact=exact)
            page.close()
        document.close()
    except pypdfium2.PdfiumError as error:
        raise UnreadableError(
            f"The PDF cannot be read: {str(error).rstrip('.')}.",
            "Is it complete, and without a password?",
        ) from error


def _hash_item(
    item: pypdfium2.PdfImage, page: int, known: dict[str, ImageHash], *, exact: bool
) -> Picture:
    start = elapsed()
    width, height = item.get_px_size()
    if width * height > MAX_PIXELS:
        raise TooLargeError(
            f"A picture on page {page} has {width} x {height} pixels.",
            f"At most {MAX_PIXELS} pixels are read.",
        )
    # A JPEG's own bytes go to the fast path; anything else needs PDFium's decoder.
    if item.get_filters() == ["DCTDecode"]:
        content = bytes(item.get_data())
        digest = hashlib.sha256(content).hexdigest()
        if digest not in known:
            try:
                known[digest] = hash_image(content, exact=exact)
            except UnreadableError:
                # PDFium forgives what Pillow does not.
                known[digest] = hash_bitmap(_bitmap(item))
            return describe(known[digest], digest, page, elapsed() - start)
    else:
        bitmap = _bitmap(item)
        shape = f"{bitmap.mode} {bitmap.size}".encode()
        digest = hashlib.sha256(shape + bitmap.tobytes()).hexdigest()
        if digest not in known:
            known[digest] = hash_bitmap(bitmap)
            return describe(known[digest], digest, page, elapsed() - start)
    return describe(known[digest], digest, page, 0.0)


def _bitmap(item: pypdfium2.PdfImage) -> Image.Image:
    # The copy, because the pixels belong to PDFium's bitmap, which ends with this call.
    picture: Image.Image = item.get_bitmap(render=False).to_pil()
    return picture.copy()


def _own_stdout() -> IO[bytes]:
    """The answers' channel; whatever a library prints goes to standard error instead."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return answers


def _limit(parent: int) -> None:
    # A terminal or a supervisor signals the whole group; the server decides when we end.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    warnings.simplefilter("ignore")
    if sys.platform == "linux":
        set_death_signal = 1
        ctypes.CDLL(None).prctl(set_death_signal, signal.SIGKILL)
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_LIMIT_BYTES, MEMORY_LIMIT_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if os.getppid() != parent:
        sys.exit(0)


def _limit_processor_time(seconds: int) -> None:
    """The last resort where nobody is left to kill us."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    used = int(usage.ru_utime + usage.ru_stime) + 1
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (used + seconds, hard))


if __name__ == "__main__":
    main()
