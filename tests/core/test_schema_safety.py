"""Which migrations the old release can live with, and which ones stop its users."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guarded_rollout.core.migration_findings import (
    RECIPES,
    Dialect,
    Finding,
    Rule,
    Severity,
    TableSeen,
)
from guarded_rollout.core.schema_safety import breaks_old_release, judge, refused
from guarded_rollout.core.sql import statements

PG, LITE = Dialect.POSTGRESQL, Dialect.SQLITE
COLUMNS = {"id": "integer", "hash": "character varying(16)", "price": "numeric(8, 2)"}
SMALL = {"images": TableSeen(100, 8192, COLUMNS), "bands": TableSeen(5)}
BIG = {"images": TableSeen(10**7, 2**30, COLUMNS), "bands": TableSeen(5)}

# SQL -> rules that refuse it on a big table, whoever runs it
GOOD = [
    "CREATE TABLE new (id INTEGER PRIMARY KEY); CREATE INDEX i ON new (id); DROP TABLE new",
    "CREATE TABLE new (id int); ALTER TABLE new ADD COLUMN x int NOT NULL; UPDATE new SET x = 1",
    "ALTER TABLE images ADD COLUMN note TEXT",
    "ALTER TABLE images ADD COLUMN seen INTEGER DEFAULT '1' NOT NULL",
    "ALTER TABLE public.images ADD COLUMN IF NOT EXISTS made TIMESTAMPTZ DEFAULT now() NOT NULL",
    "ALTER TABLE images ADD note varchar(20) DEFAULT 'x; DROP TABLE images' -- DROP TABLE images",
    "/* DROP TABLE images; */ INSERT INTO images VALUES (1)",
    "CREATE INDEX CONCURRENTLY i ON images (hash)",
    (
        "BEGIN; ALTER TABLE images ADD COLUMN x int; COMMIT; "
        "CREATE INDEX CONCURRENTLY i ON images (hash); BEGIN; COMMIT"
    ),
    "DROP INDEX i",
    "SET LOCAL lock_timeout = '2s'; SELECT setval('s', 1)",
    "PRAGMA foreign_keys = OFF",
    "PRAGMA main.foreign_key_check; PRAGMA legacy_alter_table=ON",
    "SET LOCAL work_mem = '64MB'; RESET work_mem",
    "SELECT id, lower(hash) FROM images WHERE length(hash) > $1 AND (id) IN ($2, $3) LIMIT (10)",
    "WITH some AS (SELECT id, max(hash) AS h FROM images GROUP BY (id)) SELECT * FROM some",
    "ALTER TABLE images SET (fillfactor = 70)",
    "ALTER TABLE images ADD COLUMN band int REFERENCES bands",
    "ALTER TABLE images ALTER COLUMN hash TYPE varchar(32)",
    "ALTER TABLE images ALTER hash SET DATA TYPE text",
    "ALTER TABLE images ALTER COLUMN price TYPE numeric(10,2)",
    "ALTER TABLE images ADD CONSTRAINT c CHECK (id > 0) NOT VALID",
    "ALTER TABLE images VALIDATE CONSTRAINT c",
    "ALTER TABLE images ADD CONSTRAINT u UNIQUE USING INDEX i",
    "ALTER TABLE images DROP CONSTRAINT c",
    "ALTER TABLE images ALTER COLUMN hash DROP NOT NULL",
    "ALTER TABLE images ALTER COLUMN hash SET DEFAULT 'x'",
    "CREATE FUNCTION f() RETURNS int AS $$ BEGIN DROP TABLE images; END $$ LANGUAGE plpgsql",
    "UPDATE alembic_version SET version_num='2' WHERE alembic_version.version_num = '1'",
    (
        "CREATE TRIGGER t AFTER INSERT ON images BEGIN DELETE FROM bands; "
        "SELECT CASE 1 WHEN 1 THEN 2 END; END; ALTER TABLE images ADD COLUMN x int"
    ),
]
BAD = [
    ("DROP TABLE images", {Rule.DROP_TABLE}),
    ('DROP TABLE IF EXISTS "images" CASCADE', {Rule.DROP_TABLE}),
    ("DROP TABLE bands, images", {Rule.DROP_TABLE}),
    ("CREATE TABLE IF NOT EXISTS images (id int); DROP TABLE images", {Rule.DROP_TABLE}),
    ("DROP VIEW v", {Rule.DROP_TABLE}),
    ("ALTER TABLE bands DROP COLUMN x", {Rule.DROP_COLUMN}),
    ("ALTER TABLE bands ADD COLUMN y int, DROP x", {Rule.DROP_COLUMN}),
    ("ALTER TABLE images RENAME TO pictures", {Rule.RENAME}),
    ("ALTER TABLE images RENAME COLUMN hash TO h", {Rule.RENAME}),
    ("ALTER TABLE images RENAME hash TO h", {Rule.RENAME}),
    ("ALTER TYPE mood RENAME TO feeling", {Rule.RENAME}),
    ("ALTER TABLE images ADD COLUMN x int NOT NULL", {Rule.REQUIRED_COLUMN}),
    ("ALTER TABLE images ADD COLUMN x int DEFAULT NULL NOT NULL", {Rule.REQUIRED_COLUMN}),
    ("ALTER TABLE images ADD COLUMN x uuid DEFAULT gen_random_uuid() NOT NULL", {Rule.LONG_LOCK}),
    ("ALTER TABLE images ADD COLUMN x bigserial", {Rule.LONG_LOCK}),
    ("ALTER TABLE images ALTER COLUMN hash TYPE varchar(8)", {Rule.NARROWER_TYPE, Rule.LONG_LOCK}),
    ("ALTER TABLE images ALTER COLUMN id TYPE text USING id::text",
     {Rule.NARROWER_TYPE, Rule.LONG_LOCK}),
    ("ALTER TABLE images ALTER COLUMN other TYPE text", {Rule.NARROWER_TYPE, Rule.LONG_LOCK}),
    ("ALTER TABLE images ALTER COLUMN id TYPE bigint", {Rule.LONG_LOCK}),
    ("ALTER TABLE images ALTER COLUMN hash SET NOT NULL", {Rule.STRICTER, Rule.LONG_LOCK}),
    ("ALTER TABLE images ALTER COLUMN hash DROP DEFAULT", {Rule.STRICTER}),
    ("ALTER TABLE images ADD CONSTRAINT c CHECK (id > 0)", {Rule.LONG_LOCK}),
    ("ALTER TABLE images ADD FOREIGN KEY (id) REFERENCES bands (id)", {Rule.LONG_LOCK}),
    ("ALTER TABLE images ADD CONSTRAINT u UNIQUE (hash)", {Rule.LONG_LOCK}),
    ("CREATE INDEX i ON images (hash)", {Rule.LONG_LOCK}),
    ("CREATE UNIQUE INDEX IF NOT EXISTS i ON ONLY public.images USING btree (hash)",
     {Rule.LONG_LOCK}),
    ("CREATE INDEX i ON somewhere (x)", {Rule.LONG_LOCK}),
    ("BEGIN; CREATE INDEX CONCURRENTLY i ON images (hash); COMMIT", {Rule.CANNOT_RUN}),
    ("VACUUM FULL images", {Rule.LONG_LOCK}),
    ("LOCK TABLE images", {Rule.LONG_LOCK}),
    ("UPDATE images SET hash = ''", {Rule.LONG_LOCK}),
    ("DELETE FROM images", {Rule.DELETES_DATA, Rule.LONG_LOCK}),
    ("TRUNCATE images", {Rule.DELETES_DATA}),
    ("DO $$ BEGIN EXECUTE 'DROP TABLE images'; END $$", {Rule.CANNOT_BE_JUDGED}),
    ("WITH gone AS (DELETE FROM images RETURNING 1) SELECT 1", {Rule.CANNOT_BE_JUDGED}),
    ("CALL tidy()", {Rule.CANNOT_BE_JUDGED}),
    ("ALTER DATABASE x OWNER TO y", {Rule.CANNOT_BE_JUDGED}),
    ("FROBNICATE images", {Rule.CANNOT_BE_JUDGED}),
    ("WITH x AS (SELECT drop_everything()) SELECT * FROM x", {Rule.CANNOT_BE_JUDGED}),
    ("SELECT drop_everything()", {Rule.CANNOT_BE_JUDGED}),
    ("PRAGMA writable_schema = ON", {Rule.CANNOT_BE_JUDGED}),
    ("SET search_path = other", {Rule.CANNOT_BE_JUDGED}),
    ("REVOKE ALL ON images FROM app", {Rule.CANNOT_BE_JUDGED}),
    ("ALTER TABLE images SET SCHEMA old", {Rule.RENAME}),
    ("ALTER TABLE images ENABLE ROW LEVEL SECURITY", {Rule.CANNOT_BE_JUDGED}),
    ("ALTER TABLE images DETACH PARTITION p", {Rule.CANNOT_BE_JUDGED}),
    ("ALTER TABLE images ALTER id ADD GENERATED ALWAYS AS IDENTITY", {Rule.CANNOT_BE_JUDGED}),
    ("ALTER TABLE images ADD COLUMN x int CHECK (x > 0)", {Rule.LONG_LOCK}),
    ("ALTER TABLE images SET TABLESPACE fast", {Rule.LONG_LOCK}),
]  # fmt: skip
REBUILD = (
    "CREATE TABLE _alembic_tmp_images (id INTEGER NOT NULL, hash VARCHAR(16), {more} "
    "PRIMARY KEY (id)); INSERT INTO _alembic_tmp_images SELECT id, hash FROM images; "
    "DROP TABLE images; ALTER TABLE _alembic_tmp_images RENAME TO images"
)


def rules(found) -> set[str]:
    return {finding.rule for finding in found}


@pytest.mark.parametrize("sql", GOOD)
def test_a_good_migration_passes_on_a_big_table(sql):
    """Expand only, and no lock for long."""
    assert refused(judge(sql, PG, BIG)) == ()


@pytest.mark.parametrize(("sql", "expected"), BAD)
def test_a_bad_migration_is_refused_with_why_and_a_recipe(sql, expected):
    """By exactly these rules."""
    found = refused(judge(sql, PG, BIG))
    assert rules(found) == expected
    assert all(finding.why and finding.recipe and finding.statement in sql for finding in found)


@pytest.mark.parametrize(("sql", "expected"), BAD)
def test_forward_only_excuses_what_breaks_the_old_release_and_no_lock(sql, expected):
    """Whoever gave up the way back still has users."""
    found = judge(sql, PG, BIG)
    never_excused = {Rule.LONG_LOCK, Rule.CANNOT_RUN}
    assert rules(refused(found, forward_only=True)) == expected & never_excused
    assert rules(breaks_old_release(found)) == expected - never_excused


@pytest.mark.parametrize(("sql", "expected"), BAD)
def test_a_small_table_may_be_locked_with_a_warning(sql, expected):
    """A moment is a moment."""
    found = judge(sql, PG, SMALL)
    left = {Rule.LONG_LOCK} if "somewhere" in sql else expected - {Rule.LONG_LOCK}
    assert rules(refused(found)) == left
    assert expected <= rules(found)


def test_a_finding_says_how_big_the_table_is():
    """The numbers that decided."""
    (finding,) = judge("CREATE INDEX i ON images (hash)", PG, BIG)
    assert "images has 10000000 rows and 1024 MB" in finding.why
    assert "CONCURRENTLY" in finding.recipe
    (finding,) = judge("CREATE INDEX i ON nowhere (hash)", PG, BIG)
    assert "the size of nowhere is not known" in finding.why


def test_sqlite_rebuilds_are_seen_as_what_they_change():
    """Alembic's batch mode: create, copy, drop, rename."""
    whole = REBUILD.format(more="price NUMERIC(8, 2) NOT NULL,")
    assert refused(judge(whole, LITE, SMALL)) == ()
    assert rules(judge(whole, LITE, SMALL)) == {Rule.STRICTER, Rule.LONG_LOCK}
    assert rules(refused(judge(whole, LITE, BIG))) == {Rule.LONG_LOCK}
    (lost,) = refused(judge(REBUILD.format(more=""), LITE, SMALL))
    assert (lost.rule, "without price" in lost.why) == (Rule.DROP_COLUMN, True)
    unknown = {"images": TableSeen(3)}
    assert rules(refused(judge(whole, LITE, unknown))) == {Rule.CANNOT_BE_JUDGED}


REBUILT = "id INTEGER NOT NULL, hash VARCHAR(16), price NUMERIC(8, 2)"


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        (REBUILT, set()),
        (REBUILT.replace("VARCHAR(16)", "TEXT COLLATE NOCASE NOT NULL"), set()),
        (REBUILT + ", note TEXT, made TEXT DEFAULT 'x' NOT NULL", set()),
        (REBUILT + ", n INTEGER GENERATED ALWAYS AS (id) NOT NULL", set()),
        (REBUILT + ", note TEXT NOT NULL", {Rule.REQUIRED_COLUMN}),
        (REBUILT + ", note TEXT DEFAULT NULL NOT NULL", {Rule.REQUIRED_COLUMN}),
        (REBUILT.replace("VARCHAR(16)", "INTEGER"), {Rule.NARROWER_TYPE}),
        (REBUILT.replace("hash", "digest"), {Rule.DROP_COLUMN}),
        (
            REBUILT.replace("hash VARCHAR(16)", "digest TEXT NOT NULL"),
            {Rule.DROP_COLUMN, Rule.REQUIRED_COLUMN},
        ),
    ],
)
def test_a_rebuilt_table_is_compared_column_by_column(columns, expected):
    """What goes, what is demanded, and what SQLite would convert."""
    sql = (
        f'CREATE TABLE "_alembic_tmp_images" (\n\t{columns}, PRIMARY KEY (id), CHECK (id > 0))\n;'
        "INSERT INTO _alembic_tmp_images (id) SELECT images.id FROM images;"
        'DROP TABLE images;ALTER TABLE "_alembic_tmp_images" RENAME TO images'
    )
    found = judge(sql, LITE, SMALL)
    assert rules(breaks_old_release(found)) == expected
    assert {f.severity for f in found if f.rule == Rule.LONG_LOCK} == {Severity.WARNING}


def test_two_tables_rebuilt_at_once_are_not_mixed_up():
    """Both are dropped before either comes back; a third one is really dropped."""
    tables = {name: TableSeen(1, None, {"id": "INTEGER"}) for name in ("a", "b", "c")}
    sql = (
        "CREATE TABLE na (id INTEGER); CREATE TABLE nb (id INTEGER); DROP TABLE a; DROP TABLE b; "
        "DROP TABLE c; ALTER TABLE nb RENAME TO b; ALTER TABLE na RENAME TO a"
    )
    (left,) = breaks_old_release(judge(sql, LITE, tables))
    assert left.why == "the old release still uses c"


def test_findings_are_plain_json():
    """For the journal; and what comes back from it is judged the same."""
    found = judge("; ".join(sql for sql, _ in BAD), PG, BIG)
    plain = msgspec.json.decode(msgspec.json.encode(msgspec.to_builtins(found)))
    back = msgspec.convert(plain, tuple[Finding, ...])
    assert back == found
    assert breaks_old_release(back) == breaks_old_release(found) != ()
    assert refused(back, forward_only=True) == refused(found, forward_only=True) != ()


def test_sqlite_names_have_no_case_and_its_own_ways():
    """A dropped column rewrites the table; an index holds up every writer."""
    assert rules(refused(judge("DROP TABLE Main.IMAGES", LITE, BIG))) == {Rule.DROP_TABLE}
    found = refused(judge("ALTER TABLE Images DROP COLUMN hash", LITE, BIG))
    assert rules(found) == {Rule.DROP_COLUMN, Rule.LONG_LOCK}
    (index,) = refused(judge("CREATE INDEX i ON [images] (hash)", LITE, BIG))
    assert "in SQLite a writer waits" in index.recipe


def test_every_rule_has_its_recipe():
    """And no other."""
    assert set(RECIPES) == set(Rule)


WORD_LIST = """alter table images rename to drop column add create index on unique not null default
    ( ) , ; ' " $$ -- /* */ type text using begin end case commit concurrently constraint check if
    exists update delete from set hash _x 1 . trigger function insert"""
WORDS = st.sampled_from(WORD_LIST.split())
SOUP = st.lists(WORDS, max_size=25).map(" ".join) | st.text(max_size=60)


@settings(deadline=None)
@given(SOUP, st.sampled_from(Dialect))
def test_nothing_makes_the_lint_fail(sql, dialect):
    """And it always says the same."""
    assert judge(sql, dialect, BIG) == judge(sql, dialect, BIG)


@settings(deadline=None)
@given(SOUP, st.sampled_from(Dialect))
def test_small_tables_and_forward_only_never_refuse_more(sql, dialect):
    """The rules are the same, only their weight changes."""
    strict, easier = judge(sql, dialect, BIG), judge(sql, dialect, SMALL)
    assert [f.rule for f in easier] == [f.rule for f in strict]
    pairs = zip(easier, strict, strict=True)
    assert all(e.severity is Severity.WARNING or e.severity is s.severity for e, s in pairs)
    kept = refused(strict, forward_only=True)
    assert sorted((*kept, *breaks_old_release(strict)), key=strict.index) == list(refused(strict))


@settings(deadline=None)
@given(st.sampled_from(BAD), st.sampled_from(GOOD), st.booleans())
def test_neither_company_nor_case_nor_comments_hide_a_bad_statement(bad, good, upper):
    """A migration is as bad as its worst statement."""
    sql, expected = bad
    if upper and "$$" not in sql and '"' not in sql:
        sql = sql.upper()
    together = f"{good}\n;\n-- and then; 'one' more\n{sql}\n;"
    found = {f.rule for f in refused(judge(together, PG, BIG))}
    assert expected <= found


@settings(deadline=None)
@given(st.lists(st.sampled_from([sql for sql, _ in BAD] + GOOD), max_size=5))
def test_statements_are_split_where_they_end(parts):
    """Joined and split again they are the same."""
    apart = [statement.tokens for part in parts for statement in statements(part)]
    assert [statement.tokens for statement in statements("\n;".join(parts))] == apart
