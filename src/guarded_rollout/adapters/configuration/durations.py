"""Durations as people write them: `90s`, `60m`, `1h`, `1h 30m`."""

import re

from guarded_rollout.core.problems import BadInput

UNITS = {
    "ms": 0.001,
    "s": 1.0,
    "sec": 1.0,
    "m": 60.0,
    "min": 60.0,
    "h": 3600.0,
    "d": 86400.0,
}
LONGEST = 30 * 86400.0
LONGEST_BARE_MINUTES = 1440
LONGEST_TEXT = 40
_PART = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([A-Za-z]*)\s*")


class Unclear(ValueError):  # noqa: N818 - it says what the text is
    """The text is no duration. `hint` says how to write one."""

    def __init__(self, what: str, hint: str) -> None:
        super().__init__(what)
        self.hint = hint


def seconds(text: str, bare: float | None = None) -> float:
    """The duration in seconds. A number without a unit counts `bare` seconds, or is Unclear."""
    text = text if len(text) <= LONGEST_TEXT else f"{text[:LONGEST_TEXT]}..."
    if text.strip().startswith("-"):
        raise Unclear(f"{text!r} is negative", 'write a duration such as "30s"')
    total, at = 0.0, 0
    while at < len(text) or not text:
        part = _PART.match(text, at)
        if part is None:
            raise Unclear(
                f"{text!r} is no duration", 'write a number and a unit: "30s", "10m" or "1h"'
            )
        number, unit = part.groups()
        total += float(number) * _unit(text, unit, bare if part.span() == (0, len(text)) else None)
        at = part.end()
    if total > LONGEST:
        raise Unclear(f"{text!r} is longer than 30 days", "check the number and its unit")
    return total


def _unit(text: str, unit: str, bare: float | None) -> float:
    if not unit:
        if bare is None:
            raise Unclear(f"{text!r} has no unit", 'add one of ms, s, m, h, d: "30s"')
        return bare
    if unit not in UNITS:
        raise Unclear(f"{text!r} has the unknown unit {unit!r}", "use one of ms, s, m, h, d")
    return UNITS[unit]


def bare_minutes(number: float, text: str) -> float:
    """Seconds of a number without a unit that counts minutes; above a day it is Unclear."""
    text = text[:LONGEST_TEXT]
    if number > LONGEST_BARE_MINUTES:
        raise Unclear(
            f"{text} would be {text} minutes, more than a day",
            f'a bare number counts minutes: for seconds write "{text}s"',
        )
    return number * 60.0


def minutes(text: str, name: str = "--duration") -> float:
    """What a person typed for a watch's length, in seconds: `60`, `60m`, `3600s` or `1h`.

    A bare number counts minutes; above 1440 it is refused, because it was meant as seconds.
    BadInput names `name`, the flag.
    """
    try:
        found = bare_minutes(float(text), text.strip()) if _plain(text) else seconds(text)
    except Unclear as unclear:
        raise BadInput(f"{name}: {unclear}", unclear.hint) from None
    if found <= 0:
        raise BadInput(f"{name}: {text!r} is no time at all", "write 60, 60m, 3600s or 1h")
    return found


def _plain(text: str) -> bool:
    return re.fullmatch(r"\s*[0-9]+(?:\.[0-9]+)?\s*", text) is not None
