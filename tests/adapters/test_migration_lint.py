"""The lint of migrations with the real squawk and a real Alembic's SQL."""

import subprocess
import sys
import sysconfig
from pathlib import Path

import msgspec
import pytest

from guarded_rollout.adapters.clock import SystemClock
from guarded_rollout.adapters.migration_lint import MigrationLint, dialect_of
from guarded_rollout.adapters.postgres import Access, PostgresDatabase
from guarded_rollout.adapters.sqlite import SqliteDatabase
from guarded_rollout.core.migration_findings import Dialect, Limits, Rule, Severity, TableSeen
from guarded_rollout.core.problems import BadInput
from guarded_rollout.core.schema_safety import refused
from guarded_rollout.ports import Lint

ROOT = Path(__file__).parents[2]
TABLES = {"images": TableSeen(10), "alembic_version": TableSeen(1)}


def test_what_postgresql_would_not_run_is_refused_before_it_is_tried():
    """A syntax error, with its line."""
    found = MigrationLint(Dialect.POSTGRESQL).lint(
        "BEGIN;\nALTER TABLE images ADD COLUMN x int;\nSELECT (1;\nCOMMIT;\n", TABLES
    )
    assert {finding.rule for finding in refused(found)} == {"squawk:syntax-error"}


def test_squawk_adds_warnings_of_its_own():
    """What it knows and we do not."""
    sql = "ALTER TABLE images ADD COLUMN x int;\nTRUNCATE TABLE images CASCADE;"
    found = MigrationLint(Dialect.POSTGRESQL).lint(sql, TABLES)
    (one,) = (finding for finding in found if finding.rule.startswith("squawk:"))
    assert (one.rule, one.severity) == ("squawk:ban-truncate-cascade", Severity.WARNING)
    assert one.statement == "TRUNCATE TABLE images CASCADE;"
    assert one.why
    assert one.recipe


def test_nothing_to_do_is_nothing_to_say():
    """An empty preview."""
    assert MigrationLint(Dialect.POSTGRESQL).lint("", {}) == ()


def test_a_missing_squawk_is_named(monkeypatch):
    """With how to install it; SQLite needs none."""
    monkeypatch.setattr(sysconfig, "get_path", lambda _: "/nowhere")
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(BadInput, match="squawk, which reads PostgreSQL migrations, is not"):
        MigrationLint(Dialect.POSTGRESQL).lint("SELECT 1", {})
    assert MigrationLint(Dialect.SQLITE).lint("SELECT 1", {}) == ()


def preview(url: str, span: str) -> str:
    """What Alembic prints for the reference service."""
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); "
        "from alembic.config import main; main(sys.argv[2:])"
    )
    source = ROOT / "services/dhash/src"
    done = subprocess.run(
        [
            *(sys.executable, "-B", "-c", code, str(source)),
            *("-c", str(source / "dhash/alembic.ini"), "upgrade", span, "--sql"),
        ],
        env={"DHASH_DATABASE_URL": url, "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_reference_services_migrations_are_expand_only(tmp_path):
    """Its own; only the index on a table that is big is refused."""
    url = f"sqlite:///{tmp_path / 'x.db'}"
    lint = MigrationLint(Dialect.SQLITE)
    assert lint.lint(preview(url, "base:head"), {}) == ()
    second = preview(url, "0001:0002")
    assert "seen_count" in second
    seen = {"images": TableSeen(10**6), "reviews": TableSeen(10)}
    assert refused(lint.lint(second, seen)) == ()
    seen["reviews"] = TableSeen(10**6)
    assert {finding.rule for finding in refused(lint.lint(second, seen))} == {Rule.LONG_LOCK}
    assert refused(MigrationLint(Dialect.SQLITE, Limits(rows=10**6)).lint(second, seen)) == ()


def test_parameters_are_no_syntax_errors():
    """As they are written down of a migration that ran, with what ran before and after."""
    ran = (
        "BEGIN",
        "UPDATE images SET hash = $1::VARCHAR, n = $2 WHERE images.id IN ($3, $4)",
        "INSERT INTO images (id) VALUES ($1) RETURNING images.id -- the last one\n",
        "SELECT images.id FROM images LIMIT $1",
        "COMMIT",
    )
    found = MigrationLint(Dialect.POSTGRESQL).lint(";\n".join(ran), TABLES)
    assert refused(found) == ()
    assert {finding.rule for finding in found} == {Rule.LONG_LOCK}


def test_the_dialect_is_the_databases(tmp_path):
    """By its address; nothing is opened."""
    clock = SystemClock()
    assert dialect_of(SqliteDatabase(tmp_path / "it.db", clock)) is Dialect.SQLITE
    access = Access("127.0.0.1", 1, "it", "ada")
    assert dialect_of(PostgresDatabase(access, clock)) is Dialect.POSTGRESQL


def test_it_is_the_lint_that_the_engine_asks():
    """ports.Lint; what it says goes into the journal."""
    lint: Lint = MigrationLint(Dialect.POSTGRESQL)
    plain = msgspec.to_builtins(lint.lint("DROP TABLE images CASCADE", TABLES))
    assert {one["rule"] for one in plain} == {"drop-table"}
    assert {type(value) for one in plain for value in one.values()} == {str}
