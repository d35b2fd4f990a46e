"""Keeps one process running: a supervisor of its own, like runit's runsv.

Started as `python -I -S keeper.py FOLDER [TURN]` with the spec as JSON on standard input.
Standard library only, and nothing from this package: it has to outlive the controller, its shell
and its upgrade. It leaves the controller at once (a second fork), so nobody waits for it. TURN is
the descriptor of a lock that the keeper holds until its child was started: when the controller
is killed meanwhile, its successor waits, and finds a keeper or none, never one that is yet to come.

In the folder: `keeper.lock` is locked for the keeper's life (a record lock: the kernel names its
holder, and a forked child does not inherit it), `status.json` says what runs, `log` is what it
printed, `stop` is how many seconds the next stop may take.

SIGTERM: the child's group gets SIGTERM, then SIGKILL when the time is over, and the keeper ends.
When the keeper itself is killed the kernel kills the child, so nothing serves unsupervised.
"""

import contextlib
import ctypes
import json
import os
import select
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

with contextlib.suppress(ModuleNotFoundError):  # Windows: it is imported there, and never run
    import fcntl

MARK = "ROLLOUT_KEPT"
"""In the child's environment: its folder. Tells what an earlier keeper left behind."""

FIRST_PAUSE = 0.1
LONGEST_PAUSE = 5.0
STEADY = 10.0
TICK = 5.0
LOG_BYTES = 20_000_000
LEFTOVERS_SECONDS = 10.0
HELD = 3

_monotonic = time.monotonic  # noqa: TID251 - a process without ports
_unix_time = time.time  # noqa: TID251 - a process without ports
_sleep = time.sleep  # noqa: TID251 - a process without ports


class Process:
    """What the kernel says about a pid: enough to tell it from a later one with the same number."""

    __slots__ = ("group", "parent", "started", "state")

    def __init__(self, pid: int) -> None:
        """Raise OSError when there is no such process, or no /proc to ask."""
        stat = Path(f"/proc/{pid}/stat").read_bytes()
        fields = stat[stat.rindex(b")") + 2 :].split()
        self.state, self.parent = fields[0], int(fields[1])
        self.group, self.started = int(fields[2]), int(fields[19])


def started(pid: int) -> int | None:
    """When a process began, in the kernel's ticks; None when it does not run."""
    try:
        process = Process(pid)
    except (OSError, ValueError, IndexError):
        return None
    return None if process.state in b"ZX" else process.started


def leftovers(folder: Path) -> tuple[int, ...]:
    """The processes that a killed keeper of this folder left behind, by their environment."""
    wanted = f"{MARK}={folder}".encode()
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if wanted in (entry / "environ").read_bytes().split(b"\0"):
                found.append(int(entry.name))
    return tuple(found)


def end_leftovers(folder: Path) -> bool:
    """Kill them, whatever the status says: a keeper can be killed before it wrote one."""
    child, child_started = -1, None
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        said = json.loads((folder / "status.json").read_bytes())
        child, child_started = int(said["child"]), said["child_started"]
    until = _monotonic() + LEFTOVERS_SECONDS
    while _monotonic() < until:
        found = leftovers(folder)
        for pid in found:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        # A process that is about to end has no environment any more, but still its sockets.
        if not found and (child_started is None or started(child) != child_started):
            return True
        _sleep(0.02)
    return False


class Keeper:
    """One child and its fate. `spec`: argv, env, cwd, umask, stop_seconds, unlink."""

    def __init__(self, folder: Path, spec: dict[str, Any]) -> None:
        self.folder = folder
        self.spec = spec
        self.told_to_stop = False
        self.child: int | None = None
        self.ended: int | None = None
        self.restarts = 0
        self.last_exit: str | None = None
        self.since = _unix_time()
        self.noted = False
        self.libc = ctypes.CDLL(None) if sys.platform == "linux" else None
        self.wake, wakes = os.pipe()
        for end in (self.wake, wakes):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(wakes, warn_on_full_buffer=False)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGTERM, self._told)

    def _told(self, *_: object) -> None:
        self.told_to_stop = True

    def run(self, ready: Callable[[], None]) -> None:
        """Until told to stop. Calls `ready` when the first child was started."""
        pause = FIRST_PAUSE
        while not self.told_to_stop:
            began = _monotonic()
            self.begin()
            self.note()
            ready()
            while not self.told_to_stop and not self.gone():
                self.rest(float(self.spec.get("tick_seconds", TICK)))
                self.rotate()
                if not self.noted:
                    self.note()
            if self.told_to_stop:
                break
            self.bury()
            self.note()
            if _monotonic() - began >= STEADY:
                pause = FIRST_PAUSE
            until = _monotonic() + pause
            while not self.told_to_stop and _monotonic() < until:
                self.rest(until - _monotonic())
            pause = min(2 * pause, LONGEST_PAUSE)
            self.restarts += not self.told_to_stop
        self.end()
        self.note()

    def begin(self) -> None:
        """Start the child in its own process group."""
        for path in self.spec.get("unlink", ()):
            with contextlib.suppress(OSError):
                Path(path).unlink()
        # A SIGTERM between fork and exec must reach the child, not a handler it is about to lose.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        keeper = os.getpid()
        pid = os.fork()
        if pid == 0:
            self.become(keeper)
        with contextlib.suppress(OSError):
            os.setpgid(pid, pid)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        self.child, self.ended, self.since = pid, None, _unix_time()

    def become(self, keeper: int) -> NoReturn:
        """In the fork: turn into the command."""
        argv = self.spec["argv"]
        try:
            os.setpgid(0, 0)
            if self.libc is not None:
                self.libc.prctl(1, int(signal.SIGKILL))  # PR_SET_PDEATHSIG
            if os.getppid() != keeper:
                os._exit(0)
            signal.set_wakeup_fd(-1)
            for number in (signal.SIGHUP, signal.SIGINT, signal.SIGPIPE, signal.SIGTERM):
                signal.signal(number, signal.SIG_DFL)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_SETMASK, ())
            log = os.open(self.folder / "log", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            os.dup2(log, 1)
            os.dup2(log, 2)
            os.umask(self.spec.get("umask", 0o077))
            os.chdir(self.spec.get("cwd") or self.folder)
            os.execvpe(argv[0], argv, {**self.spec["env"], MARK: str(self.folder)})  # noqa: S606 - it is the job
        except BaseException as problem:  # noqa: BLE001 - the fork must never return
            os.write(2, f"keeper: cannot start {argv[0]}: {problem}\n".encode())
        finally:
            os._exit(127)

    def gone(self) -> bool:
        """Look whether the child ended, without reaping: its pid stays ours until `bury`."""
        if self.child is None:
            return True
        if hasattr(os, "waitid"):
            look = os.WEXITED | os.WNOHANG | os.WNOWAIT
            return os.waitid(os.P_PID, self.child, look) is not None
        pid, status = os.waitpid(self.child, os.WNOHANG)  # macOS before Python 3.13
        self.ended = status if pid else None
        return pid != 0

    def bury(self) -> None:
        """End what is left of the child's group, then reap the child."""
        if self.child is None:
            return
        self.tell(signal.SIGKILL)
        if self.ended is None:
            _, self.ended = os.waitpid(self.child, 0)
        if os.WIFSIGNALED(self.ended):
            self.last_exit = f"killed by {signal.Signals(os.WTERMSIG(self.ended)).name}"
        else:
            self.last_exit = f"exit {os.WEXITSTATUS(self.ended)}"
        self.child, self.since = None, _unix_time()

    def tell(self, number: signal.Signals) -> None:
        """Send a signal to the child's group."""
        if self.child is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.child, number)

    def end(self) -> None:
        """SIGTERM, wait, SIGKILL."""
        seconds = float(self.spec.get("stop_seconds", 30.0))
        with contextlib.suppress(OSError, ValueError):
            seconds = float((self.folder / "stop").read_text())
        self.note()
        until = _monotonic() + seconds
        self.tell(signal.SIGTERM)
        while not self.gone() and _monotonic() < until:
            self.rest(until - _monotonic())
        self.bury()

    def rest(self, seconds: float) -> None:
        """Wait for a signal, at most so long."""
        select.select([self.wake], [], [], max(0.0, seconds))
        with contextlib.suppress(BlockingIOError):
            while os.read(self.wake, 512):
                pass

    def note(self) -> None:
        """Write down what runs. A full disk must not end the service: try again at a tick."""
        status = {
            "keeper": os.getpid(),
            "child": self.child,
            "child_started": None if self.child is None else started(self.child),
            "restarts": self.restarts,
            "last_exit": self.last_exit,
            "since": self.since,
            "ending": self.told_to_stop,
        }
        new = self.folder / "status.new"
        self.noted = False
        with contextlib.suppress(OSError):
            new.write_text(json.dumps(status))
            new.replace(self.folder / "status.json")
            self.noted = True

    def rotate(self) -> None:
        """Keep one older log. The child's descriptor stays; lines of that instant may be lost."""
        log, older = self.folder / "log", self.folder / "log.1"
        limit = int(self.spec.get("log_bytes", LOG_BYTES))
        try:
            size = log.stat().st_size
            if size < limit:
                return
            with log.open("rb") as source, older.open("wb") as copy:
                while chunk := source.read(1 << 16):
                    copy.write(chunk)
            os.truncate(log, 0)
        except OSError:
            # No room for a copy: the service matters more than its old lines.
            with contextlib.suppress(OSError):
                older.unlink(missing_ok=True)
                os.truncate(log, 0)


def keep(folder: Path, spec: dict[str, Any], answer: int, turn: int) -> int:
    """The keeper's life. Writes one byte to `answer`: K kept, H held by another, L leftovers."""
    nothing = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(nothing, standard)
    os.umask(0o077)
    with contextlib.suppress(OSError):  # what goes wrong in here belongs into the log
        os.dup2(os.open(folder / "log", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), 2)
    os.chdir("/")
    lock = os.open(folder / "keeper.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.write(answer, b"H")
        return HELD
    if not end_leftovers(folder):
        os.write(answer, b"L")
        return 1

    def ready() -> None:
        nonlocal answer
        if answer >= 0:
            with contextlib.suppress(OSError):  # whoever asked is gone: keep on
                os.write(answer, b"K")
            os.close(answer)
            answer = -1
            if turn >= 0:
                os.close(turn)

    Keeper(folder, spec).run(ready)
    return 0


def main(folder: Path, turn: int = -1) -> int:
    """Leave a keeper running and say how that went: 0 kept, 3 another keeps it, 1 neither."""
    if turn >= 0:
        os.set_inheritable(turn, False)  # noqa: FBT003 - the library's own signature
    spec = json.loads(sys.stdin.buffer.read())
    heard, answer = os.pipe()
    if os.fork() == 0:
        os.close(heard)
        code = 1
        try:
            code = keep(folder, spec, answer, turn)
        except BaseException:  # noqa: BLE001 - the fork must never return
            sys.excepthook(*sys.exc_info())
        finally:
            os._exit(code)
    os.close(answer)
    return {b"K": 0, b"H": HELD}.get(os.read(heard, 1), 1)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), *map(int, sys.argv[2:])))
