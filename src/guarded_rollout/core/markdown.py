"""Markdown from text that nobody vouches for: it stands in code spans and blocks, as it is.

There no markup, link, mention or HTML is read, neither by GitHub nor by other readers.
"""

import re
from collections.abc import Iterable, Sequence

from guarded_rollout.core.shown_text import one_line, plain

LONGEST_SPAN = 500
LONGEST_LINE = 2_000
NOTHING = "-"

_TICKS = re.compile("`+")


def span(text: object, limit: int = LONGEST_SPAN) -> str:
    """One line as a code span; "-" for nothing. Secrets and control characters are gone."""
    line = one_line(str(text), limit)
    if not line:
        return NOTHING
    fence = "`" * (_longest(line) + 1)
    room = " " if line.startswith("`") or line.endswith("`") else ""
    return f"{fence}{room}{line}{room}{fence}"


def block(lines: Iterable[str]) -> list[str]:
    """Lines as a code block. What is indented stays so."""
    kept = [part for line in lines for part in _shown(line).split("\n")]
    fence = "`" * max(3, max(map(_longest, kept), default=0) + 1)
    return [f"{fence}text", *kept, fence]


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    """A table. Its head is ours; every other cell is a span."""
    return [
        _row(head),
        _row(["---"] * len(head)),
        *(_row([span(cell).replace("|", "\\|") for cell in row]) for row in rows),
    ]


def _shown(line: str) -> str:
    return line[: len(line) - len(line.lstrip(" "))] + plain(line, LONGEST_LINE)


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _longest(text: str) -> int:
    return max(map(len, _TICKS.findall(text)), default=0)
