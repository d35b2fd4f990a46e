"""A migration's SQL before it runs: our own rules, and squawk's for PostgreSQL.

Squawk knows PostgreSQL's grammar and its many traps, but neither how big a table is nor what the
old release needs, so ours decide and its findings are warnings; except that what PostgreSQL would
not even run is refused here, before anything was touched. It reads from standard input and opens
no connection.
"""

import json
import shutil
import subprocess
import sysconfig
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from guarded_rollout.core.migration_findings import (
    Dialect,
    Finding,
    Limits,
    Severity,
    TableSeen,
)
from guarded_rollout.core.problems import BadInput, Broken
from guarded_rollout.core.schema_safety import SHOWN, judge
from guarded_rollout.ports import Database

_SECONDS = 60.0
_WOULD_FAIL = frozenset({"syntax-error", "ban-concurrent-index-creation-in-transaction"})
_LEFT_OUT = frozenset(
    {
        # our own rules say it, knowing the table's size
        "adding-field-with-default",
        "adding-foreign-key-constraint",
        "adding-not-nullable-field",
        "adding-required-field",
        "adding-serial-primary-key-field",
        "ban-drop-column",
        "ban-drop-not-null",
        "ban-drop-table",
        "changing-column-type",
        "constraint-missing-not-valid",
        "disallowed-unique-constraint",
        "renaming-column",
        "renaming-table",
        "require-concurrent-index-creation",
        # the migrator's business
        "require-lock-timeout",
        "require-statement-timeout",
        "require-timeout-settings",
        # matters of taste
        "ban-char-field",
        "prefer-bigint-over-int",
        "prefer-bigint-over-smallint",
        "prefer-identity",
        "prefer-robust-stmts",
        "prefer-text-field",
        "prefer-timestamp-tz",
    }
)


@dataclass(frozen=True, slots=True)
class MigrationLint:
    """Lints for one database's kind. `limits`: what is a big table."""

    dialect: Dialect
    limits: Limits = field(default_factory=Limits)

    def lint(self, sql: str, tables: Mapping[str, TableSeen]) -> tuple[Finding, ...]:
        """What there is to know about the SQL. `core.schema_safety.refused` picks what stops it.

        `sql`: the statements that ran when the migration was tried out, with BEGIN and COMMIT.

        BadInput when squawk is not installed, Broken when it fails.
        """
        found = judge(sql, self.dialect, tables, limits=self.limits)
        if self.dialect is not Dialect.POSTGRESQL or not sql.strip():
            return found
        return found + _squawk(sql)


def dialect_of(database: Database) -> Dialect:
    """By the address. BadInput for a kind that has no rules."""
    kind = database.url().partition(":")[0].partition("+")[0]
    try:
        return Dialect(kind)
    except ValueError:
        raise BadInput(
            f"there are no rules for migrations of {kind}",
            f"known are {', '.join(Dialect)}",
        ) from None


def _squawk(sql: str) -> tuple[Finding, ...]:
    command = [_binary(), "--reporter", "json", "--no-assume-in-transaction"]
    try:
        # Not its configuration from the current folder: the same verdict wherever we are.
        done = subprocess.run(
            command,
            input=sql.encode(),
            cwd="/",
            env={"PATH": "/usr/bin:/bin"},
            capture_output=True,
            timeout=_SECONDS,
            check=False,
        )
        said = json.loads(done.stdout or b"null")
    except (OSError, ValueError, subprocess.TimeoutExpired) as error:
        raise Broken(f"squawk could not read the migration: {error}", "install it anew") from error
    if done.returncode not in {0, 1} or not isinstance(said, list):
        words = done.stderr.decode("utf-8", "replace").strip()[:SHOWN]
        raise Broken(f"squawk failed ({done.returncode}): {words}", "install it anew")
    lines = sql.splitlines()
    # Left out here, not by its flags: a rule that it renames must not stop deploys.
    return tuple(_finding(one, lines) for one in said if one.get("rule_name") not in _LEFT_OUT)


def _finding(said: Mapping[str, object], lines: list[str]) -> Finding:
    line, rule = said.get("line"), str(said.get("rule_name"))
    shown = lines[line].strip() if isinstance(line, int) and line < len(lines) else ""
    return Finding(
        rule=f"squawk:{rule}",
        statement=shown[:SHOWN],
        why=" ".join(str(said.get("message")).split()),
        recipe=" ".join(str(said.get("help") or f"see squawkhq.com/docs/{rule}").split()),
        severity=Severity.REFUSED if rule in _WOULD_FAIL else Severity.WARNING,
    )


def _binary() -> str:
    beside = Path(sysconfig.get_path("scripts")) / "squawk"
    found = str(beside) if beside.exists() else shutil.which("squawk")
    if found is None:
        raise BadInput(
            "squawk, which reads PostgreSQL migrations, is not installed",
            "install it: uv pip install squawk-cli",
        )
    return found
