"""TOML with line numbers: tomllib reads the values, a small scanner finds their lines."""

import re
import tomllib
from pathlib import Path

from guarded_rollout.adapters.configuration.located import Place, Value, read_text

Steps = tuple[str | int, ...]
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_SPACE = re.compile(r"(?:[ \t\n]|#[^\n]*)*")
_STRING = re.compile(
    r'"""(?:[^\\]|\\.)*?"{3,5}|' r"'''.*?'{3,5}|" r'"(?:[^"\\\n]|\\.)*"|' r"'[^'\n]*'", re.DOTALL
)
_SCALAR = re.compile(r"[^,\]}#\n]*")
_WHERE = re.compile(r" \(at line (\d+), column (\d+)\)$")


def read_toml(path: Path, shown: str) -> Value:
    """The file as one located table. BadInput says line and column of what is no TOML."""
    text = read_text(path, shown)
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise _no_toml(error, text, shown) from None
    except RecursionError:
        raise Place(shown, 1).problem("is nested too deeply", "it needs three levels") from None
    return _located(data, (), Place(shown, 1), _Lines(text).found)


def _no_toml(error: tomllib.TOMLDecodeError, text: str, shown: str) -> Exception:
    where = _WHERE.search(str(error))
    line = int(where[1]) if where else text.count("\n") + 1
    column = f", column {where[2]}" if where else ", at the end"
    what = _WHERE.sub("", str(error)).removesuffix(" (at end of document)")
    hint = "a text value needs quotes" if "Invalid value" in what else ""
    if "Cannot overwrite" in what or "Cannot declare" in what:
        hint = "the key or section stands there twice: keep one of them"
    return Place(shown, line).problem(
        f"is not valid TOML{column}: {what}", hint or "see https://toml.io for how TOML is written"
    )


def _located(data: object, steps: Steps, place: Place, lines: dict[Steps, int]) -> Value:
    if isinstance(data, dict):
        pairs = [(key, member, (*steps, key)) for key, member in data.items()]
        return Value(
            place,
            {
                key: _located(member, at, place.under(key, lines.get(at, place.line)), lines)
                for key, member, at in pairs
            },
        )
    if isinstance(data, list):
        return Value(
            place,
            tuple(
                _located(
                    member,
                    (*steps, index),
                    place.under(index, lines.get((*steps, index), place.line)),
                    lines,
                )
                for index, member in enumerate(data)
            ),
        )
    return Value(place, data)


class _Lines:
    """The line of every key and list member. The text is valid: tomllib has read it."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.line = 1
        self.line_seen_to = 0
        self.found: dict[Steps, int] = {}
        self._arrays: dict[Steps, int] = {}
        section: Steps = ()
        while self._skip():
            if self.text[self.at] == "[":
                section = self._header()
            else:
                self._pair(section)

    def _skip(self) -> bool:
        """Go to the next character that is neither space nor comment."""
        blank = _SPACE.match(self.text, self.at)
        assert blank is not None
        self.at = blank.end()
        return self.at < len(self.text)

    def _here(self) -> int:
        self.line += self.text.count("\n", self.line_seen_to, self.at)
        self.line_seen_to = self.at
        return self.line

    def _header(self) -> Steps:
        many = self.text.startswith("[[", self.at)
        line = self._here()
        self.at += 2 if many else 1
        steps: Steps = ()
        names = self._key()
        for number, name in enumerate(names):
            steps = (*steps, name)
            self.found.setdefault(steps, line)
            if many and number == len(names) - 1:
                self._arrays[steps] = self._arrays.get(steps, -1) + 1
            if steps in self._arrays:
                steps = (*steps, self._arrays[steps])
                self.found.setdefault(steps, line)
        self._skip()
        self.at += 2 if many else 1
        if self.found.get(steps, line) != line and not many:
            self.found[steps] = line  # [a.b] came before [a]: its own header is the better line
        return steps

    def _pair(self, section: Steps) -> None:
        line = self._here()
        steps = section
        for name in self._key():
            steps = (*steps, name)
            self.found.setdefault(steps, line)
        self._skip()
        self.at += 1  # the equals sign
        self._skip()
        self._value(steps)

    def _key(self) -> list[str]:
        names = []
        while True:
            self._skip()
            bare = _BARE_KEY.match(self.text, self.at)
            quoted = _STRING.match(self.text, self.at)
            if bare is not None:
                names.append(bare[0])
                self.at = bare.end()
            else:
                assert quoted is not None
                names.append(str(tomllib.loads(f"k={quoted[0]}")["k"]))
                self.at = quoted.end()
            self._skip()
            if self.text[self.at] != ".":
                return names
            self.at += 1

    def _value(self, steps: Steps) -> None:
        opening = self.text[self.at]
        if opening == "[":
            self._list(steps)
        elif opening == "{":
            self._inline(steps)
        else:
            pattern = _STRING if opening in "\"'" else _SCALAR
            scalar = pattern.match(self.text, self.at)
            assert scalar is not None
            self.at = scalar.end()

    def _list(self, steps: Steps) -> None:
        self.at += 1
        index = 0
        while self._skip() and self.text[self.at] != "]":
            if self.text[self.at] == ",":
                self.at += 1
                continue
            self.found[(*steps, index)] = self._here()
            self._value((*steps, index))
            index += 1
        self.at += 1

    def _inline(self, steps: Steps) -> None:
        self.at += 1
        while self._skip() and self.text[self.at] != "}":
            if self.text[self.at] == ",":
                self.at += 1
                continue
            self._pair(steps)
        self.at += 1
