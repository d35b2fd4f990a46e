"""What can go wrong, sorted by what the reader does next. Every problem has a hint."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Why:
    """A failure as data: what happened (who, which file, which number) and what to do now."""

    what: str
    hint: str = ""

    def __str__(self) -> str:
        return f"{self.what}\n  -> {self.hint}" if self.hint else self.what


class Problem(Exception):  # noqa: N818 - the word on the screen is "problem"
    """Something a person must know about. Nothing was changed unless `what` says so."""

    exit_code = 1

    def __init__(self, what: str, hint: str = "") -> None:
        super().__init__(what)
        self.why = Why(what, hint)

    def __str__(self) -> str:
        return str(self.why)


class BadInput(Problem):
    """A file, a flag or a value is wrong. The message names file, line and key."""


class NotPossible(Problem):
    """What was asked cannot be done in this situation, and nothing was tried."""


class Busy(Problem):
    """Somebody else is at it. The message says who, until when, and what to do."""


class Broken(Problem):
    """The world did not do what it was asked: a command, a server or a disk failed."""


class NeedsPerson(Problem):
    """The tool must not decide this alone."""

    exit_code = 3


class Interrupted(Problem):
    """The step was told to stop before it was done."""
