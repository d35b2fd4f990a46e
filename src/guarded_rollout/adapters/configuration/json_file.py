"""JSON with line numbers and without surprises: duplicate keys, NaN and endless nesting are errors.

Lines that are `// comments` are allowed, because the documents' examples have them.
"""

import json
import math
import re
from pathlib import Path

from guarded_rollout.adapters.configuration.located import Place, Value, read_text

_SPACE = re.compile(r"[ \t\n\r]*")
_COMMENT_OR_STRING = re.compile(r'"(?:[^"\\\n]|\\.)*"|//[^\n]*')
_DECODER = json.JSONDecoder()


def read_json(path: Path, shown: str) -> Value:
    """The file as one located value. BadInput says line and column of what is no JSON."""
    text = _COMMENT_OR_STRING.sub(
        lambda found: found[0] if found[0].startswith('"') else " " * len(found[0]),
        read_text(path, shown),
    )
    try:
        json.loads(text)
    except json.JSONDecodeError as error:
        raise Place(shown, error.lineno).problem(
            f"is not valid JSON, column {error.colno}: {error.msg}", _hint(text, error)
        ) from None
    except RecursionError:
        raise Place(shown, 1).problem("is nested too deeply", "it needs five levels") from None
    except ValueError as error:
        raise Place(shown, 1).problem(f"is not valid JSON: {error}", "check its numbers") from None
    return _Reader(text, shown).value


def _hint(text: str, error: json.JSONDecodeError) -> str:
    before = text[: error.pos].rstrip()
    if before.endswith(",") and text[error.pos : error.pos + 1] in {"}", "]"}:
        return "remove the comma after the last entry"
    if error.msg.startswith("Illegal trailing comma"):
        return "remove the comma after the last entry"
    if "property name" in error.msg:
        return "keys need double quotes, and no comma may follow the last entry"
    if "delimiter" in error.msg:
        return "a comma or a colon is missing before this place"
    return "compare it with the file that came with the tool: quality-gates-config.json"


class _Reader:
    """Walks over valid JSON and notes the line of every value."""

    def __init__(self, text: str, shown: str) -> None:
        self.text = text
        self.at = 0
        self.line = 1
        self.line_seen_to = 0
        self.value = self._value(Place(shown, 1))

    def _skip(self) -> str:
        blank = _SPACE.match(self.text, self.at)
        assert blank is not None
        self.at = blank.end()
        return self.text[self.at]

    def _here(self) -> int:
        self.line += self.text.count("\n", self.line_seen_to, self.at)
        self.line_seen_to = self.at
        return self.line

    def _value(self, place: Place) -> Value:
        match self._skip():
            case "{":
                return Value(place, self._object(place))
            case "[":
                return Value(place, self._list(place))
            case _:
                raw, self.at = _DECODER.raw_decode(self.text, self.at)
        if isinstance(raw, float) and not math.isfinite(raw):
            raise place.problem("is no usable number", "JSON has no NaN and no Infinity")
        return Value(place, raw)

    def _object(self, place: Place) -> dict[str, Value]:
        self.at += 1
        found: dict[str, Value] = {}
        while self._skip() != "}":
            if self.text[self.at] == ",":
                self.at += 1
                continue
            line = self._here()
            key, self.at = _DECODER.raw_decode(self.text, self.at)
            member = place.under(key, line)
            if key in found:
                raise member.problem(
                    f"stands here twice, first in line {found[key].place.line}",
                    "keep one of them: JSON would silently take the last",
                )
            self._skip()
            self.at += 1  # the colon
            found[key] = self._value(member)
        self.at += 1
        return found

    def _list(self, place: Place) -> tuple[Value, ...]:
        self.at += 1
        found: list[Value] = []
        while self._skip() != "]":
            if self.text[self.at] == ",":
                self.at += 1
                continue
            found.append(self._value(place.under(len(found), self._here())))
        self.at += 1
        return tuple(found)
