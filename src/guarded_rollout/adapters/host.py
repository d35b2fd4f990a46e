"""The machine: CPU, memory and disk in use, from /proc where there is one."""

import getpass
import os
import platform
import shutil
from pathlib import Path

from guarded_rollout.core.series import HostSeen


class SystemHost:
    """Implements ports.Host. CPU is the share used since it was last asked."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._before: tuple[int, int] | None = None

    def seen(self) -> HostSeen:
        """Percent used; None where the system does not say."""
        disk = shutil.disk_usage(self._root)
        return HostSeen(
            cpu=self._cpu(),
            memory=_memory(),
            disk=round(100 * disk.used / (disk.used + disk.free), 1),
        )

    def free_bytes(self) -> int:
        """What an unprivileged writer may still write."""
        return shutil.disk_usage(self._root).free

    def _cpu(self) -> float | None:
        try:
            first = Path("/proc/stat").read_text().partition("\n")[0]
            fields = [int(word) for word in first.split()[1:]]
        except (OSError, ValueError, IndexError):
            return None
        total, idle = sum(fields[:8]), fields[3] + fields[4]
        before, self._before = self._before, (total, idle)
        if before is None or total <= before[0]:
            return None
        return round(100 * (1 - (idle - before[1]) / (total - before[0])), 1)


def _memory() -> float | None:
    try:
        lines = [line.split() for line in Path("/proc/meminfo").read_text().splitlines()]
        found = {words[0].rstrip(":"): int(words[1]) for words in lines}
        return round(100 * (1 - found["MemAvailable"] / found["MemTotal"]), 1)
    except (OSError, ValueError, KeyError, IndexError):
        return None


def user() -> str:
    """Who is at it: `name@machine`."""
    try:
        name = os.environ.get("SUDO_USER") or getpass.getuser()
    except (KeyError, OSError):  # a container's number without a name
        name = f"uid {os.getuid()}"
    return f"{name}@{platform.node()}"
