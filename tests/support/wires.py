"""A wire to a server that a test can cut: a real TCP proxy on 127.0.0.1."""

import contextlib
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field


@dataclass
class Wire:
    """Passes bytes on. `lose`: when a request has these bytes, what happens; once.

    "request": the line is cut before it reaches the server. "answer": the server gets it and
    answers, and the line is cut then. "silent": nothing passes any more, and no line is cut.
    """

    to: tuple[str, int]
    listener: socket.socket = field(default_factory=lambda: socket.create_server(("127.0.0.1", 0)))
    lose: tuple[bytes, str] | None = None
    silent: bool = False
    lost: int = 0

    @property
    def port(self) -> int:
        return self.listener.getsockname()[1]

    def serve(self) -> None:
        while True:
            try:
                near, _ = self.listener.accept()
            except OSError:
                return
            try:
                far = socket.create_connection(self.to)
            except OSError:
                near.close()
                continue
            cut = threading.Event()
            for act in (self._requests, self._answers):
                threading.Thread(target=act, args=(near, far, cut), daemon=True).start()

    def _requests(self, near: socket.socket, far: socket.socket, cut: threading.Event) -> None:
        with contextlib.suppress(OSError):
            while data := near.recv(65536):
                if self.silent:
                    continue
                if self.lose is not None and self.lose[0] in data:
                    _, what = self.lose
                    self.lose = None
                    self.lost += 1
                    if what == "request":
                        break
                    cut.set()
                far.sendall(data)
        _end(near, far)

    def _answers(self, near: socket.socket, far: socket.socket, cut: threading.Event) -> None:
        with contextlib.suppress(OSError):
            while data := far.recv(65536):
                if cut.is_set():
                    break
                if not self.silent:
                    near.sendall(data)
        _end(near, far)


def _end(*sockets: socket.socket) -> None:
    for one in sockets:
        with contextlib.suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)
        one.close()


@contextlib.contextmanager
def wire(port: int) -> Iterator[Wire]:
    """To a server on this machine."""
    found = Wire(("127.0.0.1", port))
    thread = threading.Thread(target=found.serve, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        # A closed socket does not wake an accept that waits.
        found.listener.shutdown(socket.SHUT_RDWR)
        found.listener.close()
        thread.join()
