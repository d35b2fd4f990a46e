"""What is checked out, with a real Git."""

import subprocess

import pytest

from guarded_rollout.adapters.checkout import Checkout
from guarded_rollout.core.problems import NotPossible


@pytest.fixture
def git(tmp_path):
    """A repository whose project lies in a folder of it."""

    def run(*words):
        who = ("-c", "user.name=a", "-c", "user.email=a@example.com")
        command = ["git", "-C", tmp_path, *who, *words]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    (tmp_path / "project").mkdir()
    (tmp_path / "project/rollout.toml").write_text("x")
    (tmp_path / "other.txt").write_text("x")
    run("init", "-q")
    run("add", "-A")
    run("commit", "-q", "-m", "the first: one")
    return run


def test_a_project_in_a_folder_of_the_repository(git, tmp_path):
    """Files by their names below the project; a change anywhere counts."""
    checkout = Checkout(tmp_path / "project")
    assert checkout.commit() == git("rev-parse", "HEAD")
    assert checkout.subject() == "the first: one"
    (tmp_path / "project/signoffs").mkdir()
    (tmp_path / "project/signoffs/a.json").write_text("{}")
    checkout.require_clean(["rollout.toml"])
    for outside in ("../other.txt", "other.txt", "signoffs/a.json"):
        with pytest.raises(NotPossible, match="is not in the commit"):
            checkout.require_clean([outside])
    (tmp_path / "other.txt").write_text("y")
    with pytest.raises(NotPossible, match=r"the files are not those of .*other\.txt"):
        checkout.require_clean([])


def test_looking_changes_nothing(git, tmp_path):
    """Not even the index, which git status would refresh."""
    index = (tmp_path / ".git/index").read_bytes()
    (tmp_path / "other.txt").touch()
    Checkout(tmp_path).require_clean([])
    assert (tmp_path / ".git/index").read_bytes() == index


def test_two_commits_with_the_same_files_have_one_tree(git, tmp_path):
    checkout = Checkout(tmp_path)
    before = checkout.commit(), checkout.tree()
    git("commit", "-q", "--allow-empty", "-m", "two")
    assert (checkout.commit() != before[0], checkout.tree()) == (True, before[1])


def test_no_repository_is_said(tmp_path):
    with pytest.raises(NotPossible, match="is no checkout that can be read"):
        Checkout(tmp_path).commit()
