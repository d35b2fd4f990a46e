import re
import subprocess
import sys
from importlib import resources
from pathlib import Path

import pytest
from sqlalchemy import inspect, text
from sqlalchemy.exc import SQLAlchemyError

from dhash import schema
from dhash.database import connect, immediate
from dhash.errors import ConfigError
from dhash.gallery import record
from dhash.picture import Picture
from dhash.schema import NEEDED, alembic_config, check_schema, heads, migrate
from dhash.tables import bands, images, reviews

PICTURE = Picture("ab" * 32, "0" * 16, 60, "exact", "png", 9, 8, None, 0.01)


@pytest.fixture
def database(empty_url, with_driver):
    return with_driver(empty_url)


def shape(url):
    """Every table, column and index, as the database tells it."""
    engine = connect(url, pooled=False, may_create=True)
    look = inspect(engine)
    found = {
        table: (
            sorted((column["name"], str(column["type"])) for column in look.get_columns(table)),
            sorted(index["name"] for index in look.get_indexes(table)),
        )
        for table in look.get_table_names()
    }
    engine.dispose()
    return found


def test_revisions_are_numbers_in_order():
    scripts = resources.files("dhash") / "migrations" / "versions"
    names = sorted(file.name for file in scripts.iterdir() if file.name.endswith(".py"))
    assert all(re.fullmatch(r"[0-9]{4}_[a-z_]+\.py", name) for name in names)
    assert heads() == [names[-1][:4]]
    assert heads()[0] >= NEEDED


def test_up_and_down_leave_no_trace(database):
    assert migrate(database, "0001") == ("", "0001")
    at_first = shape(database)
    assert migrate(database) == ("0001", heads()[0])
    assert migrate(database) == (heads()[0], heads()[0])
    assert migrate(database, "0001") == (heads()[0], "0001")
    assert shape(database) == at_first
    migrate(database, "base")
    assert set(shape(database)) == {"alembic_version"}


def test_the_code_knows_the_columns_that_migrations_make(database):
    migrate(database)
    found = shape(database)
    for table in (images, bands, reviews):
        assert {column.name for column in table.columns} <= {
            name for name, _ in found[table.name][0]
        }


def test_rows_survive_the_way_down(database):
    migrate(database)
    engine = connect(database, pooled=False)
    record(engine, "a", [PICTURE])
    migrate(database, "0001")
    with engine.connect() as connection:
        rows = connection.execute(text("SELECT content_sha256, hash FROM images")).all()
    assert [tuple(row) for row in rows] == [("ab" * 32, "0" * 16)]


@pytest.mark.parametrize("target", ["up", "down"])
def test_a_migration_that_fails_halfway_changes_nothing(database, target, monkeypatch, tmp_path):
    migrate(database, "0001" if target == "up" else "head")
    before = shape(database)
    folder = tmp_path / "versions"
    folder.mkdir()
    for file in (resources.files("dhash") / "migrations" / "versions").iterdir():
        if file.name.endswith(".py"):
            (folder / file.name).write_text(file.read_text())
    broken = folder / "0002_seen.py"
    source = broken.read_text()
    # The failure comes after the first statements of the migration have been carried out.
    place = (
        "    op.create_index(" if target == "up" else '    op.drop_column("images", "seen_count")'
    )
    assert place in source
    broken.write_text(source.replace(place, f"    op.execute('SELECT no_such_thing')\n{place}"))

    def config(url=""):
        changed = alembic_config(url)
        changed.set_main_option("version_locations", str(folder))
        return changed

    monkeypatch.setattr(schema, "alembic_config", config)
    with pytest.raises(SQLAlchemyError):
        migrate(database, "head" if target == "up" else "0001")
    assert shape(database) == before
    monkeypatch.undo()
    migrate(database, "head" if target == "up" else "0001")


def test_too_old_a_schema_is_refused(database):
    engine = connect(database, pooled=False, may_create=True)
    with pytest.raises(ConfigError, match=r"schema is empty.*dhash migrate"):
        check_schema(engine)
    migrate(database, "0001")
    with pytest.raises(ConfigError, match="schema is 0001"):
        check_schema(engine)


def test_an_old_release_runs_on_a_newer_schema(database):
    migrate(database)
    engine = connect(database, pooled=False)
    with immediate(engine).begin() as connection:
        connection.execute(text("ALTER TABLE images ADD COLUMN later TEXT DEFAULT 'x' NOT NULL"))
        connection.execute(text("UPDATE alembic_version SET version_num = '0099'"))
    assert check_schema(engine) == "0099"
    assert record(engine, "a", [PICTURE])[0].seen_count == 1


def test_sql_is_printed_and_nothing_changed(empty_url):
    done = subprocess.run(
        [sys.executable, "-m", "dhash", "migrate", "--sql"],
        env={"DHASH_DATABASE_URL": empty_url},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "CREATE TABLE images" in done.stdout
    if empty_url.startswith("sqlite"):
        assert not Path(empty_url.removeprefix("sqlite:///")).exists()


def test_alembic_itself_works_too(empty_url):
    ini = str(resources.files("dhash") / "alembic.ini")
    for command in (["upgrade", "head"], ["downgrade", "0001"]):
        subprocess.run(
            [sys.executable, "-m", "alembic", "-c", ini, *command],
            env={"DHASH_DATABASE_URL": empty_url},
            check=True,
            capture_output=True,
        )
