"""What no test can beat: log(1/α) over the information of one second, E[T] ≥ log(1/α)/I.

References: Wald 1945; Lorden 1971. Rates and shares lie between 0 and 1.
"""

import math
from collections.abc import Sequence

from guarded_rollout.core.evidence_bets import scaled


def divergence(p: Sequence[float], q: Sequence[float]) -> float:
    """Kullback-Leibler, in nats: what one sample of p tells against q."""
    total = 0.0
    for a, b in zip(p, q, strict=True):
        if a > 0.0:
            total += a * math.log(a / b) if b > 0.0 else math.inf
    return total


def alone(p: float, limit: float) -> float:
    """Per request of the candidate, against "at most `limit` of them"; 0 inside the null."""
    return divergence((p, 1.0 - p), (limit, 1.0 - limit)) if p > limit else 0.0


def compared(p: float, base: float, share: float, margin: float) -> float:
    """Per request of both arms, against "odds at most `margin` times the baseline's".

    The null that is nearest: the baseline's rate between `base` and p, found by thirds.
    """
    if p <= scaled(base, margin):
        return 0.0

    def at(rate: float) -> float:
        null = scaled(rate, margin)
        ours = divergence((p, 1.0 - p), (null, 1.0 - null))
        return share * ours + (1.0 - share) * divergence((base, 1.0 - base), (rate, 1.0 - rate))

    low, high = base, p
    for _ in range(100):
        third = (high - low) / 3.0
        if at(low + third) < at(high - third):
            high -= third
        else:
            low += third
    return at((low + high) / 2.0)


def mixed(p: Sequence[float], base: Sequence[float], share: float) -> float:
    """Per request of both arms, against "both have one distribution, whatever it is"."""
    pool = [share * a + (1.0 - share) * b for a, b in zip(p, base, strict=True)]
    return share * divergence(p, pool) + (1.0 - share) * divergence(base, pool)


def seconds_at_least(alpha: float, information: float, per_second: float) -> float:
    """log(1/α)/I in seconds; infinite where there is nothing to tell apart."""
    gained = information * per_second
    return math.log(1.0 / alpha) / gained if gained > 0.0 else math.inf
