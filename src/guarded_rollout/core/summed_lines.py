"""JSON lines that know what stood before them.

Every line ends in `sum`: SHA-256 over the sum of the line before and this line without it. So a
line that was changed, taken out, added or moved is found where that was done. Whoever writes all
sums anew is not: compare with what the lines were made of.
"""

import hashlib
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec


class BadLine(Exception):  # noqa: N818 - it names what was found, not an error class
    """`number`, from 1, and `what` is wrong with it."""

    def __init__(self, number: int, what: str) -> None:
        super().__init__(what)
        self.number, self.what = number, what


class Sums:
    """The running sum: each line's covers all lines before it."""

    def __init__(self) -> None:
        self.sum = ""

    def line(self, content: dict[str, Any]) -> bytes:
        """The line that has this content and comes next."""
        plain = msgspec.json.encode(content, order="deterministic")
        self.sum = hashlib.sha256(self.sum.encode() + plain).hexdigest()
        return msgspec.json.encode({**content, "sum": self.sum}, order="deterministic") + b"\n"


def summed(lines: Iterable[bytes]) -> Iterator[dict[str, Any]]:
    """What each line holds, without its sum. BadLine at the first that does not fit."""
    sums = Sums()
    for number, line in enumerate(lines, start=1):
        try:
            content = msgspec.json.decode(line, type=dict[str, Any])
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise BadLine(number, f"is no line of an export: {error}") from None
        content.pop("sum", None)
        if sums.line(content) != line:
            raise BadLine(number, "was changed, or a line before it is missing")
        yield content
