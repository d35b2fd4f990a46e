"""SQLite's values as text, lossless and readable.

    NULL          None
    integer       42, -7
    real          0.1, 1e+16, inf: the shortest decimal that is this number; never an integer's form
    text          'it's: an apostrophe, then the text as it is, without one at the end
    blob          x'00ff: in hexadecimal
    broken text   t'ff00: bytes that are no UTF-8, in hexadecimal

What a value was can be told by its first letters, so nothing is ever evaluated. A connection that
reads values has `text_factory = bytearray`: it tells texts from blobs and takes any bytes.
"""

import math
import re
from dataclasses import dataclass

type_of_texts = bytearray

_INTEGER = re.compile(r"-?(0|[1-9][0-9]*)")
_REAL = re.compile(r"-?([0-9]+(\.[0-9]+)?(e[+-][0-9]+)?|inf)")
_HEX = re.compile(r"([0-9a-f]{2})*")
_SMALLEST, _LARGEST = -(2**63), 2**63 - 1

Stored = int | float | str | bytes | bytearray | None


@dataclass(frozen=True, slots=True)
class Bound:
    """A value for a statement: what stands in the SQL for it, and what is bound there."""

    sql: str
    value: int | float | str | bytes | None


def encode(value: Stored) -> str | None:
    """What SQLite answered, as text."""
    if isinstance(value, bytearray):
        try:
            return "'" + value.decode()
        except UnicodeDecodeError:
            return "t'" + value.hex()
    if isinstance(value, bytes):
        return "x'" + value.hex()
    if isinstance(value, str):
        return "'" + value
    return None if value is None else repr(value)


def decode(text: str | None) -> Bound:
    """What to bind so that SQLite stores that very value. ValueError: it is none of these."""
    if text is None:
        return Bound("?", None)
    if text.startswith("'"):
        text.encode()  # half a surrogate pair is no text
        return Bound("?", text[1:])
    if text[:2] in {"x'", "t'"} and _HEX.fullmatch(text, 2):
        sql = "?" if text[0] == "x" else "CAST(? AS TEXT)"
        return Bound(sql, bytes.fromhex(text[2:]))
    if _INTEGER.fullmatch(text) and _SMALLEST <= int(text) <= _LARGEST:
        return Bound("?", int(text))
    if _REAL.fullmatch(text) and not _INTEGER.fullmatch(text):
        real = float(text)
        if math.isinf(real) == text.endswith("inf"):
            return Bound("?", real)
    raise ValueError(f"{text[:40]!r} is no value")


def alike(one: str | None, other: str | None) -> bool:
    """The same, or the same digits as a number and as a text: a column's type may have changed."""
    return one == other or _digits(one, other) or _digits(other, one)


def _digits(text: str | None, number: str | None) -> bool:
    return (
        text is not None
        and number is not None
        and text == f"'{number}"
        and _REAL.fullmatch(number) is not None
    )
