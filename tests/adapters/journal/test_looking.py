"""Looking creates and changes nothing, whatever state the file is in."""

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from guarded_rollout.adapters.journal.looking import open_readonly
from guarded_rollout.core.facts import Adopted
from guarded_rollout.core.problems import NotPossible


@pytest.fixture
def path(tmp_path):
    return tmp_path / "journal.db"


def tree(folder: Path) -> dict[str, tuple]:
    """Everything about every file in a folder."""
    found = {}
    for file in sorted(folder.rglob("*")):
        about = file.stat()
        digest = hashlib.sha256(file.read_bytes()).hexdigest() if file.is_file() else ""
        found[str(file)] = (about.st_mode, about.st_mtime_ns, about.st_ino, digest)
    return found


def die_inside_a_commit(path) -> None:
    """Leave half a transaction in the file, and the rollback journal that undoes it."""
    program = (
        "import os, sqlite3, sys\n"
        "c = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
        "c.execute('PRAGMA cache_size = 2')\n"
        "c.execute('BEGIN IMMEDIATE')\n"
        "c.execute('DROP TRIGGER facts_never_change')\n"
        "c.execute('UPDATE facts SET body = ?', (b'x' * 400000,))\n"
        "c.execute('CREATE TABLE x AS SELECT * FROM facts')\n"
        "os.kill(os.getpid(), 9)\n"
    )
    subprocess.run([sys.executable, "-c", program, str(path)], check=False)


def test_where_there_is_no_journal_it_is_empty(tmp_path, clock):
    """And stays away."""
    journal = open_readonly(tmp_path / "no" / "journal.db", clock)
    assert journal.known() == ()
    assert journal.entries("r1") == ()
    assert journal.active("production") is None
    assert journal.holder("production") is None
    assert journal.verify().entries == 0
    assert list(tmp_path.iterdir()) == []


def test_it_sees_what_the_writer_sees_and_touches_nothing(journal, started, path, clock):
    """A dry run leaves the tree as it was, to the byte and to the nanosecond."""
    first = journal.begin("production", "r1", started(), exclusive=True)
    lease = journal.claim("production", "guard")
    journal.append(lease, "r1", Adopted("guard"), after=first.seq)
    before = tree(path.parent)
    looking = open_readonly(path, clock)
    assert looking.entries("r1") == journal.entries("r1")
    assert looking.known() == journal.known()
    assert looking.active("production") == journal.active("production")
    assert looking.holder("production") == journal.holder("production")
    assert looking.verify() == journal.verify()
    assert tree(path.parent) == before


def test_it_writes_nothing(path, clock, started, journal):
    """Every verb that would says so."""
    lease = journal.claim("production", "guard")
    looking = open_readonly(path, clock)
    for write in (
        lambda: looking.begin("production", "r1", started(), exclusive=True),
        lambda: looking.append(lease, "r1", Adopted("x"), after=0),
        lambda: looking.claim("production", "x"),
        lambda: looking.renew(lease),
        lambda: looking.release(lease),
    ):
        with pytest.raises(NotPossible, match="opened to look only"):
            write()


def test_it_sees_past_a_commit_that_was_cut_off(journal, started, path, clock):
    """A writer died inside its commit; the file is put right in a copy, not in place."""
    journal.begin("production", "r1", started(), exclusive=True)
    sound = journal.verify()
    die_inside_a_commit(path)
    before = tree(path.parent)
    assert f"{path}-journal" in before
    looking = open_readonly(path, clock)
    assert looking.verify() == sound
    assert len(looking.entries("r1")) == 1
    assert looking.active("production").rollout == "r1"
    assert tree(path.parent) == before
    assert journal.verify() == sound, "the writer puts it right in place"
    assert not Path(f"{path}-journal").exists()


def test_a_writer_that_comes_between_is_waited_for(journal, started, path, clock, monkeypatch):
    """It puts the file right while it is being copied: the copy is worth nothing then."""
    journal.begin("production", "r1", started(), exclusive=True)
    die_inside_a_commit(path)
    copyfile = shutil.copyfile
    copied = []

    def slowly(source, to):
        copyfile(source, to)
        copied.append(source.name)
        if len(copied) == 1:
            journal.begin("staging", "r2", started("staging"), exclusive=True)

    monkeypatch.setattr(shutil, "copyfile", slowly)
    (entry,) = open_readonly(path, clock).entries("r2")
    assert copied == ["journal.db-journal", "journal.db"]
    assert journal.entries("r2") == (entry,)
