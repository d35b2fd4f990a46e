"""Runs one command that must not outlive the controller.

Started as `python -I -S guard.py FD... -- COMMAND...`; standard library only. Standard input is a
pipe that only the controller can write: `T` asks the command's group to end (SIGTERM), `K` ends
it, and end of file means that the controller is dead, which ends it at once. Killing the
controller does not close anything but its descriptors, and that is enough.

Standard output gets one line of JSON in the end: `{"code": N}`, negative for a signal, or
`{"problem": "..."}`. Standard error is the command's output.
"""

import contextlib
import ctypes
import json
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

LAST_SECONDS = 10.0


def bind_to_parent() -> None:
    """In the fork: die when the guard dies."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, int(signal.SIGKILL))  # PR_SET_PDEATHSIG


def adopt_orphans() -> None:
    """Descendants that leave the command's group come to us when their parent ends."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(36, 1)  # PR_SET_CHILD_SUBREAPER


def children() -> list[int]:
    """Our children, by the kernel's list of all processes."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, ValueError, IndexError):  # gone while we looked
            stat = (entry / "stat").read_bytes()
            if int(stat[stat.rindex(b")") + 2 :].split()[1]) == os.getpid():
                found.append(int(entry.name))
    return found


def end_everything(command: int) -> None:
    """Kill the group, then whoever fled from it, until nobody is left."""
    until = time.monotonic() + LAST_SECONDS  # noqa: TID251 - a process without ports
    with contextlib.suppress(OSError):
        os.killpg(command, signal.SIGKILL)
    while time.monotonic() < until:  # noqa: TID251 - a process without ports
        left = [pid for pid in children() if pid != command]
        if not left:
            return
        for pid in left:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
            with contextlib.suppress(OSError):
                os.waitpid(pid, 0)


def ended(command: subprocess.Popen[bytes]) -> bool:
    """Look, without reaping where the system can: the group's number stays the command's own."""
    if not hasattr(os, "waitid"):  # macOS before Python 3.13
        return command.poll() is not None
    return os.waitid(os.P_PID, command.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def watch(command: subprocess.Popen[bytes], wake: int) -> None:
    """Return when the command has ended."""
    listen = [0, wake]
    while not ended(command):
        readable, _, _ = select.select(listen, [], [], 1.0)
        if wake in readable:
            os.read(wake, 512)
        if 0 in readable:
            asked = os.read(0, 16)
            number = signal.SIGTERM if asked[-1:] == b"T" else signal.SIGKILL
            with contextlib.suppress(OSError):
                os.killpg(command.pid, number)
            if not asked:
                listen = [wake]


def main(words: list[str]) -> int:
    """Run the command, say how it ended."""
    cut = words.index("--")
    keep = [int(word) for word in words[:cut]]
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # the pipe decides, not a terminal
    adopt_orphans()
    wake, wakes = os.pipe()
    os.set_blocking(wakes, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wakes, warn_on_full_buffer=False)
    try:
        child = subprocess.Popen(
            words[cut + 1 :],
            stdin=subprocess.DEVNULL,
            stdout=2,
            pass_fds=keep,
            process_group=0,
            preexec_fn=prepare,  # noqa: PLW1509 - the guard has one thread
        )
    except OSError as problem:
        print(json.dumps({"problem": problem.strerror or str(problem)}))  # noqa: T201 - its answer
        return 0
    watch(child, wake)
    end_everything(child.pid)
    print(json.dumps({"code": child.wait()}))  # noqa: T201 - its answer
    return 0


def prepare() -> None:
    """In the fork, before the command."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    bind_to_parent()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
