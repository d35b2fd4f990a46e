"""Reads a few metrics out of Prometheus' text format, quickly, and nothing it is not sure of.

Only the lines of the wanted metrics are looked at: a scrape every few seconds must cost little,
however much else a service exposes. Also takes OpenMetrics' time stamps and exemplars.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass

_LABEL = re.compile(r'\s*([a-zA-Z_][a-zA-Z0-9_]*)\s*=\s*"((?:[^"\\]|\\.)*)"\s*(?:,|$)')
_ESCAPE = re.compile(r"\\(.)")
_ESCAPED = {"n": "\n", '"': '"', "\\": "\\"}
# Labels: no braces or quotes outside quotes; the two alternatives never start alike.
_REST = (
    r'[ \t]*(?:\{((?:[^"{}\n]|"(?:[^"\\\n]|\\.)*")*)\})?[ \t]+(\S+)(?:[ \t]+-?[0-9.eE+-]+)?[ \t]*'
)
_EXEMPLAR = r"(?:#[ \t].*)?\r?"
_SHOWN = 80


class Garbled(Exception):  # noqa: N818 - it says what the text is
    """A line of a wanted metric, or the text as a whole, is not in the format."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One line: a label set and its value, which may be NaN or infinite."""

    labels: Mapping[str, str]
    value: float


def read_samples(text: str, names: Collection[str]) -> dict[str, list[Sample]]:
    """The samples of the wanted names, in their order. Raises Garbled.

    A name that is only declared (`# TYPE`), because nothing was counted yet, has no samples;
    a name that the text does not know at all is not in the answer.
    """
    if text and not text.endswith("\n"):
        raise Garbled("the text breaks off in the middle of a line")
    wanted = "|".join(map(re.escape, sorted(names, key=len, reverse=True)))
    if not wanted:
        return {}
    found: dict[str, list[Sample]] = {}
    for declared in re.finditer(rf"^#[ \t]+TYPE[ \t]+({wanted})[ \t]", text, re.MULTILINE):
        found[declared[1]] = []
    line = re.compile(_REST + _EXEMPLAR)
    for start in re.finditer(rf"^[ \t]*({wanted})(?=[ \t{{]).*$", text, re.MULTILINE):
        match = line.fullmatch(text, start.end(1), start.end())
        if match is None:
            raise Garbled(f"this line cannot be read: {start[0].strip()[:_SHOWN]!r}")
        labels, value = match.groups()
        found.setdefault(start[1], []).append(Sample(_labels(labels), _value(value)))
    return found


def _value(text: str) -> float:
    try:
        return float(text.replace("_", "?"))  # Python would take 1_000
    except ValueError:
        raise Garbled(f"{text[:_SHOWN]!r} is no number") from None


def _labels(text: str | None) -> dict[str, str]:
    found: dict[str, str] = {}
    at = 0
    while text and at < len(text) and text[at:].strip():
        match = _LABEL.match(text, at)
        if match is None:
            raise Garbled(f"these labels cannot be read: {text[:_SHOWN]!r}")
        value = match[2]
        if "\\" in value:
            value = _ESCAPE.sub(lambda escape: _ESCAPED.get(escape[1], escape[0]), value)
        found[match[1]] = value
        at = match.end()
    return found
