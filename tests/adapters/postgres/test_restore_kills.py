"""restore when something dies: the tool at any step, the server at any step, the disk."""

import os
import pwd
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from dataclasses import replace

import psycopg
import pytest

from guarded_rollout.adapters.clock import SystemClock
from guarded_rollout.core.problems import Broken, Busy
from guarded_rollout.testing.control import Told

DEADLINE = 120.0
FILL = "INSERT INTO images SELECT i, repeat('x', 500) FROM generate_series(1, {}) i"
CHILD = """
import os, signal, sys, threading
from pathlib import Path
import psycopg
from guarded_rollout.adapters.clock import SystemClock
from guarded_rollout.adapters.postgres import Access, PostgresDatabase
at, dump, host, port, name, user = sys.argv[1:]
reached = False
def die():
    os.kill(os.getpid(), signal.SIGKILL)
class Dies:
    def stopped(self):
        if reached and at == "in mid fill":
            die()
        return False
    def say(self, text):
        global reached
        reached = reached or "restoring into" in text
        if at in text:
            die()
        if at == "in mid renaming" and "in the place of" in text:
            words = dict(host=host, port=port, user="postgres", password=os.environ["ADMIN"])
            self.stays = psycopg.connect(dbname=name, **words)  # so that RENAME waits
            looks = psycopg.connect(dbname="postgres", autocommit=True, **words)
            def wait():
                query = "SELECT count(*) FROM pg_stat_activity WHERE query ~ '^ALTER DATABASE'"
                while looks.execute(query + " AND state = 'active'").fetchone() == (0,):
                    pass
                die()
            threading.Thread(target=wait).start()
PostgresDatabase(Access(host, int(port), name, user), SystemClock()).restore(Path(dump), Dies())
"""


def made(server):
    database = server.database()
    server.run(
        "CREATE TABLE images (id int PRIMARY KEY, words text)",
        FILL.format(1000),
        name=database.access.name,
        user="dhash",
    )
    return database


def swept(server, database):
    """Nothing that is beside it outlives the next scratch, once the server has noticed."""
    name = database.access.name
    clock = SystemClock()
    until = clock.monotonic() + DEADLINE
    while True:
        database.scratch("verify").discard()
        if not {one for one in server.databases() if one.startswith(f"{name}_")}:
            return
        assert clock.monotonic() < until


@pytest.mark.parametrize(
    ("at", "new"),
    [
        ("checking", False),
        ("restoring into", False),
        ("in mid fill", False),
        ("comparing", False),
        ("in the place of", False),
        ("in mid renaming", False),
        ("dropping what was there", True),
    ],
)
def test_a_killed_restore_leaves_the_old_or_the_new(postgres, tmp_path, at, new):
    """Under its name, open to its users; what else there is goes with the next scratch."""
    live = made(postgres)
    live.dump(tmp_path / "dump", Told())
    postgres.run("DELETE FROM images WHERE id > 7", name=live.access.name, user="dhash")
    access = live.access
    where = (access.host, str(access.port), access.name, access.user)
    died = subprocess.run(
        [sys.executable, "-c", CHILD, at, str(tmp_path / "dump"), *where],
        env={**os.environ, "ADMIN": postgres.admin},
        check=False,
    )
    assert died.returncode == -signal.SIGKILL
    assert live.rows() == {"images": 1000 if new else 7}
    swept(postgres, live)
    live.restore(tmp_path / "dump", Told())
    assert live.rows() == {"images": 1000}


class Stops(Told):
    """Stops the server when it hears a word; or when it is asked, after the word."""

    def __init__(self, server, word: str, *, asked: bool = False) -> None:
        super().__init__()
        self.server, self.word, self.when_asked = server, word, asked
        self.heard = self.over = False
        self.turn = threading.Lock()  # a dump's hashing asks from a thread of its own

    def say(self, text: str) -> None:
        super().say(text)
        self.heard = self.heard or self.word in text
        if self.heard and not self.when_asked:
            self.end()

    def stopped(self) -> bool:
        if self.heard:
            self.end()
        return super().stopped()

    def end(self) -> None:
        with self.turn:
            if not self.over:
                self.over = True
                self.server.stop()


@pytest.fixture
def mortal(monkeypatch):
    """A server of its own for a test that stops it."""
    from postgres_of_ours import PASSWORD, binaries, server

    monkeypatch.setenv("PG_BIN", str(binaries()))
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    with server() as ours:
        ours.run("CHECKPOINT")
        yield ours


def test_a_server_that_stops_in_mid_restore_has_the_old_one_when_it_is_back(mortal, tmp_path):
    """At each step. What the restore had made goes with the next scratch."""
    live = made(mortal)
    live.dump(tmp_path / "dump", Told())
    name = live.access.name
    mortal.run("DELETE FROM images WHERE id > 7", "CHECKPOINT", name=name)
    for word, asked in (
        ("restoring into", False),
        ("restoring into", True),
        ("comparing", False),
        ("in the place of", False),
    ):
        with pytest.raises((Broken, Busy), match=r"failed|takes no connection") as caught:
            live.restore(tmp_path / "dump", Stops(mortal, word, asked=asked))
        assert caught.value.why.hint
        mortal.start()
        assert live.rows() == {"images": 7}
        swept(mortal, live)


def test_a_server_that_stops_after_the_renaming_has_the_new_one(mortal, tmp_path):
    """The restore is done; what was there goes with the next scratch."""
    live = made(mortal)
    live.dump(tmp_path / "dump", Told())
    mortal.run("DELETE FROM images WHERE id > 7", name=live.access.name)
    control = Stops(mortal, "dropping what was there")
    live.restore(tmp_path / "dump", control)
    assert "could not be dropped, the next restore will" in control.said[-1]
    mortal.start()
    assert live.rows() == {"images": 1000}
    swept(mortal, live)


def test_a_server_that_stops_in_mid_dump_leaves_nothing(mortal, tmp_path):
    """pg_dump waits for a table meanwhile, so that it cannot be done before."""
    live = made(mortal)
    mortal.run("CREATE TABLE plain (n int)", name=live.access.name, user="dhash")
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' "
    waiting += "AND query ~ '^LOCK TABLE'"

    class Waits(Stops):
        def stopped(self) -> bool:
            self.heard = self.heard or mortal.run(waiting) != [(0,)]
            return super().stopped()

    control = Waits(mortal, "nothing that is said")
    with suppress(psycopg.OperationalError), mortal.connect(live.access.name) as other:
        other.execute("BEGIN")
        other.execute("LOCK TABLE plain IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(Broken, match="failed") as caught:
            replace(live, wait_seconds=DEADLINE).dump(tmp_path / "dump", control)
    assert control.over
    assert caught.value.why.hint
    assert list(tmp_path.iterdir()) == []
    mortal.start()
    assert live.rows() == {"images": 1000, "plain": 0}


def test_a_server_that_stops_while_pg_dump_writes_leaves_nothing(mortal, tmp_path):
    """Whenever that is: no folder, or a dump that is whole."""
    live = made(mortal)
    mortal.run("TRUNCATE images", FILL.format(400_000), name=live.access.name)
    folder = tmp_path / "dump"

    class Writes(Stops):
        def stopped(self) -> bool:
            self.heard = any(file.stat().st_size for file in folder.glob("[0-9]*.dat"))
            return super().stopped()

    control = Writes(mortal, "nothing that is said")
    with suppress(Broken):
        live.dump(folder, control)
        assert live.prove(folder) == {"images": 400_000}
        return
    assert control.over
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def small_disk(postgres, tmp_path):
    """A tablespace of 24 MB. Only who may mount can have one."""
    folder = postgres.folder / "small"
    folder.mkdir()
    options = f"size=24m,uid={pwd.getpwnam('nobody').pw_uid},mode=700"
    mount = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    if os.getuid() != 0 or subprocess.run(mount, check=False).returncode != 0:
        pytest.skip("no file system can be mounted here")
    try:
        postgres.run(f"CREATE TABLESPACE small OWNER dhash LOCATION '{folder}'")
        yield "small"
        postgres.drop_made()
        postgres.run("DROP TABLESPACE small")
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)
        folder.rmdir()


def test_a_full_disk_of_the_server_changes_nothing(postgres, small_disk, tmp_path):
    """One error that says so; the room is given back. The same for a scratch."""
    big = made(postgres)
    name = big.access.name
    postgres.run(FILL.format(40_000).replace("1, 40", "1001, 40"), name=name, user="dhash")
    big.dump(tmp_path / "dump", Told())
    postgres.run("DELETE FROM images WHERE id > 7", name=name)
    postgres.run("VACUUM FULL images", name=name)
    postgres.run(f"ALTER DATABASE {name} SET TABLESPACE small")
    with pytest.raises(Broken, match="No space left on device") as caught:
        big.restore(tmp_path / "dump", Told())
    assert caught.value.why.hint == "make room on the disk that is full"
    scratch = big.scratch("verify")
    try:
        with pytest.raises(Broken, match="No space left on device"):
            scratch.fill(tmp_path / "dump", Told())
    finally:
        scratch.discard()
    assert big.rows() == {"images": 7}
    assert not {one for one in postgres.databases() if one.startswith(f"{name}_")}
