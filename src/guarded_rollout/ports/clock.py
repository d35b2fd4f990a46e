"""Time, and how whoever asks for long work is heard."""

from typing import Protocol


class Clock(Protocol):
    """Time, so that tests can own it."""

    def now(self) -> float:
        """Unix seconds. May jump."""

    def monotonic(self) -> float:
        """Seconds since some start. Never goes back."""

    def sleep(self, seconds: float) -> None:
        """Wait."""


class Control(Protocol):
    """Handed to every long verb."""

    def stopped(self) -> bool:
        """True: stop soon, leave nothing half done, raise Interrupted."""

    def say(self, text: str) -> None:
        """One line of progress for people."""
