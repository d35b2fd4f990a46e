"""The file itself: how it comes into being, how it is looked at, what its disk can do to it."""

import hashlib
import os
import sqlite3
import stat
import subprocess
import sys
import tempfile
import threading
from contextlib import closing
from pathlib import Path

import pytest

from guarded_rollout.adapters.journal import connection, place, schema
from guarded_rollout.adapters.journal.looking import open_readonly
from guarded_rollout.adapters.journal.sqlite import SqliteJournal
from guarded_rollout.core.facts import Adopted, RollbackAsked
from guarded_rollout.core.problems import Broken, NotPossible


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


def test_many_may_create_it_at_once(path, clock):
    """It appears whole, once, and nothing else stays behind."""
    gate, failures = threading.Barrier(8), []

    def create():
        gate.wait()
        try:
            journal = SqliteJournal(path, clock, path.with_name("locks"))
            assert journal.verify().problem is None
        except BaseException as error:  # noqa: BLE001 - told to the test below
            failures.append(error)

    threads = [threading.Thread(target=create) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
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


class TestLooking:
    def test_where_there_is_no_journal_it_is_empty(self, tmp_path, clock):
        """And stays away."""
        journal = open_readonly(tmp_path / "no" / "journal.db", clock)
        assert journal.known() == ()
        assert journal.entries("r1") == ()
        assert journal.active("production") is None
        assert journal.holder("production") is None
        assert journal.verify().entries == 0
        assert list(tmp_path.iterdir()) == []

    def test_it_sees_what_the_writer_sees_and_touches_nothing(self, journal, started, path, clock):
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

    def test_it_writes_nothing(self, path, clock, started, journal):
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

    def test_it_sees_past_a_commit_that_was_cut_off(self, journal, started, path, clock):
        """A writer died inside its commit; the file is put right in a copy, not in place."""
        journal.begin("production", "r1", started(), exclusive=True)
        sound = journal.verify()
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
        before = tree(path.parent)
        assert f"{path}-journal" in before
        looking = open_readonly(path, clock)
        assert looking.verify() == sound
        assert len(looking.entries("r1")) == 1
        assert looking.active("production").rollout == "r1"
        assert tree(path.parent) == before
        assert journal.verify() == sound, "the writer puts it right in place"
        assert not Path(f"{path}-journal").exists()


class TestTrouble:
    def test_a_newer_version_is_not_touched(self, journal, path, clock, open_journal):
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

    def test_a_locked_journal_is_a_problem_after_the_wait(self, open_journal, started, path):
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

    def test_the_wait_is_thirty_seconds(self, journal):
        """As the rules say."""
        assert journal._file.wait == connection.WAIT_SECONDS == 30.0

    def test_a_journal_that_is_gone_does_not_begin_anew(self, journal, started, path):
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

    def test_a_full_disk_loses_nothing(self, journal, started, tmp_path):
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
    def test_what_sqlite_says_is_said_in_words(self, path, pragma, says, hint):
        """Its own errors, provoked by its own settings."""
        with closing(sqlite3.connect(path, isolation_level=None)) as limited:
            limited.execute("CREATE TABLE a (x)")
            limited.execute(f"PRAGMA {pragma}")
            with pytest.raises(Broken) as caught, connection.in_words(path):
                limited.execute("CREATE TABLE b (x)")
        assert says in caught.value.why.what
        assert str(path) in caught.value.why.what
        assert hint in caught.value.why.hint

    def test_a_file_that_may_only_be_read_says_so(self, clock, started):
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

    def test_a_folder_that_cannot_be_made_is_named(self, tmp_path, clock):
        """A file stands in its place."""
        (tmp_path / "here").write_text("")
        with pytest.raises(Broken, match=r"the folder .*here cannot be created"):
            SqliteJournal(tmp_path / "here" / "journal.db", clock, tmp_path / "locks")
        with pytest.raises(Broken, match=r"the folder .*here cannot be created"):
            SqliteJournal(tmp_path / "journal.db", clock, tmp_path / "here")

    def test_a_lock_file_that_cannot_be_opened_is_named(self, journal, tmp_path):
        """A link is not followed, a folder is no file."""
        (tmp_path / "locks" / "production.lock").symlink_to("/dev/null")
        (tmp_path / "locks" / "staging.lock").mkdir()
        for environment in ("production", "staging"):
            with pytest.raises(Broken, match=rf"the lock file .*{environment}\.lock cannot"):
                journal.claim(environment, "guard")

    def test_strange_names_stay_in_the_folder(self, journal, tmp_path):
        """An environment is no path."""
        journal.claim("../../up", "guard")
        assert [p.name for p in (tmp_path / "locks").iterdir()] == ["..%2F..%2Fup.lock"]


class TestNetwork:
    MOUNTS = (
        "22 27 0:21 / /proc rw,relatime - proc proc rw\n"
        "27 1 254:0 / / rw,relatime - ext4 /dev/vda rw,discard\n"
        "40 27 0:40 / /mnt/nfs rw shared:1 master:2 - nfs4 server:/share rw\n"
        "41 40 254:1 / /mnt/nfs/local rw - xfs /dev/vdb rw\n"
        "42 27 0:42 / /mnt/with\\040space rw - cifs //server/share rw\n"
        "43 27 0:43 / /mnt/over rw - ext4 /dev/vdc rw\n"
        "44 43 0:44 / /mnt/over rw - fuse.sshfs host:/ rw\n"
        "a broken line\n"
    )

    @pytest.mark.parametrize(
        ("path", "kind"),
        [
            ("/var/lib/rollout", "ext4"),
            ("/mnt/nfs", "nfs4"),
            ("/mnt/nfs/a/b", "nfs4"),
            ("/mnt/nfs/local/a", "xfs"),
            ("/mnt/nfsx", "ext4"),
            ("/mnt/with space/a", "cifs"),
            ("/mnt/over/a", "fuse.sshfs"),
        ],
    )
    def test_the_deepest_and_latest_mount_counts(self, path, kind):
        """As the kernel sees it."""
        assert place.filesystem(self.MOUNTS, Path(path)) == kind

    def test_a_link_leads_where_it_leads(self, tmp_path):
        """The real place decides."""
        (tmp_path / "link").symlink_to("/mnt/nfs/a")
        assert place.filesystem(self.MOUNTS, tmp_path / "link" / "journal.db") == "nfs4"

    @pytest.mark.parametrize("kind", ["nfs", "nfs4", "cifs", "smb3", "9p", "fuse.sshfs"])
    def test_a_network_filesystem_is_refused(self, tmp_path, clock, monkeypatch, kind):
        """Before anything is created on it."""
        mounts = tmp_path / "mountinfo"
        mounts.write_text(
            f"27 1 254:0 / / rw - ext4 /dev/vda rw\n28 27 0:1 / {tmp_path} rw - {kind} x rw\n"
        )
        monkeypatch.setattr(place, "MOUNTS", mounts)
        with pytest.raises(NotPossible) as caught:
            SqliteJournal(tmp_path / "a" / "journal.db", clock, tmp_path / "locks")
        assert f"network filesystem ({kind})" in caught.value.why.what
        assert "disk of this machine" in caught.value.why.hint
        assert [p.name for p in tmp_path.iterdir()] == ["mountinfo"]

    def test_this_machine_is_asked(self, tmp_path):
        """The real mount table names a real type."""
        assert place.filesystem(place.MOUNTS.read_text(), tmp_path) not in {"", "proc", "sysfs"}
