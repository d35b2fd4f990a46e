"""Traffic that is drawn: how many of n requests fail, how durations fall into buckets.

The core has no randomness of its own: `Chance` is an argument, `random.Random` fits.
"""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Protocol


class Chance(Protocol):
    """Where numbers come from. The same seed gives the same numbers."""

    def random(self) -> float:
        """Uniform in [0, 1)."""

    def betavariate(self, alpha: float, beta: float) -> float:
        """Beta distributed."""


def binomial(chance: Chance, n: int, p: float) -> int:
    """Exact: order statistics halve n, then the gaps between successes are drawn."""
    count = 0
    while n * min(p, 1.0 - p) > 15:
        a = 1 + n // 2
        x = chance.betavariate(a, n + 1 - a)
        if x <= p:
            count, n, p = count + a, n - a, min(1.0, (p - x) / (1.0 - x))
        else:
            n, p = a - 1, min(1.0, p / x)
    if p > 0.5:
        return count + n - _by_gaps(chance, n, 1.0 - p)
    return count + _by_gaps(chance, n, p)


def _by_gaps(chance: Chance, n: int, p: float) -> int:
    if p <= 0.0 or n == 0:
        return 0
    found, at, log_miss = 0, 0, math.log1p(-p)
    while True:
        at += int(math.log(1.0 - chance.random()) / log_miss) + 1
        if at > n:
            return found
        found += 1


def poisson(chance: Chance, mean: float) -> int:
    """As a binomial of ten thousand times as many chances."""
    chances = max(1, math.ceil(10_000 * mean))
    return binomial(chance, chances, mean / chances)


def multinomial(chance: Chance, n: int, shares: Sequence[float]) -> tuple[int, ...]:
    """How n requests fall into buckets."""
    left, counts = 1.0, []
    for share in shares:
        hit = binomial(chance, n, min(1.0, share / left)) if n and left > 1e-12 else 0
        counts.append(hit)
        n, left = n - hit, left - share
    counts[-1] += n
    return tuple(counts)


def slower(shares: Sequence[float], bounds: Sequence[float], factor: float) -> tuple[float, ...]:
    """Every duration `factor` >= 1 times as long. Inside a bucket they lie evenly in log(time).

    `shares`: per bucket, the last one beyond all bounds, which stays where it is.
    """
    edges = (bounds[0] / 2.0, *bounds)
    moved = [0.0] * len(shares)
    moved[-1] = shares[-1]
    for share, (low, high) in zip(shares[:-1], pairwise(edges), strict=True):
        for b, part in enumerate(_spread(low * factor, high * factor, bounds)):
            moved[b] += share * part
    return tuple(moved)


def _spread(low: float, high: float, bounds: Sequence[float]) -> list[float]:
    """Which part of what lies evenly in log(time) between `low` and `high` is in which bucket."""
    whole = math.log(high / low)
    below = [min(1.0, max(0.0, math.log(bound / low) / whole)) for bound in bounds]
    return [b - a for a, b in pairwise((0.0, *below, 1.0))]


def with_tail(
    shares: Sequence[float], bounds: Sequence[float], part: float, factor: float
) -> tuple[float, ...]:
    """`part` of all requests `factor` times as long, the others as before."""
    tail = slower(shares, bounds, factor)
    return tuple((1.0 - part) * a + part * b for a, b in zip(shares, tail, strict=True))
