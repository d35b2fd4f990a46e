"""What a premerge run tries, in its order, and how one step is tried."""

import os
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from guarded_rollout.core.problems import Broken

LIMIT_SECONDS = 900
BASELINE, SHIP, BACK = "baseline", "rollout", "rollback"
NOT_ENDED = "premerge did not come to its end"


@dataclass(frozen=True, slots=True)
class Task:
    """A step that is still to be tried.

    Fields:
        words: of `rollout`, below the folder it is tried in; empty: it is not a command.
        needs: steps that must have passed.
        at_site: it changes something, so it is tried in the throwaway copy, on Linux and macOS.
    """

    name: str
    words: tuple[str, ...]
    needs: tuple[str, ...] = ()
    at_site: bool = False
    log_name: str = ""

    @property
    def log(self) -> str:
        """Its log's name."""
        return self.log_name or f"{self.name}.log"

    @property
    def command(self) -> tuple[str, ...]:
        """What a person would type."""
        return ("rollout", *self.words) if self.words else ()


def tasks(environment: str) -> tuple[Task, ...]:
    """All of them. The names of the logs are those that the documents ask for."""
    where = ("--env", environment)

    def tried(name: str, *words: str, needs: str, log: str = "") -> Task:
        return Task(name, words, (needs,), at_site=True, log_name=log)

    return (
        Task("configuration", ()),
        Task("gates", ("gates", "check")),
        Task("notices", ("notify", "check")),
        Task("backup-dryrun", ("backup", "create", *where, "--dry-run")),
        Task("deploy-dryrun", ("deploy", *where, "--dry-run")),
        Task("migrate-dryrun", ("migrate", *where, "--dry-run")),
        Task("site", (), at_site=True),
        tried(BASELINE, "deploy", *where, needs="site"),
        tried(SHIP, "deploy", *where, needs=BASELINE),
        tried(
            "smoke",
            *("smoke", *where, "--tier", "all", "--junit", "junit-smoke.xml"),
            needs=SHIP,
            log="postdeploy-smoketests.log",
        ),
        tried(
            "logging",
            *("logs", "validate", *where, "--junit", "junit-logging.xml"),
            needs=SHIP,
            log="test_logging.log",
        ),
        tried("backup", "backup", "create", *where, needs=BASELINE),
        tried("backup-verify", "backup", "verify", *where, "--restore", needs="backup"),
        tried("rollback-dryrun", "rollback", *where, "--dry-run", needs=SHIP),
        tried(BACK, "rollback", *where, "--force", "--reason", "rehearsal", needs=SHIP),
        tried(
            "smoke-rolled-back",
            *("smoke", *where, "--post-rollback", "--junit", "junit-smoke-rolled-back.xml"),
            needs=BACK,
        ),
        tried("audit", "audit", "verify", needs=BASELINE),
    )


def run_child(task: Task, folder: Path, log: Path) -> int:
    """The command as a child of its own session; a Ctrl-C is ours to answer. Returns its code.

    Broken when it takes too long. Whatever ends this ends the child.
    """
    argv = (sys.executable, "-P", "-m", "guarded_rollout", *task.words, "--root", str(folder))
    with log.open("wb") as out:
        child = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            cwd=folder,
            start_new_session=True,
        )
        try:
            return child.wait(LIMIT_SECONDS)
        except subprocess.TimeoutExpired:
            raise Broken(
                f"{' '.join(task.command)} took longer than {LIMIT_SECONDS / 60:g} minutes",
                f"{log.name} has what it did until then",
            ) from None
        finally:
            _end(child)


def _end(child: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        if child.poll() is None and sys.platform != "win32":
            os.killpg(child.pid, signal.SIGKILL)
        elif child.poll() is None:
            child.kill()
    child.wait()


def said_why(log: Path, code: int) -> str:
    """The reason in a failed command's output: its problem, or what it found first, or its end."""
    lines = [line for line in log.read_text("utf-8", "replace").splitlines() if line.strip()]
    hinted = [at for at, line in enumerate(lines) if line.startswith("  -> ") and at > 0]
    problems = [at for at in hinted if lines[at - 1].startswith("rollout: ")]
    for found in (problems[-1:], hinted[:1]):
        for at in found:
            return f"{lines[at - 1].removeprefix('rollout: ')} {lines[at].strip()}"
    return lines[-1].removeprefix("rollout: ") if lines else f"exit code {code}, and no word"
