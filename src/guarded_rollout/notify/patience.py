"""How often and how long a notice is tried. Pure: time and chance are arguments."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from guarded_rollout.core.notice import ChannelKind


@dataclass(frozen=True, slots=True)
class Patience:
    """Times are seconds. `deadline`: of one notice on one channel, everything counted.

    `answer`: how long one attempt may take. `unsure`: attempts that may have arrived; with two at
    most there is at most one visible duplicate.
    """

    attempts: int = 6
    first: float = 1.0
    longest: float = 20.0
    answer: float = 10.0
    deadline: float = 60.0
    unsure: int = 2

    def pause(self, attempt: int, asked: float | None, chance: float) -> float:
        """Before the next attempt, after `attempt` of them. `chance`: 0 to 1, evenly.

        Doubling, with a half of it by chance; never shorter than what the service asked for.
        """
        doubled = min(self.longest, self.first * 2.0 ** (attempt - 1))
        return max(doubled * (0.5 + chance / 2), asked or 0.0)


RATES: Mapping[ChannelKind, tuple[int, float]] = {
    ChannelKind.SLACK: (1, 1.0),
    ChannelKind.TEAMS: (4, 1.0),
    ChannelKind.TEAMS_CONNECTOR: (4, 1.0),
    ChannelKind.DISCORD: (5, 2.0),
    ChannelKind.EMAIL: (10, 10.0),
    ChannelKind.WEBHOOK: (10, 1.0),
    ChannelKind.PAGERDUTY: (100, 60.0),
    ChannelKind.APPRISE: (1, 1.0),
}
"""At most so many notices in so many seconds, as the services ask for."""


def turn(kind: ChannelKind, attempted: Iterable[float], now: float) -> float:
    """Seconds until the channel may send again. `attempted`: Unix times of what it sent."""
    if kind not in RATES:
        return 0.0
    count, seconds = RATES[kind]
    # A clock that was set back must not close a channel for hours.
    recent = sorted(at for at in attempted if now - seconds < at <= now)
    return recent[-count] + seconds - now if len(recent) >= count else 0.0
