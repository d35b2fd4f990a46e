"""The difference hash: what the contract says, and a faster way for JPEG.

Grayscale, 9 by 8 pixels, and one bit for each pair of horizontal neighbours: 1 where the left
one is lighter. Row-major from the least significant bit; 16 lower-case hex digits. Other
libraries turn the comparison or the bit order around; golden tests hold ours.
"""

import io
from dataclasses import dataclass

from PIL import Image, UnidentifiedImageError

from dhash.errors import ServiceError, TooLargeError, UnreadableError, UnsupportedTypeError

COLUMNS, ROWS = 8, 8
STABLE_ABOVE = 2
"""Gray levels. The fast path rounds differently; no greater difference was seen to turn a bit."""
MAX_PIXELS = 64_000_000
FORMATS = ("PNG", "JPEG", "WEBP")
_DRAFT_SIZE = (128, 128)
_ORIENTATION_TAG = 0x0112
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_SIDEWAYS = (
    Image.Transpose.TRANSPOSE,
    Image.Transpose.ROTATE_270,
    Image.Transpose.TRANSVERSE,
    Image.Transpose.ROTATE_90,
)

# The size is checked below, before any pixel is decoded; Pillow's own limit would only warn.
Image.MAX_IMAGE_PIXELS = None


@dataclass(frozen=True, slots=True)
class ImageHash:
    """One picture's hash.

    `stable_mask` has a 1 for each bit that rounding does not turn, `stable_bits` counts them.
    `path` is "exact" (the contract to the letter) or "fast", which agrees with it at every
    bit that is stable in its own mask.
    `width` and `height` are pixels, as a person sees the picture.
    """

    value: str
    stable_mask: int
    stable_bits: int
    path: str
    format: str
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class _Decoded:
    """Gray pixels, not yet turned; `box` is what of them the picture covers, if they were reduced.

    `turn` makes the picture stand as a person sees it.
    """

    gray: Image.Image
    box: tuple[int, int, float, float] | None
    turn: Image.Transpose | None
    format: str
    size: tuple[int, int]


def hash_image(content: bytes, *, exact: bool = False) -> ImageHash:
    """Hash an encoded picture; `exact` forbids the fast path.

    Raises UnsupportedTypeError, TooLargeError or UnreadableError.
    """
    try:
        decoded = _decode(content, exact=exact)
    except ServiceError:
        raise
    except Exception as error:
        # Decoders meet hostile bytes here and fail in every way there is.
        raise UnreadableError(
            f"The picture cannot be decoded: {str(error).rstrip('.')}.", "Is the file complete?"
        ) from error
    return _hash_pixels(decoded)


def hash_bitmap(bitmap: Image.Image) -> ImageHash:
    """Hash a picture that is decoded already (from a PDF); always the exact path."""
    return _hash_pixels(_Decoded(_gray_on_white(bitmap), None, None, "bitmap", bitmap.size))


def _hash_pixels(decoded: _Decoded) -> ImageHash:
    pixels = _shrink(decoded).tobytes()
    value = mask = 0
    for bit in range(COLUMNS * ROWS):
        row, column = divmod(bit, COLUMNS)
        left = pixels[row * (COLUMNS + 1) + column]
        right = pixels[row * (COLUMNS + 1) + column + 1]
        if left > right:
            value |= 1 << bit
        if abs(left - right) > STABLE_ABOVE:
            mask |= 1 << bit
    width, height = decoded.size
    return ImageHash(
        value=f"{value:016x}",
        stable_mask=mask,
        stable_bits=mask.bit_count(),
        path="exact" if decoded.box is None else "fast",
        format=decoded.format,
        width=width,
        height=height,
    )


def _shrink(decoded: _Decoded) -> Image.Image:
    size = (COLUMNS + 1, ROWS)
    if decoded.box is None:
        upright = decoded.gray if decoded.turn is None else decoded.gray.transpose(decoded.turn)
        return upright.resize(size, Image.Resampling.LANCZOS)
    # The box has fractions of a pixel, so it cannot be turned: turn the 72 pixels instead.
    if decoded.turn in _SIDEWAYS:
        size = (ROWS, COLUMNS + 1)
    small = decoded.gray.resize(size, Image.Resampling.LANCZOS, box=decoded.box)
    return small if decoded.turn is None else small.transpose(decoded.turn)


def _decode(content: bytes, *, exact: bool) -> _Decoded:
    try:
        picture = Image.open(io.BytesIO(content), formats=FORMATS)
    except UnidentifiedImageError as error:
        raise UnsupportedTypeError(
            "The bytes are no picture that we can read.", "Send a whole PNG, JPEG or WebP."
        ) from error
    with picture:
        width, height = picture.size
        if width * height > MAX_PIXELS:
            raise TooLargeError(
                f"The picture has {width} x {height} pixels.",
                f"At most {MAX_PIXELS} pixels are read.",
            )
        # MPO is what cameras write: a JPEG with more pictures behind the first.
        is_jpeg = picture.format in ("JPEG", "MPO")
        box = None
        if is_jpeg and not exact and picture.mode in ("L", "RGB"):
            draft = picture.draft("L", _DRAFT_SIZE)
            box = None if draft is None else draft[1]
        picture.load()
        turn = _UPRIGHT.get(picture.getexif().get(_ORIENTATION_TAG, 1))
        if turn in _SIDEWAYS:
            width, height = height, width
        name = "jpeg" if is_jpeg else str(picture.format).lower()
        return _Decoded(_gray_on_white(picture), box, turn, name, (width, height))


def _gray_on_white(picture: Image.Image) -> Image.Image:
    """8-bit gray; what is transparent shows white, as on the pages of a rulebook."""
    if picture.mode == "I" or picture.mode.startswith("I;16"):
        # Pillow would clip 16-bit gray at 255, and nearly all of it would be white.
        return picture.convert("I").point(lambda value: value * (1 / 257)).convert("L")
    if not picture.has_transparency_data:
        return picture.convert("L")
    colours = picture if picture.mode in ("LA", "RGBA") else picture.convert("RGBA")
    white = Image.new("L", picture.size, 255)
    return Image.composite(colours.convert("L"), white, colours.getchannel("A"))
