"""The files that Envoy watches, and the last good ones beside them."""

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from guarded_rollout.adapters.envoy.marks import Mark, mark_of
from guarded_rollout.adapters.file_locks import fcntl
from guarded_rollout.adapters.whole_files import sync_folder, write_whole
from guarded_rollout.core.problems import Broken, Busy
from guarded_rollout.ports import Clock

LOCK_SECONDS = 60.0


class ConfigFiles:
    """One folder, 0700. `kind` is `lds`, `cds` or `rds`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def prepare(self) -> None:
        """See to it that the folder is there and ours alone."""
        with self._writing(self.folder):
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.folder.chmod(0o700)

    @contextlib.contextmanager
    def alone(self, clock: Clock) -> Iterator[None]:
        """Be the only controller that changes something here. The lock ends with the process."""
        self.prepare()
        deadline = clock.monotonic() + LOCK_SECONDS
        with (self.folder / "lock").open("a") as lock:
            while True:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if clock.monotonic() >= deadline:
                        raise Busy(
                            f"another controller changes the proxy in {self.folder} and has not"
                            f" finished within {LOCK_SECONDS:g} s",
                            f"wait for it, or see which one it is: fuser {self.folder / 'lock'}",
                        ) from None
                clock.sleep(0.02)
            yield

    def bootstrap(self, resource: dict[str, Any]) -> Path:
        """Write the static part."""
        file = self.folder / "bootstrap.json"
        self._write(file, resource)
        return file

    def put(self, kind: str, version: str, resources: list[dict[str, Any]]) -> None:
        """Hand something to the proxy."""
        self._write(self._file(kind), {"version_info": version, "resources": resources})

    def resources(self, kind: str, *, good: bool = False) -> list[dict[str, Any]]:
        """What a file holds; nothing when there is none."""
        try:
            text = self._file(kind, good=good).read_bytes()
        except FileNotFoundError:
            return []
        try:
            found: list[dict[str, Any]] = json.loads(text)["resources"]
        except (ValueError, KeyError, TypeError):
            return []
        return found

    def mark(self, *, good: bool = False) -> Mark | None:
        """The mark in the route file."""
        found = self.resources("rds", good=good)
        return mark_of(found[0]) if found else None

    def keep(self) -> None:
        """What is there now is good. Clusters first: they hold what both routes need."""
        for kind in ("cds", "rds"):
            self._link(self._file(kind), self._file(kind, good=True))

    def put_back(self, kind: str) -> None:
        """The last good one again."""
        if self._file(kind, good=True).exists():
            self._link(self._file(kind, good=True), self._file(kind))

    def _file(self, kind: str, *, good: bool = False) -> Path:
        return self.folder / (f"{kind}.good.json" if good else f"{kind}.json")

    def _write(self, file: Path, value: dict[str, Any]) -> None:
        with self._writing(file):
            write_whole(file, json.dumps(value, indent=1).encode())

    def _link(self, source: Path, to: Path) -> None:
        """A copy that needs no room on the disk; no file is ever written in place."""
        between = to.with_name(f".{to.name}.link")
        with self._writing(to):
            between.unlink(missing_ok=True)
            os.link(source, between)
            between.replace(to)
            sync_folder(to.parent)
            # Two names of one file: rename(2) does nothing then, and leaves the old name.
            between.unlink(missing_ok=True)

    @contextlib.contextmanager
    def _writing(self, file: Path) -> Iterator[None]:
        try:
            yield
        except OSError as problem:
            raise Broken(
                f"cannot write {file}: {problem.strerror or problem}",
                "look at the disk's free space and the folder's owner, then try again",
            ) from problem
