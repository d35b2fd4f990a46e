"""kill -9 between every two steps of a delivery, then the same delivery again.

The steps are seen by an audit hook: every file that is opened or renamed, every lock, every
connection, every piece that is sent. At the chosen one the process kills itself.
"""

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from notice_servers import hook

ROOT = Path(__file__).parents[2]
KEY = "production-1.breach"
PROGRAM = """
import os, signal, sys
from pathlib import Path
from guarded_rollout.adapters.clock import SystemClock
from guarded_rollout.core.notice import Channel, ChannelKind, Notice
from guarded_rollout.notify import Desk, Patience, deliver, load_templates

TOUCHED = {"open", "os.rename", "os.remove", "os.mkdir"}
SENT = {"fcntl.flock", "socket.connect", "http.client.send", "http.client.connect"}
TEMPLATES = load_templates(None)

class Hasty(SystemClock):
    def sleep(self, seconds):
        super().sleep(min(seconds, 0.01))

def one(root, url, at):
    steps = 0

    def step(event, arguments):
        nonlocal steps
        if event in SENT or (event in TOUCHED and root in str(arguments)):
            steps += 1
            if steps == at:
                os.kill(os.getpid(), signal.SIGKILL)

    notice = Notice("gate-breach", "production", "slow", 1.0, key="production-1.breach")
    channel = Channel("slack", ChannelKind.SLACK)
    patience = Patience(first=0.01, attempts=3)
    environ = {"SLACK_WEBHOOK_URL": url}
    desk = Desk(Path(root), Hasty(), environ, TEMPLATES, lambda _: None, patience)
    sys.addaudithook(step)
    (done,) = deliver(notice, [channel], desk)
    print(done.status, steps, end=" ", flush=True)

for line in sys.stdin:
    root, url, at = line.split()
    child = os.fork()
    if child == 0:
        one(root, url, int(at))
        os._exit(0)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


class Deliverer:
    """Starts a process of its own for every delivery."""

    def __init__(self):
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM],
            env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def deliver(self, root, url, kill_at=0):
        """(exit code, status, steps); the last two are None for a process that was killed."""
        print(root, url, kill_at, file=self.process.stdin, flush=True)
        *said, code = self.process.stdout.readline().split()
        status, steps = said or (None, None)
        return int(code), status, steps and int(steps)


@pytest.fixture(scope="module")
def deliverer():
    ours = Deliverer()
    yield ours
    ours.process.communicate()


def read(root):
    """The ledger, which is valid JSON at every moment."""
    file = root / "logs" / "notifications.json"
    return json.loads(file.read_text()) if file.exists() else []


@pytest.mark.parametrize(
    ("plan", "ending"),
    [((), "delivered"), ((503,), "delivered"), ((404,), "kept")],
    ids=["taken", "taken later", "refused at first"],
)
def test_killed_anywhere_nothing_is_lost(deliverer, tmp_path, plan, ending):
    """At most one visible duplicate, and it has the same key."""
    with hook(*plan) as server:
        code, status, steps = deliverer.deliver(tmp_path / "whole", server.url())
    assert (code, status) == (0, ending)
    assert steps > 15
    times_taken = set()
    for kill_at in range(1, steps + 1):
        root = tmp_path / str(kill_at)
        with hook(*plan) as server:
            code, _, _ = deliverer.deliver(root, server.url(), kill_at)
            assert code == -9, kill_at
            read(root)
            code, status, _ = deliverer.deliver(root, server.url())
            assert code == 0
        taken = len(server.got) - (len(plan) - len(server.plan))
        assert set(server.keys) == {KEY}
        (entry,) = read(root)
        assert (entry["key"], entry["status"]) == (KEY, status), kill_at
        if ending == "delivered":
            assert status == "delivered", kill_at
            assert 1 <= taken <= 2, kill_at
            times_taken.add(taken)
        letters = list(root.glob("notifications_out/*_kept.json"))
        assert len(letters) == (status == "kept"), kill_at
    # A kill between sending and recording was among them.
    assert ending == "kept" or times_taken == {1, 2}


def test_killed_again_and_again_between_sending_and_recording(deliverer, tmp_path):
    """The third time it is not sent any more: a person is told that it may have arrived."""
    with hook("slow", "slow") as server:
        for times in (1, 2):
            with subprocess.Popen(
                [sys.executable, "-c", PROGRAM.replace("os.fork()", "0")],
                env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
                stdin=subprocess.PIPE,
            ) as process:
                process.stdin.write(f"{tmp_path} {server.url()} 0\n".encode())
                process.stdin.close()
                while len(server.got) < times:
                    assert process.poll() is None
                    threading.Event().wait(0.01)
                process.kill()
        assert read(tmp_path)[0]["status"] == "sending"
        assert deliverer.deliver(tmp_path, server.url())[1] == "kept"
        assert server.keys == [KEY] * 2
    (entry,) = read(tmp_path)
    assert "it may have arrived" in entry["reason"]
