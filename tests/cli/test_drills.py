"""`rollout backup verify --restore` and `rollout backup drill`, as they are typed, on SQLite."""

import hashlib
import json
import shutil
import sqlite3
import subprocess
import sys
import zipfile
from contextlib import closing
from pathlib import Path

import pytest
from toy_configuration import ROLLOUT

from guarded_rollout.adapters.archive import ZipArchive
from guarded_rollout.adapters.clock import SystemClock
from guarded_rollout.adapters.sqlite import SqliteDatabase
from guarded_rollout.ports import BackupRequest
from guarded_rollout.testing.control import Told

REQUEST = BackupRequest("production", None, "ops@here", "test", ())


@pytest.fixture
def root(tmp_path):
    """A project with a database that was never deployed by us, and no backup yet."""
    root = tmp_path / "root"
    root.mkdir()
    (root / "rollout.toml").write_text(
        ROLLOUT.replace(
            "[service.metrics]",
            '[service.env]\nDATABASE_URL = "{database_url}"\n\n[service.metrics]',
        )
    )
    data = root / "data" / "production" / "toy.db"
    data.parent.mkdir(parents=True)
    with closing(sqlite3.connect(data)) as db:
        db.execute("CREATE TABLE toys (id INTEGER PRIMARY KEY, name TEXT)")
        db.executemany("INSERT INTO toys (name) VALUES (?)", [(f"toy {n}",) for n in range(200)])
        db.commit()
    return root


@pytest.fixture
def rollout(root):
    def run(*words):
        return subprocess.run(
            [sys.executable, "-m", "guarded_rollout", "backup", *words],
            cwd=root,
            capture_output=True,
            text=True,
            check=False,
        )

    return run


@pytest.fixture
def database(root):
    return SqliteDatabase(root / "data" / "production" / "toy.db", SystemClock())


@pytest.fixture
def archive(root):
    return ZipArchive(root, SystemClock(), "toy")


def files(root):
    return {
        str(path.relative_to(root)): path.read_bytes() if path.is_file() else None
        for path in root.rglob("*")
    }


def test_the_newest_is_restored_and_compared(root, rollout, archive, database):
    """The scratch database is gone afterwards, and the real one was not touched."""
    archive.create(REQUEST, database, Told())
    newest = archive.create(REQUEST, database, Told())
    before = files(root)
    done = rollout("drill", "--env", "production")
    assert done.returncode == 0, done.stderr
    assert (
        f"{newest.file} was restored into a scratch database and compared: "
        "rows and contents of 1 tables, 200 rows, "
    ) in done.stdout
    assert files(root) == before


def test_one_is_named_and_its_environment_is_in_its_name(root, rollout, archive, database):
    """With --json one document on standard output."""
    older = archive.create(REQUEST, database, Told())
    archive.create(REQUEST, database, Told())
    done = rollout("verify", older.file, "--restore", "--json")
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert (said["file"], said["environment"]) == (older.file, "production")
    assert (said["restored"], said["hashed"], said["rows"]) == (True, True, {"toys": 200})
    assert said["seconds"] >= 0


def test_a_safety_snapshot_can_be_named_but_is_never_the_newest(root, rollout, archive, database):
    """A list does not have it either."""
    backup = archive.create(REQUEST, database, Told())
    request = BackupRequest("production", None, "ops@here", "", (), safety=True)
    safety = archive.create(request, database, Told())
    assert f"{backup.file} was restored" in rollout("drill", "--env", "production").stdout
    assert safety.file not in rollout("list", "--env", "production").stdout
    done = rollout("verify", safety.file, "--restore")
    assert done.returncode == 0, done.stderr
    assert f"{safety.file} was restored" in done.stdout


def test_without_a_backup_it_says_how_to_make_one(rollout):
    """Nothing to drill is no success."""
    for words in (["drill"], ["verify", "--restore"]):
        done = rollout(*words, "--env", "production")
        assert done.returncode == 1
        assert "there is no backup of production" in done.stderr
        assert "rollout backup create --env production" in done.stderr


def test_a_schema_that_is_another_one_is_found_by_restoring_only(root, rollout, archive, database):
    """sha256sum is content, verify is content, the drill is not: exit code 1, for a timer."""
    backup = archive.create(REQUEST, database, Told())
    spoil(root, backup, "CREATE INDEX by_name ON toys (name)")
    sums = ["sha256sum", "-c", f"{backup.file}.sha256"]
    assert subprocess.run(sums, cwd=root, check=False, stdout=subprocess.DEVNULL).returncode == 0
    assert rollout("verify", backup.file).returncode == 0
    before = files(root)
    for words in (["drill", "--env", "production"], ["verify", backup.file, "--restore"]):
        done = rollout(*words)
        assert done.returncode == 1
        assert "its schema is another one" in done.stderr
        assert "make another backup" in done.stderr
        assert "Traceback" not in done.stderr
    assert files(root) == before


def test_rows_that_are_missing_are_found(root, rollout, archive, database):
    """Already by counting what is in the dump."""
    backup = archive.create(REQUEST, database, Told())
    spoil(root, backup, "DELETE FROM toys WHERE id > 150")
    for words in (["verify"], ["verify", "--restore"], ["drill"]):
        done = rollout(*words, "--env", "production")
        assert done.returncode == 1
        assert "toys: 200 written down, 150 found" in done.stderr


@pytest.mark.parametrize("words", [["drill"], ["verify"], ["verify", "--restore"]], ids=" ".join)
def test_a_damaged_one_is_told_and_not_passed_over(root, rollout, archive, database, words):
    """The newest counts, though an older one is sound."""
    archive.create(REQUEST, database, Told())
    newest = archive.create(REQUEST, database, Told())
    path = root / newest.file
    data = path.read_bytes()
    path.write_bytes(data[:100] + bytes([data[100] ^ 1]) + data[101:])
    done = rollout(*words, "--env", "production")
    assert done.returncode == 1
    assert f"{newest.file} is not what was written" in done.stderr


def test_another_environments_backup_is_refused(root, rollout, archive, database):
    """With the name of one that would do."""
    mine = archive.create(REQUEST, database, Told())
    request = BackupRequest("staging", None, "ops@here", "", ())
    theirs = archive.create(request, database, Told())
    done = rollout("verify", theirs.file, "--restore", "--env", "production")
    assert done.returncode == 1
    assert f"{theirs.file} is a backup of staging, not production" in done.stderr
    assert f"use {mine.file}" in done.stderr


def test_a_swapped_one_is_refused(root, rollout, archive, database):
    """An older one under the newest's name, with a checksum that fits."""
    older = archive.create(REQUEST, database, Told())
    newest = archive.create(REQUEST, database, Told())
    shutil.copy(root / older.file, root / newest.file)
    line = (root / f"{older.file}.sha256").read_text().replace(older.file, newest.file)
    (root / f"{newest.file}.sha256").write_text(line)
    done = rollout("drill", "--env", "production")
    assert done.returncode == 1
    assert "is another backup under this name" in done.stderr
    assert Path(older.file).name in done.stderr


def spoil(root, backup, statement):
    """Change the dump inside; every SHA-256 fits, what is said of the data does not."""
    path = root / backup.file
    with zipfile.ZipFile(path) as packed:
        members = {name: packed.read(name) for name in packed.namelist()}
    dump = root.parent / "dump.db"
    dump.write_bytes(members["database/toy.sqlite"])
    with closing(sqlite3.connect(dump)) as db:
        db.execute(statement)
        db.commit()
    content = members["database/toy.sqlite"] = dump.read_bytes()
    said = json.loads(members["MANIFEST.json"])
    (listed,) = [one for one in said["members"] if one["name"] == "database/toy.sqlite"]
    listed |= {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    line = f"{listed['sha256']}  {listed['name']}\n"
    said["database"]["sha256"] = hashlib.sha256(line.encode()).hexdigest()
    members["MANIFEST.json"] = json.dumps(said).encode()
    with zipfile.ZipFile(path, "w") as packed:
        for name, member in members.items():
            packed.writestr(name, member)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    (root / f"{backup.file}.sha256").write_text(f"{digest}  {backup.file}\n")


def test_prune_reads_what_stays_before_anything_goes(root, rollout, archive, database):
    """A newest backup that fits its checksum and lost rows: nothing is removed."""
    archive.create(REQUEST, database, Told())
    backup = archive.create(REQUEST, database, Told())
    newest = root / backup.file
    sound = {file: file.read_bytes() for file in newest.parent.glob(f"{newest.name}*")}
    prune = ("prune", "--env", "production", "--retention-days", "0")
    spoil(root, backup, "DELETE FROM toys WHERE id = 7")
    before = files(root / "backups")
    done = rollout(*prune)
    assert done.returncode == 1, done.stdout
    assert newest.name in done.stderr
    assert files(root / "backups") == before
    for file, content in sound.items():
        file.write_bytes(content)
    done = rollout(*prune)
    assert done.returncode == 0, done.stderr
    assert [file.name for file in newest.parent.glob("*.zip")] == [newest.name]
