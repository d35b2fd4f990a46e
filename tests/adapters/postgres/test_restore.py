"""restore on a real PostgreSQL: what is carried over, who is cut off, what is refused."""

import threading
from dataclasses import replace

import psycopg
import pytest

from guarded_rollout.adapters.clock import SystemClock
from guarded_rollout.adapters.postgres import PostgresDatabase
from guarded_rollout.core.problems import BadInput, Broken, Busy, NotPossible
from guarded_rollout.testing.control import Told

DEADLINE = 120.0


@pytest.fixture
def live(postgres) -> PostgresDatabase:
    database = postgres.database()
    postgres.run(
        "CREATE TABLE images (id serial PRIMARY KEY, kind varchar(9) CHECK (kind IN ('a', 'b')))",
        "CREATE VIEW odd AS SELECT id FROM images WHERE kind NOT IN ('a', 'x') OR id < 9",
        "INSERT INTO images (kind) SELECT 'a' FROM generate_series(1, 1000)",
        name=database.access.name,
        user="dhash",
    )
    return database


@pytest.fixture
def dump(live, tmp_path):
    live.dump(tmp_path / "dump", Told())
    return tmp_path / "dump"


def leftovers(postgres, database):
    return {n for n in postgres.databases() if n.startswith(f"{database.access.name}_")}


def test_owner_rights_settings_and_comment_stay(postgres, live, tmp_path):
    """Those of the database, which no dump has; and those of its tables, which the dump has."""
    name = live.access.name
    team, reader = f"{name}_team", f"{name}_reader"
    try:
        postgres.run(
            f"CREATE ROLE {team} CREATEDB ROLE dhash",
            f"CREATE ROLE {reader}",
            f"ALTER DATABASE {name} OWNER TO {team}",
            f"ALTER DATABASE {name} CONNECTION LIMIT 17",
            f"REVOKE ALL ON DATABASE {name} FROM PUBLIC",
            f"GRANT CONNECT ON DATABASE {name} TO {reader} WITH GRANT OPTION",
            f"GRANT TEMP ON DATABASE {name} TO dhash",
            f"COMMENT ON DATABASE {name} IS 'it''s \"ours\"'",
            f"""ALTER DATABASE {name} SET search_path TO "$user", public, 'Odd, "name"'""",
            f"ALTER DATABASE {name} SET work_mem TO '7MB'",
            f"ALTER ROLE dhash IN DATABASE {name} SET statement_timeout TO '17min'",
        )
        postgres.run(
            f"GRANT SELECT ON images TO {reader}",
            "COMMENT ON TABLE images IS 'pictures'",
            name=name,
            user="dhash",
        )
        before = likeness(postgres, name)
        live.dump(tmp_path / "dump", Told())
        live.restore(tmp_path / "dump", Told())
        assert likeness(postgres, name) == before
        assert leftovers(postgres, live) == set()
    finally:
        postgres.run(f"DROP DATABASE {name} WITH (FORCE)", f"DROP ROLE {team}, {reader}")


def likeness(postgres, name):
    database = """
        SELECT pg_get_userbyid(datdba), datconnlimit, shobj_description(oid, 'pg_database'),
            encoding, datcollate, datctype, datallowconn,
            ARRAY(SELECT x::text FROM unnest(datacl) x ORDER BY 1),
            ARRAY(SELECT setrole || array_to_string(setconfig, ';') FROM pg_db_role_setting
                  WHERE setdatabase = oid ORDER BY 1)
        FROM pg_database WHERE datname = current_database()
    """
    table = """
        SELECT relacl::text, pg_get_userbyid(relowner), obj_description(oid)
        FROM pg_class WHERE relname = 'images'
    """
    return postgres.run(database, name=name) + postgres.run(table, name=name)


def test_a_setting_that_only_an_administrator_may_set_is_told(postgres, live, dump):
    """In the words that set it again. The restore is done all the same."""
    settings = [
        f"""ALTER DATABASE "{live.access.name}" SET "log_min_duration_statement" TO '3s'""",
        f"""ALTER DATABASE "{live.access.name}" SET "our"."own" TO 'a, b'""",
    ]
    postgres.run(*settings)
    control = Told()
    live.restore(dump, control)
    for setting in settings:
        assert any(line.endswith(setting) for line in control.said)
    assert live.rows() == {"images": 1000}


def test_the_schema_is_the_same_in_words_after_a_restore(live, dump):
    """Though the server shows `IN ('a', 'b')` otherwise once it was read back."""
    before = live.schema()
    assert any("CHECK" in word and "ARRAY" in word for word in before)
    live.restore(dump, Told())
    assert live.schema() == before


def test_whoever_is_connected_is_cut_off_and_sees_the_old_or_the_new(postgres, live, dump):
    """Clients that come back at once, without end, do not keep the restore from its turn."""
    name = live.access.name
    postgres.run("DELETE FROM images WHERE id > 7", name=name)
    stop, seen, odd, started = threading.Event(), [], [], threading.Barrier(7)

    def read() -> None:
        first = True
        while not stop.is_set():
            try:
                with postgres.connect(name) as connection:
                    while not stop.is_set():
                        row = connection.execute("SELECT count(*) FROM images").fetchone()
                        seen.append(row[0])
                        if first:
                            first = False
                            started.wait(DEADLINE)
            except psycopg.OperationalError:
                continue
            except BaseException as error:
                odd.append(error)
                raise

    threads = [threading.Thread(target=read) for _ in range(6)]
    for thread in threads:
        thread.start()
    try:
        started.wait(DEADLINE)
        live.restore(dump, Told())
        assert live.rows() == {"images": 1000}
    finally:
        stop.set()
        for thread in threads:
            thread.join(DEADLINE)
    assert odd == []
    assert set(seen) <= {7, 1000}
    assert leftovers(postgres, live) == set()


def test_who_cannot_be_cut_off_is_named_before_anybody_is(postgres, live, dump):
    """A superuser's session, and one that nobody has any more but that waits for its end."""
    name = live.access.name
    with postgres.connect(name) as mine:
        with (
            postgres.connect(name, "postgres"),
            pytest.raises(Busy, match="may not cut off: postgres"),
        ):
            live.restore(dump, Told())
        assert mine.execute("SELECT 1").fetchone() == (1,)
        mine.execute("BEGIN")
        mine.execute("INSERT INTO images (kind) VALUES ('b')")
        mine.execute("PREPARE TRANSACTION 'later'")
        with pytest.raises(Busy, match="prepared transactions: later of dhash"):
            live.restore(dump, Told())
        mine.execute("ROLLBACK PREPARED 'later'")
        assert mine.execute("SELECT 1").fetchone() == (1,)
    assert leftovers(postgres, live) == set()


class Intruder(Told):
    """Lets a superuser in when it is too late to refuse."""

    def __init__(self, postgres, name) -> None:
        super().__init__()
        self.postgres, self.name, self.sessions = postgres, name, []

    def say(self, text: str) -> None:
        super().say(text)
        if "in the place of" in text:
            self.sessions.append(self.postgres.connect(self.name, "postgres"))
            self.sessions[-1].__enter__()


def test_who_comes_too_late_to_be_refused_keeps_the_old_one(postgres, live, dump):
    """After a bounded wait; users can come back to what was there."""
    postgres.run("DELETE FROM images WHERE id > 7", name=live.access.name, user="dhash")
    intruder = Intruder(postgres, live.access.name)
    with pytest.raises(Busy, match=r"does not let go of it: .*postgres"):
        live.restore(dump, intruder)
    assert live.rows() == {"images": 7}
    intruder.sessions[0].__exit__(None, None, None)
    assert leftovers(postgres, live) == set()
    live.restore(dump, Told())
    assert live.rows() == {"images": 1000}


def test_a_replicated_database_is_not_replaced(postgres, live, dump):
    """Its subscribers would lose it in silence."""
    name = live.access.name
    slot = f"SELECT pg_create_logical_replication_slot('{name}', 'pgoutput')"
    postgres.run(slot, name=name)
    try:
        with pytest.raises(NotPossible, match=f"the replication slot {name}"):
            live.restore(dump, Told())
    finally:
        postgres.run(f"SELECT pg_drop_replication_slot('{name}')", name=name)


def test_a_database_that_is_migrated_is_not_replaced(postgres, live, dump):
    with live.alone("to 2.0"), pytest.raises(Busy, match=r"is being migrated: .* to 2\.0"):
        live.restore(dump, Told())
    assert leftovers(postgres, live) == set()


def test_a_user_who_is_not_the_owner_is_told(postgres, live, dump):
    """Nothing was cut off, nothing is left."""
    name = live.access.name
    postgres.run(f"ALTER DATABASE {name} OWNER TO postgres")
    with postgres.connect(name) as mine:
        with pytest.raises(BadInput, match=r"dhash is not the owner .* postgres is") as caught:
            live.restore(dump, Told())
        assert mine.execute("SELECT 1").fetchone() == (1,)
    assert f'ALTER DATABASE "{name}" OWNER TO "dhash"' in caught.value.why.hint
    assert leftovers(postgres, live) == set()


def test_a_user_who_may_not_create_databases_is_told(postgres, live, dump):
    """The same words for a scratch and for a restore; nothing is left."""
    postgres.run("ALTER ROLE dhash NOCREATEDB")
    try:
        for verb in (lambda: live.scratch("verify"), lambda: live.restore(dump, Told())):
            with pytest.raises(BadInput, match="dhash may not create databases") as caught:
                verb()
            assert 'ALTER ROLE "dhash" CREATEDB' in caught.value.why.hint
    finally:
        postgres.run("ALTER ROLE dhash CREATEDB")
    assert live.rows() == {"images": 1000}
    assert leftovers(postgres, live) == set()


def test_tables_of_another_owner_are_told(postgres, live, tmp_path):
    """Their owner cannot be given back by this user: nothing changes."""
    postgres.run(
        "CREATE TABLE theirs (id int)", "GRANT SELECT ON theirs TO dhash", name=live.access.name
    )
    live.dump(tmp_path / "dump", Told())
    with pytest.raises(BadInput, match="has not the rights"):
        live.restore(tmp_path / "dump", Told())
    assert live.rows() == {"images": 1000, "theirs": 0}
    assert leftovers(postgres, live) == set()


def test_older_tools_are_named(postgres, live, dump, monkeypatch, tmp_path):
    """Also when something is to be restored; nothing is left."""
    old = tmp_path / "old"
    old.mkdir()
    for name in ("pg_dump", "pg_restore"):
        real = live_tool(name)
        (old / name).write_text(
            f'#!/bin/sh\n[ "$1" = --version ] && echo "{name} (PostgreSQL) 9.6.24" && exit\n'
            f'exec {real} "$@"\n'
        )
        (old / name).chmod(0o755)
    monkeypatch.setenv("PG_BIN", str(old))
    with pytest.raises(BadInput, match=r"is PostgreSQL 16, but .* is of version 9\.6\.24"):
        live.restore(dump, Told())
    scratch = live.scratch("verify")
    try:
        with pytest.raises(BadInput, match=r"is PostgreSQL 16, but .* is of version 9\.6\.24"):
            scratch.fill(dump, Told())
    finally:
        scratch.discard()
    assert leftovers(postgres, live) == set()


def live_tool(name):
    from postgres_of_ours import binaries

    return binaries() / name


def test_a_flipped_bit_never_comes_back_in_silence(postgres, live, dump, tmp_path):
    """Anywhere in the dump: refused, or it lay where it means nothing and all comes back."""
    right = (live.fingerprint(Told()), live.schema())
    files = [dump / "toc.dat", *dump.glob("[0-9]*.dat")]
    refused = 0
    for file in files:
        whole = file.read_bytes()
        for part in range(1, 7):
            at = len(whole) * part // 7
            file.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
            try:
                live.restore(dump, Told())
            except (Broken, BadInput):
                refused += 1
            assert (live.fingerprint(Told()), live.schema()) == right
        file.write_bytes(whole)
    assert refused > 5
    assert leftovers(postgres, live) == set()


def test_databases_with_long_names_do_not_sweep_each_other(postgres):
    """Though a scratch's name has only room for the beginning."""
    same = "a" * 40
    names = [f"{same}_{which}" for which in ("one", "two")]
    postgres.made += [same]
    databases = []
    for name in names:
        postgres.run(f"CREATE DATABASE {name} OWNER dhash")
        databases.append(PostgresDatabase(postgres.access(name), SystemClock()))
    first = databases[0].scratch("verify")
    try:
        first.owner.close()  # as if its owner had died
        databases[1].scratch("verify").discard()
        assert first.access.name in postgres.databases()
        databases[0].scratch("verify").discard()
        assert first.access.name not in postgres.databases()
    finally:
        first.discard()
    assert {n for n in postgres.databases() if n.startswith("aaaa")} == set(names)


def test_a_damaged_database_makes_place_and_is_kept(postgres, live, dump):
    """A page of a table is no page any more. Sequences that can be read go on all the same."""
    postgres.run("INSERT INTO images (kind) VALUES ('b')", name=live.access.name)
    # A copy of the files: no page of it is in the server's memory yet.
    damaged = postgres.database(make=False)
    name = damaged.access.name
    postgres.run(
        f"CREATE DATABASE {name} OWNER dhash TEMPLATE {live.access.name} STRATEGY file_copy"
    )
    ((path,),) = postgres.run("SELECT pg_relation_filepath('images')", name=name)
    with (postgres.folder / "data" / path).open("r+b") as file:
        file.write(b"\xff" * 100)
    with pytest.raises(Broken, match="invalid page"):
        damaged.fingerprint(Told())
    kept = damaged.keep_as_it_is(dump / "unused", "20260131_120000", Told())
    assert kept == f"{name}_damaged_20260131_120000"
    control = Told()
    damaged.restore(dump, control, over=kept)
    assert any(kept in line for line in control.said)
    assert damaged.rows() == {"images": 1000}
    assert postgres.run("SELECT nextval('images_id_seq')", name=name) == [(1002,)]
    damaged.scratch("sweeps").discard()
    assert leftovers(postgres, damaged) == {kept}
    with pytest.raises(Broken, match="invalid page"):
        replace(damaged, access=damaged.access.named(kept)).fingerprint(Told())


def test_each_sequence_goes_on_from_whichever_is_further(postgres, live, tmp_path):
    """By its direction; where it is another one or none, or out of bounds, it is the dump's."""
    shapes = {
        "up": "",
        "down": "INCREMENT -2 MINVALUE -900 MAXVALUE -1",
        "ring": "MAXVALUE 9 CYCLE",
        "fresh": "",
        "small": "MAXVALUE 50",
        "hidden": "",
        "lower": "",
        "spent": "MAXVALUE 3",
        "gone": "",
    }
    name = live.access.name
    postgres.run(
        *(f"CREATE SEQUENCE {one} {how}" for one, how in shapes.items()),
        "SELECT setval('ring', 8), setval('lower', 70), setval('up', 5, false)",
        name=name,
        user="dhash",
    )
    live.dump(tmp_path / "dump", Told())
    postgres.run(
        "SELECT setval('up', 5), setval('down', -41), setval('ring', 2), setval('lower', 60), "
        "setval('fresh', 1, false), setval('spent', 3), setval('hidden', 30)",
        "ALTER SEQUENCE small MAXVALUE 5000",
        "SELECT setval('small', 400)",
        "CREATE SEQUENCE later",
        "DROP SEQUENCE gone",
        name=name,
        user="dhash",
    )
    postgres.run("ALTER SEQUENCE hidden OWNER TO postgres", name=name)
    control = Told()
    live.restore(tmp_path / "dump", control)
    names = sorted(set(shapes) - {"spent"})
    query = "SELECT " + ", ".join(f"nextval('{one}')" for one in names)
    (row,) = postgres.run(query, name=name)
    assert dict(zip(names, row, strict=True)) == {
        "up": 6, "down": -43, "ring": 3, "fresh": 1, "small": 1, "hidden": 1, "lower": 71,
        "gone": 1,
    }  # fmt: skip
    with pytest.raises(psycopg.errors.SequenceGeneratorLimitExceeded):
        postgres.run("SELECT nextval('spent')", name=name)
    said = [line for line in control.said if "goes on from the backup's value" in line]
    assert sorted(line.split()[1] for line in said) == ["public.hidden", "public.small"]
