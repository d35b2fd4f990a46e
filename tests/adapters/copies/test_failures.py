"""Copies when the disk, the server, the credentials or the sender fail."""

import errno
import hashlib
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from s3_server import BUCKET, ENVIRON, KEY, SECRET, S3Server

from guarded_rollout.adapters.clock import SystemClock
from guarded_rollout.adapters.copies import CheckedCopies
from guarded_rollout.adapters.copies.checked import CheckedPlace
from guarded_rollout.adapters.copies.folder import FolderShelf
from guarded_rollout.adapters.copies.object_store import open_shelf
from guarded_rollout.core.problems import BadInput, Broken, Problem
from guarded_rollout.core.retention import Backup
from guarded_rollout.core.spec import CopyPlace

BIG = 20 << 20


class Quiet:
    """A control that does something when asked for the `after`-th time."""

    def __init__(self, after: int = 10**9, deed=lambda: None) -> None:
        self.after, self.deed, self.asked = after, deed, 0

    def stopped(self) -> bool:
        self.asked += 1
        if self.asked == self.after:
            self.deed()
        return False

    def say(self, text: str) -> None:
        """Nobody listens."""


@pytest.fixture
def server(tmp_path):
    server = S3Server(tmp_path)
    yield server
    server.kill()


@pytest.fixture
def backup(tmp_path) -> Backup:
    content = os.urandom(BIG)
    (tmp_path / "backups").mkdir()
    file = "backups/toy_production_20260131_120000.zip"
    (tmp_path / file).write_bytes(content)
    sha256 = hashlib.sha256(content).hexdigest()
    return Backup(file, "production", 1769860800.0, BIG, sha256, verified=True)


NAME = "toy_production_20260131_120000.zip"


def s3(tmp_path, server, environ=ENVIRON, bucket=BUCKET) -> CheckedPlace:
    name = f"s3://{bucket}/p at {server.endpoint}"
    shelf = open_shelf(name, f"s3://{bucket}/p", server.endpoint, environ, patience=5)
    return CheckedPlace(shelf, tmp_path, "toy", SystemClock())


def folder(tmp_path) -> CheckedPlace:
    (tmp_path / "disk").mkdir(exist_ok=True)
    shelf = FolderShelf(tmp_path / "disk", "toy_")
    return CheckedPlace(shelf, tmp_path, "toy", SystemClock())


@pytest.mark.parametrize("after", [1, 10, 15], ids=["at once", "second part", "third part"])
def test_a_server_that_dies_in_an_upload_leaves_nothing_that_counts(
    tmp_path, server, backup, after
):
    """It names the place; when the server is back, the copy is made."""
    place = s3(tmp_path, server)
    with pytest.raises(Broken, match=f"s3://{BUCKET}/p at .* cannot be used"):
        place.put(backup, Quiet(after, server.kill))
    server.start()
    with pytest.raises(Problem):
        place.verify(NAME, Quiet())
    assert place.put(backup, Quiet()).sent
    assert place.verify(NAME, Quiet()).sha256 == backup.sha256


def test_a_server_that_dies_while_the_copy_is_read_back_leaves_no_copy(tmp_path, server, backup):
    """Sent is not copied."""
    place = s3(tmp_path, server)
    with pytest.raises(Broken, match="cannot be used"):
        place.put(backup, Quiet(BIG // (1 << 20) + 2, server.kill))
    server.start()
    with pytest.raises(BadInput, match="no finished copy"):
        place.verify(NAME, Quiet())
    assert [held.file for held in place.holds()] == [NAME]  # seen, so that retention removes it
    assert place.put(backup, Quiet()).sent


@pytest.mark.parametrize("kind", ["folder", "s3"])
@pytest.mark.parametrize("after", [2, 12])
def test_a_sender_that_is_killed_leaves_nothing_that_counts(tmp_path, server, backup, kind, after):
    """kill -9 in the middle of sending; the next one makes the copy and sweeps up."""
    place = folder(tmp_path) if kind == "folder" else s3(tmp_path, server)
    to = f"folder:{tmp_path / 'disk'}" if kind == "folder" else f"s3://{BUCKET}/p"
    endpoint = None if kind == "folder" else server.endpoint
    code = f"""
        import os, signal
        from pathlib import Path
        from guarded_rollout.adapters.clock import SystemClock
        from guarded_rollout.adapters.copies import CheckedCopies
        from guarded_rollout.core.retention import Backup
        from guarded_rollout.core.spec import CopyPlace
        class Deadly:
            asked = 0
            def stopped(self):
                self.asked += 1
                if self.asked == {after}:
                    os.kill(os.getpid(), signal.SIGKILL)
                return False
            def say(self, text): pass
        copies = CheckedCopies(Path({str(tmp_path)!r}), "toy", SystemClock())
        place = copies.at(CopyPlace({to!r}, {endpoint!r}))
        place.put(Backup({backup.file!r}, "production", {backup.created}, {backup.size},
                  {backup.sha256!r}, True), Deadly())
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        env={**os.environ, **ENVIRON},
        check=False,
        capture_output=True,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert place.holds() == ()
    with pytest.raises(BadInput, match="no finished copy"):
        place.verify(NAME, Quiet())
    assert place.put(backup, Quiet()).sent
    if kind == "folder":
        assert sorted(path.name for path in (tmp_path / "disk").iterdir()) == [
            NAME,
            f"{NAME}.sha256",
        ]


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({**ENVIRON, "AWS_SECRET_ACCESS_KEY": "another" * 6}, "SignatureDoesNotMatch"),
        ({**ENVIRON, "AWS_ACCESS_KEY_ID": "AKIDOFNOBODY01234567"}, "InvalidAccessKeyId"),
    ],
)
def test_wrong_credentials_are_a_clear_error(tmp_path, server, backup, environ, said):
    """It names the place and the variables, and repeats no key."""
    place = s3(tmp_path, server, environ)
    for deed in (
        lambda: place.put(backup, Quiet()),
        place.holds,
        lambda: place.verify(NAME, Quiet()),
        lambda: place.remove(NAME),
    ):
        with pytest.raises(Broken, match=f"refuses these credentials: {said}") as caught:
            deed()
        assert "AWS_SECRET_ACCESS_KEY" in caught.value.why.hint
        assert SECRET not in str(caught.value)
        assert KEY not in str(caught.value)


def test_a_bucket_that_does_not_exist_is_named(tmp_path, server, backup):
    """It is not made."""
    place = s3(tmp_path, server, bucket="another-bucket")
    with pytest.raises(Broken, match=r"s3://another-bucket/p at .*: there is no such bucket"):
        place.put(backup, Quiet())
    assert sorted(path.name for path in server.folder.iterdir()) == [BUCKET]


def test_missing_credentials_are_told_before_anything_is_sent():
    """Nobody asks a cloud's metadata service."""
    with pytest.raises(BadInput, match="AWS_SECRET_ACCESS_KEY is not set in the environment"):
        open_shelf("s3://b", "s3://b", None, {"AWS_ACCESS_KEY_ID": "x"})


def test_a_missing_package_is_named_with_how_to_install_it(tmp_path, monkeypatch):
    """The folder needs none."""
    monkeypatch.setitem(sys.modules, "obstore.store", None)
    copies = CheckedCopies(tmp_path, "toy", SystemClock())
    copies.at(CopyPlace("folder:/mnt/x"))
    with pytest.raises(BadInput, match="needs the package obstore") as caught:
        copies.at(CopyPlace("s3://bucket"))
    assert "guarded-rollout[s3]" in caught.value.why.hint


def test_a_server_that_is_down_is_named(tmp_path, server, backup):
    """Within seconds."""
    server.kill()
    with pytest.raises(Broken, match=f"s3://{BUCKET}/p at .* cannot be used"):
        s3(tmp_path, server).put(backup, Quiet())


def test_a_disk_that_is_not_mounted_is_told_and_its_folder_is_not_made(tmp_path, backup):
    """Copies must not fill the disk below the mount point."""
    place = CheckedCopies(tmp_path, "toy", SystemClock()).at(
        CopyPlace(f"folder:{tmp_path / 'mnt' / 'toy'}")
    )
    for deed in (
        lambda: place.put(backup, Quiet()),
        place.holds,
        lambda: place.verify(NAME, Quiet()),
        lambda: place.fetch(NAME, tmp_path / "back.zip", Quiet()),
        lambda: place.remove(NAME),
    ):
        with pytest.raises(Broken, match="mnt/toy is not there") as caught:
            deed()
        assert "mount its disk" in caught.value.why.hint
    assert not (tmp_path / "mnt").exists()


def test_the_backups_themselves_are_no_place_for_copies(tmp_path):
    """Not even through a link."""
    (tmp_path / "backups").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "backups")
    with pytest.raises(BadInput, match="is where the backups themselves are"):
        CheckedCopies(tmp_path, "toy", SystemClock()).at(CopyPlace(f"folder:{tmp_path}/link"))


def test_a_full_disk_leaves_nothing(tmp_path, backup, monkeypatch):
    """The disk's last word comes with fsync."""
    place = folder(tmp_path)

    monkeypatch.setattr(os, "fsync", _no_space)
    with pytest.raises(Broken, match="No space left on device"):
        place.put(backup, Quiet())
    assert list((tmp_path / "disk").iterdir()) == []


def _no_space(_handle):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("kind", ["folder", "s3"])
def test_swapped_files_are_found(tmp_path, server, backup, kind):
    """A sound backup of staging, checksum and all, under production's name."""
    place = folder(tmp_path) if kind == "folder" else s3(tmp_path, server)
    where = tmp_path / "disk" if kind == "folder" else server.bucket / "p"
    place.put(backup, Quiet())
    staging = NAME.replace("production", "staging")
    for suffix in ("", ".sha256"):
        (where / (NAME + suffix)).rename(where / (staging + suffix))
    with pytest.raises(Broken, match=f"is the checksum of {NAME}: files were swapped"):
        place.verify(staging, Quiet())
    (where / f"{staging}.sha256").write_text("nonsense\n")
    with pytest.raises(Broken, match="is no checksum file"):
        place.verify(staging, Quiet())


def test_copies_in_a_folder_are_for_their_owner_only(tmp_path, backup):
    """They hold the database."""
    folder(tmp_path).put(backup, Quiet())
    modes = {path.stat().st_mode & 0o777 for path in Path(tmp_path / "disk").iterdir()}
    assert modes == {0o600}


def test_sha256sum_accepts_a_copy_where_it_lies_as_a_backup(tmp_path, backup):
    """A copied folder named backups is a place to restore from."""
    (tmp_path / "other" / "backups").mkdir(parents=True)
    shelf = FolderShelf(tmp_path / "other" / "backups", "toy_")
    CheckedPlace(shelf, tmp_path, "toy", SystemClock()).put(backup, Quiet())
    done = subprocess.run(
        ["sha256sum", "-c", f"backups/{NAME}.sha256"],
        cwd=tmp_path / "other",
        check=False,
        capture_output=True,
    )
    assert done.returncode == 0, done.stderr
