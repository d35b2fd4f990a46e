"""`rollout backup copies` and `rollout backup fetch`, as they are typed."""

import hashlib
import subprocess
import sys

import pytest
from toy_configuration import ROLLOUT

NAME = "toy_production_20260131_120000.zip"


@pytest.fixture
def root(tmp_path):
    """Two places; the first one lost its disk, the second one has a copy."""
    root, disk = tmp_path / "root", tmp_path / "disk"
    root.mkdir()
    disk.mkdir()
    places = "".join(
        f'[[environments.production.copies]]\nto = "folder:{folder}"\n'
        for folder in (tmp_path / "gone", disk)
    )
    (root / "rollout.toml").write_text(ROLLOUT + places)
    (disk / NAME).write_bytes(b"zip")
    line = f"{hashlib.sha256(b'zip').hexdigest()}  backups/{NAME}\n"
    (disk / f"{NAME}.sha256").write_text(line)
    return root


def rollout(root, *words):
    return subprocess.run(
        [sys.executable, "-m", "guarded_rollout", "backup", *words, "--env", "production"],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_copy_comes_back_from_the_place_that_has_it(root):
    """Each place in turn; what came back is a backup that sha256sum accepts."""
    done = rollout(root, "fetch", NAME)
    assert done.returncode == 0, done.stderr
    assert "came from folder:" in done.stdout
    checked = subprocess.run(
        ["sha256sum", "-c", f"backups/{NAME}.sha256"], cwd=root, check=False, capture_output=True
    )
    assert checked.returncode == 0, checked.stderr
    again = rollout(root, "fetch", NAME)
    assert again.returncode == 1
    assert "exists already" in again.stderr


def test_when_no_place_has_a_sound_copy_each_is_named_with_why(root):
    """And nothing is left in backups/."""
    (root.parent / "disk" / NAME).write_bytes(b"zap")
    done = rollout(root, "fetch", NAME)
    assert done.returncode == 1
    assert "gone is not there" in done.stderr
    assert "is not what was written" in done.stderr
    assert list((root / "backups").iterdir()) == []
    assert "has no place 'folder:/x'" in rollout(root, "fetch", NAME, "--from", "folder:/x").stderr


def test_copies_are_listed_and_a_place_that_is_gone_needs_a_person(root):
    """--verify reads them back."""
    done = rollout(root, "copies", "--verify")
    assert done.returncode == 3
    assert f"{NAME}  2026-01-31 12:00:00 UTC" in done.stdout
    assert "read back, SHA-256" in done.stdout
    assert "gone is not there" in done.stdout
    (root.parent / "gone").mkdir()
    assert rollout(root, "copies", "--verify").returncode == 0
    (root.parent / "disk" / NAME).write_bytes(b"zap")
    assert rollout(root, "copies").returncode == 0
    damaged = rollout(root, "copies", "--verify")
    assert damaged.returncode == 3
    assert "NOT SOUND" in damaged.stdout


def test_without_places_there_is_nothing_to_ask(root):
    """It says which section is missing."""
    (root / "rollout.toml").write_text(ROLLOUT)
    done = rollout(root, "copies")
    assert done.returncode == 1
    assert "[[environments.production.copies]]" in done.stderr
