"""Bad input on a site that serves users: one clear error, nothing left behind, no user notices."""

import contextlib
import hashlib
import json
import os
import resource
import shutil
import socket
import sqlite3
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from site_of_ours import ENVIRONMENT, Site, driven, since_start

pytestmark = pytest.mark.slow

OWN_WORDS = {"log", "access.jsonl", "dhash.db-shm"}
"""Files that the service and the proxy write while nobody deploys anything."""


def tree(site):
    """Path, mode and content of everything below the root but what its processes write."""
    found = {}
    for path in sorted(site.root.rglob("*")):
        if path.name not in OWN_WORDS:
            content = path.read_bytes() if path.is_file() and not path.is_symlink() else b""
            found[str(path)] = (path.lstat().st_mode, hashlib.sha256(content).hexdigest())
    return found


def sockets(site):
    """What is in the folders for sockets."""
    return sorted(str(path) for path in Path(site.env["XDG_RUNTIME_DIR"]).rglob("*"))


def backups(site):
    """Every file and folder, hidden ones too."""
    return sorted(path.name for path in (site.root / "backups").iterdir())


def settle(site):
    """A guard ends shortly after the rollout that it drove."""

    def no_guard(_):
        return not any(f"guard --root {site.root}" in line for line in site.processes().values())

    site.wait_for(no_guard)


def no_traceback(site, *texts):
    for log in (site.root / ".rollout").rglob("guard.log"):
        assert "Traceback" not in log.read_text()
    for text in texts:
        assert "Traceback" not in text
        assert "unexpected" not in text


class Unchanged:
    """Around a command that is refused: the same processes, backups and users as before."""

    def __init__(self, site):
        self._site = site

    def __enter__(self):
        settle(self._site)
        self._before = (set(self._site.processes()), backups(self._site), self._site.serving())

    def __exit__(self, kind, *_):
        if kind is None:
            site = self._site
            settle(site)
            assert (set(site.processes()), backups(site), site.serving()) == self._before
            assert site.status()["active"] is None


def refused(site, *words):
    """The command line refuses it: what and hint on standard error, nothing begun."""
    count = len(site.facts())
    with Unchanged(site):
        done = site.rollout(*words)
    assert done.returncode == 1, done.stdout + done.stderr
    assert done.stderr.startswith("rollout: ")
    assert done.stderr.count("  -> ") == 1
    assert "\n  -> " in done.stderr
    assert len(site.facts()) == count
    no_traceback(site, done.stdout, done.stderr)
    return done.stderr


def refused_by_its_guard(site, *words, limit=None):
    """A step refuses it: the fact has what and hint, the last line says that nothing changed."""

    def few_bytes():
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    with Unchanged(site):
        done = subprocess.run(
            site.command(*words),
            env=site.env,
            cwd=site.root,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=240,
            check=False,
            preexec_fn=few_bytes if limit else None,
        )
    assert done.returncode == 1, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    failed = next(i for i, line in enumerate(lines) if "FAILED: " in line)
    assert "  -> " in lines[failed + 1]
    assert lines[-1].startswith("refused, nothing was changed: ")
    assert driven(site.facts())[-1][0] == "step-failed"
    no_traceback(site, done.stdout, done.stderr)
    return done.stdout


@pytest.fixture(scope="module")
def zips(site):
    """(production's newest backup, staging's)."""
    newest = []
    for environment in (ENVIRONMENT, "staging"):
        done = site.rollout("backup", "create", "--env", environment)
        assert done.returncode == 0, done.stdout
        newest.append(max((site.root / "backups").glob(f"dhash_{environment}_*.zip")))
    return newest


@pytest.fixture
def copied(site, zips):
    """`copied(zip)` is a copy of a backup with its checksum, under a name of production."""
    copies = []

    def copy(backup, name="dhash_production_20200101_000000.zip"):
        to = backup.with_name(name)
        shutil.copy2(backup, to)
        said = beside(backup).read_text().replace(backup.name, to.name)
        beside(to).write_text(said)
        copies.extend((to, beside(to)))
        return to

    yield copy
    for made in copies:
        made.unlink(missing_ok=True)


def beside(backup):
    return backup.with_name(f"{backup.name}.sha256")


def write_checksum(backup):
    digest = hashlib.sha256(backup.read_bytes()).hexdigest()
    beside(backup).write_text(f"{digest}  backups/{backup.name}\n")


def asked(backup):
    """The two commands that are handed a backup by a person."""
    file = f"backups/{backup.name}"
    return [
        ("rollback", "--env", ENVIRONMENT, "--backup", file, "--force"),
        ("backup", "verify", "--env", ENVIRONMENT, file),
    ]


def test_another_environment_s_backup_is_refused_even_with_force(site, zips, copied):
    """By what is written inside: its name may lie. The right one is named."""
    ours, staging = zips
    for backup in (staging, copied(staging)):
        for words in asked(backup):
            said = refused(site, *words)
            assert f"backups/{backup.name} is a backup of staging, not production" in said
            assert f"use backups/{ours.name}" in said


@pytest.fixture
def spoilt(zips):
    """A backup under its own name that a test may spoil."""
    backup = zips[0]
    kept = {file: file.read_bytes() for file in (backup, beside(backup))}
    yield backup
    for file, content in kept.items():
        file.write_bytes(content)


def test_a_corrupted_backup_is_refused(site, spoilt):
    """One flipped byte; a checksum that was made to fit it does not help."""
    backup = spoilt
    content = bytearray(backup.read_bytes())
    with zipfile.ZipFile(backup) as archive:
        dump = next(entry for entry in archive.infolist() if entry.filename.startswith("database/"))
    content[dump.header_offset + 30 + len(dump.filename) + dump.compress_size // 2] ^= 1
    backup.write_bytes(content)
    for words in asked(backup):
        said = refused(site, *words)
        assert f"backups/{backup.name} is not what was written: its SHA-256 is" in said
    write_checksum(backup)
    for words in asked(backup):
        said = refused(site, *words)
        assert f"backups/{backup.name}" in said
        assert "the file is damaged: use another backup" in said


def test_half_a_backup_is_refused(site, zips, copied):
    """A copy that was cut off, with a checksum of its own."""
    backup = copied(zips[0])
    backup.write_bytes(backup.read_bytes()[: backup.stat().st_size // 2])
    write_checksum(backup)
    for words in asked(backup):
        assert f"backups/{backup.name} is not a whole zip" in refused(site, *words)


def test_a_backup_without_its_checksum_is_refused(site, zips, copied):
    """Nobody can tell whether it is whole."""
    backup = copied(zips[0])
    beside(backup).unlink()
    for words in asked(backup):
        said = refused(site, *words)
        assert f"backups/{backup.name} has no checksum: {backup.name}.sha256 is missing" in said


def test_skip_backup_with_no_sound_backup_is_refused(site, zips, copied, releases):
    """A corrupted one does not count."""
    backup = copied(zips[0], "dhash_canary_20200101_000000.zip")
    backup.write_bytes(b"PK")
    said = refused(site, "deploy", "--env", "canary", "--skip-backup")
    assert "--skip-backup needs a verified backup of canary, and there is none" in said


@contextlib.contextmanager
def edited(site, old, new):
    """rollout.toml with another value for a while."""
    path = site.root / "rollout.toml"
    text = path.read_text()
    assert text.count(old) == 1, old
    path.write_text(text.replace(old, new))
    try:
        yield
    finally:
        path.write_text(text)


def test_a_port_that_is_taken_refuses_the_deploy_and_leaves_nothing(site):
    """Who has it is named; no proxy, no replica, no database, no active rollout."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with edited(site, '"127.0.0.1:8082"', f'"127.0.0.1:{port}"'):
            said = refused_by_its_guard(site, "deploy", "--env", "canary")
            status = json.loads(site.rollout("status", "--env", "canary", "--json").stdout)
    assert f"port 127.0.0.1:{port} is taken by process {os.getpid()} (" in said
    assert "or change `listen` in rollout.toml" in said
    assert status["active"] is status["serving"] is None
    assert status["replicas"] == []
    assert not (site.root / "data" / "canary").exists()
    assert not (site.root / ".rollout" / "canary" / "proxy").exists()


LOCKS = """
import sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=30)
db.execute("CREATE TABLE IF NOT EXISTS held (x)")
db.execute("BEGIN EXCLUSIVE")
print("locked", flush=True)
sys.stdin.read()
db.execute("ROLLBACK")
db.execute("DROP TABLE held")
"""


@contextlib.contextmanager
def locked(file):
    """Another process holds the database for writing."""
    file.parent.mkdir(parents=True, exist_ok=True)
    holder = subprocess.Popen(
        [sys.executable, "-c", LOCKS, str(file)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert holder.stdout.readline() == "locked\n"
        yield
    finally:
        holder.communicate()


def test_a_locked_database_refuses_a_deploy_before_it_is_begun(site):
    """The file is named, and how to find who holds it."""
    with locked(site.root / "data" / "canary" / "dhash.db"):
        said = refused(site, "deploy", "--env", "canary")
        assert "data/canary/dhash.db is locked: somebody held it for 5 s" in said
        assert "fuser" in said
        said = refused_by_its_guard(site, "backup", "create", "--env", "canary")
        assert "data/canary/dhash.db is locked" in said
    shutil.rmtree(site.root / "data" / "canary")


@pytest.mark.parametrize(
    ("command", "what"),
    [("backup create", "files"), ("backup create", "database"), ("deploy", "database")],
)
def test_a_disk_that_is_full_while_backing_up_leaves_no_part_of_a_backup(
    site, releases, command, what
):
    """No file may grow beyond 24 MB: the dump or the zip cannot be finished. Users are served."""
    more = ("--source", releases("good")) if command == "deploy" else ()
    words = (*command.split(), "--env", ENVIRONMENT, *more)
    with large(site, what):
        said = refused_by_its_guard(site, *words, limit=24 * 2**20)
    assert "backup          FAILED: " in said
    assert not [name for name in backups(site) if "partial" in name]


@contextlib.contextmanager
def large(site, what):
    """36 MB that cannot be compressed, among the data files or in the database."""
    if what == "files":
        folder = site.root / "data" / "pictures"
        folder.mkdir()
        (folder / "many").write_bytes(os.urandom(36 * 2**20))
        where = "[environments.production]\n"
        with edited(site, where, where + 'data_dirs = ["data/pictures"]\n'):
            yield
        shutil.rmtree(folder)
        return
    file = site.root / "data" / ENVIRONMENT / "dhash.db"
    with contextlib.closing(sqlite3.connect(file, isolation_level=None, timeout=30)) as db:
        db.execute("CREATE TABLE pictures (content BLOB)")
        for _ in range(36):
            db.execute("INSERT INTO pictures VALUES (randomblob(1048576))")
        yield
        db.execute("DROP TABLE pictures")
        db.execute("VACUUM")


def test_a_second_rollout_is_refused_by_the_name_of_the_first(site, releases):
    """Whatever it would be, backups included: one at a time."""
    source = releases("good")
    done = site.rollout("deploy", "--env", ENVIRONMENT, "--source", source, "--detach", "--json")
    rollout = json.loads(done.stdout)["rollout"]
    try:
        for words in (["deploy"], ["migrate"], ["monitor"], ["backup", "create"]):
            second = site.rollout(*words, "--env", ENVIRONMENT)
            assert second.returncode == 1
            assert f"deploy {rollout} is active in production since" in second.stderr
            assert "undo it: rollout rollback --env production --reason WHY" in second.stderr
            no_traceback(site, second.stdout, second.stderr)
        assert site.status()["active"]["rollout"] == rollout
    finally:
        done = site.rollout("rollback", "--env", ENVIRONMENT, "--reason", "only a test")
    assert done.returncode == 0, done.stdout
    assert site.serving() == "1.0.0"


DRY = [
    ["deploy", "--dry-run"],
    ["deploy", "--dry-run", "--again"],
    ["migrate", "--dry-run"],
    ["monitor", "--dry-run"],
    ["rollback", "--dry-run", "--force"],
    ["backup", "create", "--dry-run", "--retention-days", "0"],
    ["backup", "prune", "--dry-run", "--retention-days", "0"],
]


def dry(site, words, codes):
    """It says that nothing was changed, or why it cannot be done; and so it is."""
    settle(site)
    before = (tree(site), site.processes(), sockets(site))
    done = site.rollout(*words, "--env", ENVIRONMENT)
    assert (tree(site), site.processes(), sockets(site)) == before, words
    assert done.returncode in codes, done.stdout + done.stderr
    if done.returncode == 0:
        assert done.stdout.endswith("dry run: nothing was changed\n")
    no_traceback(site, done.stdout, done.stderr)


def test_dry_runs_leave_an_empty_root_byte_for_byte_as_it_was():
    """No journal, no folder, no process."""
    with Site(lent=False) as empty:
        for words in DRY:
            dry(empty, words, {0, 1})
        assert {path.name for path in empty.root.iterdir()} == {
            "quality-gates-config.json",
            "rollout.toml",
            "services",
        }
        assert empty.processes() == {}


def test_dry_runs_leave_a_serving_site_byte_for_byte_as_it_was(site, releases):
    """Tree, database and processes; there is a version to go back to, and backups to remove.

    The last of these stories: 1.0.1 serves afterwards.
    """
    words = ["--env", ENVIRONMENT, "--source", releases("good"), "--detach"]
    assert site.rollout("deploy", *words).returncode == 0
    site.wait_for(lambda facts: any(kind == "observed" for kind, _ in since_start(facts)))
    done = site.rollout("promote", "--env", ENVIRONMENT, "--reason", "to have an earlier one")
    assert done.returncode == 0, done.stdout
    for dry_words in [*DRY, ["deploy", "--dry-run", "--source", str(releases("slow"))]]:
        dry(site, dry_words, {0})
    assert site.serving() == "1.0.1"
