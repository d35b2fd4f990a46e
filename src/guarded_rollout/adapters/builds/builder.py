"""Releases of Python services: a folder with a virtual environment of its own, made once.

`releases/<service>/<release>/` holds `venv/` and `manifest.json`; nothing in it changes after it
got its name. A release is built beside its place and moved there in one step, so a folder with a
release's name is a whole release.
"""

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from guarded_rollout.adapters.builds.manifest import changed, read_manifest, whole
from guarded_rollout.adapters.builds.site import BuildSite
from guarded_rollout.adapters.builds.source import read_source
from guarded_rollout.adapters.processes.turn import turn
from guarded_rollout.core.problems import Broken, Busy, NotPossible
from guarded_rollout.core.spec import Release, Service
from guarded_rollout.ports import Built, Clock, Control

TURN_SECONDS = 10.0
BUILDING, REMOVING = ".building-", ".removing-"


class VenvBuilder:
    """Satisfies ports.Builder. `state_dir`: releases go to `releases/`, build logs to `logs/`."""

    def __init__(self, state_dir: Path, clock: Clock) -> None:
        self._releases = state_dir.absolute() / "releases"
        self._logs = state_dir.absolute() / "logs"
        self._clock = clock

    def describe(self, service: Service, source: Path) -> Release:
        """Look: the release this source would give. BadInput names the file that is wrong."""
        read = read_source(service.name, source.absolute())
        return Release(service.name, read.version, read.digest())

    def built(self, release: Release) -> Built | None:
        """Look: the release on disk, whole, or None. Compares sizes; `intact` compares content."""
        folder = self._folder(release)
        manifest = read_manifest(folder)
        if manifest is None or manifest.release != release or not whole(folder, manifest):
            return None
        return Built(release, folder, manifest.head)

    def intact(self, release: Release) -> tuple[str, ...]:
        """Look: the release's files that are not what was built, by name; none is good.

        NotPossible when the release is not there at all.
        """
        folder = self._folder(release)
        manifest = read_manifest(folder)
        if manifest is None or manifest.release != release:
            raise NotPossible(f"{folder} holds no release {release.name}", "a deploy builds it")
        with self._as_problem():
            return changed(folder, manifest)

    def build(self, service: Service, source: Path, release: Release, control: Control) -> Built:
        """Build it into its own folder, all or nothing. BadInput if the source changed since.

        Broken when a requirement or the service itself cannot be installed: the message has the
        last lines, the log has all of them. Busy when another process builds the same release.
        """
        place = self._folder(release)
        with self._as_problem(), self._turn(release, TURN_SECONDS) as lock:
            self._tidy(release)
            if (built := self.built(release)) is not None:
                return built
            folder = self._beside(release, BUILDING)
            log = self._logs / f"build-{release.name}.log"
            log.unlink(missing_ok=True)
            try:
                folder.mkdir(parents=True)
                site = BuildSite(folder, release, log, lock, control, self._clock)
                site.make(service, source.absolute())
                if place.exists():  # it has the name, but is not whole: see built
                    place.rename(self._beside(release, REMOVING))
                folder.rename(place)
                _sync(place.parent)
            finally:
                self._tidy(release)
        built = self.built(release)
        if built is None:
            raise Broken(
                f"{release.name} was built, but its folder {place} is not whole",
                "somebody else changes files in there; find out who, then deploy again",
            )
        control.say(f"built {release.name}")
        return built

    def releases(self, service: str) -> tuple[Release, ...]:
        """Look: what is on disk, by name."""
        folders = sorted((self._releases / service).glob("[!.]*"))
        found = [read_manifest(folder) for folder in folders]
        return tuple(manifest.release for manifest in found if manifest is not None)

    def remove(self, release: Release) -> None:
        """Delete it. No release, no error. Busy while it is being built."""
        place = self._folder(release)
        if not place.parent.exists():
            return
        with self._as_problem(), self._turn(release, TURN_SECONDS):
            if place.exists():
                # Its name goes first: whoever looks now finds no release, not half of one.
                place.rename(self._beside(release, REMOVING))
            self._tidy(release)

    def _folder(self, release: Release) -> Path:
        return self._releases / release.service / release.name

    def _beside(self, release: Release, prefix: str) -> Path:
        return self._releases / release.service / f"{prefix}{release.name}-{os.getpid()}"

    def _lock(self, service: str, name: str) -> Path:
        return self._releases / service / f".{name}.lock"

    @contextlib.contextmanager
    def _turn(self, release: Release, seconds: float) -> Iterator[int]:
        """Hold the release's lock; its file goes with it."""
        lock = self._lock(release.service, release.name)
        with contextlib.ExitStack() as stack:
            try:
                held = stack.enter_context(turn(lock, self._clock, seconds))
            except Busy as busy:
                raise Busy(
                    f"another process builds or removes {release.name} now",
                    f"wait until it has finished; its log is in {self._logs}",
                ) from busy
            stack.callback(lock.unlink, missing_ok=True)
            yield held

    def _tidy(self, release: Release) -> None:
        """Remove what was left half done: ours, whose lock we hold, and that of the dead."""
        for prefix in (BUILDING, REMOVING):
            for folder in (self._releases / release.service).glob(f"{prefix}*"):
                name = folder.name.removeprefix(prefix).rpartition("-")[0]
                if name == release.name:
                    _delete(folder)
                    continue
                lock = self._lock(release.service, name)
                with contextlib.suppress(Busy), turn(lock, self._clock, 0):
                    _delete(folder)
                    lock.unlink(missing_ok=True)

    @contextlib.contextmanager
    def _as_problem(self) -> Iterator[None]:
        """A disk that fails is a problem with a hint."""
        try:
            yield
        except OSError as problem:
            raise Broken(
                f"{problem.filename or self._releases} cannot be used: "
                f"{problem.strerror or problem}",
                "make room on that disk, and its folder one that this user may write",
            ) from problem


def _delete(folder: Path) -> None:
    """A read-only folder, too. Gone already: no error."""
    for where, _, _ in os.walk(folder):
        Path(where).chmod(0o700)
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(folder)


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
