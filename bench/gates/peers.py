"""Rules of today's tools, each with the same grace, tolerance and A/A data as the product.

Each learns its limit from the A/A period: the worst that it would have seen there, made worse by
the tolerance, `margin`. Nothing is judged that was counted inside the grace. What a rule does
without data is what its tool does.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby

from counts import Counts, Measured, Poll, between
from parameters import HARMS, PeerRules
from product import Said, phi

from guarded_rollout.core.evidence_bets import scaled
from guarded_rollout.core.evidence_process import ROBUST

Metric = Callable[[Counts], float | None]
METRICS: tuple[Metric, ...] = (lambda counts: counts.rate, lambda counts: counts.p95)
GRACE, MARGIN = ROBUST.grace, ROBUST.margin


def argo(known: Measured, rules: PeerRules) -> Said:
    """Argo Rollouts: more failed measurements than `failureLimit`, or errors in a row.

    A measurement without data is an error; the default `consecutiveErrorLimit` is 4. Each metric
    counts by itself. (https://argo-rollouts.readthedocs.io/en/stable/features/analysis/)
    """
    limits = _limits(known, rules.argo_interval)
    failed, errors = [0] * len(METRICS), [0] * len(METRICS)
    for at, values in _measured(known.watch, rules.argo_interval):
        for metric, (value, limit) in enumerate(zip(values, limits, strict=True)):
            errors[metric] = errors[metric] + 1 if value is None else 0
            failed[metric] += value is not None and value > limit
        if max(failed) > rules.argo_failures or max(errors) > rules.argo_errors:
            return Said(at)
    return Said(None)


def flagger(known: Measured, rules: PeerRules) -> Said:
    """Flagger: `threshold` failed checks in all. A check without data has failed.

    (https://docs.flagger.app/usage/metrics)
    """
    limits, failed = _limits(known, rules.flagger_interval), 0
    for at, values in _measured(known.watch, rules.flagger_interval):
        failed += any(
            value is None or value > limit for value, limit in zip(values, limits, strict=True)
        )
        if failed >= rules.flagger_checks:
            return Said(at)
    return Said(None)


def kayenta(known: Measured, rules: PeerRules) -> Said:
    """Kayenta: a Mann-Whitney test of both arms' values since the grace, at fixed intervals.

    "High" means higher than the baseline's values times the tolerance. The critical value is at
    least the worst of the A/A period.
    """
    worst = [
        max([_quantile(rules.error), *(z[metric] for _, z in _tests(known.aa, rules))])
        for metric in range(len(METRICS))
    ]
    return Said(
        next(
            (
                at
                for at, found in _tests(known.watch, rules)
                if any(z > limit for z, limit in zip(found, worst, strict=True))
            ),
            None,
        )
    )


def repeated_z(known: Measured, rules: PeerRules) -> Said:
    """Two proportions compared at every scrape, all since the grace, φ from the A/A period.

    Of failures, and of requests slower than what a tenth of the A/A period's were.
    """
    critical = _quantile(rules.error)
    spreads = [math.sqrt(phi(known.noise, harm)) for harm in HARMS]
    calm, _ = between(known.aa, 0.0, math.inf)
    slow = _slowest_tenth(calm or Counts())
    ours, theirs = [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]
    for poll in known.watch:
        if poll.elapsed <= GRACE or poll.candidate is None or poll.baseline is None:
            continue
        for sums, counts in ((ours, poll.candidate), (theirs, poll.baseline)):
            sums[0] += counts.asked
            sums[1] += counts.failed
            sums[2] += sum(counts.buckets[slow:])
        z = (_z(ours, theirs, which) for which in (1, 2))
        if any(one / spread > critical for one, spread in zip(z, spreads, strict=True)):
            return Said(poll.elapsed)
    return Said(None)


def _z(ours: Sequence[float], theirs: Sequence[float], which: int) -> float:
    """How many standard errors above the baseline's share, its odds times the tolerance."""
    if not ours[0] or not theirs[0]:
        return -math.inf
    p, base = ours[which] / ours[0], theirs[which] / theirs[0]
    null = scaled(base, MARGIN)
    pooled = (ours[which] + theirs[which]) / (ours[0] + theirs[0])
    error = math.sqrt(pooled * (1.0 - pooled) * (1.0 / ours[0] + MARGIN**2 / theirs[0]))
    return (p - null) / error if error else -math.inf


def _measured(
    found: Sequence[Poll], interval: float
) -> Iterator[tuple[float, tuple[float | None, ...]]]:
    """Each metric of the candidate over each interval after the grace."""
    if not found:
        return
    at = GRACE + interval
    while at <= found[-1].elapsed:
        counts, _ = between(found, at - interval, at)
        yield at, tuple(metric(counts) if counts else None for metric in METRICS)
        at += interval


def _limits(known: Measured, interval: float) -> tuple[float, float]:
    """The worst interval of the A/A period with the tolerance: odds of a rate, times a p95."""
    values = [found for _, found in _measured(known.aa, interval)]
    rate, p95 = (
        max((one[metric] or 0.0 for one in values), default=0.0) for metric in range(len(METRICS))
    )
    return scaled(rate, MARGIN), MARGIN * p95


def _tests(found: Sequence[Poll], rules: PeerRules) -> Iterator[tuple[float, tuple[float, ...]]]:
    """At each judgement the z of each metric."""
    steps: list[tuple[float, Counts | None, Counts | None]] = []
    at = GRACE + rules.kayenta_step
    while found and at <= found[-1].elapsed:
        steps.append((at, *between(found, at - rules.kayenta_step, at)))
        if (at - GRACE) % rules.kayenta_every < rules.kayenta_step / 2.0:
            yield at, tuple(_tested(steps, metric) for metric in METRICS)
        at += rules.kayenta_step


def _tested(steps: Sequence[tuple[float, Counts | None, Counts | None]], metric: Metric) -> float:
    ours = [value for _, own, _ in steps if own and (value := metric(own)) is not None]
    theirs = [MARGIN * value for _, _, own in steps if own and (value := metric(own)) is not None]
    return mann_whitney(ours, theirs)


def mann_whitney(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """How many standard deviations ours rank above theirs. Ties share their rank."""
    n, m = len(ours), len(theirs)
    ranked = sorted([*((value, 1) for value in ours), *((value, 0) for value in theirs)])
    ranks = ties = 0.0
    before = 0
    for _, tied in groupby(ranked, key=lambda one: one[0]):
        group = [own for _, own in tied]
        ranks += sum(group) * (before + (len(group) + 1) / 2.0)
        ties += len(group) ** 3 - len(group)
        before += len(group)
    every = n + m
    if not n or not m or every < 3:
        return 0.0
    variance = n * m / 12.0 * (every + 1 - ties / (every * (every - 1)))
    return (ranks - n * (n + 1) / 2.0 - n * m / 2.0) / math.sqrt(variance) if variance > 0 else 0.0


def _slowest_tenth(calm: Counts) -> int:
    """The first bucket beyond which at most a tenth lies."""
    left = whole = sum(calm.buckets)
    for bucket, count in enumerate(calm.buckets):
        if left <= 0.1 * whole:
            return bucket
        left -= count
    return len(calm.buckets) - 1


def _quantile(error: float) -> float:
    """The normal quantile above which `error` lies."""
    low, high = 0.0, 10.0
    for _ in range(60):
        middle = (low + high) / 2.0
        beyond = 0.5 * math.erfc(middle / math.sqrt(2.0))
        low, high = (middle, high) if beyond > error else (low, middle)
    return high
