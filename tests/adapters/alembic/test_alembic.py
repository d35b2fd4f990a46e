"""How Alembic is run: its configuration, its environment, its logs, its lock, what goes wrong."""

import sys

import pytest
from database_kinds import SqliteKind
from toy_migrations import (
    CREATED,
    DEADLINE,
    FAILS_HALFWAY,
    MIGRATIONS,
    SEEN,
    Step,
    Toy,
)

from guarded_rollout.core.problems import BadInput, Broken
from guarded_rollout.core.spec import Migrations
from guarded_rollout.testing.control import Told


@pytest.fixture
def toy(tmp_path) -> Toy:
    return Toy(tmp_path / "toy", SqliteKind(tmp_path / "kind"))


def tree(folder) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_release_on_disk_is_not_written_to(toy):
    """No bytecode, no logs: a release is read-only."""
    built = toy.release(CREATED)
    before = tree(built.folder)
    toy.up(built)
    toy.migrator.preview(toy.release(CREATED, SEEN), MIGRATIONS)
    toy.down(built, None)
    assert tree(built.folder) == before


def test_a_migration_without_a_transaction_is_told_loudly(toy):
    """What is left of it is listed; the same revision name does not hide it."""
    toy.up(toy.release(CREATED))
    with pytest.raises(Broken) as caught:
        toy.up(toy.release(CREATED, FAILS_HALFWAY, transactional=False))
    what = caught.value.why.what
    assert "THE SCHEMA IS NOT WHAT IT WAS: revision 0001 before, 0001 after" in what
    assert "CREATE TABLE half" in what


def test_success_without_the_head_is_a_failure(toy, tmp_path):
    """An env.py that migrates another database is found out."""
    built = toy.release(CREATED)
    env = built.folder / "toy" / "migrations" / "env.py"
    other = f"sqlite:///{tmp_path / 'other.db'}"
    env.write_text(env.read_text().replace('os.environ["TOY_DATABASE_URL"]', repr(other)))
    with pytest.raises(Broken, match="has revision None, not 0001") as caught:
        toy.up(built)
    assert "TOY_DATABASE_URL" in caught.value.why.hint


def test_the_migration_itself_holds_the_lock(toy):
    """So that nobody begins another one while it lives, whatever became of its controller."""
    out = toy.folder / "out"
    code = f"""
files = [os.path.join("/dev/fd", fd) for fd in os.listdir("/dev/fd")]
with open({str(out)!r}, "w") as out:
    out.write(" ".join(os.path.realpath(file) for file in files))
"""
    toy.up(toy.release(CREATED, code))
    (lock,) = (path for path in out.read_text().split() if path.endswith(".lock"))
    assert lock.startswith(f"{toy.folder / 'locks'}/migrate-")
    assert list((toy.folder / "locks").iterdir()) == []


def test_what_a_migration_starts_inherits_neither_lock_nor_report(toy):
    """A process that it leaves behind could otherwise hold them for ever."""
    out = toy.folder / "out"
    code = f"""
import subprocess
listed = subprocess.run(["ls", "-l", "/dev/fd/"], capture_output=True, text=True, close_fds=False)
open({str(out)!r}, "w").write(listed.stdout)
"""
    toy.up(toy.release(CREATED, code))
    assert "(deleted)" not in out.read_text()


def test_preview_is_the_sql_and_changes_nothing(toy):
    """From nothing, from a revision, and nothing at the head."""
    first, second = toy.release(CREATED), toy.release(CREATED, SEEN)
    sql = toy.migrator.preview(second, MIGRATIONS)
    assert "CREATE TABLE images" in sql
    assert "ADD COLUMN seen" in sql
    assert not toy.database.exists()
    toy.up(first)
    before = tree(toy.folder)
    sql = toy.migrator.preview(second, MIGRATIONS)
    assert "CREATE TABLE images" not in sql
    assert "ADD COLUMN seen" in sql
    assert toy.migrator.preview(first, MIGRATIONS) == ""
    assert tree(toy.folder) == before
    toy.up(second)
    assert toy.database.revision() == "0002"


def test_preview_of_a_broken_script_is_a_problem(toy):
    """With Alembic's last lines."""
    built = toy.release(CREATED, "raise RuntimeError('not like this')")
    with pytest.raises(Broken, match="not like this"):
        toy.migrator.preview(built, MIGRATIONS)


def test_the_configuration_is_found_in_site_packages_too(toy):
    """`{site_packages}` is the one folder below the release's venv."""
    built = toy.release(CREATED)
    packages = built.folder / "venv2" / "lib" / "python3.11" / "site-packages"
    packages.mkdir(parents=True)
    (built.folder / "toy").rename(packages / "toy")
    # A venv of its own whose packages are the toy alone, and whose python is the real one.
    (built.folder / "venv").unlink()
    (built.folder / "venv2").rename(built.folder / "venv")
    (built.folder / "venv" / "bin").mkdir()
    python = built.folder / "venv" / "bin" / "python"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    inside = Migrations("{site_packages}/toy/alembic.ini", timeout_seconds=DEADLINE)
    toy.up(built, migrations=inside)
    assert toy.database.revision() == "0001"


@pytest.mark.parametrize("ini", ["{folder}/nowhere.ini", "{nonsense}/alembic.ini", "toy"])
def test_a_configuration_that_is_no_file_is_refused(toy, ini):
    """The key and the value are named; nothing is started."""
    built = toy.release(CREATED)
    with pytest.raises(BadInput, match="alembic_ini"):
        toy.up(built, migrations=Migrations(ini))
    with pytest.raises(BadInput, match="alembic_ini"):
        toy.migrator.preview(built, Migrations(ini))
    assert not toy.database.exists()
    assert not (toy.folder / "locks").exists()


def test_a_release_without_its_venv_is_broken(toy):
    """With what to do."""
    built = toy.release(CREATED)
    (built.folder / "venv").unlink()
    with pytest.raises(Broken, match="no venv/bin/python"):
        toy.up(built)


def test_the_services_environment_is_small_and_the_same_for_everybody(toy, monkeypatch):
    """PYTHONPATH and friends of whoever runs the tool do not reach the migration."""
    monkeypatch.setenv("PYTHONPATH", "/nowhere")
    monkeypatch.setenv("SECRET_OF_THE_SHELL", "hunter2")
    monkeypatch.setenv("PGPASSFILE", "/home/ada/.pgpass")
    out = toy.folder / "out"
    toy.up(toy.release(CREATED, f"open({str(out)!r}, 'w').write(repr(dict(os.environ)))"))
    seen = out.read_text()
    assert "hunter2" not in seen
    assert "/nowhere" not in seen
    assert "/home/ada/.pgpass" in seen
    assert toy.database.url() in seen


def test_the_folder_of_the_logs_must_be_one_that_can_be_written(toy):
    """Nothing is started without a place to report to."""
    built = toy.release(CREATED)
    (toy.folder / "logs").write_text("a file")
    with pytest.raises(Broken, match="logs cannot be written"):
        toy.up(built)
    assert not toy.database.exists()


def test_a_way_down_that_is_wrong_in_itself_is_not_called_missing(toy):
    """An AttributeError inside of downgrade() is a mistake like any other."""
    toy.up(built := toy.release(CREATED, Step("pass", "op.no_such_operation()")))
    with pytest.raises(Broken, match="no_such_operation"):
        toy.down(built, "0001")


def test_what_is_said_on_the_way(toy):
    """From where, to where, and where it is now."""
    control = Told()
    toy.up(built := toy.release(CREATED, SEEN), control)
    toy.down(built, "0001", control)
    url = toy.database.url()
    assert control.said == [
        f"migrating {url} from revision None to 0002",
        f"{url} has revision 0002",
        f"migrating {url} from revision 0002 to 0001",
        f"{url} has revision 0001",
    ]
