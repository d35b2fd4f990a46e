"""The queue of doubtful matches, each waiting for a person.

The rule: a picture's nearest stored neighbour is doubtful when it lies 4 to 6 bits away
(confidence below 0.95), or when one of the two has fewer than 24 stable bits (a nearly blank
page is like any other). Each pair of pictures is queued once, whatever traffic repeats.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, Select, case, func, select, update

from dhash.clock import utc_text
from dhash.database import Connection, insert_into
from dhash.distance import confidence
from dhash.errors import ConflictError, NotFoundError
from dhash.tables import images, reviews

ACCEPT_DISTANCE = 3
"""Bits; a match this near (confidence 0.95) needs nobody."""
FEW_STABLE_BITS = 24
STATUSES = ("pending", "accepted", "rejected")
DECISIONS = ("accepted", "rejected")

_LEFT, _RIGHT = images.alias("picture"), images.alias("matched")
_COLUMNS = (
    reviews.c.id,
    reviews.c.status,
    reviews.c.distance,
    reviews.c.reason,
    reviews.c.created_at,
    reviews.c.reviewer,
    reviews.c.decided_at,
    *(
        side.c[name].label(f"{side.name}_{name}")
        for side in (_LEFT, _RIGHT)
        for name in ("id", "content_sha256", "hash", "stable_bits", "source", "page")
    ),
)


@dataclass(frozen=True, slots=True)
class Page:
    """Part of the queue; `total` counts all items with that status."""

    items: Sequence[Mapping[str, object]]
    total: int


def enqueue_if_doubtful(
    connection: Connection,
    *,
    image_id: int,
    matched_image_id: int,
    bits_apart: int,
    stable_bits: int,
) -> int | None:
    """Queue the match if a person should look at it; the id if it is new and waits now."""
    if stable_bits < FEW_STABLE_BITS:
        reason = "few_stable_bits"
    elif bits_apart > ACCEPT_DISTANCE:
        reason = "low_confidence"
    else:
        return None
    return enqueue(connection, image_id, matched_image_id, bits_apart, reason)


def enqueue(
    connection: Connection, image_id: int, matched_image_id: int, bits_apart: int, reason: str
) -> int | None:
    """Add a pair to the queue; None if it is or was in it already."""
    added: int | None = connection.execute(
        insert_into(connection, reviews)
        .values(
            pair=pair_key(image_id, matched_image_id),
            image_id=image_id,
            matched_image_id=matched_image_id,
            distance=bits_apart,
            reason=reason,
            status="pending",
            created_at=utc_text(),
        )
        .on_conflict_do_nothing(index_elements=[reviews.c.pair])
        .returning(reviews.c.id)
    ).scalar_one_or_none()
    return added


def pair_key(one: int, other: int) -> str:
    """The same text for two pictures in either order."""
    return f"{min(one, other)}-{max(one, other)}"


@dataclass(frozen=True, slots=True)
class QueueCounts:
    """Of the whole queue since it is there: matches that came, and those that were decided."""

    queued: int
    decided: int

    @property
    def length(self) -> int:
        """How many matches nobody has decided yet."""
        return self.queued - self.decided


def counts(connection: Connection) -> QueueCounts:
    """Both at one moment."""
    decided = func.count(case((reviews.c.status != "pending", 1)))
    return QueueCounts(*connection.execute(select(func.count(), decided)).one())


def read_page(connection: Connection, status: str, limit: int, after: int) -> Page:
    """Items with this status and an id above `after`, in the order they came."""
    total = connection.execute(
        select(func.count()).select_from(reviews).where(reviews.c.status == status)
    ).scalar_one()
    rows = connection.execute(
        _items()
        .where(reviews.c.status == status, reviews.c.id > after)
        .order_by(reviews.c.id)
        .limit(limit)
    )
    return Page([_as_mapping(row) for row in rows], total)


def read_all(connection: Connection) -> list[Mapping[str, object]]:
    """The whole queue, decided items too."""
    return [_as_mapping(row) for row in connection.execute(_items().order_by(reviews.c.id))]


def decide(connection: Connection, review_id: int, decision: str, reviewer: str) -> None:
    """Write down a person's decision.

    Raises NotFoundError, or ConflictError where somebody decided before.
    """
    done = connection.execute(
        update(reviews)
        .where(reviews.c.id == review_id, reviews.c.status == "pending")
        .values(status=decision, reviewer=reviewer, decided_at=utc_text())
    )
    if done.rowcount:
        return
    status = connection.execute(
        select(reviews.c.status).where(reviews.c.id == review_id)
    ).scalar_one_or_none()
    if status is None:
        raise NotFoundError(f"There is no queue item {review_id}.")
    raise ConflictError(f"Queue item {review_id} is {status} already.")


def adopt(connection: Connection, pair: str, item: Mapping[str, object]) -> bool:
    """Take over an imported decision for a pair that still waits here; whether one was taken."""
    if item["status"] == "pending":
        return False
    done = connection.execute(
        update(reviews)
        .where(reviews.c.pair == pair, reviews.c.status == "pending")
        .values(status=item["status"], reviewer=item["reviewer"], decided_at=item["decided_at"])
    )
    return bool(done.rowcount)


def _items() -> Select[*tuple[Any, ...]]:
    return (
        select(*_COLUMNS)
        .select_from(reviews)
        .join(_LEFT, _LEFT.c.id == reviews.c.image_id)
        .join(_RIGHT, _RIGHT.c.id == reviews.c.matched_image_id)
    )


def _as_mapping(row: Row[*tuple[Any, ...]]) -> Mapping[str, object]:
    values = row._mapping  # noqa: SLF001 - SQLAlchemy's public name for it
    names = ("id", "content_sha256", "hash", "stable_bits", "source", "page")
    return {
        "id": values["id"],
        "status": values["status"],
        "distance": values["distance"],
        "confidence_fraction": confidence(values["distance"]),
        "reason": values["reason"],
        "created_at": values["created_at"],
        "reviewer": values["reviewer"],
        "decided_at": values["decided_at"],
        "picture": {name: values[f"picture_{name}"] for name in names},
        "matched": {name: values[f"matched_{name}"] for name in names},
    }
