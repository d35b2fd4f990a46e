"""Draws the golden corpus again: python golden/make_corpus.py [FOLDER].

The committed files are the corpus, not this script: another Pillow may write other bytes.
"""

import random
import sys
import time
from pathlib import Path

from PIL import Image, ImageDraw

ORIENTATION = 0x0112
WORDS = ("draw", "a", "card", "then", "place", "one", "meeple", "and", "score", "the", "road")


def photo(width: int, height: int, seed: int) -> Image.Image:
    """Soft blobs of colour, as in an out-of-focus photograph, with a few hard edges."""
    source = random.Random(seed)  # noqa: S311 - a drawing, no secret
    blobs = Image.frombytes("RGB", (12, 9), source.randbytes(12 * 9 * 3))
    picture = blobs.resize((width, height), Image.Resampling.BICUBIC)
    pen = ImageDraw.Draw(picture)
    for _ in range(6):
        left, top = source.randrange(width), source.randrange(height)
        size = source.randrange(width // 20, width // 5)
        colour = tuple(source.randbytes(3))
        pen.ellipse((left, top, left + size, top + size), fill=colour)
    return picture


def page(width: int, height: int, seed: int) -> Image.Image:
    """Dark lines of words on white paper."""
    source = random.Random(seed)  # noqa: S311 - a drawing, no secret
    picture = Image.new("L", (width, height), 255)
    pen = ImageDraw.Draw(picture)
    for row in range(40, height - 40, 18):
        line = " ".join(source.choices(WORDS, k=source.randrange(2, 12)))
        pen.text((40, row), line, fill=0)
    return picture


def turned(orientation: int) -> Image.Exif:
    """EXIF data that say how the picture is to be held."""
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    return exif


def save_jpegs(folder: Path) -> None:
    small, large = photo(440, 330, 1), photo(1200, 900, 2)
    small.save(folder / "photo_small.jpg", quality=85)
    large.save(folder / "photo_large.jpg", quality=70)
    large.save(folder / "photo_progressive.jpg", quality=60, progressive=True)
    photo(1023, 767, 3).save(folder / "photo_odd_size.jpg", quality=65)
    photo(130, 129, 4).save(folder / "photo_tiny.jpg", quality=90)
    small.convert("L").save(folder / "photo_gray.jpg", quality=85)
    small.convert("CMYK").save(folder / "photo_cmyk.jpg", quality=85)
    small.save(folder / "photo_not_subsampled.jpg", quality=85, subsampling=0)
    for orientation in (3, 6, 8):
        name = f"photo_orientation_{orientation}.jpg"
        small.save(folder / name, quality=85, exif=turned(orientation))
    page(600, 776, 5).save(folder / "page.jpg", quality=40)
    # Neighbours differ by one or two gray levels: here the paths may disagree.
    flat = large.convert("L").point(lambda value: 120 + value // 30)
    flat.save(folder / "photo_flat.jpg", quality=75)


def save_others(folder: Path) -> None:
    small = photo(200, 150, 6)
    small.save(folder / "photo.png", optimize=True)
    small.save(folder / "photo_orientation_6.png", optimize=True, exif=turned(6))
    small.save(folder / "photo.webp", quality=80)
    small.save(folder / "photo_lossless.webp", lossless=True)
    small.quantize(32).save(folder / "photo_palette.png", optimize=True)
    page(850, 1100, 7).convert("1").save(folder / "page.png", optimize=True)
    Image.new("L", (400, 300), 255).save(folder / "blank.png", optimize=True)
    Image.new("RGB", (1, 1), "red").save(folder / "one_pixel.png")
    gray16 = small.convert("L").resize((96, 72)).convert("I").point(lambda value: value * 257)
    gray16.convert("I;16").save(folder / "gray_16_bit.png", optimize=True)
    # Under the transparent half lies black: it must count as the white of the page.
    cut = small.convert("RGBA")
    cut.paste((0, 0, 0, 0), (100, 0, 200, 150))
    cut.save(folder / "transparent_half.png", optimize=True)
    cut.save(folder / "transparent_half.webp", lossless=True, exact=True)
    palette = small.quantize(16)
    palette.save(folder / "transparent_palette.png", optimize=True, transparency=0)
    cut.convert("LA").save(folder / "transparent_gray.png", optimize=True)


def save_pdf(folder: Path) -> None:
    logo = photo(120, 90, 8)
    pages = [
        photo(640, 480, 9),
        logo,
        page(600, 776, 10).convert("1"),
        logo,
        photo(150, 200, 11).quantize(64),
    ]
    day = time.gmtime(0)
    pages[0].save(
        folder / "rulebook.pdf",
        save_all=True,
        append_images=pages[1:],
        creationDate=day,
        modDate=day,
    )


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent
    save_jpegs(target)
    save_others(target)
    save_pdf(target)
