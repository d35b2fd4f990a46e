"""The pictures we have seen, and the near ones among them."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import func, select, update

from dhash import reviews
from dhash.clock import utc_text
from dhash.database import Connection, Engine, immediate, insert_into
from dhash.distance import band_keys, confidence, distance, probe_keys
from dhash.picture import Picture
from dhash.tables import bands, images

MATCH_DISTANCE = 6
"""Bits; the farthest stored picture that counts as a match (confidence 0.90)."""
MOST_MATCHES = 20


@dataclass(frozen=True, slots=True)
class Match:
    """A stored picture near to another one; `distance` in bits, `confidence` a fraction."""

    image_id: int
    hash: str
    distance: int
    stable_bits: int
    source: str
    page: int | None

    @property
    def confidence(self) -> float:
        return confidence(self.distance)


@dataclass(frozen=True, slots=True)
class Recorded:
    """What became of one picture in the database; `review_id` if a match waits for a person."""

    image_id: int
    seen_count: int
    matches: Sequence[Match]
    review_id: int | None


def record(engine: Engine, source: str, pictures: Sequence[Picture]) -> list[Recorded]:
    """Store the pictures, or count them as seen again, and find their neighbours.

    One transaction each: a long PDF must not keep other writers out, and sending it again
    repeats nothing.
    """
    writer = immediate(engine)
    recorded = []
    for picture in pictures:
        with writer.begin() as connection:
            image_id, seen = store(connection, source, picture)
            matches = search(connection, picture.hash, MATCH_DISTANCE, exclude=image_id)
            review_id = None
            if matches:
                review_id = reviews.enqueue_if_doubtful(
                    connection,
                    image_id=image_id,
                    matched_image_id=matches[0].image_id,
                    bits_apart=matches[0].distance,
                    stable_bits=min(picture.stable_bits, matches[0].stable_bits),
                )
        recorded.append(Recorded(image_id, seen, matches, review_id))
    return recorded


def store(connection: Connection, source: str, picture: Picture) -> tuple[int, int]:
    """The picture's id and how often its very bytes came by, this time included."""
    now = utc_text()
    again = connection.execute(
        update(images)
        .where(images.c.content_sha256 == picture.content_sha256)
        .values(seen_count=images.c.seen_count + 1, last_seen_at=now)
        .returning(images.c.id, images.c.seen_count)
    ).one_or_none()
    if again is not None:
        return again[0], again[1]
    created = connection.execute(
        insert_into(connection, images)
        .values(
            content_sha256=picture.content_sha256,
            hash=picture.hash,
            stable_bits=picture.stable_bits,
            source=source,
            page=picture.page,
            created_at=now,
            seen_count=1,
            last_seen_at=now,
        )
        # Two workers may meet the same new bytes at the same moment.
        .on_conflict_do_update(
            index_elements=[images.c.content_sha256],
            set_={"seen_count": images.c.seen_count + 1},
        )
        .returning(images.c.id, images.c.seen_count)
    ).one()
    connection.execute(
        insert_into(connection, bands).on_conflict_do_nothing(),
        [{"band_key": key, "hash": picture.hash} for key in band_keys(picture.hash)],
    )
    return created[0], created[1]


def find(connection: Connection, content_sha256: str) -> int | None:
    """The id of the picture with these very bytes."""
    query = select(images.c.id).where(images.c.content_sha256 == content_sha256)
    return connection.execute(query).scalar_one_or_none()


def search(
    connection: Connection, value: str, farthest: int, *, exclude: int | None = None
) -> list[Match]:
    """Stored pictures at most `farthest` bits away, the nearest first, at most MOST_MATCHES."""
    candidates = connection.execute(
        select(bands.c.hash).where(bands.c.band_key.in_(probe_keys(value, farthest))).distinct()
    ).scalars()
    near = sorted(
        (bits, candidate)
        for candidate in candidates
        if (bits := distance(value, candidate)) <= farthest
    )
    # One more than is returned: the picture itself may be among them.
    hashes = [candidate for _, candidate in near[: MOST_MATCHES + 1]]
    if not hashes:
        return []
    columns = images.c
    query = select(columns.id, columns.hash, columns.stable_bits, columns.source, columns.page)
    found: list[Match] = []
    for candidate in hashes:
        rows = connection.execute(
            query.where(columns.hash == candidate, columns.id != (exclude or 0))
            .order_by(columns.id)
            .limit(MOST_MATCHES - len(found))
        )
        found += [Match(row[0], row[1], distance(value, row[1]), *row[2:]) for row in rows]
        if len(found) >= MOST_MATCHES:
            break
    return found


def counts(connection: Connection) -> dict[str, int]:
    """Rows and distinct hashes; for the integrity report."""
    return {
        "images": connection.execute(select(func.count()).select_from(images)).scalar_one(),
        "distinct_hashes": connection.execute(
            select(func.count(images.c.hash.distinct()))
        ).scalar_one(),
        "band_keys": connection.execute(select(func.count()).select_from(bands)).scalar_one(),
    }
