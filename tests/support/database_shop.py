"""A database with every kind of table that there is trouble with, and what happens in it."""

from collections.abc import Sequence

from guarded_rollout.core.changes import Change, Record, changes
from guarded_rollout.ports import Database
from guarded_rollout.testing.control import Told

ODD = "it's \"odd\"\t\n\r\\.\\N 'ä€😀' \x01\x7f  "
VALUES = {
    "a": (ODD, ODD.encode(), 0.1 + 0.2, 2**63 - 1, "2026-02-28 23:59:59.999999+00:00"),
    "b": ("", b"", -0.0, -(2**63), "1970-01-01 00:00:00+00:00"),
    "c": (None, None, None, None, None),
    "d": ("NULL", bytes(range(256)), 5e-324, 0, "0001-01-01 00:00:00+00:00"),
    "e": ("x" * 100_000, b"\0" * 3, 1.7976931348623157e308, 1, "9999-12-31 00:00:00+00:00"),
    "f": ("None", b"NULL", float("inf"), 10, "2026-10-25 01:30:00+00:00"),
    "ä": ("0", b"0", 1e16, 2, "2026-01-01 00:00:00+00:00"),
    "\U0001f600": ("1.0", b"1.0", 1.0, 9, "2026-01-01 00:00:00.000001+00:00"),
    "\uff61": ("1", b"1", 100.0, 99, "2026-01-01 00:00:00.1+00:00"),
    "": (" ", b" ", -1.5, 100, "2026-01-01 00:00:00.12+00:00"),
}
WHOLE = ("name", "text", "bytes", "float", "big", "moment")


def shop(kind) -> Database:
    """A database with every kind of table that there is trouble with."""
    database = kind.database()
    words = kind.words
    kind.run(
        database,
        "CREATE TABLE alembic_version (version_num TEXT)",
        "INSERT INTO alembic_version VALUES ('0007')",
        f"CREATE TABLE every (name TEXT PRIMARY KEY, text TEXT, bytes {words['bytes']}, "
        f"float {words['float']}, big BIGINT, moment {words['moment']})",
        # children are named before their parents
        f"CREATE TABLE zebras (id {words['serial']}, name TEXT UNIQUE, stripes INTEGER NOT NULL "
        "CHECK (stripes > 0), herd INTEGER REFERENCES zebras(id))",
        f"CREATE TABLE ants (id {words['serial']}, zebra INTEGER NOT NULL REFERENCES zebras(id))",
        'CREATE TABLE "odd "" name" ("a %b" INTEGER, "select" TEXT, "c""d" TEXT, '
        'PRIMARY KEY ("select", "a %b"))',
        "CREATE TABLE loose (a INTEGER, b TEXT)",
        "CREATE TABLE sums (id INTEGER PRIMARY KEY, n INTEGER, "
        "twice INTEGER GENERATED ALWAYS AS (n * 2) STORED)",
    )
    rows = [(name, *values) for name, values in VALUES.items()]
    kind.write(database, "INSERT INTO every VALUES (?, ?, ?, ?, ?, ?)", rows)
    herds = [(i, f"zebra {i}", i, None if i == 1 else i - 1) for i in range(1, 13)]
    kind.write(database, "INSERT INTO zebras VALUES (?, ?, ?, ?)", herds)
    kind.write(database, "INSERT INTO ants VALUES (?, ?)", [(i, i % 12 + 1) for i in range(1, 31)])
    odd = [(i, text, f"{text}{i}") for i in (1, 2, 10, -1) for text in ("", "a", "A", "ä")]
    kind.write(database, 'INSERT INTO "odd "" name" VALUES (?, ?, ?)', odd)
    loose = [(1, "x"), (1, "x"), (None, "x"), (None, None), (None, None), (10, ""), (2, None)]
    kind.write(database, "INSERT INTO loose VALUES (?, ?)", loose)
    kind.write(database, "INSERT INTO sums (id, n) VALUES (?, ?)", [(1, 4), (2, None)])
    # keys given by hand did not move what gives them out
    for table, last in (("zebras", 12), ("ants", 30)):
        kind.advance(database, table, last)
    return database


def columns(database: Database, table: str) -> tuple[str, ...]:
    return tuple(database.tables()[table].columns)


def records(database: Database, table: str, asked: Sequence[str] = ()) -> list[Record]:
    asked = tuple(asked) or columns(database, table)
    with database.records(table, asked, Told()) as found:
        return list(found)


def differences(before: Database, now: Database, only: Sequence[str] = ()) -> list[Change]:
    """As a rollback makes them: table by table, by name."""
    found = []
    seen = before.tables()
    for table in sorted(only or seen):
        asked = tuple(seen[table].columns)
        with (
            before.records(table, asked, Told()) as left,
            now.records(table, asked, Told()) as right,
        ):
            found += changes(table, left, right)
    return found


WRITES = (
    "INSERT INTO zebras (name, stripes, herd) VALUES ('new', 5, 12)",
    "INSERT INTO zebras (name, stripes, herd) SELECT 'newer', 6, id FROM zebras WHERE name = 'new'",
    "INSERT INTO ants (zebra) SELECT id FROM zebras WHERE name = 'newer'",
    "UPDATE zebras SET stripes = 99, herd = NULL WHERE id = 3",
    "UPDATE zebras SET herd = (SELECT id FROM zebras WHERE name = 'newer') WHERE id = 5",
    "DELETE FROM ants WHERE zebra = 2",
    "UPDATE zebras SET herd = NULL WHERE herd = 2",
    "DELETE FROM zebras WHERE id = 2",
    "UPDATE every SET text = 'now', big = NULL WHERE name = 'a'",
    "INSERT INTO every SELECT 'copy', text, bytes, float, big, moment FROM every WHERE name = 'd'",
    "DELETE FROM every WHERE name IN ('b', 'ä', '')",
    'UPDATE "odd "" name" SET "c""d" = NULL WHERE "a %b" = 10',
    """DELETE FROM "odd "" name" WHERE "select" = 'A'""",
    'INSERT INTO "odd "" name" VALUES (3, \'ß\', NULL)',
    "INSERT INTO loose VALUES (1, 'x'), (NULL, NULL), (3, 'y'), (3, 'y')",
    "DELETE FROM loose WHERE a = 10 OR a IS NULL AND b = 'x'",
    "INSERT INTO sums (id, n) VALUES (3, 8)",
    "UPDATE sums SET n = 1 WHERE id = 2",
)
