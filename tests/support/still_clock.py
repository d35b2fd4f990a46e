"""A clock that stands still until somebody sleeps, or moves it."""


class StillClock:
    """ports.Clock. `at`: Unix seconds, and the monotonic ones too."""

    def __init__(self, at: float = 1_800_000_000.0) -> None:
        self.at = at

    def now(self) -> float:
        return self.at

    def monotonic(self) -> float:
        return self.at

    def sleep(self, seconds: float) -> None:
        self.at += seconds
