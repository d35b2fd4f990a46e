"""A notice with its words in their places: what every channel's form is made of."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, urlsplit

from guarded_rollout.core.notice import Notice

Payload = dict[str, Any]
"""JSON values."""

COLOURS = {"info": 0x3B82C4, "success": 0x2E9E5B, "warning": 0xD98E04, "error": 0xC9302C}
LINK = re.compile(r"https?://[^\s<>|\"']{1,1500}")
_MOST_LINKS = 4


@dataclass(frozen=True, slots=True)
class Message:
    """A clean notice with its words in their places."""

    notice: Notice
    title: str
    paragraphs: tuple[str, ...]

    @property
    def links(self) -> tuple[str, ...]:
        """Where a browser can look."""
        found = (LINK.fullmatch(where) for where in self.notice.look)
        return tuple(link[0] for link in found if link is not None and host(link[0]))[:_MOST_LINKS]

    @property
    def text(self) -> str:
        """All of it as lines."""
        return "\n\n".join((self.title, *self.paragraphs))

    @property
    def footer(self) -> str:
        """By which people find the notice again."""
        return f"{self.notice.type} · {iso(self.notice.at)} · key {self.notice.key}"


def within(make: Callable[[int], Payload], most: int, limit: int) -> Payload:
    """The payload with at most `limit` of text, less where its JSON has over `most` bytes."""
    payload = make(limit)
    while limit and len(encoded(payload)) > most:
        limit //= 2
        payload = make(limit)
    return payload


def encoded(payload: Payload) -> bytes:
    """The bytes that are sent."""
    return json.dumps(payload, ensure_ascii=False, separators=(",", ":")).encode()


def iso(at: float) -> str:
    """Unix seconds for machines."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def host(link: str) -> str:
    """Whose address it is; empty: nobody's."""
    try:
        return quote(urlsplit(link).hostname or "", safe=".-:")
    except ValueError:
        return ""
