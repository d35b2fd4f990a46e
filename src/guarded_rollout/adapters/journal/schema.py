"""The journal's tables, the same on SQLite and PostgreSQL, and how SQLite's file guards them.

The facts are the truth; `rollouts` is an index of them. The file defends itself, so that no tool
and no tired person at a `sqlite3` prompt rewrites history by accident: facts only grow, by one,
each naming the hash of the one before. (REPLACE deletes without asking the delete trigger; the
trigger on inserts stops it.)
"""

import sqlite3
from pathlib import Path

from guarded_rollout.core.chain import GENESIS
from guarded_rollout.core.problems import Broken, NotPossible

VERSION = 1


def tables(whole: str, real: str, data: str) -> tuple[str, ...]:
    """The statements that make the tables, with a database's words for its types."""
    return (
        f"""CREATE TABLE meta (
        name TEXT PRIMARY KEY,
        value {whole} NOT NULL
    )""",
        f"""CREATE TABLE rollouts (
        id TEXT PRIMARY KEY,
        environment TEXT NOT NULL,
        kind TEXT NOT NULL,
        began {real} NOT NULL,
        ended TEXT,
        exclusive {whole} NOT NULL CHECK (exclusive IN (0, 1))
    )""",
        """CREATE UNIQUE INDEX one_active_rollout ON rollouts (environment)
        WHERE exclusive = 1 AND ended IS NULL""",
        f"""CREATE TABLE facts (
        seq {whole} PRIMARY KEY,
        rollout TEXT NOT NULL REFERENCES rollouts (id),
        at {real} NOT NULL,
        kind TEXT NOT NULL,
        body {data} NOT NULL,
        fence {whole} NOT NULL,
        prev TEXT NOT NULL,
        hash TEXT NOT NULL
    )""",
        "CREATE INDEX facts_of_rollout ON facts (rollout, seq)",
        f"""CREATE TABLE leases (
        environment TEXT PRIMARY KEY,
        owner TEXT,
        pid {whole} NOT NULL,
        started {whole} NOT NULL,
        process_group {whole} NOT NULL,
        host TEXT NOT NULL,
        fence {whole} NOT NULL,
        until {real} NOT NULL
    )""",
        f"INSERT INTO meta VALUES ('schema', {VERSION})",  # noqa: S608 - a constant
    )


_STATEMENTS = (
    *tables("INTEGER", "REAL", "BLOB"),
    """CREATE TRIGGER facts_never_change BEFORE UPDATE ON facts
        BEGIN SELECT raise(ABORT, 'the journal only grows: facts never change'); END""",
    """CREATE TRIGGER facts_never_go BEFORE DELETE ON facts
        BEGIN SELECT raise(ABORT, 'the journal only grows: facts never go'); END""",
    f"""CREATE TRIGGER facts_follow_each_other BEFORE INSERT ON facts
        WHEN new.seq IS NOT (SELECT coalesce(max(seq), 0) + 1 FROM facts)
            OR new.prev IS NOT coalesce(
                (SELECT hash FROM facts ORDER BY seq DESC LIMIT 1), '{GENESIS}')
        BEGIN SELECT raise(ABORT, 'the journal only grows: a fact follows the last one'); END""",  # noqa: S608 - a constant
    """CREATE TRIGGER rollouts_never_go BEFORE DELETE ON rollouts
        BEGIN SELECT raise(ABORT, 'the journal only grows: rollouts never go'); END""",
    """CREATE TRIGGER rollouts_only_end BEFORE UPDATE ON rollouts
        WHEN old.ended IS NOT NULL OR new.ended IS NULL OR new.id IS NOT old.id
            OR new.environment IS NOT old.environment OR new.kind IS NOT old.kind
            OR new.began IS NOT old.began OR new.exclusive IS NOT old.exclusive
        BEGIN SELECT raise(ABORT, 'the journal only grows: a rollout ends once'); END""",
    """CREATE TRIGGER fences_only_rise BEFORE UPDATE ON leases WHEN new.fence < old.fence
        BEGIN SELECT raise(ABORT, 'a fence never falls'); END""",
    """CREATE TRIGGER fences_never_go BEFORE DELETE ON leases
        BEGIN SELECT raise(ABORT, 'a fence never goes'); END""",
)


class Damaged(Broken):
    """The file's content is at fault: for `verify` a finding."""


def create(connection: sqlite3.Connection) -> None:
    """Make the tables in an empty file, all or none."""
    connection.execute("BEGIN IMMEDIATE")
    for statement in _STATEMENTS:
        connection.execute(statement)
    connection.execute("COMMIT")


def check(connection: sqlite3.Connection, path: Path) -> None:
    """Raise Damaged when this is no journal, NotPossible when a newer version wrote it."""
    try:
        row = connection.execute("SELECT value FROM meta WHERE name = 'schema'").fetchone()
    except sqlite3.OperationalError as error:
        if "no such table" not in str(error):
            raise
        row = None
    expect_known(row[0] if row else None, path)


def expect_known(version: object, name: object) -> None:
    """Raise Damaged when `version` is none, NotPossible when it is a newer one."""
    if not isinstance(version, int):
        raise Damaged(
            f"{name} is no journal: its tables are missing",
            "restore it from a copy, or move it away to begin a new one",
        )
    if version > VERSION:
        raise NotPossible(
            f"the journal {name} was written by a newer version of this tool "
            f"(schema {version}, this one knows {VERSION})",
            "use that version; this one has changed nothing",
        )
