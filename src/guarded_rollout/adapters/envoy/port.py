"""The port that the proxy listens on: is it free, and if not, whose is it?"""

import contextlib
import errno
import ipaddress
import socket
from pathlib import Path

from guarded_rollout.core.problems import BadInput, Broken

_LISTENING = "0A"


def check_address(listen: tuple[str, int]) -> None:
    """Raise BadInput unless this is an address and a port."""
    host, port = listen
    try:
        ipaddress.ip_address(host)
    except ValueError:
        raise BadInput(
            f"listen: {host!r} is not an IP address",
            "write `listen` of this environment as ADDRESS:PORT, e.g. 127.0.0.1:8080",
        ) from None
    if not 0 < port < 65536:
        raise BadInput(f"listen: {port} is not a port", "choose one from 1 to 65535")


def check_free(listen: tuple[str, int]) -> None:
    """Raise Broken unless the port can be had."""
    host, port = listen
    with socket.socket(_family(host), socket.SOCK_STREAM) as trial:
        # As the proxy does it: connections that wait for their end do not count.
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind((host, port))
            trial.listen(1)
        except OSError as problem:
            raise _taken(listen, problem) from problem


def answers(listen: tuple[str, int], seconds: float = 1.0) -> bool:
    """Look: something accepts connections there. No request is sent."""
    host, port = listen
    if ipaddress.ip_address(host).is_unspecified:
        host = "::1" if ":" in host else "127.0.0.1"
    with socket.socket(_family(host), socket.SOCK_STREAM) as trial:
        trial.settimeout(seconds)
        return trial.connect_ex((host, port)) == 0


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def _taken(listen: tuple[str, int], problem: OSError) -> Broken:
    host, port = listen
    where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    if problem.errno == errno.EADDRINUSE:
        return Broken(
            f"port {where} is taken by {owner(port)}",
            "end that process, or change `listen` in rollout.toml: [environments.NAME]",
        )
    return Broken(
        f"the proxy cannot listen on {where}: {problem.strerror}",
        "change `listen` in rollout.toml: [environments.NAME]",
    )


def owner(port: int) -> str:
    """Who listens on the port, as far as the kernel tells us."""
    wanted = {f"socket:[{inode}]" for inode in _inodes(port)}
    for handle in Path("/proc").glob("[0-9]*/fd/*") if wanted else ():
        with contextlib.suppress(OSError):
            if str(handle.readlink()) in wanted:
                process = handle.parent.parent
                return f"process {process.name} ({(process / 'comm').read_text().strip()})"
    return "another process"


def _inodes(port: int) -> set[str]:
    found = set()
    for table in (Path("/proc/net/tcp"), Path("/proc/net/tcp6")):
        with contextlib.suppress(OSError):
            for line in table.read_text().splitlines()[1:]:
                fields = line.split()
                if fields[3] == _LISTENING and int(fields[1].rpartition(":")[2], 16) == port:
                    found.add(fields[9])
    return found
