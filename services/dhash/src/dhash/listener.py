"""The socket the service listens on: a file that only its owner may open, or a port."""

import errno
import os
import socket
import stat
from dataclasses import dataclass
from pathlib import Path

from dhash.errors import ConfigError

BACKLOG = 2048
_PROBE_LIMIT_S = 1.0


@dataclass(frozen=True, slots=True)
class Address:
    """Either `uds`, the path of a unix socket, or `host` and `port`."""

    uds: str = ""
    host: str = ""
    port: int = 0

    def __str__(self) -> str:
        return f"unix:{self.uds}" if self.uds else f"http://{self.host}:{self.port}"


class Listener:
    """A bound socket; it answers only when a server starts to listen on it."""

    def __init__(self, address: Address) -> None:
        """Bind; ConfigError where somebody else has the address."""
        self.address = address
        self._inode = 0
        self.socket = self._bind_file() if address.uds else self._bind_port()
        self.socket.set_inheritable(False)

    def close(self) -> None:
        """Stop having the address, and remove the file if it is still ours."""
        self.socket.close()
        path = Path(self.address.uds)
        # The next release may have put its own socket there already.
        if self.address.uds and path.exists() and path.stat().st_ino == self._inode:
            path.unlink(missing_ok=True)

    def _bind_file(self) -> socket.socket:
        path = Path(self.address.uds)
        _remove_stale(path)
        bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        # Mode 0600 from the first moment on, not from a chmod a moment later.
        before = os.umask(0o177)
        try:
            bound.bind(str(path))
        except OSError as error:
            raise ConfigError(f"Cannot listen on {path}: {error.strerror or error}.") from error
        finally:
            os.umask(before)
        self._inode = path.stat().st_ino
        return bound

    def _bind_port(self) -> socket.socket:
        host, port = self.address.host, self.address.port
        try:
            family, *_, where = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
            bound = socket.socket(family, socket.SOCK_STREAM)
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bound.bind(where)
        except OSError as error:
            raise ConfigError(f"Cannot listen on {host}:{port}: {error.strerror}.") from error
        return bound


def _remove_stale(path: Path) -> None:
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return
    except OSError as error:
        raise ConfigError(f"Cannot listen on {path}: {error.strerror}.") from error
    if not stat.S_ISSOCK(mode):
        raise ConfigError(f"{path} exists and is no socket; it stays as it is.")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(_PROBE_LIMIT_S)
        try:
            probe.connect(str(path))
        except OSError as error:
            # Only this one says that nobody listens; a server may be too busy to answer.
            if error.errno == errno.ECONNREFUSED:
                path.unlink(missing_ok=True)
                return
    raise ConfigError(f"A process is listening on {path} already.")
