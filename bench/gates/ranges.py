"""What may be drawn for a simulated rollout: each number's name, usual range and limits."""

import math
import random
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Range:
    """From `low` to `high`, both included; equal ends: a fixed number."""

    low: float
    high: float

    def draw(self, rng: random.Random, *, even: bool) -> float:
        """`even`: uniform; else uniform in the logarithm, where both ends are above 0."""
        at = rng.random()
        if even or self.low <= 0.0:
            return self.low + (self.high - self.low) * at
        return min(self.high, self.low * math.exp(at * math.log(self.high / self.low)))


@dataclass(frozen=True, slots=True)
class Field:
    """One number: its usual range, the least and most that make sense, its unit."""

    usual: Range
    least: float
    most: float
    unit: str
    even: bool = True


def _field(low: float, high: float, least: float, most: float, unit: str) -> Field:
    return Field(Range(low, high), least, most, unit)


def _log(low: float, high: float, least: float, most: float, unit: str) -> Field:
    return Field(Range(low, high), least, most, unit, even=False)


FIELDS = {
    # the watch
    "window": _field(1800, 1800, 60, 86400, "seconds"),
    "aa": _field(1800, 1800, 10, 86400, "seconds"),
    "aa_scrape": _field(10, 10, 0.5, 300, "seconds"),
    "scrape": _field(10, 10, 1, 300, "seconds"),
    # the traffic
    "requests": _log(20, 150, 0.01, 100000, "per second"),
    "share": _log(0.05, 0.5, 0.001, 0.999, "of all requests"),
    "failures": _log(0.002, 0.03, 0.00001, 0.9, "of all requests"),
    "median": _log(0.03, 0.15, 0.007, 2, "seconds"),
    "spread": _field(0.4, 0.7, 0.05, 2, "standard deviations of log(seconds)"),
    # the harm
    "onset": _field(0, 600, 0, 86400, "seconds"),
    "leak_seconds": _field(0, 0, 0, 86400, "seconds"),
    "times": _log(4, 20, 1, 10000, "times the odds of failure"),
    "slow_part": _log(0.02, 0.1, 0.0001, 1, "of the requests"),
    "slow_times": _log(4, 10, 1, 100, "times as long"),
    # of the candidate, and it heals
    "cold_times": _log(1, 1, 1, 100, "times the odds of failure"),
    "cold_slow": _log(1, 1, 1, 20, "times as long"),
    "cold_seconds": _field(0, 0, 0, 3600, "seconds"),
    # of both arms
    "drift_times": _log(1, 1, 0.01, 100, "times the odds, at the end"),
    "incident_times": _log(1, 1, 1, 1000, "times the odds of failure"),
    "incident_slow": _log(1, 1, 1, 20, "times as long"),
    "incident_at": _field(600, 600, 0, 86400, "seconds"),
    "incident_seconds": _field(0, 0, 0, 86400, "seconds"),
    # of each arm
    "noise": _field(0, 0, 0, 3, "standard deviation of the log odds"),
    "noise_durations": _field(0, 0, 0, 1, "standard deviation of log(seconds)"),
    "noise_seconds": _log(60, 60, 1, 86400, "seconds"),
    "bursts": _field(0, 0, 0, 1000, "per hour of both arms"),
    "burst_size": _field(5, 5, 1, 1000, "failures"),
    # of what is read
    "missing": _field(0, 0, 0, 1, "of all readings"),
    "late": _field(0, 0, 0, 1, "of all readings"),
    "duplicated": _field(0, 0, 0, 1, "of all observations"),
    "resets": _field(0, 0, 0, 1000, "per hour and arm"),
    # of the split and the number of replicas
    "steps": _field(0, 0, 0, 50, "changes of the share"),
    "share_end": _log(0.5, 0.5, 0.001, 0.999, "of all requests"),
    "swing": _field(0, 0, 0, 0.95, "of the traffic, up and down"),
    "swing_seconds": _log(900, 900, 10, 86400, "seconds"),
    "replicas": _field(1, 1, 1, 50, "of each arm, when there is most traffic"),
}
"""Every number of a simulated rollout. A family names those that differ from the usual."""
