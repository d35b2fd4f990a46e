"""What is written down of a migration: statements, times, locks; and waits that come to an end."""

import threading

import pytest
from database_kinds import PostgresKind, SqliteKind
from toy_migrations import CREATED, DEADLINE, MIGRATIONS, SEEN, Step, Toy

from guarded_rollout.adapters.clock import SystemClock
from guarded_rollout.adapters.migration_lint import MigrationLint
from guarded_rollout.core.migration_findings import Dialect, Rule, TableSeen
from guarded_rollout.core.problems import Broken, Busy, Interrupted
from guarded_rollout.core.schema_safety import breaks_old_release, refused
from guarded_rollout.core.spec import Migrations
from guarded_rollout.testing.control import Told

HASTY = Migrations(MIGRATIONS.alembic_ini, lock_timeout_seconds=0.3, timeout_seconds=DEADLINE)
BATCH = """
with op.batch_alter_table("images") as batch:
    batch.drop_column("note")
    batch.add_column(sa.Column("seen", sa.Integer, nullable=False, server_default="1"))
"""
HARMLESS_BATCH = """
with op.batch_alter_table("images") as batch:
    batch.create_check_constraint("positive", "id > 0")
    batch.add_column(sa.Column("more", sa.Text, nullable=False, server_default="x"))
"""
DATA = """
images = sa.table("images", sa.column("id", sa.Integer), sa.column("note", sa.Text))
c = op.get_bind()
op.bulk_insert(images, [{"id": n, "note": f"hunter{n}"} for n in range(1, 6)])
for (n,) in c.execute(sa.select(images.c.id).where(images.c.id < 4)).fetchall():
    c.execute(images.update().where(images.c.id == n).values(note="hunter2"))
op.execute("UPDATE images SET note = 'a%' WHERE note LIKE 'b%'; -- and a last remark")
op.execute("CREATE INDEX notes ON images (note) -- no semicolon")
"""
INDEXED = """
with op.get_context().autocommit_block():
    op.create_index("notes", "images", ["note"], postgresql_concurrently=True)
"""
COMMENTED = "op.execute(\"COMMENT ON TABLE images IS 'x'\")"
NOTED = Step('op.add_column("images", sa.Column("note", sa.Text))')


@pytest.fixture
def lite(tmp_path) -> Toy:
    return Toy(tmp_path / "toy", SqliteKind(tmp_path / "kind"))


@pytest.fixture
def pg(tmp_path, postgres) -> Toy:
    return Toy(tmp_path / "toy", PostgresKind(postgres))


@pytest.fixture(params=["lite", "pg"])
def toy(request) -> Toy:
    return request.getfixturevalue(request.param)


def lint(toy, ran, tables):
    dialect = Dialect.SQLITE if toy.database.url().startswith("sqlite") else Dialect.POSTGRESQL
    return MigrationLint(dialect).lint(";\n".join(one.sql for one in ran), tables)


def test_the_locks_that_others_wait_for_are_told_with_their_tables(pg):
    """Each once, where it was taken; none on tables that the migration makes itself."""
    pg.up(pg.release(CREATED, NOTED))
    pg.kind.run(pg.database, "CREATE SCHEMA other; CREATE TABLE other.things (id int)")
    ran = pg.up(
        pg.release(
            CREATED,
            NOTED,
            'op.create_index("notes", "images", ["note"])\n'
            'op.execute("INSERT INTO images (id) VALUES (7)")\n'
            'op.add_column("images", sa.Column("x", sa.Integer))\n'
            'op.add_column("images", sa.Column("y", sa.Integer))\n'
            'op.create_table("fresh", sa.Column("id", sa.Integer, sa.ForeignKey("images.id")))\n'
            'op.execute("DROP TABLE other.things")',
        )
    )
    assert [(one.sql.split("(")[0].strip(), one.locks) for one in ran] == [
        ("BEGIN", ()),
        ("CREATE INDEX notes ON images", ("ShareLock on images",)),
        ("INSERT INTO images", ()),
        ("ALTER TABLE images ADD COLUMN x INTEGER", ("AccessExclusiveLock on images",)),
        ("ALTER TABLE images ADD COLUMN y INTEGER", ()),
        ("CREATE TABLE fresh", ("ShareRowExclusiveLock on images",)),
        ("DROP TABLE other.things", ("AccessExclusiveLock on other.things",)),
        ("COMMIT", ()),
    ]


def test_a_lock_that_does_not_come_free_ends_the_migration(pg):
    """Who holds it, which statement waited, how long, and what to do; later it goes on."""
    pg.up(pg.release(CREATED))
    built = pg.release(
        CREATED, Step(f'op.create_table("more", sa.Column("id", sa.Integer))\n{SEEN.up}')
    )
    before = pg.database.schema()
    with pg.kind.connect(pg.database) as other:
        other.execute("SET application_name = 'report of ada'")
        other.execute("BEGIN")
        other.execute("SELECT * FROM images")
        with pytest.raises(Busy) as caught:
            pg.up(built, migrations=HASTY)
        what = caught.value.why.what
        (pid,) = other.execute("SELECT pg_backend_pid()").fetchone()
        assert "a lock did not come free within 0.3 s for ALTER TABLE images ADD COLUMN" in what
        assert f"AccessShareLock on images: process {pid} (report of ada, user dhash" in what
        assert "the schema is what it was: revision 0001" in what
        assert "pg_terminate_backend" in caught.value.why.hint
        assert pg.database.schema() == before
        other.execute("COMMIT")
    pg.up(built, migrations=HASTY)
    assert pg.database.revision() == "0002"


def test_a_rollback_does_not_undo_the_lock_timeout(pg):
    """It was committed before anything else: the next transaction has it too."""
    pg.up(pg.release(CREATED))
    code = """
c = op.get_bind()
c.execute(sa.text("SELECT 1"))
c.connection.rollback()
shown = c.exec_driver_sql("SHOW lock_timeout").scalar()
op.execute(f"COMMENT ON TABLE images IS '{shown}'")
"""
    pg.up(pg.release(CREATED, code), migrations=HASTY)
    assert pg.kind.read(pg.database, "SELECT obj_description('images'::regclass)") == [("300ms",)]


def test_an_index_outside_of_the_transaction_is_told_as_such(pg):
    """Between COMMIT and BEGIN, so the lint lets it pass; inside it would not."""
    big = {"images": TableSeen(10**7, None, {"id": "integer", "note": "text"})}
    pg.up(pg.release(CREATED, NOTED))
    ran = pg.up(pg.release(CREATED, NOTED, SEEN, INDEXED, COMMENTED))
    assert [one.sql.split(" (")[0] for one in ran] == [
        "BEGIN",
        "ALTER TABLE images ADD COLUMN seen INTEGER DEFAULT '1' NOT NULL",
        "COMMIT",
        "CREATE INDEX CONCURRENTLY notes ON images",
        "BEGIN",
        "COMMENT ON TABLE images IS 'x'",
        "COMMIT",
    ]
    assert refused(lint(pg, ran, big)) == ()
    inside = (ran[0], ran[3], ran[2])
    assert Rule.CANNOT_RUN in {one.rule for one in refused(lint(pg, inside, big))}


def test_a_table_that_sqlite_builds_anew_is_judged_by_its_columns(lite):
    """Offline Alembic cannot print this at all; as it ran, it is told what it does."""
    lite.up(lite.release(CREATED, NOTED))
    tables = lite.database.tables()
    built = lite.release(CREATED, NOTED, BATCH)
    with pytest.raises(Broken):
        lite.migrator.preview(built, MIGRATIONS)
    ran = lite.up(built)
    assert [one.sql.split("(")[0].split()[0] for one in ran] == [
        "CREATE",
        "INSERT",
        "DROP",
        "ALTER",
    ]
    found = lint(lite, ran, tables)
    assert [(one.rule, one.why) for one in breaks_old_release(found)] == [
        (Rule.DROP_COLUMN, "images is built anew without note")
    ]
    harmless = lite.release(CREATED, NOTED, BATCH, HARMLESS_BATCH)
    now = lite.database.tables()
    assert refused(lint(lite, lite.up(harmless), now)) == ()


def test_a_migration_of_data_is_told_without_the_data(toy):
    """Row after row is one statement with the time of all; the lint reads what is left."""
    toy.up(toy.release(CREATED, NOTED))
    tables = toy.database.tables()
    ran = toy.up(toy.release(CREATED, NOTED, DATA))
    words = [one.sql.split("(")[0].split()[0] for one in ran if one.sql not in {"BEGIN", "COMMIT"}]
    assert words == ["INSERT", "SELECT", "UPDATE", "UPDATE", "CREATE"]
    assert not any("hunter" in one.sql for one in ran)
    assert any(one.sql.endswith("-- no semicolon\n") for one in ran)
    assert any("LIKE 'b%'; -- and a last remark\n" in one.sql for one in ran)
    assert any(one.sql.endswith("/* 3 times */") for one in ran)
    found = lint(toy, ran, tables)
    assert refused(found) == ()
    assert {one.rule for one in found if not one.rule.startswith("squawk:")} == {Rule.LONG_LOCK}
    big = {"images": TableSeen(10**7, None, {"id": "integer", "note": "text"})}
    held = [one.statement.split()[0] for one in refused(lint(toy, ran, big))]
    assert held == ["UPDATE", "UPDATE", "CREATE"]


def sleeping(pg) -> int:
    """How many sessions of this database sleep in a statement."""
    asleep = "query LIKE 'SELECT pg_sleep%' AND datname = current_database()"
    return pg.kind.read(pg.database, f"SELECT count(*) FROM pg_stat_activity WHERE {asleep}")[0][0]


def wait_until(done) -> None:
    clock = SystemClock()
    until = clock.monotonic() + DEADLINE
    while not done():
        assert clock.monotonic() < until
        clock.sleep(0.05)


SLEEPS = f"op.execute('SELECT pg_sleep({int(DEADLINE) * 4})')"


def test_told_to_stop_the_server_stops_too(pg):
    """In the middle of a statement: when Interrupted is raised, nothing is left of it."""
    control = Told()
    control.stopped = lambda: sleeping(pg) > 0
    with pytest.raises(Interrupted) as caught:
        pg.up(pg.release(CREATED, SLEEPS), control)
    assert "while it ran: SELECT pg_sleep" in caught.value.why.what
    assert "the schema is what it was: revision None" in caught.value.why.what
    assert sleeping(pg) == 0


def test_a_killed_runner_leaves_no_statement_on_the_server(pg):
    """The server looks whether its client lives; long before the statement's own end."""
    process = pg.runner(pg.release(CREATED, SLEEPS))
    try:
        wait_until(lambda: sleeping(pg))
    finally:
        process.kill()
        process.wait()
    wait_until(lambda: not sleeping(pg))
    assert (pg.database.revision(), pg.database.rows()) == (None, {})
    pg.up(pg.release(CREATED))


def test_two_runners_on_two_machines_are_one_too_many(pg):
    """Lock files do not meet there; the database's own lock does."""
    waits = pg.waits()
    elsewhere = Toy(pg.folder / "elsewhere", pg.kind)
    elsewhere.migrator = elsewhere.migrator.on(pg.database)
    built = pg.release(CREATED, waits.code)
    thread = threading.Thread(target=pg.up, args=[built])
    thread.start()
    try:
        waits.arrived()
        with pytest.raises(Busy, match="is being migrated: rollout"):
            elsewhere.up(built)
    finally:
        waits.go.touch()
        thread.join(DEADLINE)
    assert pg.database.revision() == "0002"
