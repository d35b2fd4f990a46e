"""What every adapter of ports.Archive keeps. A new adapter adds itself to `KINDS`."""

import re
import shutil
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from guarded_rollout.adapters.archive import ZipArchive
from guarded_rollout.adapters.clock import SystemClock
from guarded_rollout.adapters.sqlite import SqliteDatabase
from guarded_rollout.core.problems import BadInput, Broken, Busy, Interrupted, Problem
from guarded_rollout.core.retention import expired
from guarded_rollout.ports import BackupRequest
from guarded_rollout.testing.control import Told

KINDS = {"zip": lambda root: ZipArchive(root, SystemClock(), "dhash")}
REQUEST = BackupRequest("production", "1.2.0-3f9c0a1b2c4d", "ada", "before 1.3.0", ())
SAFETY = replace(REQUEST, reason="before a restore", safety=True)


@pytest.fixture
def root(tmp_path) -> Path:
    root = tmp_path / "root"
    (root / "config").mkdir(parents=True)
    return root


@pytest.fixture(params=sorted(KINDS))
def archive(request, root):
    return KINDS[request.param](root)


@pytest.fixture
def database(tmp_path) -> SqliteDatabase:
    path = tmp_path / "it.db"
    with closing(sqlite3.connect(path)) as c:
        c.execute("CREATE TABLE alembic_version (version_num TEXT)")
        c.execute("INSERT INTO alembic_version VALUES ('0002')")
        c.execute("CREATE TABLE images (id INTEGER PRIMARY KEY, hash TEXT)")
        c.executemany("INSERT INTO images (hash) VALUES (?)", [(f"{i:016x}",) for i in range(500)])
        c.commit()
    return SqliteDatabase(path, SystemClock())


def everything(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*")}


def test_a_backup_says_what_it_is(archive, database, root):
    """Environment, release, schema, rows, size; verified; and a checksum beside it."""
    began = SystemClock().now()
    control = Told()
    backup = archive.create(REQUEST, database, control)
    assert backup.verified
    assert backup.environment == "production"
    assert backup.release == "1.2.0-3f9c0a1b2c4d"
    assert backup.schema == "0002"
    assert backup.rows == {"images": 500}
    assert began <= backup.created <= SystemClock().now()
    assert backup.size == (root / backup.file).stat().st_size
    assert everything(root) == {"config", "backups", backup.file, backup.file + ".sha256"}
    assert any("verified" in line for line in control.said)


def test_a_fresh_backup_verifies_and_is_listed_the_same(archive, database, root):
    """create, verify and backups tell one story, also to a controller that starts later."""
    backup = archive.create(REQUEST, database, Told())
    assert archive.verify(Path(backup.file), "production", database) == backup
    assert archive.verify(root / backup.file, "production", database) == backup
    assert archive.backups() == (backup,)
    assert KINDS["zip"](root).backups() == (backup,)


def test_verifying_leaves_nothing_behind(archive, database, root):
    """Neither on success nor on failure."""
    backup = archive.create(REQUEST, database, Told())
    before = everything(root)
    archive.verify(Path(backup.file), "production", database)
    with pytest.raises(Problem):
        archive.verify(Path(backup.file), "staging", database)
    assert everything(root) == before


def test_a_backup_of_another_environment_is_refused_with_the_right_ones_name(archive, database):
    """The newest good backup of the right environment is in the hint."""
    archive.create(REQUEST, database, Told())
    right = archive.create(REQUEST, database, Told())
    wrong = archive.create(BackupRequest("staging", None, "ada", "", ()), database, Told())
    with pytest.raises(BadInput, match="is a backup of staging, not production") as caught:
        archive.verify(Path(wrong.file), "production", database)
    assert caught.value.why.hint == f"use {right.file}"


def test_a_missing_backup_is_refused_with_what_to_do(archive, database):
    """Without any good one the hint says how to make one."""
    with pytest.raises(BadInput, match=r"there is no backup backups/nothing\.zip") as caught:
        archive.verify(Path("backups/nothing.zip"), "production", database)
    assert "rollout backup create --env production" in caught.value.why.hint


def test_a_backup_without_its_checksum_is_refused(archive, database, root):
    """And it is listed as unverified."""
    backup = archive.create(REQUEST, database, Told())
    (root / (backup.file + ".sha256")).unlink()
    with pytest.raises(BadInput, match="has no checksum"):
        archive.verify(Path(backup.file), "production", database)
    (listed,) = archive.backups()
    assert not listed.verified
    assert (listed.file, listed.environment) == (backup.file, backup.environment)
    assert listed.created == int(backup.created)  # all that its name says


def test_a_changed_backup_is_refused_and_listed_as_unverified(archive, database, root):
    """One byte is enough, and the cache of the list does not hide it."""
    backup = archive.create(REQUEST, database, Told())
    assert archive.backups()[0].verified
    path = root / backup.file
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(Broken, match="is not what was written"):
        archive.verify(Path(backup.file), "production", database)
    assert not archive.backups()[0].verified


def test_before_the_first_deploy_there_is_no_database_and_the_backup_says_so(
    archive, database, root
):
    """Configuration alone is a backup too."""
    database.path.unlink()
    (root / "config" / "it.conf").write_text("A=1\n")
    request = BackupRequest("production", None, "ada", "first", ("config/it.conf",))
    backup = archive.create(request, database, Told())
    assert (backup.release, backup.schema, backup.rows) == (None, None, {})
    assert archive.verify(Path(backup.file), "production", database) == backup


def test_a_missing_file_is_named_and_nothing_is_left(archive, database, root):
    """No half a backup without the configuration that was asked for."""
    request = BackupRequest("production", None, "ada", "", ("config/nowhere.conf",))
    with pytest.raises(BadInput, match=r"config/nowhere\.conf"):
        archive.create(request, database, Told())
    assert everything(root) <= {"config", "backups"}


@pytest.mark.parametrize("file", ["/etc/hostname", "../it.db", "config/../../it.db"])
def test_files_outside_the_root_do_not_go_in(archive, database, file):
    """A backup is of this root."""
    with pytest.raises(BadInput, match="is not below"):
        archive.create(BackupRequest("production", None, "ada", "", (file,)), database, Told())


@pytest.mark.parametrize("request_", [REQUEST, SAFETY], ids=["backup", "safety"])
def test_told_to_stop_at_any_question_leaves_nothing(archive, database, root, request_):
    """Every time it asks, yes is a good answer."""
    for after in range(100):
        control = Told(after)
        try:
            made = archive.create(request_, database, control)
        except Interrupted:
            assert everything(root) <= {"config", "backups"}
        else:
            break
    assert after >= 4
    assert everything(root) == {"config", "backups", made.file, f"{made.file}.sha256"}


def test_an_unsound_database_gives_no_backup(archive, database, root):
    """Rows that point to nothing are found before anybody relies on the backup."""
    with closing(sqlite3.connect(database.path)) as c:
        c.execute("CREATE TABLE reviews (image INTEGER REFERENCES images(id))")
        c.execute("INSERT INTO reviews VALUES (4711)")
        c.commit()
    with pytest.raises(Broken, match=r"the dump in .*\.zip has 1 rows that point to nothing"):
        archive.create(REQUEST, database, Told())
    assert everything(root) <= {"config", "backups"}


def test_a_locked_database_is_busy_and_nothing_is_left(archive, database, root):
    """After the database's bounded wait."""
    quick = SqliteDatabase(database.path, SystemClock(), wait_seconds=0.1)
    with closing(sqlite3.connect(database.path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(Busy, match=r"it\.db is locked"):
            archive.create(REQUEST, quick, Told())
    assert everything(root) <= {"config", "backups"}


def test_the_newest_come_first_and_other_files_do_not_count(archive, database, root):
    """Strangers in the folder disturb nobody."""
    first = archive.create(REQUEST, database, Told())
    second = archive.create(REQUEST, database, Told())
    folder = root / "backups"
    (folder / "holiday.zip").write_bytes(b"x")
    (folder / "dhash_production_20260230_000000.zip").write_bytes(b"no such day")
    (folder / "other_production_20260201_000000.zip").write_bytes(b"another service's")
    (folder / ".dhash_production_20260201_000000.zip.partial").mkdir()
    (folder / "dhash_production_20260203_000000.zip").mkdir()
    assert second.created > first.created
    assert [b.file for b in archive.backups() if b.verified] == [second.file, first.file]


def test_a_removed_backup_is_gone_and_removing_again_is_no_error(archive, database, root):
    """Together with its checksum."""
    backup = archive.create(REQUEST, database, Told())
    archive.remove(backup)
    archive.remove(backup)
    assert archive.backups() == ()
    assert everything(root) == {"config", "backups"}


def test_only_backups_can_be_removed(archive, database, root):
    """A wrong path in a Backup deletes nothing."""
    backup = archive.create(REQUEST, database, Told())
    (root / "config" / "dhash_production_20260201_000000.zip").write_bytes(b"x")
    for file in ("config/dhash_production_20260201_000000.zip", "backups/../rollout.toml"):
        with pytest.raises(BadInput, match="is no backup"):
            archive.remove(replace(backup, file=file))
    assert (root / "config" / "dhash_production_20260201_000000.zip").exists()


def test_no_archive_yet_means_no_backups(archive, root):
    """Looking makes no folder."""
    assert archive.backups() == ()
    assert everything(root) == {"config"}


def test_retention_never_takes_the_newest_good_one(archive, database, root):
    """A newer file that is no good does not count as one."""
    good = archive.create(REQUEST, database, Told())
    late = root / "backups" / "dhash_production_29990101_000000.zip"
    late.write_bytes((root / good.file).read_bytes())
    gone = expired(archive.backups(), "production", good.created + 10**12, 7)
    assert [backup.file for backup in gone] == [f"backups/{late.name}"]


def test_a_safety_snapshot_is_whole_and_apart_from_the_backups(archive, database, root):
    """No pattern, no list and no retention finds it; who names it can rely on it."""
    backup = archive.create(REQUEST, database, Told())
    safety = archive.create(SAFETY, database, Told())
    stamp = "[0-9]{8}_[0-9]{6}"
    assert re.fullmatch(rf"backups/before-restore_dhash_production_{stamp}\.zip", safety.file)
    assert list(root.glob("backups/dhash_*.zip")) == [root / backup.file]
    assert archive.backups() == (backup,)
    assert safety.verified
    assert (safety.rows, safety.shape) == (backup.rows, backup.shape)
    assert archive.verify(Path(safety.file), "production", database) == safety
    with archive.unpacked(root / safety.file, "production", database) as found:
        assert found.backup == safety
        assert database.prove(found.dump) == {"images": 500}
    for path in (root / safety.file, root / f"{safety.file}.sha256"):
        assert path.stat().st_mode & 0o777 == 0o600


def test_a_safety_snapshot_cannot_be_removed_by_this_tool(archive, database, root):
    """Whoever restored may still want what was there before."""
    safety = archive.create(SAFETY, database, Told())
    with pytest.raises(BadInput, match="is no backup of dhash"):
        archive.remove(safety)
    assert archive.backups() == ()
    assert expired(archive.backups(), "production", safety.created + 10**12, 7) == ()
    assert (root / safety.file).exists()


@pytest.mark.parametrize("request_", [REQUEST, SAFETY], ids=["backup", "safety"])
def test_another_backup_under_this_name_is_refused(archive, database, root, request_):
    """With its own checksum, which fits; as a file of its own, not of this name, it is sound."""
    first = archive.create(request_, database, Told())
    second = archive.create(request_, database, Told())
    sums = (root / f"{first.file}.sha256").read_text()
    shutil.copy(root / first.file, root / second.file)
    (root / f"{second.file}.sha256").write_text(sums.replace(first.file, second.file))
    with pytest.raises(BadInput, match="is another backup under this name") as caught:
        archive.verify(Path(second.file), "production", database)
    assert Path(first.file).name in str(caught.value)
    assert [b.verified for b in archive.backups() if b.file == second.file] in ([], [False])
    (root / f"{second.file}.sha256").write_text(sums)
    with pytest.raises(Broken, match=r"has a checksum file that is for 'backups/"):
        archive.verify(Path(second.file), "production", database)
    shutil.copy(root / second.file, root / "backups" / "second.zip")
    shutil.copy(root / f"{first.file}.sha256", root / "backups" / "second.zip.sha256")
    found = archive.verify(Path("backups/second.zip"), "production", database)
    assert (found.created, found.sha256) == (first.created, first.sha256)
