"""The one rule of templates: `{name}` becomes a value; `{{` and `}}` are braces.

A line whose names are all empty is left out. A name that is not known stays as it is written.
"""

import re
from collections.abc import Mapping

PIECE = re.compile(r"\{\{|\}\}|\{([^{}\n]*)\}|[{}]")
"""A brace, or a placeholder with its name as the group."""


def filled_line(line: str, known: Mapping[str, str]) -> str | None:
    """None: every name of the line is empty."""
    used: list[str] = []

    def value(piece: re.Match[str]) -> str:
        if piece[0] in {"{{", "}}"}:
            return piece[0][0]
        if piece[1] not in known:
            return piece[0]
        used.append(known[piece[1]])
        return known[piece[1]]

    filled = PIECE.sub(value, line)
    return None if used and not any(used) else filled


def filled_page(page: str, known: Mapping[str, str]) -> str:
    """Every line of it."""
    lines = (filled_line(line, known) for line in page.split("\n"))
    return "\n".join(line for line in lines if line is not None)
