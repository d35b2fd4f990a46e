"""How much more two equal arms differ than independent requests would: φ from an A/A period.

Per poll, the candidate's share of the failures has a known mean and variance if requests are
independent. The squared deviations over that variance are 1 on average. Noise that stays for some
polls shows only in longer spans, so the same is asked of blocks of 1, 2, 4, ... polls; the largest
answer counts. Calibrated, not proven: an A/A period of an hour knows nothing of noise that comes
once a day, and a lasting difference between two arms is no dispersion at all.
"""

import math
from collections.abc import Sequence

from guarded_rollout.core.evidence_bets import Table
from guarded_rollout.core.evidence_process import Dispersion

_BLOCKS = 8
"""Fewer blocks than this say too little about a span."""


def from_tables(tables: Sequence[Table], seconds: float) -> Dispersion:
    """φ for two-arm gates, from the polls of an A/A period that took `seconds`."""
    moments = [_moments(table) for table in tables]
    traffic = sum(table.n * table.m / (table.n + table.m) for table in tables if table.n + table.m)
    return Dispersion(_factor(moments), traffic / seconds if seconds > 0 else 0.0)


def from_trials(counts: Sequence[tuple[int, int]], seconds: float) -> Dispersion:
    """φ for one-arm gates, from (bad, all) of the polls of a healthy period."""
    bad, every = sum(x for x, _ in counts), sum(d for _, d in counts)
    share = bad / every if every else 0.0
    moments = [(x - d * share, d * share * (1.0 - share)) for x, d in counts]
    return Dispersion(_factor(moments), every / seconds if seconds > 0 else 0.0)


def _moments(table: Table) -> tuple[float, float]:
    """How far the candidate's failures are from their mean, and their variance, given the pool."""
    total, bad = table.n + table.m, table.x + table.y
    if total < 2:
        return 0.0, 0.0
    share = table.n / total
    return (
        table.x - bad * share,
        bad * share * (1.0 - share) * (total - bad) / (total - 1),
    )


def _factor(moments: Sequence[tuple[float, float]]) -> float:
    """The largest ratio over the spans, with a standard error on top where it exceeds 1 by two."""
    largest, length = 1.0, 1
    while len(moments) // length >= _BLOCKS:
        blocks = [
            moments[start : start + length] for start in range(0, len(moments) - length + 1, length)
        ]
        squares = math.fsum(math.fsum(z for z, _ in block) ** 2 for block in blocks)
        variance = math.fsum(v for block in blocks for _, v in block)
        if variance >= _BLOCKS:
            ratio = squares / variance
            doubt = math.sqrt(2.0 / len(blocks))
            if ratio > 1.0 + 2.0 * doubt:
                largest = max(largest, ratio * (1.0 + doubt))
        length *= 2
    return largest
