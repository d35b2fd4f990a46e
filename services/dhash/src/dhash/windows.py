"""Rates and percentiles over the last minutes, from counts that only grow.

Every worker keeps its own readings of the counts of all, so any of them can answer.
"""

from collections import deque
from collections.abc import Mapping

from dhash.metrics import Totals

FAILURE_WINDOW_S = 600
HASH_WINDOW_S = 900
READ_EVERY_S = 15


class History:
    """Readings of the totals, no older than the longest window."""

    def __init__(self) -> None:
        self._readings: deque[tuple[float, Totals]] = deque()

    def add(self, moment: float, totals: Totals) -> None:
        """Remember a reading; `moment` in seconds of any clock that only grows."""
        self._readings.append((moment, totals))
        # The newest reading that is older than the window is where the window begins.
        while len(self._readings) > 1 and self._readings[1][0] <= moment - HASH_WINDOW_S:
            self._readings.popleft()

    def before(self, moment: float, window_s: float) -> Totals:
        """The totals as they were `window_s` ago, or when this worker started."""
        found = self._readings[0][1] if self._readings else Totals()
        for at, totals in self._readings:
            if at > moment - window_s:
                break
            found = totals
        return found


def failure_rate_percent(now: Totals, then: Totals) -> float | None:
    """Failed uploads of all uploads in between; None where there was none."""
    failed = now.failed - then.failed
    total = failed + now.ok - then.ok
    return 100 * failed / total if total else None


def quantile_seconds(now: Totals, then: Totals, fraction: float) -> float | None:
    """The bucket's upper bound under which `fraction` of the hashes in between stayed.

    None where there was no hash. Never too low; at most one bucket too high. Above the last
    bucket's bound it is that bound.
    """
    return _quantile(_difference(now.hash_buckets, then.hash_buckets), fraction)


def _difference(now: Mapping[float, int], then: Mapping[float, int]) -> dict[float, int]:
    return {bound: count - then.get(bound, 0) for bound, count in sorted(now.items())}


def _quantile(buckets: Mapping[float, int], fraction: float) -> float | None:
    total = max(buckets.values(), default=0)
    if not total:
        return None
    finite = [bound for bound in buckets if bound != float("inf")]
    return next((bound for bound in finite if buckets[bound] >= fraction * total), finite[-1])
