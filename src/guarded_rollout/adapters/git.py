"""Git, as the user has it: asked without side effects, whatever the shell around it says."""

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from guarded_rollout.core.problems import Broken

_SECONDS = 60.0


class Refused(Broken):
    """Git says no: this is no repository, or there is no such thing in it."""


def git(root: Path, *words: str, more: Mapping[str, str] | None = None) -> bytes:
    """What `git WORDS` prints below `root`. `more`: environment variables for Git.

    Refused has Git's own words. Broken: there is no Git, or it does not answer.
    """
    program = shutil.which("git")
    if program is None:
        raise Broken("git is missing", "on Debian or Ubuntu: apt-get install git")
    kept = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    try:
        done = subprocess.run(
            [program, "-c", "core.fsmonitor=false", *words],
            cwd=root,
            env={**kept, "LC_ALL": "C", "GIT_OPTIONAL_LOCKS": "0", **(more or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Broken(f"git {words[0]}: {error}", "try it: git status") from error
    if done.returncode != 0:
        said = " ".join(done.stderr.decode("utf-8", "replace").split())[-200:]
        raise Refused(f"git {words[0]} in {root}: {said}", "try it: git status")
    return done.stdout
