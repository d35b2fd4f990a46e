"""Reads what a client sends, within limits, before anybody looks into it."""

from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass

from python_multipart.exceptions import MultipartParseError
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from dhash.errors import InvalidRequestError, TooLargeError, UnsupportedTypeError

LIMIT_BYTES = 50 * 1024 * 1024
_FORM_OVERHEAD_BYTES = 64 * 1024
_LONGEST_NAME = 200
_IMAGE_MAGIC = (b"\x89PNG", b"\xff\xd8\xff", b"RIFF")


@dataclass(frozen=True, slots=True)
class Upload:
    """A whole file; `name` is what the client calls it, or "upload"."""

    name: str
    content: bytes

    @property
    def is_pdf(self) -> bool:
        # Readers take a PDF whose header is not at the very beginning, and so do we.
        return b"%PDF-" in self.content[:1024] and not self.content.startswith(_IMAGE_MAGIC)


async def read_upload(request: Request) -> Upload:
    """The file of a form, or the request's body.

    Raises TooLargeError, UnsupportedTypeError or InvalidRequestError.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        upload = await _from_form(request)
    elif kind.startswith("image/") or kind in ("application/pdf", "application/octet-stream"):
        upload = Upload("upload", await read_body(request, LIMIT_BYTES))
    else:
        raise UnsupportedTypeError(
            f"The content type {kind[:100]!r} is not taken." if kind else "No content type.",
            "Send a form with a file, or the file itself as application/pdf or image/*.",
        )
    if not upload.content:
        raise InvalidRequestError("The file is empty.", "Send a PDF, PNG, JPEG or WebP.")
    return upload


async def read_body(request: Request, limit: int) -> bytes:
    """The body; TooLargeError as soon as it is known to have more than `limit` bytes."""
    _check_announced(request, limit)
    return b"".join([part async for part in _counted(request.stream(), limit)])


async def _from_form(request: Request) -> Upload:
    limit = LIMIT_BYTES + _FORM_OVERHEAD_BYTES
    _check_announced(request, limit)
    parser = MultiPartParser(
        request.headers, _counted(request.stream(), limit), max_files=1, max_fields=8
    )
    try:
        form = await parser.parse()
    except (MultiPartException, MultipartParseError, HTTPException, KeyError, ValueError) as error:
        raise InvalidRequestError(
            "The form cannot be read.", "Send multipart/form-data with exactly one file."
        ) from error
    try:
        file = next((value for value in form.values() if isinstance(value, UploadFile)), None)
        if file is None:
            raise InvalidRequestError("The form has no file.", "Name the field `file`.")
        content = await file.read()
        if len(content) > LIMIT_BYTES:
            raise _too_large(LIMIT_BYTES)
        return Upload((file.filename or "upload")[:_LONGEST_NAME].replace("\0", ""), content)
    finally:
        await form.close()


def _check_announced(request: Request, limit: int) -> None:
    announced = request.headers.get("content-length", "")
    if announced.isdigit() and int(announced) > limit:
        raise _too_large(limit)


async def _counted(stream: AsyncIterator[bytes], limit: int) -> AsyncGenerator[bytes, None]:
    size = 0
    async for part in stream:
        size += len(part)
        if size > limit:
            raise _too_large(limit)
        yield part


def _too_large(limit: int) -> TooLargeError:
    return TooLargeError("The upload is too large.", f"At most {limit} bytes are taken.")
