"""What the shells are given, tried in a real bash."""

import subprocess
import sys

import pytest

from guarded_rollout.cli.completion import SHELLS

ROLLOUT = [sys.executable, "-m", "guarded_rollout"]

COMPLETE = """
source ./script
COMP_WORDS=("$@")
COMP_CWORD=$(( $# - 1 ))
COMP_LINE="$*"
COMP_POINT=${#COMP_LINE}
run=$(complete -p rollout | sed -E 's/.*-F ([^ ]+) .*/\\1/')
"$run" rollout "${@: -1}" "${@: -2:1}"
printf '%s\\n' "${COMPREPLY[@]}"
"""


def printed(shell, where):
    return subprocess.run(
        [*ROLLOUT, "completion", shell], cwd=where, capture_output=True, check=True
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("completion")
    (place / "script").write_bytes(printed("bash", place).stdout)
    (place / "rollout.toml").write_text("[environments.production]\n[environments.east-1]\n")
    (place / "gates.json").touch()
    return place


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("dep", {"deploy"}),
        ("backup ve", {"verify"}),
        ("backup create --dry", {"--dry-run"}),
        ("deploy --env ", {"production", "east-1"}),
        ("deploy --env ea", {"east-1"}),
        ("smoke --tier c", {"critical"}),
        ("completion z", {"zsh"}),
        ("monitor --config gat", {"gates.json"}),
        ("nonsense x", set()),
    ],
)
def test_bash_completes(folder, typed, offered):
    """Commands, options, values, and the environments of the folder one is in."""
    words = ["rollout", *typed.split(" ")]
    done = subprocess.run(
        ["bash", "--norc", "-c", COMPLETE, "bash", *words],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    assert {word.strip() for word in done.stdout.split("\n") if word.strip()} == offered


@pytest.mark.parametrize("shell", SHELLS)
def test_it_needs_no_project_and_says_nothing_else(tmp_path, shell):
    """It is read by a shell that starts, wherever that is."""
    done = printed(shell, tmp_path)
    assert done.stderr == b""
    assert b"without-signoffs" in done.stdout
