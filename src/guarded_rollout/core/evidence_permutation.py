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

_DIRECT = 48
"""Up to so many terms the plain sum is cheaper than the transform."""

_NEGLIGIBLE = 20.0
"""Nats below the peak from where the rest of the transform is bounded instead of summed."""

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
    return [least * math.log(t) + _log_polynomial(terms, t) for t in odds]


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
    groups = [(w, d) for w, d in zip(weights, counts, strict=True) if d > 0]
    total = sum(counts)
    if not 0 <= chosen <= total:
        raise ValueError(f"{chosen} cannot be chosen out of {total}")
    if chosen == 0:
        return 0.0
    if chosen == total:
        return math.fsum(d * math.log(w) for w, d in groups)
    if len(groups) == 1:
        return log_choose(total, chosen) + chosen * math.log(groups[0][0])
    radius, spread = _saddle(groups, total, chosen)
    odds = [(w * radius, d) for w, d in groups]
    height = math.fsum([d * math.log1p(o) for o, d in odds]) - chosen * math.log(radius)
    if bound and spread >= _WIDE:
        return height + _log_most(spread)
    return height + math.log(_share_at(odds, total, chosen))


def _log_most(spread: float) -> float:
    """At least log P(S = anything) for a sum S of independent trials with this variance.

    Each trial's transform is at most exp(−p(1−p)(1−cos θ)), so P <= exp(−v)·I_0(v): the Bessel
    function's expansion, its rest (below 0.1/v³ here) rounded up.
    """
    v = spread
    return -0.5 * math.log(2.0 * math.pi * v) + math.log1p(
        0.125 / v + 0.0703125 / (v * v) + 0.1 / (v * v * v)
    )


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
        mean = spread = 0.0
        for w, d in groups:
            p = w * radius / (1.0 + w * radius)
            mean += d * p
            spread += d * p * (1.0 - p)
        off = mean - chosen
        if off * off <= 4e-4 * spread or high - low < 1e-9:
            break
        low, high = (low, at) if off > 0.0 else (at, high)
        at -= off / spread
    return radius, spread


def _share_at(odds: list[tuple[float, int]], total: int, chosen: int) -> float:
    """P(S = chosen) for S a sum of independent trials with these odds and mean `chosen`."""
    shares = [(o / (1.0 + o), d) for o, d in odds]
    spread = math.fsum(d * p * (1.0 - p) for p, d in shares)
    points = min(total + 1, 8 + math.ceil(5.5 * math.sqrt(spread)))
    found, half = 1.0, points // 2
    for k in range(1, half + 1):
        angle = 2.0 * math.pi * k / points
        decay = spread * (1.0 - math.cos(angle))
        if decay > _NEGLIGIBLE:
            found += 2.0 * (half - k + 1) * math.exp(-decay)
            break
        turn = complex(math.cos(angle), math.sin(angle)) - 1.0
        logs = -1j * chosen * angle
        for p, d in shares:
            logs += d * cmath.log(1.0 + p * turn)
        part = cmath.exp(logs).real
        found += part if 2 * k == points else 2.0 * part
    return found / points
