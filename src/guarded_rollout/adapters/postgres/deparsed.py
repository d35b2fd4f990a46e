"""Expressions in the server's own words, made the same before and after a restore.

`x IN ('a', 'b')` on a varchar column is shown as `(ARRAY['a', 'b'])::text[]`, casts and all. Read
back from a dump, the cast has moved to each element: `ARRAY[('a')::text, ('b')::text]`. The
second form is shown for ever after, so it is the one that counts.
"""

import re

_BEGIN = "(ARRAY["
_CAST = re.compile(r"\]\)::((?:\"(?:[^\"]|\"\")+\"|[\w. ])+(?:\([\d,]+\))?)\[\]")


def settled(text: str) -> str:
    """The text as it is after any number of restores. What it does not understand stays."""
    at = text.rfind(_BEGIN)  # the innermost one comes last
    while at >= 0:
        found = _elements(text, at + len(_BEGIN))
        cast = _CAST.match(text, found[1]) if found else None
        if found and cast:
            each = ", ".join(f"({element})::{cast[1]}" for element in found[0])
            text = f"{text[:at]}ARRAY[{each}]{text[cast.end() :]}"
        at = text.rfind(_BEGIN, 0, at)
    return text


def _elements(text: str, at: int) -> tuple[list[str], int] | None:
    """What lies between commas until the bracket that closes, and where that is."""
    found: list[str] = []
    begin, depth, quote = at, 0, ""
    while at < len(text):
        sign = text[at]
        if quote:
            quote = "" if sign == quote else quote
        elif sign in "'\"":
            quote = sign
        elif sign in "([":
            depth += 1
        elif sign == "]" and depth == 0:
            return [*found, text[begin:at]], at
        elif sign in ")]":
            depth -= 1
        elif text.startswith(", ", at) and depth == 0:
            found.append(text[begin:at])
            begin = at + 2
        at += 1
    return None
