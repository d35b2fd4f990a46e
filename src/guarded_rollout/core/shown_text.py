"""Text from anywhere, made fit to be shown: no secrets, no control characters, not too long."""

import re
from collections.abc import Callable

from guarded_rollout.core.redact import redact

_LONGEST_SECRET = 4_000
_BREAKS = re.compile("\r\n|[\r\v\f\x85\u2028\u2029]")
_INVISIBLE = re.compile("[\u200b\u2060\ufeff\u00ad\u180e]")
_UNSHOWABLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\U000e0000-\U000e007f]"
)
_SHOWN_INSTEAD = "\ufffd"


def visible(text: str) -> str:
    """The text without what could reorder or hide it on a screen: U+FFFD stands there instead."""
    text = _BREAKS.sub("\n", text.encode("utf-8", "replace").decode("utf-8"))
    return _UNSHOWABLE.sub(_SHOWN_INSTEAD, _INVISIBLE.sub("", text.replace("\t", " ")))


def plain(text: str, limit: int) -> str:
    """Text of several lines, redacted before it is shortened: a cut must not hide half a secret."""
    most = 2 * limit + _LONGEST_SECRET
    if len(text) > most:
        # The last word may be half a secret that no pattern knows any more.
        text, _, half = text[:most].rpartition(" ")
        text = text or half[:-_LONGEST_SECRET]
    return fit(redact(visible(text)).strip(), limit)


def one_line(text: str, limit: int) -> str:
    """The same on one line."""
    return fit(" ".join(plain(text, 2 * limit).split()), limit)


def units(text: str) -> int:
    """Its length as services count it: in UTF-16 units, never less than in characters."""
    return len(text) + sum(letter > "\uffff" for letter in text)


def fit(text: str, limit: int, size: Callable[[str], int] = units) -> str:
    """The text, or as much of its beginning as has `size` at most `limit`, and "…"."""
    if size(text) <= limit:
        return text
    least, most = 0, min(len(text), limit)
    while least < most:
        middle = (least + most + 1) // 2
        if size(text[:middle].rstrip() + "…") <= limit:
            least = middle
        else:
            most = middle - 1
    return text[:least].rstrip() + "…" if least else ""
