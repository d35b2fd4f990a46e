"""When to look: often at first, then calmly. Times are seconds of *observed* watching.

Watch time advances only while somebody looks. A gap (the guard was dead, the machine slept)
does not count, so a resumed watch is as long as an undisturbed one, whatever the clocks did.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Schedule:
    """The documents' cadence: every `first_every` until `first_for`, then every `then_every`.

    All in seconds, all positive. Production: 60 min, 30 s for 5 min, then 120 s.
    """

    duration: float
    first_every: float
    first_for: float
    then_every: float

    def __post_init__(self) -> None:
        """Refuse a schedule that could never look."""
        if min(self.duration, self.first_every, self.then_every) <= 0 or self.first_for < 0:
            raise ValueError(f"every interval of a schedule must be positive: {self}")


def next_look(schedule: Schedule, elapsed: float) -> float | None:
    """The first look after `elapsed` seconds of watching; None when the window is over.

    The last look is at the end of the window exactly, so no release is promoted on an old look.
    """
    if elapsed >= schedule.duration:
        return None
    if elapsed < schedule.first_for:
        due = (elapsed // schedule.first_every + 1) * schedule.first_every
        due = min(due, max(schedule.first_for, schedule.first_every))
    else:
        since = elapsed - schedule.first_for
        due = schedule.first_for + (since // schedule.then_every + 1) * schedule.then_every
    if due <= elapsed:  # a float product rounded down onto the look just taken
        due = elapsed + min(schedule.first_every, schedule.then_every)
    return min(due, schedule.duration)


def looks(schedule: Schedule) -> tuple[float, ...]:
    """All looks of an undisturbed watch, in seconds from its start."""
    found: list[float] = []
    at = next_look(schedule, 0.0)
    while at is not None:
        found.append(at)
        at = next_look(schedule, at)
    return tuple(found)
