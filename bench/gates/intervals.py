"""The exact interval of a share: C. Clopper, E. Pearson, 1934."""

import math


def at_most(hits: int, runs: int, doubt: float = 0.025) -> float:
    """Above it the share lies with probability `doubt` at most."""
    if hits >= runs:
        return 1.0
    low, high = hits / runs, 1.0
    for _ in range(60):
        p = (low + high) / 2.0
        low, high = (p, high) if _below(hits, runs, p) > doubt else (low, p)
    return high


def at_least(hits: int, runs: int, doubt: float = 0.025) -> float:
    """Below it the share lies with probability `doubt` at most."""
    return 1.0 - at_most(runs - hits, runs, doubt) if runs else 0.0


def _below(hits: int, runs: int, p: float) -> float:
    """P(at most so many hits)."""
    return math.fsum(
        math.exp(
            math.lgamma(runs + 1)
            - math.lgamma(k + 1)
            - math.lgamma(runs - k + 1)
            + k * math.log(p)
            + (runs - k) * math.log1p(-p)
        )
        for k in range(hits + 1)
    )
