"""The proxy's statistics as readings per release.

All counters of a release are those of the clusters that carry its name: a request counts for the
release it was routed to, whoever answered. `errors` are final answers of 500 and above; `rescued`
are good answers of the standby, so the two never count the same request. A counter may begin anew
from zero when a later route drops a cluster, never while a route stands. So may the durations, and
these alone: Envoy forgets a histogram with the last cluster that ever added to it, even while
other clusters of that name keep the counters.

What testers asked for has accounts of its own, which are no release's: see `names.PINNED`.
"""

from bisect import bisect_left
from collections.abc import Callable, Mapping
from itertools import accumulate
from typing import Any

from guarded_rollout.adapters.envoy import live
from guarded_rollout.adapters.envoy.admin import Session
from guarded_rollout.adapters.envoy.names import encode
from guarded_rollout.core.series import Histogram, ProxyReading

# Every bound is an edge of Envoy's own bins (two significant digits), so no sample is misplaced.
_DECADE = (10, 12, 14, 16, 18, 20, 25, 30, 35, 40, 45, 50, 60, 70, 80, 90)
BOUNDS_MS = (
    *range(1, 10),
    *(step * scale for scale in (1, 10, 100, 1000) for step in _DECADE),
    100_000,
    120_000,
    140_000,
)
BOUNDS = tuple(bound / 1000 for bound in BOUNDS_MS)
"""Seconds."""

_TOTAL = "upstream_rq_completed"
_ERRORS = "upstream_rq_5xx"
_RETRIED = "upstream_rq_retry"
_TIME = "upstream_rq_time"
_WANTED = rf"cluster\.[^.]+\.({_TOTAL}|{_ERRORS}|{_RETRIED}|{_TIME})"


def readings(session: Session, pause: Callable[[], None]) -> Mapping[str, ProxyReading]:
    """The readings of one process of the proxy, per release."""
    epoch = live.epoch(session)
    live.settle(session, pause)
    numbers: dict[tuple[str, str], float] = {}
    durations: dict[str, Histogram] = {}
    for name, found in live.statistics(session, _WANTED):
        _, release, what = name.split(".")
        if what == _TIME:
            durations[release] = histogram(found.get("totals", ()))
        else:
            numbers[release, what] = float(found["value"])
    hosts = [host for found in live.clusters(session).values() for host in found]
    arms = {host.release: encode(host.release) for host in hosts}
    return {
        release: ProxyReading(
            epoch=epoch,
            requests=numbers.get((name, _TOTAL), 0.0),
            errors=numbers.get((name, _ERRORS), 0.0),
            retried=numbers.get((name, _RETRIED), 0.0),
            rescued=float(sum(h.succeeded for h in hosts if h.stands_by_for == release)),
            active=float(sum(h.active for h in hosts if h.release == release)),
            durations=durations.get(name, histogram(())),
        )
        for release, name in arms.items()
    }


def histogram(bins: Any) -> Histogram:  # noqa: ANN401 - JSON
    """Envoy's bins on our bounds. Envoy counts whole milliseconds, rounded down: 5 is up to 6."""
    counts = [0.0] * (len(BOUNDS) + 1)
    for found in bins:
        lower = float(found["lower_bound"])
        upper = max(lower + float(found["width"]), int(lower) + 1)
        counts[bisect_left(BOUNDS_MS, round(upper))] += float(found["count"])
    return Histogram(BOUNDS, tuple(accumulate(counts)))
