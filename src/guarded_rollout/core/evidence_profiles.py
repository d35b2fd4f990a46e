"""Which bets are placed on a histogram, chosen from what was pooled before the poll.

A bet may depend on the past only. So the profiles come from the reference: both arms' counts of
all earlier polls (and of the A/A period, if there was one). Groups are runs of buckets, cut where
the reference's tail passes fixed shares; the last group holds the failures, if they are counted.
"""

import math
from bisect import bisect_left
from collections.abc import Sequence
from typing import NamedTuple

from guarded_rollout.core.evidence_bets import Profile

_CUTS = (-0.8, -0.55, -0.3, -0.15, -0.07, -0.03, -0.012, -0.004, -0.001)
"""Tail shares, negative so that they ascend."""

_SHIFTS = (0.35, 0.8, 1.6)
_SLOW = (0.012, 0.06)
_FAILURES = (4.0, 20.0)
_EXCLUDED = (0.5, 0.1)
_HARD = 5.0
_LEARNED = 50
"""Fewer samples in the reference say nothing about the tail: no bet on latency yet."""


class Plan(NamedTuple):
    """How buckets become groups, and what is bet on them.

    `group_of[b]` is the group of bucket b. `profiles` are for the whole watch, `hard` for the
    grace period. `boundaries`: groups from which on an excess is to be excluded before a pass; None
    while the reference cannot tell where that is.
    """

    group_of: tuple[int, ...]
    groups: int
    profiles: tuple[Profile, ...]
    hard: tuple[Profile, ...]
    boundaries: tuple[int | None, ...]


def _each(part: float, bets: tuple[object, ...]) -> tuple[float, ...]:
    return (part / len(bets),) * len(bets)


_SHARES = (*_each(0.6, _SHIFTS), *_each(0.4, _SLOW))
_WITH_FAILURES = (*_each(0.35, _SHIFTS), *_each(0.25, _SLOW), *_each(0.4, _FAILURES))


def shares(*, failures: bool) -> tuple[float, ...]:
    """How the capital is divided over the profiles, in their order."""
    return _WITH_FAILURES if failures else _SHARES


def plan(reference: Sequence[float], margin: float, *, failures: bool) -> Plan:
    """The bets for the next poll. `reference`: counts per bucket; with `failures` the last is they.

    The number of profiles never changes from poll to poll: a capital belongs to each.
    """
    latencies = reference[:-1] if failures else reference
    if sum(latencies) < _LEARNED:
        group_of, tails = (0,) * len(latencies), [(0.0, 1.0)]
    else:
        group_of, tails = _groups(latencies)
    groups = len(tails)
    scores = [_score(*tail) for tail in tails]
    centre = next((g for g, (_, before) in enumerate(tails) if before <= 0.55), groups - 1)
    low = scores[centre] if margin != 1.0 else scores[0]
    start = max(1, centre) if margin != 1.0 else 1
    rises = [max(0.0, score - low) for score in scores]
    profiles = []
    for shift in _SHIFTS:
        weights = [math.exp(shift * rise) for rise in rises]
        profiles.append(_stepped(weights, start, failures=failures))
    start = _first_beyond(tails, 0.3)
    profiles += [_stepped(_tailed(tails, start, slow), start, failures=failures) for slow in _SLOW]
    starts = [_first_beyond(tails, tail) for tail in _EXCLUDED]
    boundaries: list[int | None] = [start or None for start in starts]
    weights = [_HARD if g >= starts[0] else 1.0 for g in range(groups)]
    hard = [_stepped(weights, starts[0], failures=failures)]
    if failures:
        group_of = (*group_of, groups)
        profiles += [Profile((*(1.0,) * groups, psi), groups) for psi in _FAILURES]
        hard.append(Profile((*(1.0,) * groups, _HARD), groups))
        boundaries.append(groups)
        groups += 1
    return Plan(group_of, groups, tuple(profiles), tuple(hard), tuple(boundaries))


def _groups(latencies: Sequence[float]) -> tuple[tuple[int, ...], list[tuple[float, float]]]:
    """Runs of buckets, and per run the share of the reference (after it, from it on)."""
    total = math.fsum(latencies) + 1.0
    group_of, tails = [], []
    before, level = 1.0, -1
    beyond = total
    for bucket, count in enumerate(latencies):
        # Half a sample beyond the last bucket: a tail that was never seen is rare, not impossible.
        beyond -= count
        after = (beyond - 0.5) / total if bucket < len(latencies) - 1 else 0.0
        middle = (before + after) / 2
        here = bisect_left(_CUTS, -middle)
        if here != level:
            tails.append((after, before))
            level = here
        else:
            tails[-1] = (after, tails[-1][1])
        group_of.append(len(tails) - 1)
        before = after
    return tuple(group_of), tails


def _score(after: float, before: float) -> float:
    """The logistic score of a group's middle, in about the unit of a standard normal."""
    middle = min(0.999, max(0.0005, (after + before) / 2))
    return 0.6 * math.log((1.0 - middle) / middle)


def _first_beyond(tails: Sequence[tuple[float, float]], tail: float) -> int:
    """The first group whose tail (itself included) is at most `tail`, with a little tolerance."""
    for g, (_, before) in enumerate(tails):
        if g and before <= tail * 1.6:
            return g
    return len(tails) - 1


def _tailed(tails: Sequence[tuple[float, float]], start: int, slow: float) -> list[float]:
    """The share `slow` of the requests moved to the groups from `start` on, evenly over them."""
    weights, part = [1.0] * len(tails), slow / max(1, len(tails) - start)
    for g in range(max(1, start), len(tails)):
        after, before = tails[g]
        weights[g] = max(weights[g - 1], 1.0 + part / max(0.0002, before - after))
    return weights


def _stepped(weights: list[float], start: int, *, failures: bool) -> Profile:
    if failures:
        weights = [*weights, weights[-1]]
    return Profile(tuple(weights), start)
