"""One at a time, in a folder that comes and goes."""

import os

import pytest

from guarded_rollout.adapters.clock import SystemClock
from guarded_rollout.adapters.processes.turn import turn
from guarded_rollout.core.problems import Busy


def test_a_folder_that_is_discarded_while_it_is_looked_at_is_made_anew(tmp_path, monkeypatch):
    """Between the refusal to make it and the look at what is there it is gone."""
    folder = tmp_path / "one"
    folder.mkdir()
    make, refused = os.mkdir, []

    def mkdir(path, *rest):
        try:
            make(path, *rest)
        except FileExistsError as problem:
            refused.append(problem)
            folder.rmdir()
            raise

    monkeypatch.setattr(os, "mkdir", mkdir)
    with turn(folder / "turn.lock", SystemClock(), 30):
        assert folder.is_dir()
    assert len(refused) == 1


@pytest.mark.parametrize("in_the_way", ["a file", "a link to nothing"])
def test_what_is_no_folder_is_said_at_once(tmp_path, in_the_way):
    """Nobody waits for a turn that never comes."""
    place = tmp_path / "one"
    if in_the_way == "a file":
        place.touch()
    else:
        place.symlink_to(tmp_path / "nowhere")
    with (
        pytest.raises(FileExistsError),
        turn(place / "turn.lock", SystemClock(), 30),
    ):
        pass


def test_the_second_one_waits_and_is_told_what_for(tmp_path):
    """The lock ends with its holder."""
    lock = tmp_path / "one" / "turn.lock"
    with (
        turn(lock, SystemClock(), 30),
        pytest.raises(Busy, match=r"turn\.lock"),
        turn(lock, SystemClock(), 0.05),
    ):
        pass
    with turn(lock, SystemClock(), 30) as held:
        assert os.fstat(held)
