"""Releases on this machine: one kept process per replica, each on its own unix socket."""

import contextlib
import json
import shutil
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path

from guarded_rollout.adapters.processes.command import check_socket, command_of, on_disk
from guarded_rollout.adapters.processes.kept import Kept
from guarded_rollout.core.problems import BadInput, Broken, Problem
from guarded_rollout.core.spec import Release
from guarded_rollout.ports import Clock, Launch, Replica

SURPLUS_SECONDS = 30.0


class ProcessTarget:
    """Satisfies ports.Target.

    Args:
        state_dir: replicas live in `replicas/<release>/<n>/`, their last logs go to `logs/`.
        run_dir: the sockets; its path must be short.
    """

    def __init__(self, state_dir: Path, run_dir: Path, clock: Clock) -> None:
        self._replicas = state_dir.absolute() / "replicas"
        self._logs = state_dir.absolute() / "logs"
        self._run_dir = run_dir.absolute()
        self._clock = clock

    def start(self, launch: Launch) -> tuple[Replica, ...]:
        """See to it that these replicas are supervised. Running ones are adopted, not restarted.

        A replica's environment is `launch.env` over a small fixed one, never this shell's: the
        same launch means the same process wherever it is asked for.
        """
        release = launch.built.release
        if launch.replicas < 1:
            raise BadInput(
                f"{release.name} was asked to run with {launch.replicas} replicas",
                "ask for one replica or more",
            )
        for number in range(launch.replicas):
            check_socket(self._socket(release, number))
        self._remember(release)
        for number in range(launch.replicas):
            self._start_one(launch, number)
        surplus = [n for n in self._numbers(release) if n >= launch.replicas]
        self._stop_these(release, surplus, SURPLUS_SECONDS)
        return self.replicas(release)

    def replicas(self, release: Release) -> tuple[Replica, ...]:
        """Look: the release's replicas, by name; empty when it is not started."""
        found = []
        for number in self._numbers(release):
            status = self._kept(release, number).status()
            found.append(
                Replica(
                    name=f"{release.name}-{number}",
                    socket=self._socket(release, number),
                    alive=status.alive,
                    pid=status.pid,
                    restarts=status.restarts,
                    last_exit=status.last_exit,
                    log=status.log,
                )
            )
        return tuple(found)

    def started(self, service: str) -> tuple[Release, ...]:
        """Look: the releases that have a supervised replica."""
        found = []
        for file in sorted(self._replicas.glob("*/release.json")):
            with contextlib.suppress(OSError, ValueError, TypeError):
                release = Release(**json.loads(file.read_bytes()))
                numbers = self._numbers(release)
                if release.service == service and any(
                    self._kept(release, n).status().kept for n in numbers
                ):
                    found.append(release)
        return tuple(found)

    def stop(self, release: Release, drain_seconds: float) -> None:
        """SIGTERM to all at once, wait for the drain, SIGKILL. Not running: no error."""
        self._stop_these(release, self._numbers(release), drain_seconds)
        folder = self._replicas / release.name
        for half_gone in folder.glob(".*.gone"):
            shutil.rmtree(half_gone, ignore_errors=True)
        with contextlib.suppress(OSError):  # not there, or not empty: somebody starts it again
            (folder / "release.json").unlink()
            folder.rmdir()

    def logs(self, release: Release) -> Mapping[str, Path]:
        """Look: by replica what it prints, or what it last printed before it was stopped."""
        found = {file.stem: file for file in sorted(self._logs.glob(f"{release.name}-*.log"))}
        living = {replica.name: replica.log for replica in self.replicas(release)}
        known = {name for name in found if name.removeprefix(f"{release.name}-").isdecimal()}
        return {name: found[name] for name in sorted(known)} | living

    def _start_one(self, launch: Launch, number: int) -> None:
        release = launch.built.release
        socket = self._socket(release, number)
        command = command_of(launch, number, socket)
        self._kept(release, number).start(
            command.argv, command.env, cwd=command.cwd, unlink=(socket,)
        )

    def _stop_these(self, release: Release, numbers: list[int], seconds: float) -> None:
        """In parallel, so that the drain takes as long as the slowest, not as their sum."""
        if not numbers:
            return
        with ThreadPoolExecutor(len(numbers)) as threads:
            waiting = [threads.submit(self._stop_one, release, n, seconds) for n in numbers]
        problems = [problem for one in waiting if (problem := one.exception())]
        for problem in problems:
            if not isinstance(problem, Problem):
                raise problem
        if problems:
            raise Broken(
                f"{len(problems)} of {len(numbers)} replicas of {release.name} did not stop: "
                + "; ".join(
                    problem.why.what for problem in problems if isinstance(problem, Problem)
                ),
                "the others are stopped; look at these processes, then stop again",
            )

    def _stop_one(self, release: Release, number: int, seconds: float) -> None:
        kept = self._kept(release, number)
        kept.discard(seconds, self._logs / f"{release.name}-{number}.log")
        with on_disk():
            self._socket(release, number).unlink(missing_ok=True)

    def _numbers(self, release: Release) -> list[int]:
        with contextlib.suppress(OSError):
            folders = (self._replicas / release.name).iterdir()
            return sorted(int(one.name) for one in folders if one.name.isdecimal())
        return []

    def _kept(self, release: Release, number: int) -> Kept:
        return Kept(self._replicas / release.name / str(number), self._clock)

    def _socket(self, release: Release, number: int) -> Path:
        role = "c" if release.control else ""
        return self._run_dir / f"{release.digest[:8]}{role}-{number}.sock"

    def _remember(self, release: Release) -> None:
        """So that `started` can say which release a folder belongs to."""
        folder = self._replicas / release.name
        with on_disk():
            self._run_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            new = folder / "release.json.new"
            new.write_text(json.dumps(asdict(release)))
            new.replace(folder / "release.json")
