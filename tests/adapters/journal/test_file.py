"""The file itself: how it comes into being, and how it defends itself."""

import os
import sqlite3
import stat
from contextlib import closing

import pytest

from guarded_rollout.adapters.journal.sqlite import SqliteJournal
from guarded_rollout.core.facts import RollbackAsked


@pytest.fixture
def path(tmp_path):
    return tmp_path / "journal.db"


def test_it_is_private_from_the_first_moment(tmp_path, clock):
    """Folders 0700, files 0600, whatever the umask says."""
    before = os.umask(0)
    try:
        folder = tmp_path / "deep" / "er"
        journal = SqliteJournal(folder / "journal.db", clock, folder / "locks")
        journal.claim("production", "guard")
        journal.close()
    finally:
        os.umask(before)
    modes = {
        str(p.relative_to(tmp_path)): stat.S_IMODE(p.stat().st_mode) for p in folder.rglob("*")
    }
    assert modes == {
        "deep/er/journal.db": 0o600,
        "deep/er/locks": 0o700,
        "deep/er/locks/production.lock": 0o600,
    }
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(folder.parent.stat().st_mode) == 0o700


def test_many_may_create_it_at_once(path, clock, at_once):
    """It appears whole, once, and nothing else stays behind."""

    def create():
        journal = SqliteJournal(path, clock, path.with_name("locks"))
        assert journal.verify().problem is None

    at_once(8, create)
    assert sorted(p.name for p in path.parent.iterdir()) == ["journal.db", "locks"]


def test_every_commit_reaches_the_disk(journal):
    """The rollback journal, and an fsync of file and folder."""
    with journal._file.writing() as connection:
        pragmas = {
            name: connection.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("journal_mode", "synchronous", "foreign_keys")
        }
    assert pragmas == {"journal_mode": "delete", "synchronous": 3, "foreign_keys": 1}


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE facts SET at = 0",
        "DELETE FROM facts",
        "REPLACE INTO facts SELECT seq, rollout, 0, kind, body, fence, prev, hash FROM facts",
        "INSERT INTO facts SELECT seq + 2, rollout, at, kind, body, fence, hash, '' FROM facts",
        "INSERT INTO facts SELECT seq + 1, rollout, at, kind, body, fence, '', '' FROM facts",
        "DELETE FROM rollouts",
        "UPDATE rollouts SET environment = 'staging'",
        "UPDATE leases SET fence = fence - 1",
        "DELETE FROM leases",
    ],
)
def test_history_cannot_be_rewritten_by_accident(journal, started, path, statement):
    """Not even at a sqlite3 prompt."""
    journal.begin("production", "r1", started(), exclusive=True)
    journal.claim("production", "guard")
    with closing(sqlite3.connect(path)) as prompt, pytest.raises(sqlite3.IntegrityError):
        prompt.execute(statement)


def test_a_rollout_cannot_be_reopened_by_accident(journal, started, path):
    """Its ending stands."""
    first = journal.begin("production", "r1", started(), exclusive=True)
    journal.append(None, "r1", RollbackAsked("a", "b"), after=first.seq, ended="refused")
    with closing(sqlite3.connect(path)) as prompt, pytest.raises(sqlite3.IntegrityError):
        prompt.execute("UPDATE rollouts SET ended = NULL")
