"""What can happen to the file, and how it is said: no error of SQLite reaches anybody."""

import sqlite3
import subprocess
import sys
import tempfile
from contextlib import closing
from pathlib import Path

import pytest

from guarded_rollout.adapters.journal import connection, schema
from guarded_rollout.adapters.journal.looking import open_readonly
from guarded_rollout.adapters.journal.sqlite import SqliteJournal
from guarded_rollout.core.facts import Adopted
from guarded_rollout.core.problems import Broken, NotPossible


@pytest.fixture
def path(tmp_path):
    return tmp_path / "journal.db"


def test_a_newer_version_is_not_touched(journal, path, clock, open_journal):
    """It may mean things this version does not know."""
    with closing(sqlite3.connect(path, isolation_level=None)) as newer:
        newer.execute("UPDATE meta SET value = 7")
    before = path.read_bytes()
    for use in (open_journal, journal.verify, open_readonly(path, clock).known):
        with pytest.raises(NotPossible) as caught:
            use()
        assert "schema 7, this one knows 1" in caught.value.why.what
    assert path.read_bytes() == before
    assert schema.VERSION == 1


def test_a_locked_journal_is_a_problem_after_the_wait(open_journal, started, path):
    """Another program sits on it. Writers and readers say so; nothing was written."""
    journal = open_journal(wait_seconds=0.2)
    first = journal.begin("production", "r1", started(), exclusive=True)
    lease = journal.claim("production", "guard")
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        for use in (
            lambda: journal.append(lease, "r1", Adopted("x"), after=first.seq),
            lambda: journal.begin("staging", "r2", started("staging"), exclusive=True),
            lambda: journal.entries("r1"),
            lambda: journal.renew(lease),
            journal.verify,
            lambda: open_journal(wait_seconds=0.2),
        ):
            with pytest.raises(Broken, match="locked by another process"):
                use()
    assert journal.entries("r1") == (first,)
    journal.renew(lease)


def test_the_wait_is_thirty_seconds(journal):
    """As the rules say."""
    assert journal._file.wait == connection.WAIT_SECONDS == 30.0


def test_a_journal_that_is_gone_does_not_begin_anew(journal, started, path):
    """A fresh one would forget who holds what."""
    path.unlink()
    for use in (
        lambda: journal.begin("production", "r1", started(), exclusive=True),
        journal.known,
        lambda: journal.claim("production", "guard"),
    ):
        with pytest.raises(Broken, match="cannot be opened"):
            use()
    assert not path.exists()
    assert journal.lease_fds("production") == (), "the lock was given back"


def test_a_full_disk_loses_nothing(journal, started, tmp_path):
    """The file may not grow: the append fails as a whole, and goes through later."""
    journal.begin("production", "r1", started(), exclusive=True)
    program = (
        "import resource, sys\n"
        "from pathlib import Path\n"
        "from guarded_rollout.adapters.clock import SystemClock\n"
        "from guarded_rollout.adapters.journal.sqlite import SqliteJournal\n"
        "from guarded_rollout.core.facts import RollbackAsked\n"
        "from guarded_rollout.core.problems import Broken\n"
        "folder = Path(sys.argv[1])\n"
        "journal = SqliteJournal(folder / 'journal.db', SystemClock(), folder / 'locks')\n"
        "limit = (folder / 'journal.db').stat().st_size + 8192\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))\n"
        "try:\n"
        "    for n in range(1, 100):\n"
        "        journal.append(None, 'r1', RollbackAsked('x' * 3000, ''), after=n)\n"
        "        print(n + 1, flush=True)\n"
        "except Broken as problem:\n"
        "    print(problem.why.what, problem.why.hint)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
    )
    *told, problem = done.stdout.splitlines()
    assert "the journal" in problem
    assert "rollout audit verify" in problem
    assert journal.verify().problem is None
    assert [e.seq for e in journal.entries("r1")] == [1, *map(int, told)]


@pytest.mark.parametrize(
    ("pragma", "says", "hint"),
    [
        ("max_page_count = 1", "the disk is full", "make room"),
        ("query_only = 1", "cannot be written", "read-only"),
    ],
)
def test_what_sqlite_says_is_said_in_words(path, pragma, says, hint):
    """Its own errors, provoked by its own settings."""
    with closing(sqlite3.connect(path, isolation_level=None)) as limited:
        limited.execute("CREATE TABLE a (x)")
        limited.execute(f"PRAGMA {pragma}")
        with pytest.raises(Broken) as caught, connection.in_words(path):
            limited.execute("CREATE TABLE b (x)")
    assert says in caught.value.why.what
    assert str(path) in caught.value.why.what
    assert hint in caught.value.why.hint


def test_a_file_that_may_only_be_read_says_so(clock, started):
    """An unprivileged user may look, and is refused to write."""
    program = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from guarded_rollout.adapters.clock import SystemClock\n"
        "from guarded_rollout.adapters.journal.sqlite import SqliteJournal\n"
        "from guarded_rollout.core.facts import RollbackAsked\n"
        "from guarded_rollout.core.problems import Broken\n"
        "if os.geteuid() == 0:\n"
        "    os.setuid(65534)\n"
        "folder = Path(sys.argv[1])\n"
        "journal = SqliteJournal(folder / 'journal.db', SystemClock(), folder / 'locks')\n"
        "print(len(journal.entries('r1')))\n"
        "try:\n"
        "    journal.append(None, 'r1', RollbackAsked('x', ''), after=1)\n"
        "except Broken as problem:\n"
        "    print(problem.why.what)\n"
    )
    with tempfile.TemporaryDirectory(prefix="gr", dir="/tmp") as name:
        folder = Path(name)
        journal = SqliteJournal(folder / "journal.db", clock, folder / "locks")
        journal.begin("production", "r1", started(), exclusive=True)
        folder.chmod(0o755)
        (folder / "locks").chmod(0o755)
        (folder / "journal.db").chmod(0o444)
        done = subprocess.run(
            [sys.executable, "-c", program, name], capture_output=True, text=True, check=False
        )
        assert done.stderr == ""
        assert done.stdout.splitlines()[0] == "1"
        assert "journal.db cannot be written" in done.stdout.splitlines()[1]


def test_a_folder_that_cannot_be_made_is_named(tmp_path, clock):
    """A file stands in its place."""
    (tmp_path / "here").write_text("")
    with pytest.raises(Broken, match=r"the folder .*here cannot be created"):
        SqliteJournal(tmp_path / "here" / "journal.db", clock, tmp_path / "locks")
    with pytest.raises(Broken, match=r"the folder .*here cannot be created"):
        SqliteJournal(tmp_path / "journal.db", clock, tmp_path / "here")


def test_a_lock_file_that_cannot_be_opened_is_named(journal, tmp_path):
    """A link is not followed, a folder is no file."""
    (tmp_path / "locks" / "production.lock").symlink_to("/dev/null")
    (tmp_path / "locks" / "staging.lock").mkdir()
    for environment in ("production", "staging"):
        with pytest.raises(Broken, match=rf"the lock file .*{environment}\.lock cannot"):
            journal.claim(environment, "guard")


def test_strange_names_stay_in_the_folder(journal, tmp_path):
    """An environment is no path."""
    journal.claim("../../up", "guard")
    assert [p.name for p in (tmp_path / "locks").iterdir()] == ["..%2F..%2Fup.lock"]
