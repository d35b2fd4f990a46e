"""Files that are there whole or not at all."""

import os

import pytest

from guarded_rollout.adapters.whole_files import write_whole


def test_a_new_file_holds_the_bytes_and_is_ours_alone(tmp_path):
    """Mode 0600 unless another one is asked for, whatever the umask."""
    write_whole(tmp_path / "a", b"one")
    before = os.umask(0o077)
    try:
        write_whole(tmp_path / "b", b"two", mode=0o644)
    finally:
        os.umask(before)
    assert (tmp_path / "a").read_bytes() == b"one"
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "b").stat().st_mode & 0o777 == 0o644


def test_an_old_file_is_replaced_not_changed(tmp_path):
    """Who has the old one open reads the old one to its end."""
    file = tmp_path / "a"
    write_whole(file, b"old")
    with file.open("rb") as reader:
        write_whole(file, b"new")
        assert reader.read() == b"old"
    assert file.read_bytes() == b"new"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_nothing_is_left_behind_when_writing_fails(tmp_path, monkeypatch):
    """A full disk, an interrupt: the old file stays, no temporary file does."""
    file = tmp_path / "a"
    write_whole(file, b"old")
    for problem in (OSError(28, "No space left on device"), KeyboardInterrupt()):

        def fail(_handle, problem=problem):
            raise problem

        monkeypatch.setattr(os, "fsync", fail)
        with pytest.raises(type(problem)):
            write_whole(file, b"new")
    assert file.read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_folder_that_is_missing_is_an_error(tmp_path):
    """Nobody makes folders by accident."""
    with pytest.raises(FileNotFoundError):
        write_whole(tmp_path / "nowhere" / "a", b"")


def test_a_folder_in_the_way_is_an_error_and_leaves_nothing(tmp_path):
    """The target cannot be replaced: the temporary file goes away too."""
    (tmp_path / "a").mkdir()
    with pytest.raises(IsADirectoryError):
        write_whole(tmp_path / "a", b"x")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
