"""Words on a terminal, or one JSON document on standard output with the words on standard error."""

import contextlib
import json
import os
import sys
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TextIO

from guarded_rollout.core.problems import Why
from guarded_rollout.core.redact import redact, redact_value

if TYPE_CHECKING:
    from guarded_rollout.ports import Entry


class Gone(Exception):  # noqa: N818 - nobody reads any more: no error of the tool
    """Standard output cannot be written: its reader has ended, or its disk is full."""


class Screen:
    """Where a command speaks. With `as_json` standard output gets one document and nothing else."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self._answered = False

    def line(self, text: str = "") -> None:
        """One line for people."""
        if self._as_json:
            tell(text)
        else:
            _write(sys.stdout, redact(text) + "\n")

    def lines(self, texts: list[str]) -> None:
        """Several."""
        for text in texts:
            self.line(text)

    def entry(self, entry: "Entry") -> None:
        """A fact of the journal, as it happens."""
        # Here, so that notices need no package that is not installed.
        from guarded_rollout.core.fact_text import fact_lines

        at = datetime.fromtimestamp(entry.at, UTC).strftime("%H:%M:%S")
        for text in fact_lines(entry.fact, brief=True):
            self.line(f"{at}  {text}")

    def document(self, content: Any) -> None:  # noqa: ANN401 - JSON
        """The machine's answer: the first one counts. Nothing without --json."""
        if self._as_json and not self._answered:
            self._answered = True
            plain = json.loads(json.dumps(content, default=str))
            text = json.dumps(redact_value(plain), indent=2, sort_keys=True)
            _write(sys.stdout, text + "\n")

    def problem(self, why: Why, exit_code: int, who: str = "rollout") -> None:
        """What went wrong, for people on standard error and as the machine's answer."""
        tell(f"{who}: {why}")
        with contextlib.suppress(Gone):
            self.document({"error": error_document(why, exit_code)})


def error_document(why: Why, exit_code: int) -> dict[str, object]:
    """A problem for machines."""
    return {"what": why.what, "hint": why.hint, "exit_code": exit_code}


def tell(text: str) -> None:
    """One line on standard error, if anybody reads it."""
    with contextlib.suppress(Gone):
        _write(sys.stderr, redact(text) + "\n")


def _write(to: TextIO | None, text: str) -> None:
    """Raises Gone. What is left in the buffer must not fail again when Python ends."""
    if to is None:
        return
    encoding = to.encoding or "utf-8"
    text = text.encode(encoding, "backslashreplace").decode(encoding)
    with _heard(to):
        to.write(text)
        to.flush()


def write_out(lines: Iterable[bytes]) -> None:
    """Lines as they are, on standard output. Raises Gone."""
    with _heard(sys.stdout):
        for line in lines:
            sys.stdout.buffer.write(line)
        sys.stdout.flush()


@contextlib.contextmanager
def _heard(to: TextIO) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        with contextlib.suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, to.fileno())
            os.close(nowhere)
        raise Gone(error.strerror or str(error)) from error


class OnScreen:
    """ports.Control for a command that works itself: progress on the screen, Ctrl-C ends it."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen

    def stopped(self) -> bool:
        """Never asked to."""
        return False

    def say(self, text: str) -> None:
        """One line."""
        self._screen.line(f"  {text}")
