"""Keeps several workers on one socket, and starts another one when one dies."""

import ctypes
import logging
import os
import shutil
import signal
import sys
import tempfile
from importlib import import_module

from dhash.clock import elapsed, pause
from dhash.listener import Listener
from dhash.logs import emit
from dhash.settings import Settings

STOP_LIMIT_S = 40
YOUNG_S = 5.0
MOST_YOUNG_DEATHS = 5
"""That many workers dying within YOUNG_S, one after the other, mean that none will live."""
_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Supervisor:
    """The parent of the workers; it answers no request."""

    def __init__(self, settings: Settings, listener: Listener, count: int) -> None:
        self._settings = settings
        self._listener = listener
        self._count = count
        self._started: dict[int, float] = {}
        self._stopping = False
        self._young_deaths = 0
        self._life_read, self._life_write = os.pipe()

    def run(self) -> int:
        """Until SIGTERM; the exit code."""
        # The files of the workers' counts: private, and gone with the service.
        counts = tempfile.mkdtemp(prefix="dhash-counts-")
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = counts
        # Here once, so that a worker that takes another one's place is ready at once.
        import_module("dhash.worker")
        try:
            _adopt_orphans()
            for number in _SIGNALS:
                signal.signal(number, self._stop)
            signal.signal(signal.SIGALRM, self._kill)
            for _ in range(self._count):
                self._start()
            while self._started:
                self._wait()
        finally:
            shutil.rmtree(counts, ignore_errors=True)
        return 1 if self._young_deaths >= MOST_YOUNG_DEATHS else 0

    def _start(self) -> None:
        # Between the fork and its own handlers the child would act on a signal as we do.
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        pid = os.fork()
        if pid == 0:
            self._be_worker()
        self._started[pid] = elapsed()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)

    def _be_worker(self) -> None:
        from dhash.worker import leave, run_worker  # noqa: PLC0415 - imported by run() already

        code = 1
        try:
            os.close(self._life_write)
            signal.alarm(0)
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            for number in _SIGNALS:
                signal.signal(number, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
            run_worker(
                self._settings,
                self._listener.socket,
                root_pid=os.getppid(),
                life_line=self._life_read,
            )
            code = 0
        except BaseException:
            logging.getLogger("dhash").exception("A worker failed.")
        finally:
            leave(code)

    def _wait(self) -> None:
        pid, status = os.waitpid(-1, 0)
        started = self._started.pop(pid, None)
        if started is None or self._stopping:
            return
        lived = elapsed() - started
        emit(
            logging.ERROR,
            "worker_died",
            "A worker died; another one is started.",
            pid=pid,
            exit_code=os.waitstatus_to_exitcode(status),
            lived_seconds=round(lived, 3),
        )
        self._young_deaths = self._young_deaths + 1 if lived < YOUNG_S else 0
        if self._young_deaths >= MOST_YOUNG_DEATHS:
            emit(logging.CRITICAL, "gave_up", "Workers die as soon as they start.")
            self._stop(signal.SIGTERM, None)
            return
        if self._young_deaths:
            pause(0.2)
        if not self._stopping:
            self._start()

    def _stop(self, _number: int, _frame: object) -> None:
        if self._stopping:
            return
        self._stopping = True
        # Our copy too, or new connections would wait here for nobody.
        self._listener.close()
        signal.alarm(STOP_LIMIT_S)
        self._send(signal.SIGTERM)

    def _kill(self, _number: int, _frame: object) -> None:
        self._send(signal.SIGKILL)

    def _send(self, number: int) -> None:
        for pid in list(self._started):
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                continue


def _adopt_orphans() -> None:
    """Take over the PDF readers of a worker that was killed.

    Their processor time would otherwise be counted by nobody, and the sum would fall.
    """
    if sys.platform == "linux":
        set_child_subreaper = 36
        ctypes.CDLL(None).prctl(set_child_subreaper, 1, 0, 0, 0)
