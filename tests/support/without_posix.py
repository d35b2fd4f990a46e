"""Runs `rollout` in a Python from which everything is taken that Windows' Python does not have."""

import asyncio  # noqa: F401 - loaded while it still can be; on Windows it has its own ways
import os
import platform  # noqa: F401
import shutil
import signal
import socket
import sqlite3  # noqa: F401
import subprocess  # noqa: F401
import sys
import tempfile  # noqa: F401

MODULES = ("fcntl", "grp", "pwd", "resource", "termios")
NAMES = {
    os: (
        *("O_DIRECTORY", "O_NOFOLLOW", "chown", "fchmod", "fork", "geteuid", "getgid", "getpgid"),
        *("getuid", "killpg", "pidfd_open", "setsid", "statvfs", "sysconf", "uname"),
    ),
    signal: (
        *("SIGCHLD", "SIGCONT", "SIGHUP", "SIGKILL", "SIGPIPE", "SIGSTOP", "SIGUSR1", "SIGUSR2"),
        *("pidfd_send_signal", "pthread_sigmask"),
    ),
    socket: ("AF_UNIX",),
}


def main():
    """Windows as far as this tool asks for it."""
    shutil._use_fd_functions = False
    for module in MODULES:
        sys.modules[module] = None
    for owner, names in NAMES.items():
        for name in names:
            if hasattr(owner, name):
                delattr(owner, name)
    sys.platform = "win32"
    os.environ["USERNAME"] = "somebody"
    from guarded_rollout.cli.app import main as rollout

    return rollout(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
