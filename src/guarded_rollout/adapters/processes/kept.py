"""The controller's side of a keeper: start it, look at it, stop it, from any process."""

import contextlib
import hashlib
import hmac
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from guarded_rollout.adapters.processes import keeper
from guarded_rollout.adapters.processes.holder import lock_holder, signal_holder
from guarded_rollout.adapters.processes.turn import turn
from guarded_rollout.core.problems import Broken, NotPossible
from guarded_rollout.ports import Clock

START_SECONDS = 30.0
STOP_SECONDS = 30.0
TURN_SECONDS = 120.0
GRACE_SECONDS = 5.0
PAUSE = 0.02


@dataclass(frozen=True, slots=True)
class KeptStatus:
    """What is there. `alive`: the child runs. `kept`: its keeper runs. `pid`: the child's."""

    alive: bool
    kept: bool
    pid: int | None
    restarts: int
    last_exit: str | None
    log: Path


@dataclass(frozen=True, slots=True)
class Rotation:
    """The size in bytes from which a log is rotated, and how often its keeper looks."""

    limit: int
    every_seconds: float


class Kept:
    """One supervised process, known by its folder. It outlives whoever started it."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        self._folder = folder.absolute()
        self._lock = self._folder / "keeper.lock"
        self._clock = clock

    def start(
        self,
        argv: tuple[str, ...],
        env: Mapping[str, str],
        cwd: Path | None = None,
        stop_seconds: float = STOP_SECONDS,
        unlink: tuple[Path, ...] = (),
        *,
        rotation: Rotation | None = None,
    ) -> None:
        """See to it that the command is kept running; one that is kept already is left alone.

        `env` is the whole environment. `stop_seconds` is for a SIGTERM that comes from elsewhere
        than `stop`. `unlink`: stale sockets, removed before each start. `rotation`: another than
        the keeper's own. Raises NotPossible when
        something else is kept in this folder, Broken when the keeper does not start.
        """
        spec = {
            "argv": list(argv),
            "env": dict(env),
            "cwd": None if cwd is None else str(cwd),
            "stop_seconds": stop_seconds,
            "unlink": [str(path) for path in unlink],
        }
        if rotation is not None:
            spec |= {"log_bytes": rotation.limit, "tick_seconds": rotation.every_seconds}
        with self._turn() as held:
            self._finish_stopping()
            if self._keeper() is not None:
                self._compare(spec)
                return
            for old in ("stop", "spec.json"):
                (self._folder / old).unlink(missing_ok=True)
            _write_whole(self._folder / "spec.json", _without_secrets(spec, secrets.token_hex(16)))
            self._start_keeper(spec, held)

    def status(self) -> KeptStatus:
        """Look."""
        holder = self._keeper()
        said = _read(self._folder / "status.json")
        pid = said.get("child")
        alive = (
            holder is not None
            and said.get("keeper") == holder
            and isinstance(pid, int)
            and _is(pid, said.get("child_started"))
        )
        return KeptStatus(
            alive=alive,
            kept=holder is not None,
            pid=pid if alive else None,
            restarts=int(said.get("restarts", 0)),
            last_exit=said.get("last_exit"),
            log=self.log(),
        )

    def alive(self) -> bool:
        """Look: the child runs."""
        return self.status().alive

    def log(self) -> Path:
        """What the child prints."""
        return self._folder / "log"

    def stop(self, seconds: float) -> None:
        """SIGTERM to the child's group, wait so long, SIGKILL; ends the keeper. Idempotent.

        Raises Broken when something survives that.
        """
        if self._folder.exists():
            with self._turn():
                self._stop(seconds)

    def discard(self, seconds: float, log_to: Path | None = None) -> None:
        """Stop, keep the log at `log_to`, delete the folder. Nothing there: no error."""
        gone = f".{self._folder.name}.{{}}.gone"
        if self._folder.exists():
            with self._turn():
                self._stop(seconds)
                if log_to is not None and self.log().exists():
                    log_to.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(self.log(), log_to)
                # In one step, lock and all: who waits for its turn makes a new folder.
                self._folder.rename(self._folder.with_name(gone.format(secrets.token_hex(4))))
        for half_gone in self._folder.parent.glob(gone.format("*")):
            shutil.rmtree(half_gone, ignore_errors=True)

    @contextlib.contextmanager
    def _turn(self) -> Iterator[int]:
        """Only one controller at a time starts or stops what is in the folder."""
        try:
            with turn(self._folder / "turn.lock", self._clock, TURN_SECONDS) as held:
                yield held
        except OSError as problem:
            raise _unusable(self._folder, problem) from problem

    def _keeper(self) -> int | None:
        """The pid of the process that holds the folder's lock now: the kernel's word."""
        try:
            return lock_holder(self._lock)
        except OSError as problem:
            raise _unusable(self._lock, problem) from problem

    def _start_keeper(self, spec: Mapping[str, Any], held: int) -> None:
        """The whole spec goes through a pipe, so no secret of the environment reaches the disk.

        The keeper inherits our turn until it has started its child: if we are killed here, the
        next controller waits for that instead of finding a process that it did not expect.
        """
        inherited = {k: v for k, v in os.environ.items() if k == "LD_LIBRARY_PATH"}
        command = (sys.executable, "-I", "-S", keeper.__file__, str(self._folder), str(held))
        try:
            done = subprocess.run(
                command,
                input=json.dumps(spec).encode(),
                capture_output=True,
                env=inherited,
                start_new_session=True,
                pass_fds=(held,),
                timeout=START_SECONDS,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as problem:
            raise Broken(
                f"the supervisor of {self._folder} did not start: {problem}",
                "look at the machine's load, memory and process limit, then try again",
            ) from problem
        if done.returncode != 0:
            said = done.stderr.decode(errors="replace").strip().splitlines()
            why = said[-1] if said else "processes of an earlier start are still there"
            raise Broken(
                f"the supervisor of {self._folder} did not start (code {done.returncode}): {why}",
                f"look at {self.log()}",
            )

    def _compare(self, spec: Mapping[str, Any]) -> None:
        """Refuse to adopt a process that is not the one that was asked for."""
        kept = _read(self._folder / "spec.json")
        salt = str(kept.get("salt", ""))
        asked = _without_secrets(spec, salt)
        differs = [key for key in ("argv", "cwd") if kept.get(key) != asked[key]]
        before, now = kept.get("env", {}), asked["env"]
        differs += [
            f"env {name}"
            for name in sorted(before.keys() | now.keys())
            if before.get(name) != now.get(name)
        ]
        if differs:
            raise NotPossible(
                f"{self._folder} already keeps a process with other settings: {', '.join(differs)}",
                "stop it first, then start it with the new settings",
            )

    def _finish_stopping(self) -> None:
        """A controller that was killed in mid-stop has told the keeper already: do not adopt it."""
        told = self._folder / "stop"
        if self._keeper() is not None and (
            told.exists() or _read(self._folder / "status.json").get("ending")
        ):
            seconds = STOP_SECONDS
            with contextlib.suppress(OSError, ValueError):
                seconds = float(told.read_text())
            self._stop(seconds)

    def _stop(self, seconds: float) -> None:
        holder = self._keeper()
        if holder is not None:
            _write_text(self._folder / "stop", f"{seconds:g}")
            signal_holder(self._lock, holder, signal.SIGTERM)
            if not self._ended(holder, seconds + GRACE_SECONDS):
                # The keeper hangs. When it is killed, the kernel ends its child.
                signal_holder(self._lock, holder, signal.SIGKILL)
                self._ended(holder, GRACE_SECONDS)
        if self._keeper() is not None or not keeper.end_leftovers(self._folder):
            raise Broken(
                f"the process kept in {self._folder} cannot be ended",
                "it may hang in the kernel (state D in `ps`); look at its disk or network mount",
            )

    def _ended(self, holder: int, seconds: float) -> bool:
        until = self._clock.monotonic() + seconds
        while self._keeper() == holder:
            if self._clock.monotonic() >= until:
                return False
            self._clock.sleep(PAUSE)
        return True


def _unusable(path: Path, problem: OSError) -> Broken:
    return Broken(
        f"{path} cannot be used: {problem.strerror or problem}",
        "make the folder one that this user may write, on a disk with room, then try again",
    )


def _is(pid: int, begun: object) -> bool:
    """The process with this pid is the one that began then."""
    if sys.platform == "linux":
        return begun is not None and keeper.started(pid) == begun
    with contextlib.suppress(OSError):
        os.kill(pid, 0)
        return True
    return False


def _without_secrets(spec: Mapping[str, Any], salt: str) -> dict[str, Any]:
    """The spec as it may lie on disk: values of the environment only as salted digests."""
    env = {
        name: hmac.digest(salt.encode(), value.encode(), hashlib.sha256).hex()
        for name, value in spec["env"].items()
    }
    return {**spec, "env": env, "salt": salt}


def _read(file: Path) -> dict[str, Any]:
    """A JSON object, or an empty one while there is none."""
    try:
        found = json.loads(file.read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _write_whole(file: Path, value: Mapping[str, Any]) -> None:
    _write_text(file, json.dumps(value, indent=1, sort_keys=True))


def _write_text(file: Path, text: str) -> None:
    new = file.with_name(f"{file.name}.new")
    handle = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with open(handle, "w") as out:  # noqa: PTH123 - the mode is set before a byte is written
        out.write(text)
    new.replace(file)
