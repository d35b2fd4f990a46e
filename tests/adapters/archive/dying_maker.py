"""Makes and drills backups in forks of itself, each of which meets its fate at a chosen point.

Started as `python dying_maker.py`; one JSON object a line on standard input: first where (`root`,
`sqlite` or `postgres`), then one per try: `verb` (create, safety, drill), `file` for drill, `now`,
and, when something is to happen, `at` (the number of the point) and `how`:

    kill    SIGKILL
    fill    the disk of `backups/` is filled to the last byte
    limit   no file may grow any more (RLIMIT_FSIZE)

A point is whatever touches the world from Python: opening, writing, syncing, renaming, removing,
locking, a statement, a process. The answer is one JSON object: `signal` or None, the number of
`points` that were met, the `problem`'s kind and text, `crash` for what should not be.
"""

import json
import os
import resource
import signal
import sys
import traceback
from pathlib import Path

from guarded_rollout.adapters.archive import ZipArchive
from guarded_rollout.adapters.clock import SystemClock
from guarded_rollout.adapters.postgres import Access, PostgresDatabase
from guarded_rollout.adapters.sqlite import SqliteDatabase
from guarded_rollout.core.problems import Problem
from guarded_rollout.engine.drill import Drill
from guarded_rollout.ports import BackupRequest

TOUCHES = {
    *("open", "write", "flush", "truncate", "close", "fsync"),
    *("rename", "replace", "unlink", "rmdir", "mkdir", "chmod", "fchmod", "flock"),
    *("connect", "execute", "backup", "fork_exec"),
}
FILLER = "filler"


class Hands:
    """A clock whose time of day is given."""

    def __init__(self, now):
        self.at = now
        self.monotonic = SystemClock().monotonic

    def now(self):
        return self.at

    def sleep(self, seconds):
        self.at += seconds


class Fate:
    """Counts the points, and strikes at one of them."""

    def __init__(self, root, at, how):
        self.root, self.at, self.how = root, at, how
        self.points = 0

    def profile(self, _frame, event, what):
        if event == "c_call" and what.__name__ in TOUCHES:
            self.point()

    def point(self):
        if self.points == self.at:
            sys.setprofile(None)
            getattr(self, self.how)()
        self.points += 1

    def stopped(self):
        return False  # asked as often as time allows: no point

    def say(self, _text):
        """Nothing."""

    def kill(self):
        os.kill(os.getpid(), signal.SIGKILL)

    def limit(self):
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))

    def fill(self):
        handle = os.open(self.root / "backups" / FILLER, os.O_WRONLY | os.O_CREAT, 0o600)
        for size in (1 << 20, 1 << 12, 1):
            try:
                while True:
                    os.write(handle, bytes(size))
            except OSError:
                pass
        os.close(handle)


def database(where, clock):
    if "sqlite" in where:
        return SqliteDatabase(Path(where["sqlite"]), clock)
    return PostgresDatabase(Access(**where["postgres"]), clock)


def act(where, order):
    """In the fork. Returns the answer."""
    root, clock = Path(where["root"]), Hands(order["now"])
    archive, ours = ZipArchive(root, clock, "dhash"), database(where, clock)
    fate = Fate(root, order.get("at"), order.get("how"))
    answer = {"signal": None, "problem": None, "crash": None}
    sys.setprofile(fate.profile)
    try:
        if order["verb"] == "drill":
            Drill(archive, ours, clock, "production").run(Path(order["file"]), fate)
        else:
            safety = order["verb"] == "safety"
            files = ("config/it.conf",)
            request = BackupRequest("production", "1.0", "ada", "test", files, safety=safety)
            archive.create(request, ours, fate)
    except Problem as problem:
        sys.setprofile(None)
        answer["problem"] = f"{type(problem).__name__}: {problem}"
    except BaseException:  # noqa: BLE001 - told to the test, which fails
        sys.setprofile(None)
        answer["crash"] = traceback.format_exc()
    sys.setprofile(None)
    return {**answer, "points": fate.points}


def main():
    where = json.loads(sys.stdin.readline())
    if "postgres" in where:
        import psycopg  # noqa: F401 - or each fork would, and die in the middle of it
    for line in sys.stdin:
        heard, says = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(heard)
            os.write(says, json.dumps(act(where, json.loads(line))).encode())
            os._exit(0)
        os.close(says)
        with os.fdopen(heard) as answers:
            answer = answers.read()
        _, status = os.waitpid(child, 0)
        if os.WIFSIGNALED(status):
            answer = json.dumps({"signal": os.WTERMSIG(status), "problem": None, "crash": None})
        print(answer, flush=True)  # noqa: T201 - its answer


if __name__ == "__main__":
    main()
