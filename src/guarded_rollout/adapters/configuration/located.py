"""Values that remember the file, the line and the key they came from.

Every reader of a value says what is wrong, what is allowed and what to do, as one BadInput.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TypeVar

from guarded_rollout.adapters.configuration.durations import Unclear, bare_minutes, seconds
from guarded_rollout.core.problems import BadInput
from guarded_rollout.core.redact import redact

T = TypeVar("T")
Raw = object
"""Text, number, flag, None, a tuple of Values, a dict of Values, or a TOML date."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where something stands. `file` as people know it; `line` from 1; `key` dotted."""

    file: str
    line: int
    key: str = ""

    def under(self, key: str | int, line: int) -> "Place":
        """The place of a member: `service` and `name` give `service.name`."""
        if isinstance(key, int):
            return Place(self.file, line, f"{self.key}[{key}]")
        readable = key if key.isprintable() and key else ascii(key)
        return Place(self.file, line, f"{self.key}.{readable}" if self.key else readable)

    def problem(self, what: str, hint: str) -> BadInput:
        """The one error of this file."""
        key = f"{self.key}: " if self.key else ""
        return BadInput(f"{self.file}:{self.line}: {key}{what}", hint)


@dataclass(frozen=True, slots=True)
class Value:
    """A value and its place."""

    place: Place
    raw: Raw

    def problem(self, what: str, hint: str) -> BadInput:
        """An error about this value."""
        return self.place.problem(what, hint)

    def plain(self) -> object:
        """The value without places, to compare two."""
        if isinstance(self.raw, dict):
            return {key: member.plain() for key, member in self.raw.items()}
        if isinstance(self.raw, tuple):
            return [member.plain() for member in self.raw]
        return self.raw

    def _wrong(self, wanted: str, hint: str) -> BadInput:
        return self.problem(f"must be {wanted}, not {kind(self.raw)}", hint)

    def text(self) -> str:
        """Text with at least one character, without control characters."""
        if not isinstance(self.raw, str):
            shown = "" if isinstance(self.raw, (dict, tuple)) else f': "{_shown(self.raw)}"'
            raise self._wrong("text", f"put it into quotes{shown}")
        if not self.raw.strip():
            raise self.problem("must not be empty", "write a value, or take the key out")
        if not self.raw.isprintable():
            raise self.problem(
                "must not contain line breaks or control characters", "write it in one line"
            )
        return self.raw

    def flag(self) -> bool:
        """True or false."""
        if not isinstance(self.raw, bool):
            raise self._wrong("true or false", "write true or false, without quotes")
        return self.raw

    def number(self, at_least: float, at_most: float, unit: str) -> float:
        """A number within limits."""
        allowed = f"allowed: {_figure(at_least)} to {_figure(at_most)} {unit}"
        if isinstance(self.raw, bool) or not isinstance(self.raw, (int, float)):
            raise self._wrong("a number", f"{allowed}, without quotes")
        if not math.isfinite(self.raw):
            raise self.problem(f"{self.raw} is no usable number", allowed)
        if self.raw < 0 <= at_least:
            raise self.problem(f"must not be negative, is {_shown(self.raw)}", allowed)
        if not at_least <= self.raw <= at_most:
            raise self.problem(f"{_shown(self.raw)} makes no sense here", allowed)
        return float(self.raw)

    def whole(self, at_least: int, at_most: int, unit: str) -> int:
        """A whole number within limits."""
        number = self.number(at_least, at_most, unit)
        if not number.is_integer():
            raise self.problem(
                f"must be a whole number, is {_shown(self.raw)}",
                f"allowed: {at_least} to {at_most} {unit}",
            )
        return int(number)

    def choice(self, options: Iterable[str]) -> str:
        """One of these words."""
        known = tuple(options)
        text = self.text()
        if text not in known:
            raise self.problem(f"{quoted(text)} is not allowed", suggestion(text, known))
        return text

    def seconds(self, *, bare: float | None = None, zero: bool = False) -> float:
        """A duration in seconds: text with a unit; a bare number counts `bare` seconds each."""
        if isinstance(self.raw, (int, float)) and not isinstance(self.raw, bool):
            if bare is None:
                raise self._wrong("a duration with a unit", f'write "{_shown(self.raw)}s" or "1m"')
            return self._positive(self.number(0, 30 * 86400 / bare, "") * bare, zero=zero)
        if not isinstance(self.raw, str):
            raise self._wrong("a duration", 'write a number and a unit: "30s", "10m" or "1h"')
        return self._positive(self._understood(lambda text: seconds(text, bare)), zero=zero)

    def minutes(self, *, zero: bool = False) -> float:
        """A duration in seconds; a bare number counts minutes, and above 1440 it is refused."""
        if isinstance(self.raw, (int, float)) and not isinstance(self.raw, bool):
            number = self.number(0, float("1e9"), "minutes")
            found = self._understood(lambda text: bare_minutes(number, text))
            return self._positive(found, zero=zero)
        return self.seconds(bare=60.0, zero=zero)

    def _understood(self, read: Callable[[str], float]) -> float:
        try:
            return read(_shown(self.raw))
        except Unclear as unclear:
            raise self.problem(str(unclear), unclear.hint) from None

    def _positive(self, found: float, *, zero: bool) -> float:
        if found == 0 and not zero:
            raise self.problem("must be longer than nothing", 'write for example "30s"')
        return found

    def relative_path(self) -> str:
        """A path below the folder of rollout.toml, with forward slashes."""
        text = self.text()
        path = PurePosixPath(text)
        if path.is_absolute() or ".." in path.parts or "\\" in text or text[1:2] == ":":
            raise self.problem(
                f"{quoted(text)} must stay below the folder of rollout.toml",
                "write it relative to that folder, with / and without ..",
            )
        return str(path)

    def members(self) -> "tuple[Value, ...]":
        """A list."""
        if not isinstance(self.raw, tuple):
            raise self._wrong("a list", "put it into [ ]")
        return self.raw

    def table(
        self,
        required: Iterable[str] = (),
        optional: Iterable[str] = (),
        spelling: Callable[[str], str] = str,
    ) -> "dict[str, Value]":
        """A table with these keys and no others. `spelling` turns an alias into its key."""
        needed, known = tuple(required), (*required, *optional)
        found: dict[str, Value] = {}
        for key, value in self.any_table().items():
            name = spelling(key)
            if name not in known:
                raise value.problem("this key is not known", suggestion(key, known))
            found[name] = same(found[name], value) if name in found else value
        for name in needed:
            if name not in found:
                raise self.place.under(name, self.place.line).problem(
                    "is missing", "add it; docs/reference/configuration.md says what it means"
                )
        return found

    def any_table(self) -> "dict[str, Value]":
        """A table whose keys are names that the writer chose."""
        if not isinstance(self.raw, dict):
            raise self._wrong(
                "a table with keys", "see docs/reference/configuration.md for its keys"
            )
        return self.raw

    def member(self, key: str) -> "Value":
        """A table's member that is known to be there."""
        return self.any_table()[key]


def same(first: Value, second: Value) -> Value:
    """Two spellings of one key: fine while they agree."""
    if first.plain() != second.plain():
        raise second.problem(
            f"says something else than {first.place.key} in line {first.place.line}",
            "they mean the same key: keep one of them",
        )
    return first


def given(value: Value | None, read: Callable[[Value], T], default: T) -> T:
    """What the reader makes of the value, or the default when there is none."""
    return default if value is None else read(value)


def suggestion(word: str, known: Iterable[str]) -> str:
    """The hint for a word that is not known: the nearest one, and all of them."""
    from difflib import get_close_matches  # noqa: PLC0415 - only when something is wrong

    words = tuple(known)
    if not words:
        return "no keys are allowed here"
    by_lower = {option.lower(): option for option in words}
    begun = [option for option in by_lower if len(word) > 2 and option.startswith(word.lower())]
    near = begun or get_close_matches(word.lower(), by_lower, n=1, cutoff=0.6)
    meant = f"did you mean {by_lower[near[0]]}? " if near else ""
    return f"{meant}allowed: {', '.join(words)}"


def kind(raw: Raw) -> str:
    """What a value is, in words."""
    names: Mapping[type, str] = {
        str: "text",
        bool: "true or false",
        int: "a number",
        float: "a number",
        type(None): "null",
        tuple: "a list",
        dict: "a table with keys",
    }
    return names.get(type(raw), "a date or time")


def quoted(text: str) -> str:
    """Text for a message: in quotes, on one line, not too long, without secrets."""
    return repr(_shown(text))


def _figure(number: float) -> str:
    return str(int(number)) if number == int(number) else f"{number:g}"


def _shown(raw: Raw) -> str:
    text = redact(str(raw))
    return text if len(text) <= 60 else f"{text[:57]}..."


def read_text(path: Path, shown: str) -> str:
    """The file's text, line ends as newlines. BadInput names the file."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise BadInput(f"{shown} does not exist", f"looked for it at {path}") from None
    except OSError as error:
        raise BadInput(f"{shown} cannot be read: {error.strerror}", f"it is at {path}") from None
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise Place(shown, line).problem("is not UTF-8 text", "save the file as UTF-8") from None
    return text.replace("\r\n", "\n")
