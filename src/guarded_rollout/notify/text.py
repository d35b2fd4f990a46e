"""Text from anywhere, made fit to be shown: no secrets, no control characters, not too long."""

import re
import unicodedata
from collections.abc import Callable, Iterable
from dataclasses import replace

from guarded_rollout.core.notice import Notice
from guarded_rollout.core.redact import MARK, redact

LONGEST = 20_000
LONGEST_LINE = 2_000
LONGEST_WORD = 200
MOST_LINES = 50

_LONGEST_SECRET = 4_000
_REORDER = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_INVISIBLE = frozenset("\u200b\u2060\ufeff\u00ad\u180e")
_BREAKS = re.compile("\r\n|[\r\v\f\x85\u2028\u2029]")
_SHOWN_INSTEAD = "\ufffd"


def clean(notice: Notice) -> Notice:
    """The notice as it may leave this machine, or be written down. Cleaning twice changes nothing.

    What could reorder or hide text on a screen is shown as U+FFFD.
    """
    return replace(
        notice.keyed(),
        type=one_line(notice.type, LONGEST_WORD),
        environment=one_line(notice.environment, LONGEST_WORD),
        message=plain(notice.message, LONGEST),
        service=one_line(notice.service, LONGEST_WORD),
        version=one_line(notice.version, LONGEST_WORD),
        initiator=one_line(notice.initiator, LONGEST_WORD),
        duration=one_line(notice.duration, LONGEST_WORD),
        evidence=_lines(notice.evidence),
        done=plain(notice.done, LONGEST_LINE),
        now=plain(notice.now, LONGEST_LINE),
        look=_lines(notice.look),
        rollout=one_line(notice.rollout, LONGEST_WORD),
    )


def plain(text: str, limit: int) -> str:
    """Text of several lines, redacted before it is shortened: a cut must not hide half a secret."""
    most = 2 * limit + _LONGEST_SECRET
    if len(text) > most:
        # The last word may be half a secret that no pattern knows any more.
        text, _, half = text[:most].rpartition(" ")
        text = text or half[:-_LONGEST_SECRET]
    text = _BREAKS.sub("\n", text.encode("utf-8", "replace").decode("utf-8"))
    text = "".join(map(_visible, text))
    return fit(redact(text).strip(), limit)


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


def hide(text: str, secrets: Iterable[str]) -> str:
    """What a server or a library said, without the secrets that were used to speak to it."""
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        text = text.replace(secret, MARK)
    return one_line(text, LONGEST_WORD)


def _lines(texts: Iterable[str]) -> tuple[str, ...]:
    kept = [one_line(text, LONGEST_LINE) for text in tuple(texts)[:MOST_LINES]]
    return tuple(filter(None, kept))


def _visible(letter: str) -> str:
    if letter == "\n":
        return letter
    if letter == "\t":
        return " "
    if letter in _INVISIBLE:
        return ""
    tagged = "\U000e0000" <= letter <= "\U000e007f"
    if letter in _REORDER or tagged or unicodedata.category(letter) == "Cc":
        return _SHOWN_INSTEAD
    return letter
