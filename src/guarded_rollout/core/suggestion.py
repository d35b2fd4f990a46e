"""Limits, margin and dispersion from releases that ended well. Too little history gives no number.

A limit leaves room: half of it must still be more than what healthy releases did, or no watch
could exclude harm in time.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, combinations
from typing import Any

from guarded_rollout.core.evidence_bets import Table
from guarded_rollout.core.evidence_dispersion import from_tables, from_trials
from guarded_rollout.core.evidence_process import ROBUST
from guarded_rollout.core.evidence_signals import Signal
from guarded_rollout.core.recorded_traffic import Counted, counted, instances
from guarded_rollout.core.series import Observation

FEWEST_REQUESTS = 300
"""Of one rollout, before its rate says anything."""

FEWEST_FAILURES = 20
"""Of one rollout, before the spread of its failures says anything; in each of two replicas half."""

FEWEST_POLLS = 16

_SURE = 1.96
_SLOW = 0.025
_STEPS = (1.0, 1.2, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0)

History = tuple[str, tuple[Observation, ...]]
"""A rollout's name and what was seen of it."""


@dataclass(frozen=True, slots=True)
class Suggestion:
    """One key of the gates file. `value` None: too little history, see `why`.

    `unit` for people; `rollouts` and `requests`: what it is based on.
    """

    key: str
    value: float | None
    unit: str
    why: str
    rollouts: int = 0
    requests: int = 0


def suggestions(histories: Sequence[History]) -> tuple[Suggestion, ...]:
    """From rollouts that ended done, in the order of the gates file."""
    seen = [observations for _, observations in histories]
    return (
        failure_rate(seen, "extractionFailureRate"),
        p95(seen, "p95HashTime"),
        _queue(seen),
        _margin(seen),
        dispersion(seen),
    )


def document(
    environment: str,
    found: Sequence[Suggestion],
    custom: Sequence[Suggestion] = (),
    *,
    evidence: bool = True,
) -> dict[str, Any]:
    """What to paste into the gates file. `evidence`: whether evidence judges there.

    `custom`: of the service's own metrics.
    """
    gates = {
        one.key: {"threshold": one.value}
        for one in found
        if one.value is not None and one.key not in _EVIDENCE
    }
    weighed = {one.key: one.value for one in found if one.value is not None} if evidence else {}
    own: dict[str, Any] = {"qualityGates": gates} if gates else {}
    if rules := {key: weighed[key] for key in _EVIDENCE if key in weighed}:
        own["evidence"] = rules
    if limits := {one.key: {"threshold": one.value} for one in custom if one.value is not None}:
        own["custom"] = limits
    return {"environments": {environment: own}}


_EVIDENCE = ("margin", "dispersion")


def dispersion(histories: Sequence[Sequence[Observation]]) -> Suggestion:
    """φ: the largest of all rollouts, of one arm over time and of two replicas at a time."""
    found, requests, rollouts, pairs = [], 0, 0, 0
    for observations in histories:
        arm = counted(observations, Signal.REQUESTS)
        own = []
        if arm.trials[0] >= FEWEST_FAILURES and len(arm.polls) >= FEWEST_POLLS:
            trials = [(int(bad), int(every)) for every, bad in arm.polls]
            own.append(from_trials(trials, arm.seconds).factor)
        for a, b in _pairs(observations):
            if _enough(a, b) and len(a.polls) >= FEWEST_POLLS:
                own.append(from_tables(_tables(a, b), a.seconds).factor)
                pairs += 1
        if own:
            found += own
            rollouts += 1
            requests += arm.trials[1]
    if not found:
        return Suggestion(
            "dispersion",
            None,
            "times",
            f"no rollout has {FEWEST_FAILURES} failures in {FEWEST_POLLS} polls",
        )
    return Suggestion(
        "dispersion",
        math.ceil(max(found) * 10 - 1e-9) / 10,
        "times",
        f"failures vary {max(found):.2f} times as much as independent ones"
        f", {pairs} pairs of replicas compared",
        rollouts,
        requests,
    )


def failure_rate(histories: Sequence[Sequence[Observation]], key: str) -> Suggestion:
    """Twice what the worst of them may have had."""
    counts = [counted(seen, Signal.REQUESTS).trials for seen in histories]
    enough = [(bad, every) for bad, every in counts if every >= FEWEST_REQUESTS]
    if not enough:
        return _too_few(key, "percent", "requests")
    worst = max(_at_most(bad, every) for bad, every in enough)
    return Suggestion(
        key,
        rounded_up(min(50.0, 200.0 * worst)),
        "percent",
        f"twice {100 * worst:.3g} %, at most the rate of the worst of them (97.5 % sure)",
        len(enough),
        sum(every for _, every in enough),
    )


def p95(histories: Sequence[Sequence[Observation]], key: str) -> Suggestion:
    """The first boundary that few exceed, in each of them."""
    counts = [counted(seen, Signal.DURATIONS) for seen in histories]
    enough = [one for one in counts if sum(one.sums) >= FEWEST_REQUESTS]
    if not enough:
        return _too_few(key, "ms", "durations")
    bounds = enough[0].bounds  # the newest; older ones with other buckets say nothing about these
    alike = [one for one in enough if one.bounds == bounds]
    at = max(_first_rare(one) for one in alike)
    every = int(sum(sum(one.sums) for one in alike))
    if at >= len(bounds):
        why = f"more than {100 * _SLOW:g} % took longer than the last bucket, {bounds[-1]:g} s"
        return Suggestion(key, None, "ms", why, len(alike), every)
    return Suggestion(
        key,
        round(bounds[at] * 1000.0, 6),
        "ms",
        f"a bucket boundary that at most {100 * _SLOW:g} % of the requests exceeded in each",
        len(alike),
        every,
    )


def levels(histories: Sequence[Sequence[Observation]]) -> list[list[float]]:
    """The readings of a level, of each rollout that has enough of them."""
    read = [
        [
            reading.queue
            for one in seen
            for reading in one.candidate.readings
            if reading.queue is not None and math.isfinite(reading.queue)
        ]
        for seen in histories
    ]
    return [own for own in read if len(own) >= FEWEST_POLLS]


def _queue(histories: Sequence[Sequence[Observation]]) -> Suggestion:
    read = levels(histories)
    if not read:
        return Suggestion(
            "lowConfidenceQueue", None, "items", f"no rollout has {FEWEST_POLLS} readings of it"
        )
    longest = max(max(own) for own in read)
    return Suggestion(
        "lowConfidenceQueue",
        rounded_up(max(10.0, 2.0 * longest)),
        "items",
        f"twice the longest queue, {longest:g}, at least 10",
        len(read),
        sum(map(len, read)),
    )


def _margin(histories: Sequence[Sequence[Observation]]) -> Suggestion:
    """Two replicas of one release do the same work: what differs for sure is no harm."""
    odds, rollouts, requests = [], 0, 0
    for observations in histories:
        own = [_sure_odds(a, b) for a, b in _pairs(observations) if _enough(a, b)]
        if own:
            odds += own
            rollouts += 1
            requests += counted(observations, Signal.REQUESTS).trials[1]
    if not odds:
        return Suggestion(
            "margin",
            None,
            "times the odds",
            f"no rollout has two replicas with {FEWEST_FAILURES // 2} failures each",
        )
    least = ROBUST.margin
    why = f"{len(odds)} pairs of replicas of one release differ by {max(odds):.2f} at least"
    value = math.ceil(max(least, *odds) * 20 - 1e-9) / 20
    return Suggestion(
        "margin", value, "times the odds", f"{why}; never below {least:g}", rollouts, requests
    )


def _too_few(key: str, unit: str, what: str) -> Suggestion:
    return Suggestion(key, None, unit, f"no rollout has {FEWEST_REQUESTS} {what}")


def _at_most(bad: int, every: int) -> float:
    """The upper end of Wilson's interval, 97.5 %."""
    share, z = bad / every, _SURE
    middle = share + z * z / (2 * every)
    wide = z * math.sqrt(share * (1 - share) / every + z * z / (4 * every * every))
    return (middle + wide) / (1 + z * z / every)


def _first_rare(one: Counted) -> int:
    """The first boundary that few enough exceed; the number of boundaries if there is none."""
    sums = one.sums
    whole = sum(sums)
    for at, below in enumerate(accumulate(sums[:-1])):
        if whole - below <= _SLOW * whole:
            return at
    return len(one.bounds)


def rounded_up(value: float) -> float:
    """The next round number above zero."""
    power = 10.0 ** math.floor(math.log10(value))
    step = next(step for step in _STEPS if step * power >= value * (1 - 1e-9))
    return round(step * power, 9)


def _pairs(observations: Sequence[Observation]) -> list[tuple[Counted, Counted]]:
    """Two replicas at a time, with the polls at which both were read."""
    arms = [
        counted(observations, Signal.REQUESTS, instance=name) for name in instances(observations)
    ]
    return [(a, b) for a, b in combinations(arms, 2) if len(a.polls) == len(b.polls)]


def _enough(a: Counted, b: Counted) -> bool:
    return min(a.trials[0], b.trials[0]) >= FEWEST_FAILURES // 2


def _tables(a: Counted, b: Counted) -> list[Table]:
    return [
        Table(int(x), int(n), int(y), int(m))
        for (n, x), (m, y) in zip(a.polls, b.polls, strict=True)
    ]


def _sure_odds(a: Counted, b: Counted) -> float:
    """The odds ratio, the larger way round, less two standard errors of its logarithm."""
    (x, n), (y, m) = a.trials, b.trials
    cells = (x, n - x, y, m - y)
    if min(cells) == 0:
        return 1.0
    logarithm = abs(math.log(x * (m - y) / (y * (n - x))))
    error = math.sqrt(sum(1.0 / cell for cell in cells))
    return math.exp(max(0.0, logarithm - _SURE * error))
