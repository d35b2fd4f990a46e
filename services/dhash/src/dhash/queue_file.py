"""The review queue as a file: what is in it, and how it gets into a database."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dhash import gallery, reviews
from dhash.database import Connection
from dhash.distance import distance, is_hash
from dhash.errors import InvalidRequestError
from dhash.picture import Picture

FORMAT = "dhash-queue-1"
_LONGEST_TEXT = 500


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two pictures of a pair; the bytes' digest says which, in any database."""

    content_sha256: str
    hash: str
    stable_bits: int
    source: str
    page: int | None


@dataclass(frozen=True, slots=True)
class Item:
    """One pair with its decision, if there is one."""

    picture: Side
    matched: Side
    reason: str
    decision: Mapping[str, object]


def parse_file(value: Mapping[str, object]) -> list[Item]:
    """Check a whole file before anything is written; InvalidRequestError names the item."""
    items = value.get("items")
    if value.get("format") != FORMAT or not isinstance(items, list):
        raise InvalidRequestError("This is no exported queue.", f"`format` must be {FORMAT!r}.")
    return [_item(number, item) for number, item in enumerate(items)]


def import_items(connection: Connection, items: Sequence[Item]) -> dict[str, int]:
    """Add pairs that are new here, and decisions for pairs that wait here.

    A decision made here is never overwritten.
    """
    added = decided = 0
    for item in items:
        one, other = _find(connection, item.picture), _find(connection, item.matched)
        apart = distance(item.picture.hash, item.matched.hash)
        if reviews.enqueue(connection, one, other, apart, item.reason) is not None:
            added += 1
        if reviews.adopt(connection, reviews.pair_key(one, other), item.decision):
            decided += 1
    return {"read": len(items), "added": added, "decided": decided}


def _find(connection: Connection, side: Side) -> int:
    known = gallery.find(connection, side.content_sha256)
    if known is not None:
        return known
    picture = Picture(
        content_sha256=side.content_sha256,
        hash=side.hash,
        stable_bits=side.stable_bits,
        path="imported",
        format="",
        width=0,
        height=0,
        page=side.page,
        seconds=0,
    )
    return gallery.store(connection, side.source, picture)[0]


def _item(number: int, value: object) -> Item:
    if not isinstance(value, dict):
        raise _wrong(number, "it is no object")
    status = value.get("status")
    if status not in reviews.STATUSES:
        raise _wrong(number, "`status`")
    picture, matched = _side(number, value, "picture"), _side(number, value, "matched")
    if picture.content_sha256 == matched.content_sha256:
        raise _wrong(number, "both pictures are the same")
    pending = status == "pending"
    return Item(
        picture=picture,
        matched=matched,
        reason=_text(number, value, "reason"),
        decision={
            "status": status,
            "reviewer": None if pending else _text(number, value, "reviewer"),
            "decided_at": None if pending else _text(number, value, "decided_at"),
        },
    )


def _side(number: int, item: Mapping[str, object], name: str) -> Side:
    value = item.get(name)
    if not isinstance(value, dict):
        raise _wrong(number, f"`{name}`")
    digest, bits, page = (value.get(key) for key in ("content_sha256", "stable_bits", "page"))
    if not isinstance(digest, str) or len(digest) != 64 or set(digest) - set("0123456789abcdef"):
        raise _wrong(number, f"`{name}.content_sha256`")
    if not is_hash(value.get("hash")):
        raise _wrong(number, f"`{name}.hash`")
    if not _is_whole(bits, 0, 64):
        raise _wrong(number, f"`{name}.stable_bits`")
    if page is not None and not _is_whole(page, 1, 1_000_000):
        raise _wrong(number, f"`{name}.page`")
    return Side(digest, value["hash"], int(str(bits)), _text(number, value, "source"), page)


def _is_whole(value: object, least: int, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def _text(number: int, value: Mapping[str, object], name: str) -> str:
    text = value.get(name)
    if not isinstance(text, str) or not text or len(text) > _LONGEST_TEXT or "\0" in text:
        raise _wrong(number, f"`{name}`")
    return text


def _wrong(number: int, what: str) -> InvalidRequestError:
    return InvalidRequestError(
        f"Item {number} of the queue is wrong: {what}.", "Nothing was imported."
    )
