"""The numbers that evidence is made of: which counters, and whether they can be trusted."""

import math
from collections.abc import Callable, Iterable
from enum import StrEnum
from operator import le, sub
from typing import NamedTuple

from guarded_rollout.core.series import ArmSeen, Histogram


class Signal(StrEnum):
    """Which numbers are followed, and what a vector of them holds."""

    REQUESTS = "requests"
    """Of the service: total, failed."""
    PROXY_REQUESTS = "proxy requests"
    """Of the proxy: requests; those that failed or that the other arm had to answer."""
    DURATIONS = "durations"
    """Of the service: cumulative bucket counts."""
    PROXY_DURATIONS = "proxy durations"
    OUTCOMES = "outcomes"
    """Cumulative bucket counts of what succeeded, then what failed."""
    RESTARTS = "restarts"
    """Restarts of the arm's replicas; followed by how many are alive, a level."""
    EVENTS = "events"
    """What should not happen, counted by each replica; followed by one, a level."""
    QUEUE = "queue"
    """What came to the queue, what left it; followed by its length, a level."""


class Mark(NamedTuple):
    """The newest trusted counters of one replica. `bounds`: of its histogram."""

    instance: str
    counts: tuple[float, ...]
    bounds: tuple[float, ...] = ()


COUNTED = frozenset(set(Signal) - {Signal.RESTARTS, Signal.EVENTS, Signal.QUEUE})
"""Signals of requests: an arm without any stands still, and every number only rises."""

ASKED = frozenset({Signal.REQUESTS, Signal.PROXY_REQUESTS})
"""Signals that count all requests first, and then those that went bad."""


def marks(arm: ArmSeen, signal: Signal) -> tuple[Mark, ...]:
    """One arm's trusted counters, replica by replica; empty if nothing can be trusted."""
    return tuple([mark for mark in _READ[signal](arm) if _trusted(mark, signal)])


def _requests(arm: ArmSeen) -> Iterable[Mark]:
    for it in arm.readings:
        if it.total is not None and it.bad is not None:
            yield Mark(it.instance, (it.total, it.bad))


def _proxy_requests(arm: ArmSeen) -> Iterable[Mark]:
    if (proxy := arm.proxy) is not None:
        # Retries are left out: a request must not count twice, or it is no trial.
        yield Mark(proxy.epoch, (proxy.requests, proxy.errors + proxy.rescued))


def _durations(arm: ArmSeen) -> Iterable[Mark]:
    for it in arm.readings:
        if it.durations is not None:
            yield _of(it.instance, it.durations)


def _proxy_durations(arm: ArmSeen) -> Iterable[Mark]:
    if arm.proxy is not None and arm.proxy.durations is not None:
        yield _of(arm.proxy.epoch, arm.proxy.durations)


def _outcomes(arm: ArmSeen) -> Iterable[Mark]:
    for it in arm.readings:
        if it.durations is not None and it.bad is not None:
            found = _of(it.instance, it.durations)
            yield Mark(it.instance, (*found.counts, it.bad), found.bounds)


def _restarts(arm: ArmSeen) -> Iterable[Mark]:
    if arm.healthy is not None or arm.replicas_alive or arm.restarts:
        yield Mark("arm", (float(arm.restarts), float(arm.replicas_alive)))


def _events(arm: ArmSeen) -> Iterable[Mark]:
    for it in arm.readings:
        if it.bad is not None:
            yield Mark(it.instance, (it.bad, 1.0))


def _queue(arm: ArmSeen) -> Iterable[Mark]:
    """Replicas share one queue: the newest reading is the one with the highest counts."""
    read = [
        (it.arrived, it.left, it.queue)
        for it in arm.readings
        if it.arrived is not None and it.left is not None and it.queue is not None
    ]
    finite = [counts for counts in read if all(map(math.isfinite, counts))]
    if finite:
        yield Mark("queue", max(finite, key=lambda counts: counts[:2]))


_READ: dict[Signal, Callable[[ArmSeen], Iterable[Mark]]] = {
    Signal.REQUESTS: _requests,
    Signal.PROXY_REQUESTS: _proxy_requests,
    Signal.DURATIONS: _durations,
    Signal.PROXY_DURATIONS: _proxy_durations,
    Signal.OUTCOMES: _outcomes,
    Signal.RESTARTS: _restarts,
    Signal.EVENTS: _events,
    Signal.QUEUE: _queue,
}


def _of(instance: str, histogram: Histogram) -> Mark:
    return Mark(instance, histogram.counts, histogram.bounds)


def _trusted(mark: Mark, signal: Signal) -> bool:
    """Buckets are cumulative, and no more can fail than was asked; else the reading is garbled."""
    counts = mark.counts
    if not counts or not all(map(math.isfinite, counts)) or min(counts) < 0:
        return False
    if signal in ASKED:
        return counts[1] <= counts[0]
    if signal not in COUNTED:
        return True
    buckets = counts[:-1] if signal is Signal.OUTCOMES else counts
    return len(buckets) == len(mark.bounds) + 1 and all(map(le, buckets, buckets[1:]))


def difference(
    old: tuple[float, ...], new: tuple[float, ...], signal: Signal
) -> tuple[float, ...] | None:
    """Per replica, in the signal's own terms; None if a counter fell or contradicts another.

    Restarts: how many, and the most replicas that were alive. Queue: what came, what left, and
    its length before. Histograms: per bucket instead of cumulative.
    """
    if signal in ASKED:
        asked, bad = new[0] - old[0], new[1] - old[1]
        return (asked, bad) if 0 <= bad <= asked else None
    if signal is Signal.QUEUE:
        came, left = new[0] - old[0], new[1] - old[1]
        return (came, left, old[2]) if came >= 0 and left >= 0 else None
    if signal not in COUNTED:
        return (new[0] - old[0], max(old[1], new[1], 1.0)) if new[0] >= old[0] else None
    rise = list(map(sub, new, old))
    failed = [rise.pop()] if signal is Signal.OUTCOMES else []
    parts = (rise[0], *map(sub, rise[1:], rise), *failed)
    return parts if min(parts) >= 0 else None
