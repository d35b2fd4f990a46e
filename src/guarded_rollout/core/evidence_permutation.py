"""Exact sums over all ways to deal pooled requests to two arms.

N requests in groups, group b with D_b members of weight w_b. The candidate got n of them.
Over all choices of n out of N, the sum of the products of the chosen weights is

    [z^n] Π (1 + w_b z)^D_b

and divided by C(N, n) it is their mean. Two groups: a sum of positive terms. More groups, or many
terms: a discrete Fourier transform on the circle through the saddle point. What the transform
leaves out only makes the result larger, never smaller (aliases are positive, the tail that is cut
off is added as its bound), so a bet that divides by it stays fair: it is right to 1e-6 nats. Any
radius gives the right sum; the saddle point only makes it short.
"""

import cmath
import math
from collections.abc import Sequence
from functools import lru_cache

_DIRECT = 48
"""Up to so many terms the plain sum is cheaper than the transform."""

_NEGLIGIBLE = 20.0
"""Nats below the peak from where the rest of the transform is bounded instead of summed."""

_FEW = 16
"""Points of the transform that are ever summed."""

_WIDE = 25.0
"""From this variance on the closed bound costs at most 0.009 nats, and a tenth of the time."""


def log_choose(n: int, k: int) -> float:
    """The logarithm of C(n, k) for 0 <= k <= n."""
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)


def log_sums(n: int, m: int, bad: int, odds: Sequence[float]) -> list[float]:
    """For each of the odds t: log Σ_x C(n, x)·C(m, bad − x)·t^x.

    The weights of Fisher's noncentral hypergeometric distribution: of `bad` failures among n + m
    requests, x fell to the arm with n. `odds` are positive; all results have one common offset,
    so only their differences mean something.
    """
    least, most = max(0, bad - m), min(n, bad)
    if most - least > _DIRECT:
        return [log_coefficient((1.0, t), (n + m - bad, bad), n) for t in odds]
    term, terms = 1.0, [1.0]
    for x in range(least, most):
        term *= (n - x) * (bad - x) / ((x + 1.0) * (m - bad + x + 1.0))
        terms.append(term)
    terms.reverse()
    logs = [_log_polynomial(terms, t) for t in odds]
    if least == 0:
        return logs
    return [least * math.log(t) + log for t, log in zip(odds, logs, strict=True)]


def _log_polynomial(falling: list[float], t: float) -> float:
    """log Σ a_i t^i of positive coefficients, the highest power first."""
    value = 0.0
    for coefficient in falling:
        value = value * t + coefficient
    if 0.0 < value < math.inf:
        return math.log(value)
    step, top = math.log(t), len(falling) - 1
    logs = [math.log(a) + (top - i) * step for i, a in enumerate(falling) if a > 0.0]
    peak = max(logs)
    return peak + math.log(math.fsum(math.exp(entry - peak) for entry in logs))


def log_coefficient(
    weights: Sequence[float], counts: Sequence[int], chosen: int, *, bound: bool = False
) -> float:
    """log [z^chosen] Π (1 + w z)^D. Weights are positive and finite, 0 <= chosen <= Σ counts.

    `bound`: where many requests vary, an upper bound that is at most 0.009 nats above it.
    """
    groups = [(w, d) for w, d in zip(weights, counts, strict=True) if d]
    total = sum(counts)
    if not 0 <= chosen <= total:
        raise ValueError(f"{chosen} cannot be chosen out of {total}")
    if chosen == 0:
        return 0.0
    if chosen == total:
        return math.fsum([d * math.log(w) for w, d in groups])
    if len(groups) == 1:
        return log_choose(total, chosen) + chosen * math.log(groups[0][0])
    if len(groups) == 2:
        radius, spread = _saddle_of_two(*groups[0], *groups[1], chosen)
    else:
        radius, spread = _saddle(groups, total, chosen)
    log1p = math.log1p
    height = math.fsum([d * log1p(w * radius) for w, d in groups]) - chosen * math.log(radius)
    if bound and spread >= _WIDE:
        return height + _log_most(spread)
    shares = [(w * radius / (1.0 + w * radius), d) for w, d in groups]
    return height + math.log(_share_at(shares, spread, total, chosen))


def _log_most(spread: float) -> float:
    """At least log P(S = anything) for a sum S of independent trials with this variance.

    Each trial's transform is at most exp(−p(1−p)(1−cos θ)), so P <= exp(−v)·I_0(v): the Bessel
    function's expansion, its rest (below 0.1/v³ here) rounded up.
    """
    v = spread
    return -0.5 * math.log(2.0 * math.pi * v) + math.log1p(
        0.125 / v + 0.0703125 / (v * v) + 0.1 / (v * v * v)
    )


def _saddle_of_two(v: float, c: int, w: float, d: int, chosen: int) -> tuple[float, float]:
    """The same for c requests of weight v and d of weight w: the root of a quadratic equation."""
    a = v * w * (c + d - chosen)
    b = c * v + d * w - chosen * (v + w)
    root = math.sqrt(b * b + 4.0 * a * chosen)
    radius = 2.0 * chosen / (b + root) if b > 0.0 else (root - b) / (2.0 * a)
    left, other = c / (1.0 + v * radius), d / (1.0 + w * radius)
    return radius, left - left * left / c + other - other * other / d


def _saddle(groups: list[tuple[float, int]], total: int, chosen: int) -> tuple[float, float]:
    """The radius at which the mean number of chosen ones is `chosen`, and the variance there.

    Were all weights the largest (the smallest), the radius would be the lower (upper) bracket.
    A fiftieth of a standard deviation is near enough: any radius gives the right sum.
    """
    fair = math.log(chosen / (total - chosen))
    low = fair - math.log(max(groups)[0])
    high = fair - math.log(min(groups)[0])
    at = fair - math.log(sum([w * d for w, d in groups]) / total)
    for _ in range(60):
        if not low < at < high:
            at = (low + high) / 2
        radius = math.exp(at)
        off, spread = float(total - chosen), 0.0
        for w, d in groups:
            left = d / (1.0 + w * radius)
            off -= left
            spread += left - left * left / d
        if off * off <= 4e-4 * spread or high - low < 1e-9:
            break
        low, high = (low, at) if off > 0.0 else (at, high)
        at -= off / spread
    return radius, spread


def _share_at(shares: list[tuple[float, int]], spread: float, total: int, chosen: int) -> float:
    """P(S = chosen) for S a sum of independent trials with these chances.

    Its mean is `chosen`, its variance `spread`.
    """
    points = min(total + 1, 8 + math.ceil(5.5 * math.sqrt(spread)))
    found, half, rect = 1.0, points // 2, cmath.rect
    for k, (angle, turn) in enumerate(_circle(points), 1):
        decay = -spread * turn.real
        if decay > _NEGLIGIBLE:
            found += 2.0 * (half - k + 1) * math.exp(-decay)
            break
        product = rect(1.0, -chosen * angle)
        for p, d in shares:
            product *= (1.0 + p * turn) ** d
        found += product.real if 2 * k == points else 2.0 * product.real
    return found / points


@lru_cache(maxsize=256)
def _circle(points: int) -> tuple[tuple[float, complex], ...]:
    """The first points of half the circle: each angle, and how far it turns away from one.

    With so many points to a variance the rest is negligible from the fourteenth on.
    """
    angles = [2.0 * math.pi * k / points for k in range(1, min(points // 2, _FEW) + 1)]
    return tuple((angle, cmath.rect(1.0, angle) - 1.0) for angle in angles)
