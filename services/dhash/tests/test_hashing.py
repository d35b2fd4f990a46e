import io
import struct
import zlib

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from dhash.errors import TooLargeError, UnreadableError, UnsupportedTypeError
from dhash.golden import compare
from dhash.hashing import MAX_PIXELS, hash_bitmap, hash_image


def reference(picture):
    """The contract, written a second time from its text."""
    pixels = picture.convert("L").resize((9, 8), Image.Resampling.LANCZOS).load()
    bits = [pixels[x, y] > pixels[x + 1, y] for y in range(8) for x in range(8)]
    return format(sum(bit << place for place, bit in enumerate(bits)), "016x")


def grid(rows):
    picture = Image.new("L", (9, 8))
    picture.putdata([value for row in rows for value in row])
    return picture


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([range(90, 0, -10)] * 8, "ffffffffffffffff"),
        ([range(0, 90, 10)] * 8, "0000000000000000"),
        ([[7] * 9] * 8, "0000000000000000"),
        ([[9] + [0] * 8] + [[0] * 9] * 7, "0000000000000001"),
        ([[0] * 7 + [9, 0]] + [[0] * 9] * 7, "0000000000000080"),
        ([[0] * 9] + [[9] + [0] * 8] + [[0] * 9] * 6, "0000000000000100"),
        ([[0] * 9] * 7 + [[0] * 7 + [9, 0]], "8000000000000000"),
    ],
    ids=["falling", "rising", "flat", "first", "row end", "second row", "last"],
)
def test_polarity_and_bit_order(rows, expected):
    assert hash_bitmap(grid(rows)).value == expected


def test_stable_bits_need_more_than_two_levels():
    result = hash_bitmap(grid([[9, 7, 4, 4, 4, 4, 4, 4, 4]] + [[0] * 9] * 7))
    assert result.value == "0000000000000003"
    assert result.stable_mask == 0b10


def test_every_hash_is_as_approved(golden):
    assert compare(golden) == []


def test_golden_exact_hashes_follow_the_contract(golden):
    for name in ("photo_small.jpg", "photo.png", "photo.webp", "photo_cmyk.jpg", "page.png"):
        content = (golden / name).read_bytes()
        assert hash_image(content, exact=True).value == reference(Image.open(io.BytesIO(content)))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("exact", [True, False])
def test_a_turned_picture_is_hashed_upright(golden, as_bytes, orientation, exact):
    turns = [None, 0, 3, 1, 5, 2, 6, 4]
    upright = Image.open(golden / "photo.png")
    stored = upright
    if turns[orientation - 1] is not None:
        stored = upright.transpose(Image.Transpose(turns[orientation - 1]))
    exif = Image.Exif()
    exif[0x0112] = orientation
    png = hash_image(as_bytes(stored, "PNG", exif=exif), exact=exact)
    assert png.value == reference(upright)
    assert (png.width, png.height) == upright.size
    jpeg = hash_image(as_bytes(stored, "JPEG", quality=95, exif=exif), exact=exact)
    wrong = int(jpeg.value, 16) ^ int(png.value, 16)
    assert wrong & jpeg.stable_mask & png.stable_mask == 0
    assert (jpeg.width, jpeg.height) == upright.size


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_what_is_transparent_shows_white(as_bytes, draw, mode):
    picture = Image.open(io.BytesIO(draw(3))).convert("RGBA")
    picture.paste((0, 0, 0, 0), (45, 0, 90, 80))
    on_white = Image.new("RGBA", picture.size, "white")
    on_white.alpha_composite(picture)
    stored = picture.convert(mode)
    if mode == "P":
        on_white = Image.alpha_composite(
            Image.new("RGBA", picture.size, "white"), stored.convert("RGBA")
        )
    assert hash_image(as_bytes(stored)).value == reference(on_white.convert("RGB"))


def test_sixteen_bits_are_scaled_not_clipped(as_bytes, draw):
    gray = Image.open(io.BytesIO(draw(4))).convert("L")
    wide = gray.convert("I").point(lambda value: value * 257).convert("I;16")
    assert hash_image(as_bytes(wide)).value == hash_image(as_bytes(gray)).value


def png_header(width, height):
    def chunk(name, data):
        check = struct.pack(">I", zlib.crc32(name + data))
        return struct.pack(">I", len(data)) + name + data + check

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def test_a_bomb_is_refused_before_it_is_decoded():
    with pytest.raises(TooLargeError, match="60000 x 60000"):
        hash_image(png_header(60000, 60000))
    with pytest.raises(TooLargeError):
        hash_image(png_header(MAX_PIXELS + 1, 1))


def test_errors_say_which_kind(draw):
    with pytest.raises(UnsupportedTypeError):
        hash_image(b"GIF89a" + bytes(100))
    with pytest.raises(UnreadableError):
        hash_image(draw(1)[:-60])
    with pytest.raises(UnreadableError):
        hash_image(draw(1, kind="JPEG")[:-300])


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    seed=st.integers(0, 2**32),
    width=st.integers(1, 1200),
    height=st.integers(1, 1200),
    contrast=st.sampled_from([1.0, 0.3, 0.1, 0.03]),
    quality=st.sampled_from([30, 60, 80, 95]),
    progressive=st.booleans(),
    gray=st.booleans(),
)
def test_the_fast_path_is_right_at_every_stable_bit(
    as_bytes, draw, seed, width, height, contrast, quality, progressive, gray
):
    picture = Image.open(io.BytesIO(draw(seed))).resize((width, height))
    picture = picture.point(lambda value: int(128 + (value - 128) * contrast))
    picture = picture.convert("L") if gray else picture
    content = as_bytes(picture, "JPEG", quality=quality, progressive=progressive)
    fast, exact = hash_image(content), hash_image(content, exact=True)
    assert (fast.path, exact.path) == ("fast", "exact")
    wrong = int(fast.value, 16) ^ int(exact.value, 16)
    assert wrong & fast.stable_mask == 0


@settings(max_examples=150, deadline=None)
@given(
    kind=st.sampled_from(["PNG", "JPEG", "WEBP"]),
    cut=st.integers(0, 4000),
    changes=st.lists(st.tuples(st.integers(0, 4000), st.integers(0, 255)), max_size=8),
)
def test_damaged_bytes_give_a_hash_or_a_clean_error(draw, kind, cut, changes):
    content = bytearray(draw(5, kind=kind))
    for place, value in changes:
        content[place % len(content)] = value
    try:
        result = hash_image(bytes(content[: cut or None]))
    except (TooLargeError, UnreadableError, UnsupportedTypeError):
        return
    assert len(result.value) == 16
