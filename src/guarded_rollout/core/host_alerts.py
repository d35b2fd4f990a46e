"""A machine that is nearly full: told when it begins, and once."""

from guarded_rollout.core.series import HostSeen
from guarded_rollout.core.spec import HostLimits

CLEAR_BELOW = 5.0
"""Percentage points below the limit, so that a number that wavers is no news each time."""


def alerting(seen: HostSeen, limits: HostLimits, before: frozenset[str]) -> frozenset[str]:
    """What is above its limit now, or was and has hardly fallen. A number that is not known
    leaves it as it was.
    """
    return frozenset(
        name
        for name in ("cpu", "memory", "disk")
        if _above(getattr(seen, name), getattr(limits, name), was=name in before)
    )


def alert_text(names: frozenset[str], seen: HostSeen, limits: HostLimits) -> str:
    """One sentence about what has begun."""
    told = ", ".join(
        f"{name} {getattr(seen, name):.0f} % (alert above {getattr(limits, name):g} %)"
        for name in sorted(names)
    )
    return f"The machine is nearly full: {told}."


def _above(value: float | None, limit: float, *, was: bool) -> bool:
    if value is None:
        return was
    return value > (limit - CLEAR_BELOW if was else limit)
