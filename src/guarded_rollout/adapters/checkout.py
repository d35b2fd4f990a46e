"""What Git has checked out below a folder: the commit, its content, and whether it is just that."""

import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from guarded_rollout.adapters.git import Refused, git
from guarded_rollout.core.problems import NotPossible

_SHOWN = 5
_OURS = ("signoffs", "incidents")
"""Folders that this tool writes and that may be committed. New files there change no release."""


@dataclass(frozen=True, slots=True)
class Checkout:
    """The working tree that `root` is in. Looks only. NotPossible where there is none."""

    root: Path

    def commit(self) -> str:
        """40 hex digits."""
        return self._git("rev-parse", "--verify", "HEAD^{commit}").strip()

    def tree(self) -> str:
        """Of the commit: the same for two commits with the same files."""
        return self._git("rev-parse", "--verify", "HEAD^{tree}").strip()

    def subject(self) -> str:
        """The first line of the commit's message."""
        return self._git("log", "-1", "--format=%s").strip()

    def require_clean(self, files: Sequence[str] = ()) -> None:
        """NotPossible, with names, unless the files are those of the commit.

        `files`: all of these must be in the commit, also where Git ignores what is new.
        """
        with tempfile.TemporaryDirectory(prefix="checkout-") as folder:
            # An index of our own: one that hides changes (`--assume-unchanged`) tells us nothing.
            own = {"GIT_INDEX_FILE": str(Path(folder) / "index")}
            self._git("read-tree", "HEAD", more=own)
            words = (
                "status",
                "--porcelain",
                "-z",
                "--untracked-files=all",
                "--ignore-submodules=none",
            )
            lines = self._git(*words, more=own).split("\0")
        prefix = self._git("rev-parse", "--show-prefix").strip()
        ours = tuple(f"?? {prefix}{name}/" for name in _OURS)
        changed = [line for line in lines if line and not line.startswith(ours)]
        if changed:
            raise NotPossible(
                f"the files are not those of {self.commit()[:12]}: {_list(changed)}",
                "commit them and have that reviewed, or put them back: git status",
            )
        tracked = set(self._git("ls-tree", "-r", "-z", "--name-only", "HEAD").split("\0"))
        strange = [name for name in files if name not in tracked]
        if strange:
            raise NotPossible(
                f"what goes into the release is not in the commit: {_list(strange)}",
                "remove it, or commit it and have that reviewed",
            )

    def _git(self, *words: str, more: Mapping[str, str] | None = None) -> str:
        try:
            return os.fsdecode(git(self.root, *words, more=more))
        except Refused as refused:
            raise NotPossible(
                f"{self.root} is no checkout that can be read: {refused.why.what}", "git status"
            ) from refused


def _list(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"{', '.join(names[:_SHOWN])}{more}"
