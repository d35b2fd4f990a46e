"""A checkout whose last commit is the head of pull request 12, which dan opened."""

import contextlib
import subprocess

from github_server import REPOSITORY

PRODUCTION = ("--env", "production")
POLICY = """
[notify.github]
repository = "{repository}"
api = "{api}"

[signoffs.people.ann]
groups = ["ops"]
github = "Ann-B"

[signoffs.people.bob]
github = "bob"

[signoffs.people.cid]
github = "cid"

[environments.production.signoffs]
needed = 2
from_groups = {{ ops = 1 }}
github = true
"""
IGNORED = ".rollout/\n/logs/\n/data/\n/backups/\n*.secret\n"


class Team:
    """A project, its repository on GitHub, and people who type commands in it."""

    def __init__(self, project, hub, monkeypatch):
        self.project, self.hub, self._monkeypatch = project, hub, monkeypatch
        text = (project.root / "rollout.toml").read_text()
        policy = POLICY.format(repository=REPOSITORY, api=hub.api)
        project.write("rollout.toml", text + policy)
        project.write(".gitignore", IGNORED)
        self.git("init", "-q", "-b", "main")
        self.head = self.commit()
        hub.open("dan", self.head)
        hub.trees[self.head] = self.git("rev-parse", "HEAD^{tree}")

    def git(self, *words):
        who = ["-c", "user.name=dan", "-c", "user.email=dan@example.com"]
        command = ["git", "-C", self.project.root, *who, "-c", "commit.gpgsign=false", *words]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    def commit(self, *words):
        self.git("add", "-A")
        self.git("commit", "-q", "-m", "work", *words)
        return self.git("rev-parse", "HEAD")

    def run(self, *words, who="eve"):
        self._monkeypatch.setenv("LOGNAME", who)
        return self.project.run(*words)

    def deploy(self, *words, who="eve"):
        return self.run("deploy", *PRODUCTION, "--detach", *words, who=who)

    def standing(self):
        return self.run("approvals", *PRODUCTION, "--json").document

    def met(self):
        return self.standing()["met"]

    def started(self):
        with contextlib.closing(self.project.journal()) as journal:
            return journal.entries(journal.known("production")[0].rollout)[0].fact
