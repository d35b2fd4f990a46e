"""A real Envoy, real replicas, and a client: everything a test of the Traffic port needs."""

import contextlib
import http.client
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from guarded_rollout.adapters.clock import SystemClock
from guarded_rollout.adapters.envoy import EnvoyTraffic, live
from guarded_rollout.adapters.envoy.admin import Admin, NoAnswer
from guarded_rollout.adapters.throwaway import free_port
from guarded_rollout.core.problems import Broken
from guarded_rollout.ports import Arm

LONG = 60.0
"""Seconds. The machine may be busy; no test waits this long unless it fails."""
REPLICA = Path(__file__).with_name("replica.py")


def until(look, what, seconds=LONG):
    """Look until it is true; fail with `what` when it never is."""
    clock = SystemClock()
    deadline = clock.monotonic() + seconds
    while True:
        if found := look():
            return found
        assert clock.monotonic() < deadline, f"not within {seconds:g} s: {what}"
        clock.sleep(0.01)


class Supervisor:
    """The simplest ProxySupervisor: a thread that starts the process again when it dies."""

    def __init__(self, folder):
        self._log = folder / "envoy.log"
        self._told_to_stop = threading.Event()
        self._process = None
        self._thread = None
        self._argv = ()

    @property
    def pid(self):
        return self._process.pid

    def start(self, argv, env):
        if self._thread is not None:
            assert argv == self._argv, "another command is supervised already"
            return
        self._argv = argv
        self._told_to_stop.clear()
        self._begin(argv, env)
        self._thread = threading.Thread(target=self._keep, args=(argv, env))
        self._thread.start()

    def _begin(self, argv, env):
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                argv, env=dict(env), stdout=log, stderr=log, start_new_session=True
            )

    def _keep(self, argv, env):
        while True:
            self._process.wait()
            if self._told_to_stop.wait(0.05):
                return
            self._begin(argv, env)

    def alive(self):
        return self._process is not None and self._process.poll() is None

    def stop(self, seconds):
        if self._thread is None:
            return
        self._told_to_stop.set()
        while self._thread.is_alive():
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(seconds)
            self._process.kill()
            self._thread.join(0.2)
        self._thread = None

    def log(self):
        return self._log


@dataclass
class Load:
    """What a load generator saw: answers by (status, body), and what failed altogether."""

    answers: Counter = field(default_factory=Counter)
    failures: list = field(default_factory=list)

    @property
    def sent(self):
        return sum(self.answers.values()) + len(self.failures)

    def bad(self):
        """Everything that is not a 200."""
        return {k: n for k, n in self.answers.items() if k[0] != 200}, self.failures

    def by_release(self):
        return {body: n for (status, body), n in self.answers.items() if status == 200}


class Held:
    """A request in flight."""

    def __init__(self, world, headers):
        self._file = world.folder / "answer"
        self._file.unlink(missing_ok=True)
        self._answers = []
        self._thread = threading.Thread(target=self._ask, args=(world, headers))
        self._thread.start()

    def _ask(self, world, headers):
        path = f"/hold/{self._file.name}"
        self._answers.append(world.ask("GET", path, headers=headers))

    def finish(self):
        """Let it be answered: status and body."""
        self._file.touch()
        self._thread.join()
        return self._answers[0]


class EnvoyWorld:
    """One environment: a proxy and the releases behind it. `settings`: of all its controllers."""

    def __init__(self, **settings):
        self.settings = settings
        self.folder = Path(tempfile.mkdtemp(prefix="traffic", dir="/tmp"))
        self.supervisor = Supervisor(self.folder)
        self.port = free_port()
        self.traffic = self.controller()
        self.replicas = {}

    def controller(self, **settings):
        """One more controller for the same proxy."""
        return EnvoyTraffic(
            **{
                "folder": self.folder / "proxy",
                "run_dir": self.folder / "run",
                "listen": ("127.0.0.1", self.port),
                "health_path": "/health",
                "supervisor": self.supervisor,
                "clock": SystemClock(),
                "ready_seconds": LONG / 2,
                **self.settings,
                **settings,
            }
        )

    def start(self):
        """Start the proxy, on another port if somebody was faster."""
        for attempt in range(5):
            try:
                self.traffic.start()
            except Broken:
                if attempt == 4:
                    raise
                self.port = free_port()
                self.traffic = self.controller()
            else:
                return

    def arm(self, release, replicas=2):
        """Start a release."""
        sockets = tuple(self.folder / f"{release[:12]}-{n}.sock" for n in range(replicas))
        for path in sockets:
            self.begin(release, path)
        for path in sockets:
            until(lambda path=path: self.accepts(path), f"{path} accepts")
        return Arm(release, sockets)

    def begin(self, release, path):
        command = [sys.executable, "-I", "-S", str(REPLICA), str(path), release]
        self.replicas[path] = subprocess.Popen(command)

    def accepts(self, path):
        """The replica listens; fail when it ended instead."""
        assert self.replicas[path].poll() is None, f"the replica at {path} ended"
        with socket.socket(socket.AF_UNIX) as trial:
            return trial.connect_ex(str(path)) == 0

    def kill(self, arm):
        """SIGKILL the whole release."""
        for path in arm.sockets:
            process = self.replicas.pop(path)
            process.kill()
            process.wait()

    def ask(self, method="GET", path="/", body=None, headers=()):
        """One request, one connection: status and body."""
        status, text, _ = self.ask_all(method, path, body, headers)
        return status, text

    def ask_all(self, method="GET", path="/", body=None, headers=()):
        """Status, body and headers."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=LONG)
        try:
            connection.request(method, path, body=body, headers=dict(headers))
            answer = connection.getresponse()
            return answer.status, answer.read().decode(), answer.headers
        finally:
            connection.close()

    def many(self, requests):
        """The bodies of one 200 after the other, over one connection.

        `requests`: a number of GETs, or their headers one by one.
        """
        wanted = [{}] * requests if isinstance(requests, int) else requests
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=LONG)
        bodies = []
        try:
            for headers in wanted:
                connection.request("GET", "/", headers=headers)
                answer = connection.getresponse()
                bodies.append(answer.read().decode())
                assert answer.status == 200, (answer.status, bodies[-1])
        finally:
            connection.close()
        return bodies

    def ask_or_none(self):
        """The same, None while nobody accepts."""
        try:
            return self.ask()
        except (OSError, http.client.HTTPException):
            return None

    def hosts(self):
        """Every replica as the proxy sees it."""
        with Admin(self.folder / "run" / "admin.sock").session() as session:
            return [host for found in live.clusters(session).values() for host in found]

    def admin_refuses(self, path):
        """The admin socket forbids the page."""
        with Admin(self.folder / "run" / "admin.sock").session() as session:
            try:
                session.page(path, "POST")
            except NoAnswer as problem:
                return "403" in str(problem)
        return False

    def hold(self, headers=()):
        """Begin a request that is answered when its `finish()` is called."""
        return Held(self, headers)

    @contextlib.contextmanager
    def load(self, connections=8, methods=("GET", "POST")):
        """Requests without a pause, over kept connections, while the block runs."""
        seen, stop, lock = Load(), threading.Event(), threading.Lock()

        def client(method):
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=LONG)
            try:
                while not stop.is_set():
                    try:
                        connection.request(method, "/", body=b"x" if method == "POST" else None)
                        answer = connection.getresponse()
                        got = (answer.status, answer.read().decode())
                        with lock:
                            seen.answers[got] += 1
                    except (OSError, http.client.HTTPException) as problem:
                        with lock:
                            seen.failures.append(repr(problem))
                        connection.close()
            finally:
                connection.close()

        threads = [
            threading.Thread(target=client, args=(methods[n % len(methods)],))
            for n in range(connections)
        ]
        for thread in threads:
            thread.start()
        try:
            yield seen
        finally:
            stop.set()
            for thread in threads:
                thread.join()

    def kill_proxy(self):
        """SIGKILL it; its supervisor starts it again."""
        before = self.supervisor.pid
        os.kill(before, 9)
        until(lambda: self.supervisor.pid != before, "the proxy is started again")

    def close(self):
        self.supervisor.stop(5)
        for process in self.replicas.values():
            process.kill()
            process.wait()
        shutil.rmtree(self.folder)
