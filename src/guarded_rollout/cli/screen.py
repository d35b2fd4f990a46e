"""Words on a terminal, or one JSON document on standard output with the words on standard error."""

import json
import sys
from datetime import UTC, datetime
from typing import Any

from guarded_rollout.core.redact import redact
from guarded_rollout.core.report import fact_lines
from guarded_rollout.ports import Entry


class Screen:
    """Where a command speaks. With `as_json` only `document` reaches standard output."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self._out = sys.stderr if as_json else sys.stdout

    def line(self, text: str = "") -> None:
        """One line for people."""
        print(redact(text), file=self._out, flush=True)

    def lines(self, texts: list[str]) -> None:
        """Several."""
        for text in texts:
            self.line(text)

    def entry(self, entry: Entry) -> None:
        """A fact of the journal, as it happens."""
        at = datetime.fromtimestamp(entry.at, UTC).strftime("%H:%M:%S")
        for text in fact_lines(entry.fact, brief=True):
            self.line(f"{at}  {text}")

    def document(self, content: Any) -> None:  # noqa: ANN401 - JSON
        """The machine's answer; nothing without --json."""
        if self._as_json:
            json.dump(content, sys.stdout, indent=2, sort_keys=True, default=str)
            sys.stdout.write("\n")
            sys.stdout.flush()
