"""A clock that runs faster than the wall's."""

import time


class FastClock:
    """Implements ports.Clock; `speed` seconds pass in one."""

    def __init__(self, speed: float = 20.0, start: float = 1_800_000_000.0) -> None:
        self._speed = speed
        self._start = start
        self._zero = time.monotonic()  # noqa: TID251 - it is a clock

    def now(self) -> float:
        """Unix seconds."""
        return self._start + self.monotonic()

    def monotonic(self) -> float:
        """Seconds since it was made."""
        return (time.monotonic() - self._zero) * self._speed  # noqa: TID251 - as above

    def sleep(self, seconds: float) -> None:
        """Wait, faster."""
        time.sleep(seconds / self._speed)  # noqa: TID251 - as above
