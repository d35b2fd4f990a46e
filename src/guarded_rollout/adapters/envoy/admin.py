"""Envoy's admin pages, over a unix socket that only we can open."""

import contextlib
import http.client
import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any


class NoAnswer(Exception):  # noqa: N818 - what was found, not an error class
    """The proxy's admin socket does not answer, or not as it should."""


class Gone(NoAnswer):
    """Nothing listens on the socket: the proxy does not run."""


class Session:
    """One connection: all its answers come from the same process."""

    def __init__(self, connection: http.client.HTTPConnection) -> None:
        self._connection = connection

    def page(self, path: str, method: str = "GET") -> bytes:
        """One page. Raises NoAnswer."""
        try:
            self._connection.request(method, path)
            answer = self._connection.getresponse()
            body = answer.read()
        except (ConnectionRefusedError, FileNotFoundError) as problem:
            raise Gone(f"{path}: {problem!r}") from problem
        except (OSError, http.client.HTTPException) as problem:
            raise NoAnswer(f"{path}: {problem!r}") from problem
        if answer.status != http.client.OK:
            raise NoAnswer(f"{path}: status {answer.status}")
        return body

    def json(self, path: str) -> dict[str, Any]:
        """One page of JSON. Raises NoAnswer."""
        try:
            found = json.loads(self.page(path))
        except ValueError as problem:
            raise NoAnswer(f"{path}: {problem}") from problem
        if not isinstance(found, dict):
            raise NoAnswer(f"{path}: not an object")
        return found


class Admin:
    """The admin socket."""

    def __init__(self, path: Path, seconds: float = 5.0) -> None:
        self._path = path
        self._seconds = seconds

    @contextlib.contextmanager
    def session(self) -> Iterator[Session]:
        """A connection. It may be refused as late as with the first page."""
        connection = _UnixConnection(self._path, self._seconds)
        try:
            yield Session(connection)
        finally:
            connection.close()


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path, seconds: float) -> None:
        super().__init__("admin", timeout=seconds)
        self._path = path

    def connect(self) -> None:
        if not hasattr(socket, "AF_UNIX"):
            raise ConnectionRefusedError("Windows has no such sockets: no proxy listens")
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))
