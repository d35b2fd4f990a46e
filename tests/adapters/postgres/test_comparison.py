"""What is compared after a restore, on tables of every shape; and dumps of earlier versions."""

import json

import pytest

from guarded_rollout.adapters.postgres import comparison, content
from guarded_rollout.adapters.postgres.sessions import looking
from guarded_rollout.core.problems import Broken, Interrupted
from guarded_rollout.ports import Compared
from guarded_rollout.testing.control import Told
from tests.adapters.archive.worlds import postgres_world

SHAPES = (
    "CREATE TABLE parts (id int, at timestamptz) PARTITION BY RANGE (id)",
    "CREATE TABLE parts_low PARTITION OF parts FOR VALUES FROM (0) TO (500)",
    "CREATE TABLE parts_high PARTITION OF parts FOR VALUES FROM (500) TO (1000)",
    """INSERT INTO parts SELECT 999 - i, '2026-03-29 00:59:59+00'::timestamptz
        + i * '1 h'::interval FROM generate_series(0, 999) i""",
    "CREATE TABLE parent (id int)",
    "CREATE TABLE child (more text) INHERITS (parent)",
    "INSERT INTO parent VALUES (1), (2)",
    "INSERT INTO child VALUES (3, 'x'), (4, NULL)",
    """CREATE TABLE made (id int GENERATED ALWAYS AS IDENTITY (START 5), gone int, b bytea,
        f float8, n numeric, c char(5), j jsonb, a text[], i interval,
        twice text GENERATED ALWAYS AS (encode(b, 'hex')) STORED)""",
    "ALTER TABLE made DROP COLUMN gone",
    r"""INSERT INTO made (b, f, n, c, j, a, i) VALUES
        ('\x00ff5c', '-0', 1.00, 'a ', '{"x": 1.0}', '{NULL,""}', '-1 mon +2 days'),
        ('', 'NaN', 'NaN', '', 'null', '{}', '0'), (NULL, 0.1, 1e30, NULL, NULL, NULL, NULL)""",
    "CREATE TABLE nothing ()",
    "INSERT INTO nothing DEFAULT VALUES",
    # More than a quarter of the buffers, and full of holes: the live one may be read from its
    # middle, the restored one is always written and dumped in the dump's order.
    "CREATE TABLE large (id int, words text)",
    "INSERT INTO large SELECT i, repeat('x', 120) FROM generate_series(1, 250000) i",
    "DELETE FROM large WHERE id % 7 = 0",
    "VACUUM large",
    "UPDATE large SET words = words || id WHERE id % 5 = 0",
)


@pytest.fixture
def world(tmp_path, postgres):
    return postgres_world(tmp_path, postgres)


def test_tables_of_every_shape_come_back_to_the_byte_and_in_order(world, postgres, monkeypatch):
    """Also where the database has settings of its own, which its dump does not have."""
    name = world.database.access.name
    postgres.run(
        f"ALTER DATABASE {name} SET timezone TO 'Europe/Berlin'",
        f"ALTER DATABASE {name} SET bytea_output TO 'escape'",
        f"ALTER DATABASE {name} SET datestyle TO 'German'",
        f"ALTER DATABASE {name} SET intervalstyle TO 'sql_standard'",
        f"ALTER DATABASE {name} SET extra_float_digits TO 0",
    )
    world.run(world.database, SHAPES)

    def never(*_):
        raise AssertionError("rows came back in another order")

    monkeypatch.setattr(comparison._Pair, "_lines", never)
    backup = world.create()
    assert backup.rows["parts_low"] == backup.rows["parts_high"] == 500
    assert (backup.rows["parent"], backup.rows["child"], backup.rows["nothing"]) == (2, 2, 1)
    assert world.drill(backup).hashed


@pytest.fixture
def filled(world, tmp_path):
    """A dump, and a scratch database that it went into."""
    dump = tmp_path / "dump"
    world.database.dump(dump, Told())
    scratch = world.database.scratch("verify")
    try:
        scratch.fill(dump, Told())
        yield dump, scratch
    finally:
        scratch.discard()


def test_told_to_stop_or_without_its_dump_nothing_is_left(filled):
    """Neither a folder nor a list."""
    dump, scratch = filled
    before = sorted(dump.parent.iterdir())
    for after in (0, 1, 2):
        with pytest.raises(Interrupted):
            scratch.compare(dump, Told(after))
        assert sorted(dump.parent.iterdir()) == before
    (dump / "CONTENT.json").unlink()
    with pytest.raises(Broken, match=r"is not a whole dump: .*No such file"):
        scratch.compare(dump, Told())
    assert sorted(dump.parent.iterdir()) == before


def test_a_dump_of_another_major_version_is_counted(world, filled):
    """That server may have written the same values otherwise; rows are rows."""
    dump, scratch = filled
    said = json.loads((dump / "CONTENT.json").read_text())
    (dump / "CONTENT.json").write_text(json.dumps({**said, "server": 15}))
    world.run(scratch, ("UPDATE images SET hash = 'x' WHERE id = 7",))
    assert scratch.compare(dump, Told()) == Compared((), contents=False)
    world.run(scratch, ("DELETE FROM reviews WHERE id >= 15", "DROP TABLE empty"))
    assert scratch.compare(dump, Told()) == Compared(
        ("table empty is missing", "table reviews has 15 rows, not 20"), contents=False
    )


def test_a_dump_of_an_earlier_version_is_compared_by_its_own_hashes(world, filled):
    """As that version did: by the text of whole rows, which did not have to be dumped alike."""
    dump, scratch = filled
    said = json.loads((dump / "CONTENT.json").read_text())
    with looking(world.database.access, 5.0) as connection:
        found = content.fingerprint(connection, lambda: None, of_text=True)
    tables = {name: [table.rows, table.hash] for name, table in found.items()}
    del said["rows"]
    (dump / "CONTENT.json").write_text(json.dumps({**said, "tables": tables}))
    assert world.database.prove(dump) == {"images": 40, "reviews": 20, "empty": 0}
    assert scratch.compare(dump, Told()) == Compared((), contents=True)
    world.run(scratch, ("UPDATE images SET hash = 'x' WHERE id = 7", "DELETE FROM reviews"))
    assert scratch.compare(dump, Told()) == Compared(
        ("table reviews has 0 rows, not 20", "table images has 40 rows, but other contents"),
        contents=True,
    )
    with pytest.raises(Broken, match="did not go in as it was: table reviews has 0 rows, not 20"):
        comparison.check(dump, scratch.access, scratch.clock, 5.0, Told())


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("numeric", ("1.0", "1.00", "1", "0", "0.0", "'NaN'", "NULL")),
        ("float8", ("0.0", "'-0'", "'NaN'", "'Infinity'", "0.1", "0.10000000000000002", "NULL")),
        ("char(4)", ("''", "'a'", "' a'", "'A'", "NULL")),
        ("varchar(4)", ("''", "'a'", "'a '", "' a'", "NULL")),
        ("text", ("''", "'a'", "'A'", "'a '", "NULL")),
        ("timestamp", ("'2026-01-01'", "'2026-01-01 00:00:00.000001'", "'-infinity'", "NULL")),
        ("jsonb", ("'1.0'", "'1.00'", "'{}'", "'null'", "NULL")),
        ("text[]", ("'{}'", "'{NULL}'", "'{\"\"}'", "'{a,b}'", "'{\"a,b\"}'", "NULL")),
        ("interval", ("'1 day'", "'24 hours'", "'1 mon'", "'30 days'", "NULL")),
        ("bytea", (r"'\x'", r"'\x00'", r"'\x0000'", "NULL")),
        ("timestamptz", ("'2026-01-01 00:00+00'", "'2026-01-01 00:00+01'", "'infinity'", "NULL")),
        ("bool", ("true", "false", "NULL")),
        ("int8", ("0", "-1", "4294967295", "1", "4294967296", "NULL")),
        ("uuid", ("'00000000-0000-0000-0000-000000000000'", "gen_random_uuid()", "NULL")),
        ("mood", ("'glad'", "'sad'", "NULL")),
        ("inet", ("'10.0.0.1'", "'10.0.0.1/24'", "NULL")),
    ],
)
def test_the_fingerprint_knows_equal_values_that_are_not_the_same(world, kind, values):
    """And the same values as the same, whatever order they lie in."""
    world.run(
        world.database,
        (
            "CREATE TYPE mood AS ENUM ('glad', 'sad')",
            f"CREATE TABLE t (id int, v {kind})",
        ),
    )
    found = []
    for value in values:
        rows = (f"INSERT INTO t VALUES (1, {value})", "INSERT INTO t VALUES (2, NULL)")
        world.run(world.database, ("TRUNCATE t", *rows))
        found.append(world.database.fingerprint(Told())["t"])
        world.run(world.database, ("CREATE TABLE u AS TABLE t ORDER BY id DESC", "TRUNCATE t"))
        world.run(world.database, ("INSERT INTO t TABLE u", "DROP TABLE u"))
        assert world.database.fingerprint(Told())["t"] == found[-1]
    assert len({table.hash for table in found}) == len(values)
