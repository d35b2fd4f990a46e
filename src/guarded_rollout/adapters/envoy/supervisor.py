"""What keeps the proxy alive, as this package sees it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol


class ProxySupervisor(Protocol):
    """Keeps one process running, longer than the controller lives."""

    def start(self, argv: tuple[str, ...], env: Mapping[str, str]) -> None:
        """See to it that it runs and is started again when it dies. Supervised already: adopt.

        `env` is the whole environment.
        """

    def alive(self) -> bool:
        """Look: the process runs."""

    def stop(self, seconds: float) -> None:
        """SIGTERM, wait so long, SIGKILL. Not running: no error."""

    def log(self) -> Path:
        """What the process prints."""
