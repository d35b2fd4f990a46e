"""A repository of its own with this project in it, for `rollout premerge`."""

import contextlib
import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from site_of_ours import REPOSITORY

from guarded_rollout.adapters.throwaway import copy_project
from guarded_rollout.core.premerge_manifest import manifest_of


class Clone:
    """A repository with two commits: dhash as it is, and another version of it."""

    def __init__(self):
        self.root = Path(tempfile.mkdtemp(prefix="gr-premerge-", dir="/tmp"))
        self.temporary = Path(tempfile.mkdtemp(prefix="gr-tmp-", dir="/tmp"))
        self.env = {
            **os.environ,
            "TMPDIR": str(self.temporary),
            "XDG_RUNTIME_DIR": str(self.temporary),
            "GIT_CONFIG_GLOBAL": os.devnull,
        }
        copy_project(REPOSITORY, self.root)
        self.git("init", "--quiet")
        self.commit("as it is")
        init = self.root / "services" / "dhash" / "src" / "dhash" / "__init__.py"
        init.write_text(re.sub('__version__ = ".+"', '__version__ = "7.7.7"', init.read_text()))
        self.commit("another version")

    def git(self, *words):
        who = ("-c", "user.name=t", "-c", "user.email=t@localhost", "-c", "gc.auto=0")
        return subprocess.run(
            ["git", *who, *words],
            cwd=self.root,
            env=self.env,
            check=True,
            capture_output=True,
            text=True,
        ).stdout

    def commit(self, message):
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", message)

    def start(self, *words):
        return subprocess.Popen(
            [sys.executable, "-m", "guarded_rollout", "premerge", *words],
            cwd=self.root,
            env=self.env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def premerge(self, *words):
        """Returns (exit code, manifest); nothing is left but the folder that Git ignores."""
        before = self.tree()
        process = self.start(*words)
        said, _ = process.communicate(timeout=500)
        assert self.tree() == before
        assert self.left() == {}, said
        assert list(self.temporary.iterdir()) == []
        return process.returncode, self.manifest()

    @property
    def out(self):
        return self.root / "premerge_artifacts"

    def manifest(self):
        """As it is read; every digest is that of the file."""
        manifest = manifest_of((self.out / "manifest.json").read_bytes())
        for file in manifest.files:
            content = (self.out / file.path).read_bytes()
            assert (hashlib.sha256(content).hexdigest(), len(content)) == (file.sha256, file.bytes)
        there = {path.relative_to(self.out).as_posix() for path in self.out.rglob("*.*")}
        assert there == {file.path for file in manifest.files} | {"manifest.json"}
        return manifest

    def tree(self):
        """Every file but premerge's own and Git's, and what Git says."""
        files = {
            str(file): file.read_bytes()
            for file in self.root.rglob("*")
            if file.is_file() and not {".git", "premerge_artifacts"} & set(file.parts)
        }
        return files, self.git("status", "--porcelain", "--untracked-files=all")

    def left(self):
        """Processes whose command line or folder is below the temporary folder."""
        found = {}
        for entry in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                if str(self.temporary) in f"{line} {(entry / 'cwd').readlink()}":
                    found[entry.name] = line
        return found

    def close(self):
        for pid in self.left():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
        for folder in (self.root, self.temporary):
            shutil.rmtree(folder, ignore_errors=True)

    def until(self, true, seconds=300):
        """Wait for what only the files tell."""
        deadline = time.monotonic() + seconds
        while not true():
            assert time.monotonic() < deadline, "it never came"
            time.sleep(0.1)
