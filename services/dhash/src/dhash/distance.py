"""How far two hashes are apart, and how to find near ones through an index.

A hash is cut into four bands of 16 bits. Two hashes at most d bits apart agree in at least one
band up to d // 4 flipped bits, so looking up every band with that many flips misses nothing.
"""

import re
from itertools import combinations

BITS = 64
BAND_BITS = 16
BANDS = BITS // BAND_BITS
FARTHEST = 12
"""Bits; a confidence of 0.80. Farther matches mean nothing and cost thousands of look-ups."""

_HASH = re.compile(r"[0-9a-f]{16}")


def is_hash(text: object) -> bool:
    """16 lower-case hex digits."""
    return isinstance(text, str) and _HASH.fullmatch(text) is not None


def distance(left: str, right: str) -> int:
    """Differing bits, 0 to 64."""
    return (int(left, 16) ^ int(right, 16)).bit_count()


def confidence(bits_apart: int) -> float:
    """A fraction: 1 for equal hashes, 0 where every bit differs."""
    return 1 - bits_apart / BITS


def farthest_for(wanted_confidence: float) -> int:
    """The greatest distance in bits that still has this confidence."""
    # Rounding first: 1 - 0.95 is a little more than 0.05 in binary, 1 - 0.9 a little less.
    return int(round((1 - wanted_confidence) * BITS, 9))


def band_keys(value: str) -> list[int]:
    """The four index keys of a stored hash: band number above 16 bits of value."""
    number = int(value, 16)
    return [band << BAND_BITS | number >> band * BAND_BITS & 0xFFFF for band in range(BANDS)]


def probe_keys(value: str, farthest: int) -> list[int]:
    """Every key under which a hash at most `farthest` bits away can be found."""
    return [key ^ flip for key in band_keys(value) for flip in _flips(farthest // BANDS)]


def _flips(most: int) -> list[int]:
    flips = [0]
    for count in range(1, most + 1):
        flips += [sum(1 << bit for bit in bits) for bits in combinations(range(BAND_BITS), count)]
    return flips
