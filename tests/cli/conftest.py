"""A project folder with a toy service, and `rollout` called in this process."""

import contextlib
import json
import shutil
import sqlite3
import tempfile
from dataclasses import dataclass
from pathlib import Path

import pytest
from bad_releases import make
from github_pulls import Hub
from github_server import TOKEN, github
from github_team import Team
from toy_configuration import ROLLOUT as SMALLEST

from guarded_rollout.adapters.configuration import load_spec
from guarded_rollout.cli import guard
from guarded_rollout.cli.app import main
from guarded_rollout.cli.wiring import Places, open_journal
from guarded_rollout.core.facts import (
    Judged,
    Observed,
    PromoteAsked,
    Started,
    StepBegan,
    StepDone,
    StepFailed,
)
from guarded_rollout.core.gates import Answer as Gate
from guarded_rollout.core.gates import Verdict
from guarded_rollout.core.plan import Kind, Situation, Step, make_plan
from guarded_rollout.core.problems import Why
from guarded_rollout.core.rollout import advance, replay
from guarded_rollout.testing import examples
from guarded_rollout.testing.examples import NEW, OLD

TOY = Path(__file__).parents[1] / "toy_service"


ROLLOUT = SMALLEST.replace(
    "[service.metrics]", '[service.env]\nDATABASE_URL = "{database_url}"\n\n[service.metrics]'
)


OUTCOMES = {
    Step.BACKUP: {"file": "backups/b.zip", "size": 1, "verified": True},
    Step.REHEARSE: {
        "pending": False,
        "ways": ["flip", "restore"],
        "because": {},
        "restored": None,
        "note": "there is no database yet",
    },
    Step.MIGRATE: {"from": None, "to": None, "moved": False},
    Step.CALIBRATE: {"polls": 0, "between": "the old version over time", "noise": []},
    Step.SHIFT: {"to": NEW.name, "at": 1.0},
    Step.RETURN: {"to": OLD.name, "at": 1.0},
    Step.CONFIRM: {"consecutive_ok": 3},
    Step.PRUNE: {"backups": [], "releases": []},
}


def done(*steps):
    """These steps, begun and done."""
    for step in steps:
        yield StepBegan(step, 1)
        yield StepDone(step, OUTCOMES.get(step, {}))


FINISH = (Step.SMOKE_USERS, Step.RETIRE, Step.PRUNE, Step.REPORT)
BACK = (Step.RETURN, Step.STOP_CANDIDATE, Step.CONFIRM, Step.SMOKE_BASELINE, Step.REPORT)
BREACH = Judged(
    30.0, (Verdict("p95", Gate.BREACH, "p95 is 2300 ms, the limit is 2000 ms", 2300.0),)
)


@dataclass(frozen=True)
class Answer:
    """What a command said. `document` is all of standard output, read as one JSON document."""

    code: int
    out: str
    err: str

    @property
    def document(self):
        return json.loads(self.out)


class Project:
    """A folder that `rollout` works on."""

    def __init__(self, root, capsys):
        self.root = root
        self._capsys = capsys
        self.write("rollout.toml", ROLLOUT)
        shutil.copytree(TOY, root / "toy", ignore=shutil.ignore_patterns("__pycache__"))

    def write(self, name, text):
        """Put a file there."""
        file = self.root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def edit(self, old, new):
        """Change rollout.toml in one place."""
        text = (self.root / "rollout.toml").read_text()
        assert text.count(old) == 1, old
        self.write("rollout.toml", text.replace(old, new))

    def run(self, *words):
        """`rollout WORDS` in this process."""
        self._capsys.readouterr()
        try:
            code = main([str(word) for word in words])
        except SystemExit as ended:
            code = ended.code
        said = self._capsys.readouterr()
        return Answer(code, said.out, said.err)

    def tree(self):
        """Every file, folder and link below the root: kind, mode, time of change, content."""
        return {
            str(path.relative_to(self.root)): _look(path) for path in sorted(self.root.rglob("*"))
        }

    def journal(self):
        """The journal, for writing."""
        return open_journal(Places(self.root))

    def begin(
        self,
        kind=Kind.DEPLOY,
        environment="production",
        *,
        name=None,
        serving=OLD,
        previous=None,
        candidate=NEW,
    ):
        """Begin a rollout; it has no guard, as after a command that was killed at once."""
        spec = load_spec(self.root, environment)
        candidate = candidate if kind in {Kind.DEPLOY, Kind.MIGRATE} else serving
        plan = make_plan(kind, spec, candidate, Situation(serving, previous))
        rollout = name or f"{environment}-{kind}-1"
        exclusive = kind is not Kind.BACKUP
        self.journal().begin(environment, rollout, Started(plan, "ops@here"), exclusive=exclusive)
        return rollout

    def happen(self, rollout, *facts, environment="production"):
        """Write facts as a guard would, which is gone afterwards."""
        journal = self.journal()
        lease = journal.claim(environment, "guard of a test")
        for fact in facts:
            entries = journal.entries(rollout)
            after = advance(replay(entry.fact for entry in entries), fact)
            ended = str(after.phase) if after.ended else None
            journal.append(lease, rollout, fact, after=entries[-1].seq, ended=ended)
        journal.release(lease)
        journal.close()

    def forward(self, rollout):
        """All steps up to the watch."""
        with contextlib.closing(self.journal()) as journal:
            state = replay(entry.fact for entry in journal.entries(rollout))
        return done(*state.queue)

    def promoted(self):
        """NEW serves, after OLD; a person took it. Nothing runs: the journal says so."""
        rollout = self.begin()
        self.promote(rollout)
        return rollout

    def promote(self, rollout):
        """Let a rollout that was just begun go well."""
        look = Observed(examples.seen(10.0, look=1))
        person = PromoteAsked("ops@here", "checked by hand")
        self.happen(rollout, *self.forward(rollout), look, person, *done(*FINISH))

    def rolled_back(self, name=None):
        """NEW was too slow."""
        rollout = self.begin(name=name)
        look = Observed(examples.seen(30.0, look=1))
        self.happen(rollout, *self.forward(rollout), look, BREACH, *done(*BACK))
        return rollout

    def refused(self, name=None):
        """The port was taken."""
        rollout = self.begin(name=name)
        why = Why("port 127.0.0.1:18080 is taken by process 7 (nc)", "end that process")
        self.happen(rollout, StepBegan(Step.PREFLIGHT, 1), StepFailed(Step.PREFLIGHT, why))
        return rollout


def _look(path):
    stat = path.lstat()
    content = b""
    if path.is_symlink():
        content = bytes(path.readlink())
    elif path.is_file():
        content = path.read_bytes()
    return stat.st_mode, stat.st_mtime_ns, content


@pytest.fixture
def project(tmp_path, monkeypatch, capsys):
    """Inside a project in which nothing was ever deployed."""
    root = tmp_path / "project"
    root.mkdir()
    # A short path: pytest's own folders leave too little of a socket's 107 bytes.
    run = Path(tempfile.mkdtemp(prefix="grcli", dir="/tmp"))
    monkeypatch.chdir(root)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(run))
    monkeypatch.delenv("DEBUG", raising=False)
    ours = Project(root, capsys)
    yield ours
    left = list(run.iterdir())
    shutil.rmtree(run)
    assert not left, "a command that only looks made a folder for sockets"


@pytest.fixture
def locked_database(project):
    """Somebody else holds production's database for writing."""

    @contextlib.contextmanager
    def locked():
        file = project.root / "data" / "production" / "toy.db"
        file.parent.mkdir(parents=True)
        with contextlib.closing(sqlite3.connect(file, isolation_level=None)) as db:
            db.execute("CREATE TABLE t (x)")
            db.execute("BEGIN EXCLUSIVE")
            yield

    return locked


@pytest.fixture(scope="session")
def releases(tmp_path_factory):
    """`releases("good")` is the source of another release, made once."""
    folder = tmp_path_factory.mktemp("releases")
    made = {}

    def source(name):
        if name not in made:
            made[name] = make(name, folder / name)
        return made[name]

    return source


@pytest.fixture
def team(project, monkeypatch):
    """A project whose repository is on a GitHub of ours."""
    monkeypatch.delenv("SUDO_USER", raising=False)
    monkeypatch.delenv("GH_TOKEN", raising=False)
    monkeypatch.setenv("GITHUB_TOKEN", TOKEN)
    monkeypatch.setattr(guard, "spawn", lambda *_: None)
    with github(Hub) as hub:
        yield Team(project, hub, monkeypatch)
    assert hub.faults == []
