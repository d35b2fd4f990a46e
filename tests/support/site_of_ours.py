"""A project folder of its own with the shipped configuration, a free port and a short watch."""

import contextlib
import hashlib
import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from made_releases import MadeReleases

from guarded_rollout.adapters.throwaway import free_port
from guarded_rollout.core.facts import AFTERWARDS, KINDS

MADE: list[MadeReleases] = []
"""Where sites put what they built, for the next one; empty: everybody builds."""

REPOSITORY = Path(__file__).parents[2]
ENVIRONMENT = "production"

GATES = {
    "healthFailures": {"threshold": 2},
    "extractionFailureRate": {"threshold": 5.0, "timeWindow": 1},
    "p95HashTime": {"threshold": 2000, "timeWindow": 1},
    "lowConfidenceQueue": {"threshold": 1000},
}


class Site:
    """One environment, `production`, deployed by the real command line."""

    def __init__(self, *, watch="15s", replicas=2, gates=None, auto_rollback=True, lent=True):
        self.root = Path(tempfile.mkdtemp(prefix="gr-site-", dir="/tmp"))
        self.port = free_port()
        self.env = {**os.environ, "XDG_RUNTIME_DIR": tempfile.mkdtemp(prefix="gr", dir="/tmp")}
        text = (REPOSITORY / "rollout.toml").read_text()
        (self.root / "services").symlink_to(REPOSITORY / "services")
        self.releases = self.root / ".rollout" / "releases" / "dhash"
        for made in MADE if lent else ():
            made.lend(self.releases)
        text = text.replace('"127.0.0.1:8080"', f'"127.0.0.1:{self.port}"', 1)
        text = re.sub(
            r"(\[environments\.production\]\n.*\n)replicas = \d+", rf"\1replicas = {replicas}", text
        )
        # A watch of seconds needs scrapes of a second: one says little, as it is capped.
        text = text.replace(
            "[environments.production]\n", '[environments.production]\nscrape_every = "1s"\n'
        )
        (self.root / "rollout.toml").write_text(text)
        self.watch_for(watch, gates or GATES, auto_rollback=auto_rollback)

    def watch_for(self, duration, gates=GATES, *, auto_rollback=True):
        """Write the gates file."""
        content = {
            "environments": {
                ENVIRONMENT: {
                    "qualityGates": gates,
                    "autoRollback": auto_rollback,
                    # A busy machine gets more time to see enough; who expects a hold waits for it.
                    "extendMinutes": 10,
                    # A thirtieth of a long watch would be waited for in every deploy.
                    "evidence": {"calibrate": 1},
                    "monitoring": {
                        "duration": duration,
                        "initialInterval": 2,
                        "initialPeriod": 60,
                        "interval": 2,
                    },
                }
            }
        }
        (self.root / "quality-gates-config.json").write_text(json.dumps(content))

    def as_canary(self, *stages, control=False):
        """Users move share by share; `stages`: (percent, bake) such as (20, "8s")."""
        file = self.root / "rollout.toml"
        head = "[environments.production]\n"
        settings = f'strategy = "canary"\ncontrol = {str(control).lower()}\n'
        shares = "".join(
            f'[[environments.production.stages]]\npercent = {percent}\nbake = "{bake}"\n'
            for percent, bake in stages
        )
        file.write_text(file.read_text().replace(head, head + settings) + shares)

    @property
    def state(self):
        """Where replicas, proxy and logs are."""
        return self.root / ".rollout" / ENVIRONMENT

    @property
    def access_log(self):
        """Every request the proxy saw."""
        return self.state / "envoy" / "access.jsonl"

    def command(self, *arguments):
        """The argument list of `rollout ...` on this site."""
        words = [str(word) for word in arguments]
        return [sys.executable, "-m", "guarded_rollout", *words, "--root", str(self.root)]

    def serve_first(self):
        """1.0.0 serves, taken by a person: nobody uses it yet, so no gate can pass."""
        code, report = self.deploy(None, "--detach")
        assert code == 0, report
        self.wait_for(began("shift", "step-done"))
        done = self.rollout("promote", "--env", ENVIRONMENT, "--reason", "first, without users")
        assert done.returncode == 0, done.stdout + done.stderr
        return self

    @contextlib.contextmanager
    def agent(self):
        """`rollout agent`, ended as a service manager would."""
        process = self.start("agent")
        try:
            assert "looks after" in process.stdout.readline()
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGCONT)
                process.send_signal(signal.SIGTERM)
            process.wait(30)
            process.stdout.close()

    def rollout(self, *arguments, timeout=240):
        """Run the command line; returns the finished process with its text."""
        return subprocess.run(
            self.command(*arguments),
            env=self.env,
            cwd=self.root,
            capture_output=True,
            text=True,
            timeout=timeout,
            stdin=subprocess.DEVNULL,
            check=False,
        )

    def deploy(self, source=None, *more):
        """Deploy; returns (exit code, report)."""
        where = ("--source", source) if source else ()
        done = self.rollout("deploy", "--env", ENVIRONMENT, "--json", *where, *more)
        assert done.stdout, done.stderr
        return done.returncode, json.loads(done.stdout)

    def start(self, *arguments):
        """Run the command line in the background, in a session of its own."""
        return subprocess.Popen(
            self.command(*arguments),
            env=self.env,
            cwd=self.root,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        )

    def status(self):
        """`rollout status --json`, without waking a dead guard."""
        done = self.rollout("status", "--env", ENVIRONMENT, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def serving(self):
        """The version that a user reaches."""
        import urllib.request

        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/version", timeout=10) as answer:
            return json.load(answer)["version"]

    def facts(self):
        """(kind, body) of every fact, read straight from the journal's file."""
        file = self.root / ".rollout" / "journal.db"
        if not file.exists():
            return []
        try:
            rows = _read(file, "ro")
        except sqlite3.OperationalError:
            # Whoever was killed in mid commit left what only a writer may roll back.
            rows = _read(file, "rw")
        return [(kind, json.loads(body)) for kind, body in rows]

    def wait_for(self, wanted, seconds=120):
        """Wait until `wanted(facts)`; raises with the last facts when it never comes."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            facts = self.facts()
            if wanted(facts):
                return facts
            time.sleep(0.02)
        raise AssertionError(f"it never came; the last facts: {[k for k, _ in facts[-5:]]}")

    def until(self, true, seconds=60):
        """Wait for what is not in the journal."""
        deadline = time.monotonic() + seconds
        while not true():
            assert time.monotonic() < deadline, "it never came"
            time.sleep(0.1)

    def guard_pid(self):
        """The guard's process, from the lease it holds."""
        active = self.rollout_active()
        return active["guard"]["pid"] if active and active["guard"] else None

    def wait_until_guarded(self):
        """The guard's process, once it holds its lease."""
        self.until(self.guard_pid)
        return self.guard_pid()

    def rollout_active(self):
        """The active rollout of `rollout status --json`."""
        return self.status()["active"]

    def fingerprint(self):
        """A digest of every file below the root: path, mode, content."""
        digest = hashlib.sha256()
        for file in sorted(self.root.rglob("*")):
            digest.update(str(file).encode())
            if file.is_file() and not file.is_symlink():
                digest.update(f"{file.stat().st_mode:o}".encode())
                digest.update(file.read_bytes())
        return digest.hexdigest()

    def processes(self):
        """The pids that belong to this site: their command line names its folder."""
        found = {}
        for entry in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                if str(self.root) in line or self.env["XDG_RUNTIME_DIR"] in line:
                    found[int(entry.name)] = line
        return found

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        """End everything this site started, and remove it."""
        for _ in range(5):
            ours = self.processes()
            if not ours:
                break
            for pid in ours:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.2)
        for made in MADE:
            made.keep(self.releases)
        # Folders only: files are the same for every site that was lent them.
        for folder, _, _ in os.walk(self.root):
            Path(folder).chmod(0o700)
        shutil.rmtree(self.root, ignore_errors=True)
        shutil.rmtree(self.env["XDG_RUNTIME_DIR"], ignore_errors=True)


def _read(file, mode):
    """The rows; none before the table was made."""
    with contextlib.closing(
        sqlite3.connect(f"file:{file}?mode={mode}", uri=True, timeout=30)
    ) as db:
        if not db.execute("SELECT 1 FROM sqlite_master WHERE name = 'facts'").fetchall():
            return []
        return db.execute("SELECT kind, body FROM facts ORDER BY seq").fetchall()


def began(step, kind="step-began"):
    """A condition for wait_for: the last rollout began (or did) this step."""

    def found(facts):
        return any(k == kind and body["step"] == step for k, body in since_start(facts))

    return found


def since_start(facts):
    """The facts of the newest rollout."""
    starts = [i for i, (kind, _) in enumerate(facts) if kind == "started"]
    return facts[starts[-1] :] if starts else []


def driven(facts):
    """The facts of the newest rollout that moved it; people may be told at any time."""
    return [(kind, body) for kind, body in since_start(facts) if KINDS[kind] not in AFTERWARDS]
