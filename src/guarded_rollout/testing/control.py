"""A control in memory."""


class Told:
    """ports.Control: stops when asked for the `after`-th time, and remembers what was said."""

    def __init__(self, after: int = 10**9) -> None:
        self.after = after
        self.asked = 0
        self.said: list[str] = []

    def stopped(self) -> bool:
        """True from the `after`-th question on."""
        self.asked += 1
        return self.asked > self.after

    def say(self, text: str) -> None:
        """Remember it."""
        self.said.append(text)
