"""The machine's clock: the one place that asks it."""

import time


class SystemClock:
    """Satisfies ports.Clock."""

    def now(self) -> float:
        """Unix seconds. May jump."""
        return time.time()  # noqa: TID251 - the one place

    def monotonic(self) -> float:
        """Seconds since some start. Never goes back."""
        return time.monotonic()  # noqa: TID251 - the one place

    def sleep(self, seconds: float) -> None:
        """Wait. Nothing or less: do not wait."""
        if seconds > 0:
            time.sleep(seconds)  # noqa: TID251 - the one place
