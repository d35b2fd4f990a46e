"""What works where nothing can be deployed: a Python without what Windows' Python does not have.

No Windows takes part. It shows that nothing of POSIX is asked for; not what else differs there.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest

BARE = Path(__file__).parents[1] / "support" / "without_posix.py"


def rollout(project, *words):
    """Returns the finished process."""
    return subprocess.run(
        [sys.executable, BARE, *words, "--root", project.root],
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    "words",
    [
        ["gates", "check"],
        ["notify", "check"],
        ["completion", "bash"],
        ["status", "--env", "production"],
        *(
            [*command, "--env", "production", "--dry-run"]
            for command in (["deploy"], ["migrate"], ["backup", "create"])
        ),
    ],
    ids=" ".join,
)
def test_looking_works(project, words):
    before = project.tree()
    done = rollout(project, *words)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert project.tree() == before


def test_what_would_change_something_is_refused_and_changes_nothing(project):
    before = project.tree()
    done = rollout(project, "deploy", "--env", "production")
    assert done.returncode == 1
    assert "on Windows nothing can be deployed" in done.stderr
    assert "WSL" in done.stderr
    assert project.tree() == before


def test_premerge_skips_what_it_cannot_run_and_says_why(project, tmp_path):
    out = tmp_path / "out"
    done = rollout(project, "premerge", "--env", "production", "--json", "--out", str(out))
    manifest = json.loads(done.stdout)
    assert manifest["platform"] == "win32"
    skipped = {
        step["name"]: step["why"] for step in manifest["steps"] if step["status"] == "skipped"
    }
    assert {"site", "rollout", "smoke", "rollback-dryrun", "rollback"} <= set(skipped)
    assert all("it needs Linux or macOS" in why for why in skipped.values())
    passed = {step["name"] for step in manifest["steps"] if step["status"] == "passed"}
    assert {"configuration", "backup-dryrun", "deploy-dryrun", "migrate-dryrun"} <= passed
    assert "it needs Linux or macOS" in (out / "summary.md").read_text()
