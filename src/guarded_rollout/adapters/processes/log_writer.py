"""Programs that log what they are told: many at once into one file, or one under its keeper."""

import contextlib
import os
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import IO

from guarded_rollout.adapters.processes.command import Command, on_disk
from guarded_rollout.adapters.processes.kept import Kept, Rotation
from guarded_rollout.ports import Clock, Rotated, Written

LIMIT_BYTES = 46_000
LOOK_SECONDS = 0.05
FROM_FIFO = 'exec "$@" <"$0"'
HELLO_SECONDS = 20.0


class ProcessLogWriter:
    """Satisfies ports.LogWriter.

    Args:
        command: reads records on standard input. `{scratch}` in argv: a folder for this run.
        folder: where scratch folders are made; they are removed again.
        own_files: which files it writes, as a pattern below `{scratch}`; None: it logs to
            standard output, and that is kept and rotated as for a replica of the service.
    """

    def __init__(
        self, command: Command, folder: Path, clock: Clock, own_files: str | None = None
    ) -> None:
        self._command = command
        self._folder = folder.absolute()
        self._clock = clock
        self._own_files = own_files

    def feed(
        self,
        batches: Sequence[Sequence[str]],
        timeout: float,
        env: Mapping[str, str] | None = None,
    ) -> Written:
        """Every process has logged its first record before any of them gets the others."""
        with self._scratch() as scratch:
            log = scratch / "log"
            handle = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            try:
                crowd = _Crowd(self._argv(scratch), self._command, handle, env or {})
                until = self._clock.monotonic() + timeout
                with crowd.run(len(batches)):
                    crowd.greet([batch[0] for batch in batches])
                    wanted = len(batches)
                    hurry = min(until, self._clock.monotonic() + HELLO_SECONDS)
                    if wanted > 1:
                        self._wait(lambda: self._read(scratch).count(b"\n") >= wanted, hurry)
                    began = self._clock.monotonic()
                    crowd.tell([batch[1:] for batch in batches])
                    problem = crowd.end(lambda: until - self._clock.monotonic())
                    seconds = self._clock.monotonic() - began
            finally:
                os.close(handle)
            files = self._files(scratch)
            modes = {file.name: file.stat().st_mode & 0o777 for file in files}
            said = log.read_bytes()[-500:].decode(errors="replace") if problem else ""
            told = f"{problem}: {said}" if problem else None
            return Written(self._read(scratch), modes, seconds, told)

    def rotate(self, rounds: Sequence[Sequence[str]], timeout: float) -> Rotated | None:
        """Under a keeper like a replica's, with a limit of LIMIT_BYTES."""
        if self._own_files is not None:
            return None
        with self._scratch() as scratch:
            fifo = scratch / "records"
            os.mkfifo(fifo, 0o600)
            # Open at both ends: neither we nor the program wait for the other to open it.
            feed = os.open(fifo, os.O_RDWR | os.O_NONBLOCK)
            kept = Kept(scratch / "kept", self._clock)
            try:
                argv = ("/bin/sh", "-c", FROM_FIFO, str(fifo), *self._argv(scratch))
                kept.start(
                    argv, self._command.env, self._command.cwd, rotation=Rotation(LIMIT_BYTES, 0.1)
                )
                problem = self._rounds(kept, feed, rounds, timeout)
                return self._rotated(kept, problem)
            finally:
                os.close(feed)
                kept.discard(5.0)

    def _rounds(
        self, kept: Kept, feed: int, rounds: Sequence[Sequence[str]], timeout: float
    ) -> str | None:
        until = self._clock.monotonic() + timeout
        log, older = kept.log(), kept.log().with_name("log.1")
        for number, lines in enumerate(rounds, 1):
            mark = f"round {number} is over".encode()
            left = memoryview("".join(f"{line}\n" for line in lines).encode())
            while left and self._clock.monotonic() < until:
                with contextlib.suppress(BlockingIOError):  # the program reads as fast as it logs
                    left = left[os.write(feed, left) :]
                    continue
                self._clock.sleep(LOOK_SECONDS)
            last = number == len(rounds)
            where = log if last else older
            if not self._wait(partial(_has, where, mark), until):
                return f"round {number} of {len(rounds)} did not come to {where.name}"
        return None

    def _rotated(self, kept: Kept, problem: str | None) -> Rotated:
        log = kept.log()
        older = log.with_name("log.1")
        files = sorted(file for file in log.parent.iterdir() if file.name.startswith("log"))
        return Rotated(
            _content(older),
            _content(log),
            tuple(file.name for file in files),
            {file.name: file.stat().st_mode & 0o777 for file in files},
            problem,
        )

    def _argv(self, scratch: Path) -> tuple[str, ...]:
        return tuple(word.replace("{scratch}", str(scratch)) for word in self._command.argv)

    def _files(self, scratch: Path) -> list[Path]:
        return sorted(scratch.glob(self._own_files or "log"))

    def _read(self, scratch: Path) -> bytes:
        return b"".join(_content(file) for file in self._files(scratch))

    def _wait(self, true: Callable[[], bool], until: float) -> bool:
        while not true():
            if self._clock.monotonic() > until:
                return False
            self._clock.sleep(LOOK_SECONDS)
        return True

    @contextlib.contextmanager
    def _scratch(self) -> Iterator[Path]:
        with on_disk():
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            scratch = Path(tempfile.mkdtemp(prefix="logs-", dir=self._folder))
        try:
            yield scratch
        finally:
            shutil.rmtree(scratch, ignore_errors=True)


class _Crowd:
    """Some processes of one command, with one log."""

    def __init__(
        self, argv: tuple[str, ...], command: Command, log: int, env: Mapping[str, str]
    ) -> None:
        self._argv, self._command, self._log = argv, command, log
        self._env = {**command.env, **env}
        self._processes: list[subprocess.Popen[bytes]] = []
        self._threads: list[threading.Thread] = []

    @contextlib.contextmanager
    def run(self, number: int) -> Iterator[None]:
        """They are gone in the end, whatever happens."""
        try:
            with on_disk():
                for _ in range(number):
                    self._processes.append(
                        subprocess.Popen(
                            self._argv,
                            env=self._env,
                            cwd=self._command.cwd,
                            stdin=subprocess.PIPE,
                            stdout=self._log,
                            stderr=self._log,
                        )
                    )
            yield
        finally:
            for process in self._processes:
                process.kill()
                with contextlib.suppress(BrokenPipeError):
                    _stdin(process).close()
                process.wait()
            for thread in self._threads:
                thread.join()

    def greet(self, lines: Sequence[str]) -> None:
        """One record each."""
        for process, line in zip(self._processes, lines, strict=True):
            _write(process, [line], last=False)

    def tell(self, batches: Sequence[Sequence[str]]) -> None:
        """The rest, to all at the same time; then their input is over."""
        for process, lines in zip(self._processes, batches, strict=True):
            thread = threading.Thread(target=_write, args=(process, lines), kwargs={"last": True})
            thread.start()
            self._threads.append(thread)

    def end(self, left: Callable[[], float]) -> str | None:
        """Wait for their ends. What went wrong, if anything."""
        for process in self._processes:
            try:
                code = process.wait(max(0.0, left()))
            except subprocess.TimeoutExpired:
                return "the program did not end in time"
            if code != 0:
                return f"the program ended with {code}"
        return None


def _write(process: subprocess.Popen[bytes], lines: Sequence[str], *, last: bool) -> None:
    # A program that has ended hears nothing more: its exit code tells.
    with contextlib.suppress(BrokenPipeError):
        pipe = _stdin(process)
        pipe.write("".join(f"{line}\n" for line in lines).encode())
        pipe.flush()
        if last:
            pipe.close()


def _stdin(process: subprocess.Popen[bytes]) -> IO[bytes]:
    assert process.stdin is not None, "it was opened with a pipe"
    return process.stdin


def _has(file: Path, sign: bytes) -> bool:
    return sign in _content(file)


def _content(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except FileNotFoundError:
        return b""
