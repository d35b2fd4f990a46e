"""The throwaway copy that premerge ships, tries and rolls back in, and how it is taken down."""

import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from guarded_rollout.adapters.configuration import load_spec
from guarded_rollout.adapters.throwaway import (
    WATCH_SECONDS,
    copy_commit,
    copy_project,
    free_port,
    lay,
    remove,
    set_apart,
    told_apart,
)
from guarded_rollout.cli.wiring import Places, open_journal, open_ports
from guarded_rollout.core.problems import Broken


@dataclass(frozen=True, slots=True)
class TrialSite:
    """Folders of one premerge run, below `work`, which is this run's own.

    `base`: the commit whose release serves first; None: the same source, told apart.
    """

    root: Path
    environment: str
    work: Path
    base: str | None

    @property
    def folder(self) -> Path:
        """The root that commands run in."""
        return self.work / "site"

    def make(self) -> Iterator[str]:
        """Both trees, the baseline's laid out. Says what was made. Raises Problem."""
        baseline, candidate = self.work / "baseline", self.work / "candidate"
        port = free_port()
        try:
            copy_project(self.root, candidate)
            text = set_apart(candidate, self.environment, port)
            if self.base is None:
                copy_project(self.root, baseline)
            else:
                copy_commit(self.root, self.base, baseline)
            set_apart(baseline, self.environment, port)
            service = load_spec(candidate, self.environment).service
            differ = told_apart(service.name, baseline, candidate)
            lay(baseline, self.folder)
        except OSError as error:
            raise Broken(
                f"the throwaway copy cannot be made: {error}", "make room, or name TMPDIR"
            ) from error
        yield (
            "a throwaway copy of the project: real processes, Envoy and SQLite on free ports of "
            f"127.0.0.1, a watch of {WATCH_SECONDS} s by the built-in limits, with 20 requests a "
            "second of its own, blue-green"
        )
        yield (
            "left behind: config/*.conf, the gates file, data, backups, the journal, channels, "
            "sign-offs, copies of backups"
        )
        first = self.base if self.base is not None else "the same files"
        yield f"serving first: {first}{'' if differ else ', told apart by one file more'}"
        yield ""
        yield from text.splitlines()

    def lay_candidate(self) -> None:
        """What is to be merged takes the place of what serves. Raises OSError."""
        lay(self.work / "candidate", self.folder)

    def take_down(self) -> None:
        """End every process and remove every file. What cannot be ended raises Problem."""
        try:
            if (self.folder / "rollout.toml").exists():
                self._stop()
        finally:
            remove(self.work)

    def _stop(self) -> None:
        places = Places(self.folder)
        spec = load_spec(self.folder, self.environment)
        journal = open_journal(places, look_only=True)
        ports = open_ports(places, spec, journal)
        holder = journal.holder(self.environment)
        if holder is not None and holder.alive:
            with suppress(ProcessLookupError):
                os.kill(holder.pid, signal.SIGKILL)
        for release in ports.target.started(spec.service.name):
            ports.target.stop(release, 0.0)
        ports.traffic.stop()
        shutil.rmtree(places.run(self.environment), ignore_errors=True)


def trial_site(root: Path, environment: str, base: str | None) -> TrialSite:
    """A folder of its own. Broken when there is no room for it."""
    try:
        work = Path(tempfile.mkdtemp(prefix="rollout-premerge-")).resolve()
    except OSError as error:
        raise Broken(f"no folder for trying out can be made: {error}", "name TMPDIR") from error
    return TrialSite(root, environment, work, base)
