import hashlib
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select

from dhash import gallery, reviews
from dhash.database import connect, immediate
from dhash.distance import distance
from dhash.errors import ConflictError, NotFoundError
from dhash.gallery import record, search
from dhash.picture import Picture
from dhash.queue_file import import_items, parse_file
from dhash.tables import images


def picture(number, stable_bits=60, name=""):
    value = f"{number:016x}"
    digest = hashlib.sha256((name or value).encode()).hexdigest()
    return Picture(digest, value, stable_bits, "exact", "png", 9, 8, None, 0.01)


@pytest.fixture
def engine(url, with_driver):
    engine = connect(with_driver(url))
    yield engine
    engine.dispose()


def queue_length(engine):
    with engine.connect() as connection:
        return reviews.counts(connection).length


def test_the_same_bytes_are_one_picture(engine):
    first = record(engine, "a.png", [picture(1)])[0]
    again = record(engine, "b.png", [picture(1)])[0]
    assert (first.image_id, first.seen_count) == (again.image_id, again.seen_count - 1)
    assert again.matches == []
    with engine.connect() as connection:
        assert gallery.counts(connection) == {
            "images": 1,
            "distinct_hashes": 1,
            "band_keys": 4,
        }


@pytest.mark.parametrize(
    ("flips", "stable", "queued"),
    [(0, 60, False), (3, 60, False), (4, 60, True), (6, 60, True), (7, 60, False), (0, 23, True)],
)
def test_what_waits_for_a_person(engine, flips, stable, queued):
    record(engine, "a", [picture(0)])
    found = record(engine, "b", [picture(2**flips - 1, stable, "other")])[0]
    assert bool(found.matches) == (flips <= 6)
    assert (found.review_id is not None) == queued
    assert queue_length(engine) == int(queued)


def test_repeated_traffic_does_not_grow_the_queue(engine):
    # Every one of them is doubtful against many others.
    corpus = [picture((1 << k) - 1 << (k * 2), 60, str(k)) for k in range(3, 13)]
    for _ in range(3):
        record(engine, "round", corpus)
    before = queue_length(engine)
    for _ in range(20):
        record(engine, "round", corpus)
    assert queue_length(engine) == before <= len(corpus) ** 2 / 2


def test_matches_come_nearest_first(engine):
    record(engine, "a", [picture(0b111), picture(0b1), picture(0xFF << 30), picture(0b11)])
    with engine.connect() as connection:
        found = search(connection, f"{0:016x}", 6)
    assert [match.distance for match in found] == [1, 2, 3]
    assert found[0].confidence == 1 - 1 / 64


def test_search_finds_what_a_scan_finds(engine):
    import random

    source = random.Random(5)
    centre = source.getrandbits(64)
    numbers = [source.getrandbits(64) for _ in range(60)]
    for _ in range(60):
        number = centre
        for bit in source.sample(range(64), source.randrange(14)):
            number ^= 1 << bit
        numbers.append(number)
    record(engine, "a", [picture(number) for number in numbers])
    hashes = {f"{number:016x}" for number in numbers}

    @settings(max_examples=20, deadline=None)
    @given(st.integers(0, 12), st.sets(st.integers(0, 63), max_size=3))
    def check(farthest, flips):
        asked = f"{centre ^ sum(1 << bit for bit in flips):016x}"
        with engine.connect() as connection:
            found = search(connection, asked, farthest)
        near = sorted(d for value in hashes if (d := distance(asked, value)) <= farthest)
        assert [match.distance for match in found] == near[: gallery.MOST_MATCHES]

    check()


def test_writers_at_the_same_time_lose_nothing(engine):
    pictures = [picture(number << 40) for number in range(10)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: record(engine, "a", pictures), range(12)))
    with engine.connect() as connection:
        assert connection.execute(select(func.sum(images.c.seen_count))).scalar() == 120
        assert gallery.counts(connection)["images"] == 10


def test_a_decision_is_made_once(engine):
    record(engine, "a", [picture(0), picture(0b11111)])
    with immediate(engine).begin() as connection:
        item = reviews.read_page(connection, "pending", 10, 0).items[0]
        reviews.decide(connection, item["id"], "accepted", "ann")
        assert reviews.counts(connection).length == 0
        with pytest.raises(ConflictError):
            reviews.decide(connection, item["id"], "rejected", "bob")
        with pytest.raises(NotFoundError):
            reviews.decide(connection, 999, "rejected", "bob")
        decided = reviews.read_page(connection, "accepted", 10, 0)
    assert decided.total == 1
    with engine.connect() as connection:
        assert reviews.counts(connection) == reviews.QueueCounts(queued=1, decided=1)
    assert decided.items[0]["reviewer"] == "ann"


def test_a_queue_moves_to_another_database(engine, new_url, with_driver):
    from dhash.schema import migrate

    record(engine, "a", [picture(0), picture(0b11111), picture(0b11111 << 20)])
    with immediate(engine).begin() as connection:
        first = reviews.read_all(connection)[0]
        reviews.decide(connection, first["id"], "rejected", "ann")
        exported = reviews.read_all(connection)
    items = parse_file({"format": "dhash-queue-1", "items": exported})
    other_url = with_driver(new_url("sqlite"))
    migrate(other_url)
    other = connect(other_url)
    with immediate(other).begin() as connection:
        assert import_items(connection, items) == {"read": 2, "added": 2, "decided": 1}
        assert import_items(connection, items) == {"read": 2, "added": 0, "decided": 0}
        imported = reviews.read_all(connection)
    other.dispose()
    kept = ("status", "distance", "reason", "reviewer", "decided_at")
    assert [[item[name] for name in kept] for item in imported] == [
        [item[name] for name in kept] for item in exported
    ]
