"""`.conf` files: KEY=VALUE lines that a shell could have sourced. They are parsed, never executed.

Quotes work as in a shell: nothing is special inside '...', a backslash escapes inside "...".
What a shell would expand or run is refused, not taken literally: the writer meant something else.
"""

import re
from pathlib import Path

from guarded_rollout.adapters.configuration.located import Place, Value, read_text
from guarded_rollout.core.problems import BadInput

_LINE = re.compile(r"(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=\s*(.*)")
_EXPANDS = re.compile(r"`|\$[({A-Za-z_0-9?$!@*#-]")
NEVER_EXECUTED = "conf files are parsed, never executed"


def read_conf(path: Path, shown: str) -> dict[str, Value]:
    """Key to located text, in the file's order. BadInput names file, line and key."""
    found: dict[str, Value] = {}
    for number, line in enumerate(read_text(path, shown).split("\n"), start=1):
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        value = _line(stripped, Place(shown, number))
        key = value.place.key
        if key in found and found[key].raw != value.raw:
            raise value.problem(
                f"stands here twice with different values, first in line {found[key].place.line}",
                "keep one of them",
            )
        found.setdefault(key, value)
    return found


def _line(line: str, place: Place) -> Value:
    pair = _LINE.fullmatch(line)
    if pair is None:
        word = re.match(r"[A-Za-z_][A-Za-z0-9_]*", line)
        where = place.under(word[0], place.line) if word else place
        if "=" not in line:
            raise where.problem("there is no = in this line", "write KEY=VALUE, or # for a comment")
        raise where.problem(
            "this line is not KEY=VALUE", "a key has letters, digits and _ only, then comes ="
        )
    at = place.under(pair[1], place.line)
    return Value(at, _unquoted(pair[2], at))


def _unquoted(text: str, place: Place) -> str:
    """The value as a shell would see it, without its expansions."""
    taken: list[str] = []
    at = 0
    while at < len(text):
        character = text[at]
        if character == "'":
            end = text.find("'", at + 1)
            if end < 0:
                raise _open_quote(place, "'")
            taken.append(text[at + 1 : end])
            at = end + 1
        elif character == '"':
            at = _double(text, at + 1, taken, place)
        elif character == "\\":
            taken.append(text[at + 1 : at + 2])
            at += 2
        elif character in " \t":
            rest = text[at:].strip()
            if rest and not rest.startswith("#"):
                raise place.problem(
                    "there is more text after the value", "put a value with spaces into quotes"
                )
            break
        else:
            _refuse_expansion(text, at, place)
            if character in ";&|<>()":
                raise place.problem(
                    f"{character} means something to a shell: {NEVER_EXECUTED}",
                    "put the value into single quotes if it is meant literally",
                )
            taken.append(character)
            at += 1
    return "".join(taken)


def _double(text: str, at: int, taken: list[str], place: Place) -> int:
    """Read up to the closing double quote; returns where the text goes on."""
    while at < len(text):
        if text[at] == '"':
            return at + 1
        if text[at] == "\\" and text[at + 1 : at + 2] in {'"', "\\", "$", "`"}:
            at += 1
        else:
            _refuse_expansion(text, at, place)
        taken.append(text[at])
        at += 1
    raise _open_quote(place, '"')


def _refuse_expansion(text: str, at: int, place: Place) -> None:
    if _EXPANDS.match(text, at):
        raise place.problem(
            f"{NEVER_EXECUTED}: $(...), `...` and $NAME are not expanded",
            "write the value itself, or put it into single quotes if it is meant literally",
        )


def _open_quote(place: Place, quote: str) -> BadInput:
    return place.problem(f"the quote {quote} is not closed", f"add {quote} at the end of the value")
