"""Hashes, counts and values: nothing that SQLite can store is mistaken for anything else."""

import itertools
import math
import random
import sqlite3
from contextlib import closing

import pytest
import sqlite_files as files
from hypothesis import given
from hypothesis import strategies as st

from guarded_rollout.adapters.sqlite.values import decode, encode
from guarded_rollout.core.changes import order
from guarded_rollout.testing.control import Told

VALUES = (
    "NULL",
    "''",
    "x''",
    "'NULL'",
    "0",
    "0.0",
    "'0'",
    "x'30'",
    "1",
    "1.0",
    "'1'",
    "0.1 + 0.2",
    "0.3",
    "9e999",
    "-9e999",
    "5e-324",
    "1e16",
    "10000000000000000",
    "9223372036854775807",
    "-9223372036854775808",
    "9223372036854775807.0",
    "'a'",
    "'A'",
    "'a' || char(0)",
    "'a' || char(0) || 'b'",
    "'a' || char(0) || 'c'",
    "CAST(x'ff' AS TEXT)",
    "CAST(x'fe' AS TEXT)",
    "CAST(x'61ff' AS TEXT)",
    "x'ff'",
    "'\N{REPLACEMENT CHARACTER}'",
    "'x''ff'",
    "'t''ff'",
    "'\N{OGHAM SPACE MARK}\U0001f600'",
)
LAYOUTS = {
    "numbered": "(id INTEGER PRIMARY KEY, v)",
    "keyed": "(id TEXT PRIMARY KEY, v)",
    "without rowid": "(id TEXT, v, PRIMARY KEY (id)) WITHOUT ROWID",
    "keyless": "(id, v)",
    "loose key": "(id TEXT COLLATE NOCASE, v COLLATE NOCASE, PRIMARY KEY (id COLLATE BINARY))",
}


@pytest.fixture
def database(tmp_path):
    return files.database(tmp_path / "it.db")


@pytest.mark.parametrize("layout", sorted(LAYOUTS))
def test_every_value_has_a_hash_of_its_own(database, layout):
    """Also behind a zero byte, in the last bit of a real, and where a text is no UTF-8."""
    files.run(database.path, f"CREATE TABLE t {LAYOUTS[layout]}", "INSERT INTO t VALUES ('1', 0)")
    hashes = set()
    for value in VALUES:
        files.run(database.path, f"UPDATE t SET v = {value}")
        hashes.add(database.fingerprint(Told())["t"].hash)
    assert len(hashes) == len(VALUES)


@pytest.mark.parametrize("layout", sorted(LAYOUTS))
def test_a_hash_does_not_change_with_the_order_of_rows(database, layout):
    """Not even where SQLite finds rows equal that are not: 1 and 1.0, a and A, NULL as a key."""
    keys = [str(i) for i in range(1, 1500)]
    if layout in {"keyless", "loose key"}:
        keys += ["'a'", "'A'", "'b'"]
    if layout in {"keyless", "loose key", "keyed"}:
        keys += ["NULL", "NULL", "NULL"]
    rows = [f"({key}, {value})" for key, value in zip(keys, itertools.cycle(VALUES))]
    hashes = set()
    for seed in range(3):
        random.Random(seed).shuffle(rows)
        files.run(
            database.path,
            "DROP TABLE IF EXISTS t",
            f"CREATE TABLE t {LAYOUTS[layout]}",
            f"INSERT INTO t VALUES {', '.join(rows)}",
        )
        hashes.add(database.fingerprint(Told())["t"])
    assert len(hashes) == 1
    assert hashes.pop().rows == len(keys)


def test_a_hash_changes_with_a_columns_name_and_not_with_its_place(database):
    files.run(
        database.path,
        "CREATE TABLE a (id INTEGER PRIMARY KEY, x, y)",
        "CREATE TABLE b (y, x, id INTEGER PRIMARY KEY)",
        "CREATE TABLE c (id INTEGER PRIMARY KEY, x, z)",
        *(f"INSERT INTO {table} (id, x) VALUES (1, 'x')" for table in "abc"),
    )
    found = database.fingerprint(Told())
    assert found["a"] == found["b"]
    assert found["a"].hash != found["c"].hash


def test_duplicates_count(database):
    """An even number of equal rows does not vanish."""
    files.run(database.path, "CREATE TABLE t (v)")
    hashes = set()
    for _ in range(5):
        hashes.add(database.fingerprint(Told())["t"].hash)
        files.run(database.path, "INSERT INTO t VALUES ('same')")
    assert len(hashes) == 5


def test_a_full_pass_can_be_stopped_within_a_table(database):
    """Every thousand rows, not only between tables."""
    files.run(database.path, "CREATE TABLE t (v)")
    files.write(database.path, "INSERT INTO t VALUES (?)", [(i,) for i in range(5000)])
    told = Told()
    database.fingerprint(told)
    assert told.asked >= 5


def test_tables_have_the_bytes_of_their_indexes_too(database):
    """All pages but those of the schema itself are somebody's."""
    files.run(
        database.path,
        "CREATE TABLE t (a TEXT PRIMARY KEY, b INTEGER UNIQUE, c GENERATED ALWAYS AS (b + 1))",
        "CREATE TABLE u (a VARCHAR(20), b)",
        "CREATE INDEX by_b ON u (b)",
    )
    files.write(database.path, "INSERT INTO t VALUES (?, ?)", [(f"key {i}", i) for i in range(999)])
    found = database.tables()
    assert set(found) == {"t", "u"}
    assert found["t"].rows == 999
    assert dict(found["t"].columns) == {"a": "TEXT", "b": "INTEGER", "c": ""}
    assert dict(found["u"].columns) == {"a": "VARCHAR(20)", "b": ""}
    assert found["u"].bytes == 2 * 4096
    assert found["t"].bytes + found["u"].bytes == database.path.stat().st_size - 4096


@pytest.mark.parametrize("encoding", ["UTF-8", "UTF-16le", "UTF-16be"])
@pytest.mark.parametrize("layout", ["(a, b)", "(a, b, PRIMARY KEY (a, b))"])
def test_records_of_mixed_keys_are_in_order(database, encoding, layout):
    """Whatever the types in a key, the collation of its column, and how the file writes texts."""
    values = [*VALUES, "'\N{HALFWIDTH IDEOGRAPHIC FULL STOP}'", "'\U0001f600'", "'aa'", "2", "10"]
    if encoding != "UTF-8":  # SQLite itself cannot keep apart there what is no text
        values = [value for value in values if "CAST" not in value]
    pairs = [f"({a}, {b})" for a, b in itertools.product(values, repeat=2)]
    random.Random(1).shuffle(pairs)
    files.run(
        database.path,
        f"PRAGMA encoding = '{encoding}'",
        f"CREATE TABLE t {layout}".replace("a,", "a COLLATE NOCASE,", 1),
        # 0 and 0.0 are one key for SQLite
        f"INSERT OR IGNORE INTO t VALUES {', '.join(pairs)}",
    )
    with database.records("t", ("a", "b"), Told()) as found:
        records = list(found)
    assert len(records) == database.rows()["t"] > 500
    keys = [record.key for record in records]
    assert keys == sorted(keys, key=order)
    assert all(record.key == tuple(record.values.values()) for record in records)


@pytest.mark.parametrize("value", VALUES)
def test_every_value_is_read_back_as_it_was(value):
    """By its text alone, in a database that has never seen it."""
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.text_factory = bytearray
        ((stored,),) = connection.execute(f"SELECT {value}")
        text = encode(stored)
        assert text is None or text.encode().decode() == text
        bound = decode(text)
        ((again,),) = connection.execute(f"SELECT {bound.sql}", [bound.value])
    assert type(again) is type(stored)
    assert again == stored


@given(st.none() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | st.binary())
def test_numbers_and_blobs_are_read_back_as_they_were(value):
    found = decode(encode(value)).value
    assert type(found) is type(value)
    assert found == value
    assert (
        value != 0.0
        or isinstance(value, bytes)
        or math.copysign(1, found) == math.copysign(1, value)
    )


@given(st.text())
def test_texts_are_read_back_as_they_were(text):
    try:
        raw = bytearray(text.encode())
    except UnicodeEncodeError:
        with pytest.raises(ValueError, match="surrogates"):
            decode(f"'{text}")
        return
    assert decode(encode(raw)).value == text


@given(st.text(max_size=12))
def test_what_is_no_value_is_refused(text):
    """And what is one has one form only."""
    try:
        bound = decode(text)
    except ValueError:
        return
    if bound.sql == "?" and not isinstance(bound.value, float):
        value = bytearray(bound.value.encode()) if isinstance(bound.value, str) else bound.value
        assert encode(value) == text


@pytest.mark.parametrize(
    "text", ["", "x'0", "x'0G", "9223372036854775808", "1e999", "nan", "0x10", "1 ", "a", "-", "+1"]
)
def test_odd_texts_are_no_values(text):
    with pytest.raises(ValueError, match="is no value"):
        decode(text)
