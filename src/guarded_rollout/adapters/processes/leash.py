"""Commands on a leash: they end when they are told to, when time is up, or when we die.

`run` follows a command to its end, `running` lends one that serves until it is no longer needed.
"""

import codecs
import contextlib
import json
import os
import select
import selectors
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from guarded_rollout.adapters.processes import guard
from guarded_rollout.core.problems import Broken, Interrupted, Problem
from guarded_rollout.ports import Clock, Control

TAIL = 20_000
LOOK_SECONDS = 0.1
TERM_SECONDS = 5.0
KILL_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class Finished:
    """How a command ended. `code`: negative for a signal. `output`: its last 20,000 characters."""

    code: int
    output: str


def run(
    argv: Sequence[str],
    *,
    env: Mapping[str, str],
    cwd: Path,
    control: Control,
    clock: Clock,
    timeout: float,
    log: Path | None = None,
    pass_fds: tuple[int, ...] = (),
) -> Finished:
    """Run a command to its end; standard output and error together go to `log` and the tail.

    `env` is the whole environment. `pass_fds` are inherited: pass a lock's descriptor, so that a
    successor cannot take it while the command lives. Whatever the command started ends with it.

    Raises Broken when the command cannot be started or takes longer than `timeout` seconds,
    Interrupted when `control` says stop. A failing command is no error here: look at its code.
    """
    leashed = _Leashed(tuple(argv), clock, log)
    leashed.start(env, cwd, pass_fds)
    try:
        return leashed.follow(control, timeout)
    finally:
        leashed.close()


@contextlib.contextmanager
def running(
    argv: Sequence[str], *, env: Mapping[str, str], cwd: Path, output: int, umask: int = 0o077
) -> Iterator["Running"]:
    """Run a command while inside; standard output and error go to the descriptor `output`.

    `env` is the whole environment. In the end SIGTERM, after TERM_SECONDS SIGKILL, and whatever
    the command started ends with it. Raises Broken when nothing can be started in `cwd`; a
    program that is not there has ended: `Running.ended` says why.
    """
    it = Running(_guarded(tuple(argv), env, cwd, errors=output, umask=umask))
    try:
        yield it
    finally:
        it.end()


class Running:
    """A command that runs until it is ended. It is not started again."""

    def __init__(self, guard: subprocess.Popen[bytes]) -> None:
        self._guard = guard
        self._how: str | None = None

    def ended(self) -> str | None:
        """Look: how it ended, as `exit 1` or `signal 9`; None while it runs."""
        if self._how is None and self._answered(0.0):
            self._how = self._read()
        return self._how

    def end(self) -> None:
        """End it, with all that it started. It has ended already: no error."""
        leash = _pipe(self._guard.stdin)
        try:
            with contextlib.suppress(BrokenPipeError):
                leash.write(b"T")
            self._answered(TERM_SECONDS)
        finally:
            leash.close()  # which ends at once whatever still runs
            if self._how is None:
                self._how = self._read()
            _pipe(self._guard.stdout).close()
            self._guard.wait()

    def _answered(self, seconds: float) -> bool:
        """Look: the guard has answered, or is gone."""
        look = select.poll()
        look.register(_pipe(self._guard.stdout), select.POLLIN)
        return self._how is not None or bool(look.poll(seconds * 1000))

    def _read(self) -> str:
        """The guard's answer, to its end."""
        try:
            answer = json.loads(_pipe(self._guard.stdout).read())
        except ValueError:
            return f"ended with its guard, which ended with code {self._guard.wait()}"
        if "problem" in answer:
            return f"cannot be started: {answer['problem']}"
        code = int(answer["code"])
        return f"exit {code}" if code >= 0 else f"signal {-code}"


class _Leashed:
    def __init__(self, argv: tuple[str, ...], clock: Clock, log: Path | None) -> None:
        self._argv = argv
        self._clock = clock
        self._log = log
        self._log_file: IO[bytes] | None = None
        self._output = ""
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")

    @property
    def _name(self) -> str:
        return Path(self._argv[0]).name

    def start(self, env: Mapping[str, str], cwd: Path, pass_fds: tuple[int, ...]) -> None:
        if self._log is not None:
            self._log.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(self._log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            self._log_file = os.fdopen(handle, "ab", buffering=0)
        try:
            self._guard = _guarded(self._argv, env, cwd, pass_fds=pass_fds)
        except Broken:
            if self._log_file is not None:
                self._log_file.close()
            raise

    def follow(self, control: Control, timeout: float) -> Finished:
        """Read what it prints until it ends; pull the leash when it must."""
        over = self._clock.monotonic() + timeout
        ending: Problem | None = None
        kill_at = 0.0
        with selectors.DefaultSelector() as selector:
            selector.register(_pipe(self._guard.stderr), selectors.EVENT_READ)
            selector.register(_pipe(self._guard.stdout), selectors.EVENT_READ)
            while not self._read(selector):
                now = self._clock.monotonic()
                if ending is None and (now >= over or control.stopped()):
                    ending = self._too_long(timeout) if now >= over else self._told()
                    kill_at = now + TERM_SECONDS
                    self._pull(b"T")
                elif ending is not None and now >= kill_at:
                    kill_at = now + KILL_SECONDS
                    self._pull(b"K")
            self._drain()
        answer = self._answer()
        if ending is not None:
            raise ending
        if "problem" in answer:
            raise Broken(
                f"{self._argv[0]} cannot be started: {answer['problem']}",
                "check that it is installed and may be executed",
            )
        return Finished(int(answer["code"]), self._output)

    def close(self) -> None:
        """Let go of the leash: whatever still runs is ended by the guard now."""
        for pipe in (self._guard.stdin, self._guard.stderr, self._guard.stdout):
            _pipe(pipe).close()
        self._guard.wait()
        if self._log_file is not None:
            self._log_file.close()

    def _read(self, selector: selectors.BaseSelector) -> bool:
        """Take what is there, wait a little for more. True: the guard has answered or is gone."""
        answered = False
        for key, _ in selector.select(LOOK_SECONDS):
            if key.fileobj is self._guard.stdout:
                answered = True
            else:
                chunk = os.read(key.fd, 1 << 16)
                if chunk:
                    self._keep(chunk)
                else:
                    selector.unregister(key.fileobj)
        return answered

    def _drain(self) -> None:
        """What was printed last. Never waits: a stranger may hold the other end."""
        pipe = _pipe(self._guard.stderr)
        os.set_blocking(pipe.fileno(), False)
        with contextlib.suppress(BlockingIOError):
            while chunk := os.read(pipe.fileno(), 1 << 16):
                self._keep(chunk)

    def _keep(self, chunk: bytes) -> None:
        if self._log_file is not None:
            try:
                self._log_file.write(chunk)
            except OSError as problem:
                raise Broken(
                    f"{self._log} cannot be written: {problem.strerror}, so {self._name} was ended",
                    "make room on that disk, then try again",
                ) from problem
        self._output = (self._output + self._decoder.decode(chunk))[-TAIL:]

    def _answer(self) -> dict[str, Any]:
        line = _pipe(self._guard.stdout).read()
        try:
            answer: dict[str, Any] = json.loads(line)
        except ValueError:
            code = self._guard.wait()
            raise Broken(
                f"the guard of {self._name} ended with code {code} before the command did",
                "the command was ended with it; look at the machine's memory, then try again",
            ) from None
        return answer

    def _pull(self, how: bytes) -> None:
        with contextlib.suppress(BrokenPipeError):
            _pipe(self._guard.stdin).write(how)

    def _too_long(self, timeout: float) -> Problem:
        where = f"look at {self._log}" if self._log else "allow it more time, or find what it does"
        return Broken(f"{self._name} did not end within {timeout:g} s and was ended", where)

    def _told(self) -> Problem:
        return Interrupted(
            f"{self._name} was ended before it was done", "run the same command again to carry on"
        )


def _guarded(
    argv: tuple[str, ...],
    env: Mapping[str, str],
    cwd: Path,
    *,
    errors: int = subprocess.PIPE,
    pass_fds: tuple[int, ...] = (),
    umask: int = -1,
) -> subprocess.Popen[bytes]:
    """The guard of a command; it starts the command. `errors`: where its output goes."""
    words = (*map(str, pass_fds), "--", *argv)
    try:
        return subprocess.Popen(
            (sys.executable, "-I", "-S", guard.__file__, *words),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            env=dict(env),
            cwd=cwd,
            umask=umask,
            start_new_session=True,
            pass_fds=pass_fds,
            bufsize=0,
        )
    except OSError as problem:
        raise Broken(
            f"{Path(argv[0]).name} cannot be started in {cwd}: {problem.strerror or problem}",
            "check that the folder and the program exist",
        ) from problem


def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
    """A pipe that was asked for is there."""
    assert pipe is not None
    return pipe
