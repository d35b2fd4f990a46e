"""The folder for sockets: the same one for everybody who works on a project, and nobody else's."""

import os
from pathlib import Path

import pytest

from guarded_rollout.cli.wiring import Places
from guarded_rollout.core.problems import Broken


@pytest.fixture
def places(tmp_path, monkeypatch):
    """A project whose sockets were put below XDG_RUNTIME_DIR."""
    for name in ("project", "run", "other"):
        (tmp_path / name).mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))
    return Places(tmp_path / "project")


def test_the_folder_that_was_made_is_found_from_every_environment(places, tmp_path, monkeypatch):
    """A terminal, sudo and cron have other variables; they must find the same proxy."""
    places.make_run("production")
    made = places.run("production")
    assert made.parent == tmp_path / "run"
    assert made.stat().st_mode & 0o777 == 0o700
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "other"))
    assert places.run("production") == made
    places.make_run("production")
    assert list((tmp_path / "other").iterdir()) == []
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    assert places.run("production") == made


def test_looking_makes_no_folder(places, tmp_path):
    """Only what changes something does."""
    assert places.run("production").parent == tmp_path / "run"
    assert list((tmp_path / "run").iterdir()) == []
    assert list((tmp_path / "project").iterdir()) == []


def test_after_a_reboot_the_folder_is_made_anew(places, tmp_path, monkeypatch):
    """What was noted is gone: the next one is noted instead."""
    places.make_run("production")
    places.run("production").rmdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "other"))
    places.make_run("production")
    assert places.run("production").parent == tmp_path / "other"
    assert places.run("production").is_dir()


def test_a_copied_project_does_not_find_the_original_s_processes(places, tmp_path):
    """The note is copied with it, but it names another project."""
    places.make_run("production")
    places.root.rename(tmp_path / "moved")
    moved = Places(tmp_path / "moved")
    assert moved.run("production") != places.run("production")


@pytest.mark.parametrize("named", ["/run/user/1000", None, ""])
def test_a_login_s_own_folder_is_not_used(places, monkeypatch, named):
    """It is deleted when the user logs out; the service must not go with it."""
    if named is None:
        monkeypatch.delenv("XDG_RUNTIME_DIR")
    else:
        monkeypatch.setenv("XDG_RUNTIME_DIR", named)
    assert places.run("production").parent == Path("/tmp")
    assert str(os.getuid()) in places.run("production").name


@pytest.mark.parametrize("how", ["open", "link", "file", "no parent"])
def test_a_folder_that_others_can_enter_is_refused(places, tmp_path, monkeypatch, how):
    """Whoever made it first could put a socket of their own there."""
    folder = places.run("production")
    if how == "open":
        folder.mkdir(mode=0o755)
        folder.chmod(0o755)
    elif how == "link":
        folder.symlink_to(tmp_path / "other")
    elif how == "file":
        folder.touch()
    else:
        monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "nowhere"))
    with pytest.raises(Broken) as refused:
        places.make_run("production")
    assert "XDG_RUNTIME_DIR" in refused.value.why.hint
