"""Records and changes on PostgreSQL: what only it has."""

import threading
from contextlib import contextmanager

import pytest

from guarded_rollout.adapters.clock import SystemClock
from guarded_rollout.adapters.postgres import PostgresDatabase, shapes
from guarded_rollout.core.changes import changes, order
from guarded_rollout.core.problems import BadInput, Busy, Interrupted
from guarded_rollout.ports import Applied
from guarded_rollout.testing.control import Told

DEADLINE = 120.0


@pytest.fixture
def live(postgres) -> PostgresDatabase:
    return postgres.database()


@pytest.fixture
def run(postgres, live):
    """Statements in the live database, as its user."""

    def run(*statements, user="dhash"):
        return postgres.run(*statements, name=live.access.name, user=user)

    return run


def records(database, table):
    columns = tuple(database.tables()[table].columns)
    with database.records(table, columns, Told()) as found:
        return list(found)


def set_aside(database, run, *statements):
    """What the statements change, in all tables. The caller takes it back."""
    names = sorted(database.tables())
    before = {table: records(database, table) for table in names}
    run(*statements)
    return [
        one for table in names for one in changes(table, before[table], records(database, table))
    ]


def test_every_type_comes_back_as_it_was(live, run):
    """From text to text, whatever the server's settings are."""
    values = {
        "numeric": "'123456789012345678901234567890.12345678900'",
        "numeric(9,2)": "'-0.10'",
        "real": "'1.17549435e-38'",
        "double precision": "'NaN'",
        "money": "'1234567.89'",
        "char(5)": "'ab'",
        "varchar(5)": "'ab   '",
        '"char"': "'x'",
        "bit(3)": "B'101'",
        "bit varying(5)": "B'10'",
        "boolean": "true",
        "bytea": "'\\x00ff5c27'",
        "date": "'0044-03-15 BC'",
        "time(3)": "'23:59:59.999'",
        "timetz": "'12:00:00+05:45'",
        "timestamp": "'infinity'",
        "timestamptz(1)": "'2026-10-25 02:30:00.5+02'",
        "interval": "'-1 year 2 mons -3 days 04:05:06.789'",
        "uuid": "'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'",
        "json": """'{"b" : 1,  "a":[null, "\\u00e4"], "b":2}'""",
        "jsonb": """'{"b": 1, "a": "text"}'""",
        "inet": "'::1/64'",
        "text[]": "ARRAY['a,b', NULL, 'NULL', '\"', '']",
        "int[][]": "'[0:1][2:3]={{1,2},{3,NULL}}'",
        "int4range": "'[1,10)'",
        "nummultirange": "'{[1.10,2.2),(3,)}'",
        "tsvector": "'''it''''s'':1A cat:2'",
        "point": "'(0.1,1e300)'",
        "colour": "'light green'",
        "pair": "ROW(1, 'a \"b\", c')",
        "positive": "7",
        "regclass": "'pg_class'",
        "oid": "4294967295",
        "name": "'A'",
    }
    columns = [f"c{at} {kind}" for at, kind in enumerate(values)]
    nothing = ", ".join(["NULL"] * len(values))
    run(
        "CREATE TYPE colour AS ENUM ('red', 'light green')",
        "CREATE TYPE pair AS (n int, word text)",
        "CREATE DOMAIN positive AS int CHECK (VALUE > 0)",
        f"CREATE TABLE t (id int PRIMARY KEY, {', '.join(columns)})",
        f"CREATE TABLE loose ({', '.join(columns)})",
    )
    rows = f"VALUES (1, {', '.join(values.values())}), (2, {nothing})"
    loose = f"VALUES ({', '.join(values.values())}), ({nothing})"
    aside = set_aside(live, run, f"INSERT INTO t {rows}", f"INSERT INTO loose {loose}")
    after = live.fingerprint(Told())
    gone = set_aside(live, run, "DELETE FROM t", "DELETE FROM loose")
    run(
        f"ALTER DATABASE {live.access.name} SET datestyle TO 'SQL, DMY'",
        f"ALTER DATABASE {live.access.name} SET bytea_output TO 'escape'",
        f"ALTER DATABASE {live.access.name} SET extra_float_digits TO -15",
        f"ALTER DATABASE {live.access.name} SET intervalstyle TO 'iso_8601'",
        f"ALTER DATABASE {live.access.name} SET timezone TO 'Asia/Kathmandu'",
    )
    assert live.apply(aside, Told()) == Applied(4, 0, 0)
    assert live.fingerprint(Told()) == after
    assert live.apply(gone, Told()) == Applied(0, 0, 4)
    assert live.rows() == {"loose": 0, "t": 0}
    assert live.apply(aside, Told()) == Applied(4, 0, 0)
    null = [f"c{at} = NULL" for at in range(len(values))]
    changed = set_aside(live, run, f"UPDATE t SET {', '.join(null)} WHERE id = 1")
    run("DELETE FROM t")
    assert live.apply([one for one in aside if one.table == "t"], Told()) == Applied(2, 0, 0)
    assert live.apply(changed, Told()) == Applied(0, 1, 0)


def test_a_value_that_is_too_long_now_is_a_conflict_and_never_cut(live, run):
    """Nor rounded."""
    run("CREATE TABLE t (id int PRIMARY KEY, word varchar(9), price numeric(9,3))")
    aside = set_aside(
        live, run, "INSERT INTO t VALUES (1, 'abcdefghi', 1), (2, 'a', 0.125), (3, 'abc', 0.25)"
    )
    run(
        "DELETE FROM t",
        "ALTER TABLE t ALTER word TYPE varchar(5), ALTER price TYPE numeric(9,2)",
    )
    applied = live.apply(aside, Told())
    assert applied.added == 0
    assert [one.partition(":")[0] for one in sorted(applied.conflicts)] == [
        "t (1)",
        "t (2)",
        "t (3)",  # 0.250 comes back as 0.25: nobody can say that this is the same
    ]
    assert "too long" in min(applied.conflicts)
    assert run("SELECT * FROM t") == []


@pytest.mark.parametrize("now", ["", ", PRIMARY KEY (word)", ", PRIMARY KEY (id, word)"])
def test_changes_of_a_table_that_has_another_key_now_are_conflicts(live, run, now):
    """A key of as many parts need not be the same one."""
    run("CREATE TABLE t (id int PRIMARY KEY, word text)", "INSERT INTO t VALUES (1, 'a'), (2, 'b')")
    aside = set_aside(live, run, "UPDATE t SET word = word || 'x'")
    rows = "INSERT INTO t VALUES (1, 'a'), (2, 'b')"
    run("DROP TABLE t", f"CREATE TABLE t (id int, word text {now})", rows)
    applied = live.apply(aside, Told())
    assert applied.changed == 0
    assert len(applied.conflicts) == 2
    assert all("primary key" in one for one in applied.conflicts)


def test_keys_that_the_server_gives_out_go_on_behind_those_that_came_back(live, run):
    """Serial, identity of both kinds, a sequence of its own, one that counts down; not others."""
    run(
        "CREATE SEQUENCE own START 100",
        "CREATE SEQUENCE down INCREMENT -1",
        "CREATE TABLE a (id serial PRIMARY KEY)",
        "CREATE TABLE b (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, word text)",
        "CREATE TABLE c (id bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY)",
        "CREATE TABLE d (id int DEFAULT nextval('own') PRIMARY KEY)",
        "CREATE TABLE e (id int DEFAULT nextval('down') PRIMARY KEY)",
        "CREATE TABLE f (id text DEFAULT 'f' || nextval('own') PRIMARY KEY)",
        "CREATE TABLE g (id serial PRIMARY KEY)",
    )
    tables = "abcdefg"
    more = [f"INSERT INTO {table} DEFAULT VALUES" for table in tables]
    run(*more)
    aside = set_aside(live, run, *more, *more[:5], "UPDATE b SET word = 'x' WHERE id = 1")
    new = live.fingerprint(Told())
    run(
        *(f"TRUNCATE {table} RESTART IDENTITY" for table in tables),
        "ALTER SEQUENCE own RESTART WITH 100",
        "ALTER SEQUENCE down RESTART WITH -1",
        *more,
    )
    applied = live.apply(aside, Told())
    assert applied == Applied(12, 1, 0)
    assert live.fingerprint(Told()) == new
    assert run("SELECT last_value, is_called FROM g_id_seq") == [(2, True)]
    run(*(one for one in more if " f " not in one))


def test_triggers_do_not_fire_and_are_as_they_were(live, run):
    """What they wrote is among the changes; twice would be wrong."""
    run(
        "CREATE TABLE log (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, word text)",
        "CREATE TABLE t (id int PRIMARY KEY, word text)",
        "CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "INSERT INTO public.log (word) VALUES (TG_OP || TG_NAME); NEW.word := 'touched'; "
        "RETURN NEW; END $$",
        *(
            f"CREATE TRIGGER {name} BEFORE INSERT OR UPDATE ON t FOR EACH ROW "
            "EXECUTE FUNCTION note()"
            for name in ("plain", '"Always"', "off", "replica")
        ),
        'ALTER TABLE t ENABLE ALWAYS TRIGGER "Always"',
        "ALTER TABLE t DISABLE TRIGGER off",
        "ALTER TABLE t ENABLE REPLICA TRIGGER replica",
        "INSERT INTO t VALUES (1)",
    )
    aside = set_aside(live, run, "INSERT INTO t VALUES (2)", "UPDATE t SET word = 'x' WHERE id = 1")
    new = live.fingerprint(Told())
    assert new["log"].rows == 6
    run("TRUNCATE t, log RESTART IDENTITY", "INSERT INTO t VALUES (1)")
    assert live.apply(aside, Told()).conflicts == ()
    assert live.fingerprint(Told()) == new
    states = "SELECT tgname, tgenabled::text FROM pg_trigger ORDER BY 1"
    assert run(states) == [("Always", "A"), ("off", "D"), ("plain", "O"), ("replica", "R")]
    run("INSERT INTO t VALUES (3)")
    assert live.rows() == {"log": 8, "t": 3}


def test_rows_that_point_to_each_other_come_back_where_keys_may_wait(live, run):
    """As Django makes them: DEFERRABLE; unique values that change places too."""
    later = "DEFERRABLE INITIALLY DEFERRED"
    run(
        f"CREATE TABLE a (id int PRIMARY KEY, b int NOT NULL, place int UNIQUE {later})",
        f"CREATE TABLE b (id int PRIMARY KEY, a int NOT NULL REFERENCES a(id) {later})",
        f"ALTER TABLE a ADD FOREIGN KEY (b) REFERENCES b(id) {later}",
        "BEGIN",
        "INSERT INTO a VALUES (1, 1, 1), (2, 1, 2)",
        "INSERT INTO b VALUES (1, 1)",
        "COMMIT",
    )
    aside = set_aside(
        live,
        run,
        "BEGIN",
        "UPDATE a SET place = 3 - place",
        "INSERT INTO a VALUES (3, 2, 3)",
        "INSERT INTO b VALUES (2, 3)",
        "COMMIT",
    )
    new = live.fingerprint(Told())
    back = "UPDATE a SET place = 3 - place"
    run("BEGIN", "DELETE FROM a WHERE id = 3", "DELETE FROM b WHERE id = 2", back, "COMMIT")
    assert live.apply(aside, Told()) == Applied(2, 2, 0)
    assert live.fingerprint(Told()) == new


def test_a_unique_value_that_another_row_gives_up_is_free(live, run):
    """Though what is removed goes last."""
    run(
        "CREATE TABLE t (id int PRIMARY KEY, word text UNIQUE)",
        "INSERT INTO t SELECT i, 'w' || i FROM generate_series(1, 50) i",
    )
    aside = set_aside(
        live,
        run,
        "DELETE FROM t WHERE id = 7",
        "UPDATE t SET word = 'w7' WHERE id = 9",
        "INSERT INTO t VALUES (60, 'w9')",
    )
    new = live.fingerprint(Told())
    run("DELETE FROM t", "INSERT INTO t SELECT i, 'w' || i FROM generate_series(1, 50) i")
    assert live.apply(aside, Told()) == Applied(1, 1, 1)
    assert live.fingerprint(Told()) == new


def test_partitions_and_other_schemas_are_tables_too(live, run):
    """A partitioned table is seen with the rows of its parts, but has no records of its own."""
    run(
        "CREATE SCHEMA shop",
        "CREATE TABLE shop.orders (id int, day date, PRIMARY KEY (id, day)) "
        "PARTITION BY RANGE (day)",
        "CREATE TABLE shop.y2026 PARTITION OF shop.orders "
        "FOR VALUES FROM ('2026-01-01') TO ('2027-01-01')",
        "CREATE TABLE shop.rest PARTITION OF shop.orders DEFAULT",
        "CREATE TABLE lines (n int PRIMARY KEY, id int, day date, "
        "FOREIGN KEY (id, day) REFERENCES shop.orders ON DELETE CASCADE)",
    )
    aside = set_aside(
        live,
        run,
        "INSERT INTO shop.orders VALUES (1, '2026-02-03'), (2, '1999-01-01'), (3, '2026-12-31')",
        "INSERT INTO lines VALUES (1, 1, '2026-02-03'), (2, 2, '1999-01-01')",
    )
    seen = live.tables()
    assert {name: table.rows for name, table in seen.items()} == {
        "lines": 2,
        "shop.orders": 3,
        "shop.rest": 1,
        "shop.y2026": 2,
    }
    assert seen["shop.orders"].bytes == seen["shop.rest"].bytes + seen["shop.y2026"].bytes
    assert seen["shop.orders"].columns == {"id": "integer", "day": "date"}
    assert records(live, "shop.orders") == []
    new = live.fingerprint(Told())
    gone = set_aside(live, run, "DELETE FROM shop.orders")
    assert len(gone) == 5
    assert live.apply(aside, Told()) == Applied(5, 0, 0)
    assert live.fingerprint(Told()) == new
    orders = [one for one in gone if one.table != "lines"]
    applied = live.apply(orders, Told())
    assert applied.removed == 1
    assert len(applied.conflicts) == 2
    assert live.rows()["lines"] == 2
    assert live.apply(gone, Told()).removed == 5
    assert live.rows() == {"lines": 0, "shop.rest": 0, "shop.y2026": 0}


def test_big_tables_are_not_counted(live, run, monkeypatch):
    """They are what the planner believes."""
    run(
        "CREATE TABLE t AS SELECT i FROM generate_series(1, 5000) i",
        "ANALYZE t",
        "DELETE FROM t WHERE i > 10",
    )
    assert live.tables()["t"].rows == 10
    monkeypatch.setattr(shapes, "COUNTED_BYTES", 8192)
    assert live.tables()["t"].rows == 5000


@pytest.mark.parametrize("encoding", ["WIN1251", "EUC_JP"])
def test_the_order_is_that_of_utf_8_whatever_the_server_stores(postgres, encoding):
    """Two databases that are compared need not have the same encoding."""
    live = postgres.database(make=False)
    name = live.access.name
    words = f"TEMPLATE template0 ENCODING '{encoding}' LOCALE 'C'"
    postgres.run(f"CREATE DATABASE {name} OWNER dhash {words}")
    signs = "яЯаЁёzA~" if encoding == "WIN1251" else "あア漢字亜ｱzA~"
    postgres.run(
        "CREATE TABLE t (word text PRIMARY KEY)",
        f"INSERT INTO t SELECT unnest(ARRAY{list(signs)})",
        name=name,
        user="dhash",
    )
    keys = [one.key for one in records(live, "t")]
    assert len(keys) == len(signs)
    assert keys == sorted(keys, key=order)


@contextmanager
def blocked(postgres, name, statement):
    """Somebody who does not commit."""
    with postgres.connect(name) as other:
        other.execute("BEGIN")
        other.execute(statement)
        yield
        other.execute("ROLLBACK")


def test_a_row_that_stays_locked_is_busy_and_nothing_came_back(postgres, live, run):
    run("CREATE TABLE t (id int PRIMARY KEY, n int)", "INSERT INTO t VALUES (1, 1), (2, 2)")
    aside = set_aside(live, run, "UPDATE t SET n = n + 1", "INSERT INTO t VALUES (3, 3)")
    run("DELETE FROM t", "INSERT INTO t VALUES (1, 1), (2, 2)")
    before = live.fingerprint(Told())
    quick = PostgresDatabase(live.access, SystemClock(), wait_seconds=0.2)
    with (
        blocked(postgres, live.access.name, "UPDATE t SET n = 9 WHERE id = 2"),
        pytest.raises(Busy, match="is locked"),
    ):
        quick.apply(aside, Told())
    assert live.fingerprint(Told()) == before


class Later(Told):
    """Stops once it is told that it is time."""

    def __init__(self) -> None:
        super().__init__()
        self.now = threading.Event()

    def stopped(self) -> bool:
        return self.now.is_set()


def test_a_statement_that_waits_is_cancelled_when_told_to_stop(postgres, live, run):
    """Long before its lock timeout."""
    run("CREATE TABLE t (id int PRIMARY KEY, n int)", "INSERT INTO t VALUES (1, 1)")
    aside = set_aside(live, run, "UPDATE t SET n = 2")
    run("UPDATE t SET n = 1")
    patient = PostgresDatabase(live.access, SystemClock(), wait_seconds=DEADLINE)
    control = Later()
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"

    def stop_when_it_waits() -> None:
        while postgres.run(waiting) == [(0,)]:
            pass
        control.now.set()

    with blocked(postgres, live.access.name, "UPDATE t SET n = 9"):
        thread = threading.Thread(target=stop_when_it_waits)
        thread.start()
        with pytest.raises(Interrupted):
            patient.apply(aside, control)
        thread.join(DEADLINE)
    assert run("SELECT n FROM t") == [(1,)]


def test_tables_of_others_are_told(live, run):
    run("CREATE TABLE t (id int PRIMARY KEY)")
    aside = set_aside(live, run, "INSERT INTO t VALUES (1)")
    run("DELETE FROM t")
    run("ALTER TABLE t OWNER TO postgres", "GRANT SELECT ON t TO dhash", user="postgres")
    with pytest.raises(BadInput, match="has not the rights"):
        live.apply(aside, Told())


def test_many_changes_with_a_few_that_do_not_fit(live, run):
    """Those few are found; a hundred thousand are no trouble."""
    run("CREATE TABLE t (id int PRIMARY KEY, word text NOT NULL)")
    aside = set_aside(
        live, run, "INSERT INTO t SELECT i, 'w' || i FROM generate_series(1, 100000) i"
    )
    run("DELETE FROM t", "INSERT INTO t VALUES (17, 'mine'), (4711, 'w4711'), (90000, 'too')")
    applied = live.apply(aside, Told())
    assert applied.added == 99_998
    assert sorted(applied.conflicts) == [
        "t (17): another row has this key now",
        "t (90000): another row has this key now",
    ]
