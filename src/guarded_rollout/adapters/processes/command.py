"""What a replica of a release runs: the same wherever and for whatever it is asked for."""

import contextlib
import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from guarded_rollout.core.problems import BadInput, Broken
from guarded_rollout.ports import Launch

LONGEST_SOCKET = 103 if sys.platform == "darwin" else 107


@dataclass(frozen=True, slots=True)
class Command:
    """One process. `env` is its whole environment and may hold secrets."""

    argv: tuple[str, ...]
    env: Mapping[str, str]
    cwd: Path


def command_of(launch: Launch, replica: int, socket: Path) -> Command:
    """The placeholders filled in, and `launch.env` over a small fixed environment."""
    folder = launch.built.folder
    binaries = folder / "venv" / "bin"
    words = {
        "{python}": str(binaries / "python"),
        "{folder}": str(folder),
        "{socket}": str(socket),
        "{replica}": str(replica),
    }

    def fill(text: str) -> str:
        for word, value in words.items():
            text = text.replace(word, value)
        return text

    env = {
        "PATH": f"{binaries}:/usr/local/bin:/usr/bin:/bin",
        "LANG": "C.UTF-8",
        "PYTHONUNBUFFERED": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    env |= {name: fill(value) for name, value in launch.env}
    return Command(tuple(map(fill, launch.argv)), env, folder)


def check_socket(socket: Path) -> None:
    """BadInput when the system has no room for so long a path."""
    if len(os.fsencode(socket)) > LONGEST_SOCKET:
        raise BadInput(
            f"the socket's path is too long for this system ({LONGEST_SOCKET} bytes): {socket}",
            "choose a shorter run folder",
        )


@contextlib.contextmanager
def on_disk() -> Iterator[None]:
    """What the disk refuses inside becomes Broken, naming the file."""
    try:
        yield
    except OSError as problem:
        raise Broken(
            f"{problem.filename} cannot be used: {problem.strerror}",
            "make the folder one that this user may write, on a disk with room, then try again",
        ) from problem
