"""HTTP of the guard itself, standard library only: over unix sockets and TCP, never raising.

Every request has its own connection: a probe must not be judged by how an older one ended.
"""

import contextlib
import http.client
import os
import socket
from dataclasses import dataclass
from typing import Any

from guarded_rollout.adapters.prometheus_text import Garbled
from guarded_rollout.adapters.service_metrics import read
from guarded_rollout.core.series import Reading
from guarded_rollout.core.spec import Check, MetricNames
from guarded_rollout.ports import Address, Answered, Clock

LARGEST_BODY = 64 * 2**20
FULL_PAUSE = 0.01
AGENT = "guarded-rollout"


@dataclass(frozen=True, slots=True)
class _Request:
    method: str
    path: str
    body: bytes | None = None
    headers: tuple[tuple[str, str], ...] = ()


class HttpWeb:
    """Satisfies ports.Web. Time limits hold for the whole exchange, however it trickles."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def get(self, address: Address, path: str, timeout: float) -> Answered:
        """GET."""
        return self._exchange(address, _Request("GET", path), timeout)

    def check(self, address: Address, check: Check, body: bytes | None) -> Answered:
        """Send a smoke check's request. It is given up when it is late: then it has failed."""
        headers = dict(check.request_headers)
        if check.content_type is not None:
            headers["Content-Type"] = check.content_type
        if check.token_env is not None:
            token = os.environ.get(check.token_env)
            if not token:
                return Answered(None, b"", 0.0, f"the variable {check.token_env} is not set")
            headers["Authorization"] = f"Bearer {token}"
        request = _Request(check.method, check.path, body, tuple(headers.items()))
        return self._exchange(address, request, check.within_ms / 1000)

    def metrics(
        self, address: Address, path: str, names: MetricNames, instance: str, timeout: float
    ) -> Reading | str:
        """Scrape Prometheus text. A string says why there is no reading."""
        answered = self.get(address, path, timeout)
        if answered.status is None:
            return f"{path}: {answered.problem}"
        if answered.status != 200:
            return f"{path} answered {answered.status}"
        try:
            return read(answered.body.decode("utf-8"), names, instance)
        except UnicodeDecodeError:
            return f"{path}: the metrics are not UTF-8"
        except Garbled as garbled:
            return f"{path}: {garbled}"

    def _exchange(self, address: Address, request: _Request, timeout: float) -> Answered:
        began = self._clock.monotonic()
        status, body, problem = None, b"", None
        seen: tuple[tuple[str, str], ...] = ()
        try:
            connection = _Connection(address, self._clock, began + timeout)
            with contextlib.closing(connection):
                status, body, seen = _send(connection, request)
        except TimeoutError:
            problem = f"no answer within {timeout:g} s"
        except (OSError, http.client.HTTPException, ValueError, OverflowError, _TooLong) as error:
            problem = _sentence(error, address)
        return Answered(status, body, (self._clock.monotonic() - began) * 1000, problem, seen)


class _TooLong(Exception):  # noqa: N818 - it names what was seen
    pass


_CANNOT_SEND = "the request cannot be sent: {error}"
_SENTENCES: tuple[tuple[type[Exception], str], ...] = (  # the first that fits: some are subclasses
    (ConnectionRefusedError, "connection refused"),
    (FileNotFoundError, "there is no socket {address.socket}"),
    (ConnectionResetError, "the connection was closed without an answer"),
    (BrokenPipeError, "the connection was closed without an answer"),
    (http.client.IncompleteRead, "the answer broke off"),
    (http.client.InvalidURL, _CANNOT_SEND),
    (http.client.HTTPException, "the answer is not HTTP ({kind})"),
    (ValueError, _CANNOT_SEND),
    (OverflowError, _CANNOT_SEND),
    (_TooLong, "the answer is longer than {limit} MiB"),
)


def _sentence(error: Exception, address: Address) -> str:
    """What went wrong, for people."""
    for kind, text in _SENTENCES:
        if isinstance(error, kind):
            return text.format(
                error=error,
                address=address,
                kind=type(error).__name__,
                limit=LARGEST_BODY // 2**20,
            )
    return getattr(error, "strerror", None) or str(error)


def _send(
    connection: http.client.HTTPConnection, request: _Request
) -> tuple[int, bytes, tuple[tuple[str, str], ...]]:
    headers = {"User-Agent": AGENT, "Connection": "close", **dict(request.headers)}
    connection.connect()
    # A server may answer and close before it has read a body that it does not take.
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        connection.request(request.method, request.path, request.body, headers)
    with connection.getresponse() as response:
        if response.length is not None and response.length > LARGEST_BODY:
            raise _TooLong
        # Only a read without a limit tells a body that broke off from one that is over.
        body = response.read() if response.length is not None else response.read(LARGEST_BODY + 1)
        if len(body) > LARGEST_BODY:
            raise _TooLong
        found = tuple((name.lower(), value) for name, value in response.getheaders())
        return response.status, body, found


class _Socket(socket.socket):
    """A socket with a deadline: the time limit shrinks with each piece that arrives."""

    def wait_until(self, clock: Clock, until: float) -> None:
        self._clock, self._until = clock, until

    def hurry(self) -> None:
        left = self._until - self._clock.monotonic()
        if left <= 0:
            raise TimeoutError
        self.settimeout(left)

    def recv_into(self, *into: Any) -> int:  # noqa: ANN401 - as the library has it
        self.hurry()
        return super().recv_into(*into)


class _Connection(http.client.HTTPConnection):
    def __init__(self, address: Address, clock: Clock, until: float) -> None:
        host = "localhost" if address.socket is not None else address.host
        super().__init__(host, address.port or None)
        self._address, self._clock, self._until = address, clock, until

    def connect(self) -> None:
        """To the first address that takes us."""
        if self._address.socket is not None:
            self.sock = self._reach(socket.AF_UNIX, str(self._address.socket))
            return
        found = socket.getaddrinfo(self._address.host, self._address.port, type=socket.SOCK_STREAM)
        for number, (family, _, _, _, place) in enumerate(found, 1):
            try:
                self.sock = self._reach(family, place)
            except TimeoutError:
                raise
            except OSError:
                if number == len(found):
                    raise
            else:
                return

    def send(self, data: object) -> None:
        """The time limit holds for sending, too."""
        if isinstance(self.sock, _Socket):
            self.sock.hurry()
        super().send(data)  # type: ignore[arg-type]

    def _reach(self, family: int, place: object) -> _Socket:
        reached = _Socket(family, socket.SOCK_STREAM)
        reached.wait_until(self._clock, self._until)
        try:
            while not self._connected(reached, place):
                self._clock.sleep(FULL_PAUSE)
        except BaseException:
            reached.close()
            raise
        return reached

    @staticmethod
    def _connected(reached: _Socket, place: object) -> bool:
        """A unix socket whose queue is full says "try again" instead of letting us wait."""
        reached.hurry()
        try:
            reached.connect(place)  # type: ignore[arg-type]
        except BlockingIOError:
            return False
        return True
