"""What every adapter of ports.Database keeps. A new adapter adds itself to `KINDS`."""

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from guarded_rollout.adapters.clock import SystemClock
from guarded_rollout.adapters.sqlite import SqliteDatabase
from guarded_rollout.core.problems import BadInput, Broken, Interrupted
from guarded_rollout.ports import Database

TABLES = {"images": 300, 'odd "name"': 2, "select": 1, "empty": 0}


@dataclass
class Told:
    """A control that stops after `after` questions and remembers what was said."""

    after: int = 10**9
    said: list[str] = field(default_factory=list)
    asked: int = 0

    def stopped(self) -> bool:
        self.asked += 1
        return self.asked > self.after

    def say(self, text: str) -> None:
        self.said.append(text)


@dataclass(frozen=True)
class Kind:
    """One adapter: `database` makes it, `run` changes its data behind its back."""

    database: Callable[[Path], Database]
    run: Callable[[Database, list[str]], None]


def _run_sqlite(database: Database, statements: list[str]) -> None:
    connection = sqlite3.connect(database.url().removeprefix("sqlite:///"), isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    for statement in statements:
        connection.execute(statement)
    connection.close()


KINDS = {
    "sqlite": Kind(lambda folder: SqliteDatabase(folder / "it.db", SystemClock()), _run_sqlite),
}


@pytest.fixture(params=sorted(KINDS))
def kind(request) -> Kind:
    return KINDS[request.param]


@pytest.fixture
def empty(kind, tmp_path) -> Database:
    return kind.database(tmp_path)


@pytest.fixture
def filled(kind, empty) -> Database:
    numbers = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {})"
    statements = ["CREATE TABLE alembic_version (version_num TEXT)"]
    statements.append("INSERT INTO alembic_version VALUES ('0007')")
    for table, rows in TABLES.items():
        name = '"' + table.replace('"', '""') + '"'
        statements.append(f"CREATE TABLE {name} (id INTEGER PRIMARY KEY, words TEXT)")
        if rows:
            many = numbers.format(rows)
            statements.append(f"INSERT INTO {name} {many} SELECT i, 'word ' || i FROM n")
    kind.run(empty, statements)
    return empty


def test_a_database_that_was_never_made_is_empty_and_stays_unmade(empty, tmp_path):
    """Looking at nothing finds nothing and makes nothing."""
    assert not empty.exists()
    assert empty.revision() is None
    assert empty.rows() == {}
    with pytest.raises(Broken, match="no database"):
        empty.dump(tmp_path / "copy", Told())
    assert list(tmp_path.iterdir()) == []


def test_the_url_is_one_that_sqlalchemy_reads(empty):
    """The URL goes to the service and to Alembic as it is."""
    from sqlalchemy.engine import make_url

    url = make_url(empty.url())
    assert url.password is None
    assert url.render_as_string() == empty.url()


def test_rows_are_counted_per_table_and_tools_tables_are_left_out(filled):
    """Odd names, reserved words and empty tables count too."""
    assert filled.exists()
    assert filled.rows() == TABLES


def test_the_revision_is_what_the_last_migration_wrote(filled, kind):
    """Before the first migration's row there is none; two at once are nothing to guess about."""
    assert filled.revision() == "0007"
    kind.run(filled, ["DELETE FROM alembic_version"])
    assert filled.revision() is None
    kind.run(filled, ["INSERT INTO alembic_version VALUES ('0007'), ('0008')"])
    with pytest.raises(Broken, match="0007, 0008"):
        filled.revision()


def test_a_dump_has_the_same_rows_and_proves_sound(filled, tmp_path):
    """What dump counts, prove counts again."""
    copy = tmp_path / "copy"
    assert filled.dump(copy, Told()).rows() == TABLES
    assert filled.prove(copy) == TABLES
    assert copy.stat().st_mode & 0o777 == 0o600


def test_a_dump_does_not_follow_later_writes(filled, kind, tmp_path):
    """The copy is of the moment it was made."""
    copy = tmp_path / "copy"
    filled.dump(copy, Told())
    kind.run(filled, ["DELETE FROM images", "DROP TABLE empty"])
    assert filled.prove(copy) == TABLES


def test_a_dump_never_overwrites(filled, tmp_path):
    """A name that is taken is refused, and the file is left alone."""
    copy = tmp_path / "copy"
    copy.write_bytes(b"mine")
    with pytest.raises(BadInput, match="exists already"):
        filled.dump(copy, Told())
    assert copy.read_bytes() == b"mine"


def test_a_dump_that_is_told_to_stop_leaves_nothing(filled, tmp_path):
    """Interrupted, and no file."""
    before = sorted(tmp_path.iterdir())
    with pytest.raises(Interrupted):
        filled.dump(tmp_path / "copy", Told(after=0))
    assert sorted(tmp_path.iterdir()) == before


def test_a_dump_into_a_missing_folder_says_so(filled, tmp_path):
    """The message names the file and the folder."""
    with pytest.raises(Broken, match="cannot be written"):
        filled.dump(tmp_path / "nowhere" / "copy", Told())


@pytest.mark.parametrize("damage", ["cut", "noise", "empty page", "not one", "missing"])
def test_a_damaged_dump_is_not_proven(filled, kind, tmp_path, damage):
    """Whatever happened to the copy, prove raises Broken."""
    kind.run(filled, ["CREATE INDEX by_words ON images (words)"])
    copy = tmp_path / "copy"
    filled.dump(copy, Told())
    whole = copy.read_bytes()
    half = len(whole) // 2
    copy.write_bytes(
        {
            "cut": whole[:half],
            "noise": whole[:half] + bytes(range(256)) * 8 + whole[half + 2048 :],
            "empty page": whole[:half] + b"\0" * 4096 + whole[half + 4096 :],
            "not one": b"this is a text about databases" * 400,
            "missing": b"",
        }[damage]
    )
    if damage == "missing":
        copy.unlink()
    with pytest.raises(Broken, match=str(copy)):
        filled.prove(copy)


def test_a_dump_whose_rows_point_to_nothing_is_not_proven(filled, kind, tmp_path):
    """The message names the tables."""
    kind.run(
        filled,
        [
            "PRAGMA foreign_keys = OFF",
            "CREATE TABLE reviews (id INTEGER PRIMARY KEY, image INTEGER REFERENCES images(id))",
            "INSERT INTO reviews VALUES (1, 7), (2, 4711)",
        ],
    )
    copy = tmp_path / "copy"
    filled.dump(copy, Told())
    with pytest.raises(Broken, match=r"1 rows that point to nothing.*reviews.*images"):
        filled.prove(copy)
