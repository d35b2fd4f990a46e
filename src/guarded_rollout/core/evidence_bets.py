"""What one poll's numbers are worth: the logarithm of a bet's payoff, in nats.

A bet is fair: under its null its mean payoff is at most one. Two sides, two nulls:

- *rising*, against "no worse than the margin", with multipliers above one;
- *falling*, against "at least as bad as what is not tolerated", with multipliers below one.
"""

import math
from collections.abc import Sequence
from functools import lru_cache
from operator import mul
from typing import NamedTuple

from guarded_rollout.core.evidence_permutation import log_coefficient, log_sums

RISING = (1.35, 2.0, 4.0, 10.0, 30.0)
"""The odds on which the rising side bets, beyond the margin."""

RISING_SHARES = (0.15, 0.25, 0.25, 0.2, 0.15)
"""How the capital is divided over them."""

FALLING = (0.55, 0.25)
"""The odds on which the falling side bets, in parts of what is not tolerated."""

FALLING_SHARES = (0.5, 0.5)


class Bets(NamedTuple):
    """The payoffs of one poll in nats. `falling`: one row for each thing that is to be excluded."""

    rising: tuple[float, ...]
    falling: tuple[tuple[float, ...], ...] = ()


def scaled(probability: float, odds: float) -> float:
    """The probability whose odds are `odds` times as high."""
    return odds * probability / (odds * probability + 1.0 - probability)


def trials(x: float, d: float, q: float, multipliers: tuple[float, ...]) -> tuple[float, ...]:
    """x of d trials went bad. Rising: each with probability <= q. Falling: >= q."""
    return tuple([x * won - d * paid for won, paid in _prices(q, multipliers)])


@lru_cache(maxsize=1024)
def _prices(q: float, multipliers: tuple[float, ...]) -> tuple[tuple[float, float], ...]:
    """What a bad trial wins, and what every trial costs, in nats."""
    return tuple((math.log(psi), math.log1p(q * (psi - 1.0))) for psi in multipliers)


def events(x: float, expected: float, multipliers: tuple[float, ...]) -> tuple[float, ...]:
    """x events where at most (falling: at least) `expected` come by themselves, as Poisson."""
    won = [x * log for log in _logs(multipliers)] if x else (0.0,) * len(multipliers)
    return tuple(
        [gain - expected * (psi - 1.0) for gain, psi in zip(won, multipliers, strict=True)]
    )


@lru_cache(maxsize=64)
def _logs(multipliers: tuple[float, ...]) -> tuple[float, ...]:
    return tuple(map(math.log, multipliers))


class Table(NamedTuple):
    """One poll, two arms: x of n bad in the candidate, y of m in the baseline."""

    x: int
    n: int
    y: int
    m: int


def two_arms(
    table: Table,
    margin: float,
    rising: tuple[float, ...],
    limit: float,
    falling: tuple[float, ...],
) -> Bets:
    """Exact: Fisher's noncentral hypergeometric distribution, all margins of the table held.

    Rising: the candidate's odds of failure are at most `margin` times the baseline's.
    Falling: they are at least `limit` times the baseline's.
    """
    bad = table.x + table.y
    if not bad or not table.n or not table.m or bad == table.n + table.m:
        return Bets((0.0,) * len(rising), ((0.0,) * len(falling),))
    odds = _odds(margin, rising) + _odds(limit, falling)
    sums = log_sums(table.n, table.m, bad, odds)
    split = len(rising) + 1 if rising else 0
    return Bets(
        _against(table.x, rising, sums[:split]), (_against(table.x, falling, sums[split:]),)
    )


@lru_cache(maxsize=64)
def _odds(null: float, multipliers: tuple[float, ...]) -> tuple[float, ...]:
    """Of the null, then of each bet; none where nothing is bet."""
    return (null, *(null * psi for psi in multipliers)) if multipliers else ()


def _against(x: int, multipliers: tuple[float, ...], sums: list[float]) -> tuple[float, ...]:
    logs = _logs(multipliers)
    return tuple([x * log + sums[0] - own for log, own in zip(logs, sums[1:], strict=True)])


class Profile(NamedTuple):
    """One bet on a histogram: a weight per group, nondecreasing from best to worst.

    Groups before `first_bad` have weight one. The margin is held at that boundary: the null is
    "the candidate is not worse than the baseline with the odds of reaching `first_bad` multiplied
    by the margin, beyond it in proportion".
    """

    weights: tuple[float, ...]
    first_bad: int


def histograms(
    candidate: Sequence[int], baseline: Sequence[int], margin: float, profiles: Sequence[Profile]
) -> tuple[float, ...]:
    """Exact: the candidate's product of weights against its mean over all ways to deal the pool.

    With a margin the ways are dealt with the odds `margin` for the groups from `first_bad` on.
    """
    n, pooled = sum(candidate), [a + b for a, b in zip(candidate, baseline, strict=True)]
    total = sum(pooled)
    if n in {0, total}:
        return (0.0,) * len(profiles)
    fair: dict[int, float] = {}
    paid = []
    for profile in profiles:
        weights = profile.weights
        at = profile.first_bad if margin != 1.0 else 0
        if at not in fair:
            bad = sum(pooled[at:])
            fair[at] = log_coefficient((1.0, margin), (total - bad, bad), n)
        product = math.fsum(map(mul, candidate, map(math.log, weights)))
        tilted = [*weights[:at], *[w * margin for w in weights[at:]]]
        paid.append(product + fair[at] - log_coefficient(tilted, pooled, n, bound=True))
    return tuple(paid)
