"""How long hashing takes against imagehash, and what the fast path's speed costs.

Run: python bench/dhash_hash.py   (needs services/dhash/requirements-dev.lock installed)
The least of several runs counts; ratios are imagehash's time divided by ours.
"""

import io
import random
import sys
from pathlib import Path
from time import perf_counter

import imagehash
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1] / "services" / "dhash" / "src"))

from dhash.hashing import ImageHash, hash_image

RUNS = 5
SIZES = {"0.3 MP": (640, 480), "3 MP": (2048, 1536), "12 MP": (4000, 3000)}
PICTURES_COMPARED = 40
FORMATS = {
    "jpeg": ("JPEG", {"quality": 85}),
    "jpeg progressive": ("JPEG", {"quality": 85, "progressive": True}),
    "png": ("PNG", {"compress_level": 6}),
    "webp": ("WEBP", {"quality": 80, "method": 2}),
}


def photo(width: int, height: int, seed: int, contrast: float = 1.0) -> Image.Image:
    """Blobs of several sizes and the noise of a sensor, much as in a photograph."""
    source = random.Random(seed)
    picture = Image.new("RGB", (width, height), (128, 128, 128))
    for cells in (5, 17, 61):
        data = source.randbytes(cells * cells * 3)
        layer = Image.frombytes("RGB", (cells, cells), data).resize((width, height), Image.BICUBIC)
        picture = Image.blend(picture, layer, 0.45)
    noise = Image.effect_noise((width, height), 24).convert("RGB")
    picture = Image.blend(picture, noise, 0.12)
    if contrast == 1.0:
        return picture
    return picture.point(lambda value: int(128 + (value - 128) * contrast))


def encoded(picture: Image.Image, name: str) -> bytes:
    kind, options = FORMATS[name]
    target = io.BytesIO()
    picture.save(target, kind, **options)
    return target.getvalue()


def peer(content: bytes) -> None:
    imagehash.dhash(Image.open(io.BytesIO(content)))


def least(work: object, *arguments: object, **options: object) -> float:
    times = []
    for _ in range(RUNS):
        start = perf_counter()
        work(*arguments, **options)
        times.append(perf_counter() - start)
    return min(times)


def print_times() -> None:
    print(f"{'picture':26}{'imagehash':>11}{'exact':>10}{'fast':>10}{'exact x':>9}{'fast x':>8}")
    for size, (width, height) in SIZES.items():
        picture = photo(width, height, 7)
        for name in FORMATS:
            content = encoded(picture, name)
            theirs = least(peer, content)
            exact = least(hash_image, content, exact=True)
            fast = least(hash_image, content)
            print(
                f"{size + ' ' + name:26}{theirs * 1e3:8.1f} ms{exact * 1e3:7.1f} ms"
                f"{fast * 1e3:7.1f} ms{theirs / exact:9.2f}{theirs / fast:8.2f}"
            )


def print_agreement() -> None:
    pairs: list[tuple[ImageHash, ImageHash]] = []
    for seed in range(PICTURES_COMPARED):
        width, height = list(SIZES.values())[seed % 2]
        # Faint pictures are where rounding shows.
        content = encoded(photo(width - seed, height, seed, (1.0, 0.4, 0.1)[seed % 3]), "jpeg")
        pairs.append((hash_image(content), hash_image(content, exact=True)))
    differing = stable = 0
    for fast, exact in pairs:
        difference = int(fast.value, 16) ^ int(exact.value, 16)
        differing += difference.bit_count()
        stable += (difference & fast.stable_mask).bit_count()
    bits = 64 * len(pairs)
    print(f"\nfast against exact on {len(pairs)} JPEGs, {bits} bits:")
    print(f"  differing bits          {differing} ({100 * differing / bits:.2f} %)")
    print(f"  differing stable bits   {stable} (must be 0)")
    share = sum(fast.stable_bits for fast, _ in pairs) / bits
    print(f"  stable bits             {100 * share:.1f} %")
    if stable:
        raise SystemExit(1)


if __name__ == "__main__":
    print_times()
    print_agreement()
