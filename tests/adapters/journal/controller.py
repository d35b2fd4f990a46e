"""A controller process for the tests: does what its first argument says, until it is killed."""

import json
import os
import subprocess
import sys
from pathlib import Path

from guarded_rollout.adapters.clock import SystemClock
from guarded_rollout.adapters.journal.sqlite import SqliteJournal
from guarded_rollout.core.facts import Adopted, RollbackAsked, Started
from guarded_rollout.core.plan import Kind, Situation, make_plan
from guarded_rollout.core.problems import Busy, Problem
from guarded_rollout.ports import Behind
from guarded_rollout.testing import examples


def say(*words):
    """One line, at once."""
    print(*words, flush=True)  # noqa: T201 - the pipe to the test


def begin(journal, environment, rollout):
    """An exclusive deploy."""
    situation = Situation(serving=examples.OLD)
    plan = make_plan(Kind.DEPLOY, examples.spec(environment), examples.NEW, situation)
    return journal.begin(environment, rollout, Started(plan, str(os.getpid())), exclusive=True)


def append(journal, environment):
    """Facts as fast as it goes; each is told after its commit."""
    lease = journal.claim(environment, "guard")
    known = journal.active(environment)
    after = journal.entries(known.rollout)[-1].seq
    say("claimed", lease.fence, after)
    while True:
        try:
            entry = journal.append(lease, known.rollout, Adopted(str(after + 1)), after=after)
        except Problem as problem:
            say("lost", type(problem).__name__, problem.why.what)
            sys.exit(1)
        say(entry.seq, entry.hash)
        after = entry.seq


def race(journal, verb):
    """Line by line: try to begin in, or to claim, the environment that the line names."""
    say("ready")
    for line in sys.stdin:
        environment = line.strip()
        try:
            if verb == "begin":
                begin(journal, environment, f"{environment}-{os.getpid()}")
            else:
                journal.claim(environment, str(os.getpid()))
        except Problem as problem:
            say("lost", type(problem).__name__, problem.why.what)
        else:
            say("won", os.getpid())


def hold(journal, environment, *command):
    """Claim, start the command with the lock in its hands, and hang."""
    journal.claim(environment, "guard")
    fds = journal.lease_fds(environment) if command else ()
    started = subprocess.Popen(command, pass_fds=fds, start_new_session=True) if command else None
    say("holding", started.pid if started else 0)
    sys.stdin.read()


def play(journal):
    """Line by line a part: an environment, and what to do there, with a pause before each."""
    say("ready")
    for line in sys.stdin:
        part = json.loads(line)
        say(json.dumps(Player(journal, *part["in"]).act(part["acts"])))


class Player:
    """One guard among others. Writes down what it was told."""

    def __init__(self, journal, environment, rollout, name, after):
        self.journal, self.environment = journal, environment
        self.rollout, self.name, self.after = rollout, name, after
        self.lease = None

    def act(self, acts):
        told = []
        for pause, verb in acts:
            self.journal._clock.sleep(pause)
            try:
                told.append([verb, getattr(self, verb)()])
            except Busy:
                told.append([verb, "busy"])
            except Behind:
                self.after = self.journal.entries(self.rollout)[-1].seq
                told.append([verb, "behind"])
        self.release()
        return told

    def claim(self):
        """The fence, and the last entry that was there when it was ours."""
        self.lease = self.journal.claim(self.environment, self.name)
        self.after = self.journal.entries(self.rollout)[-1].seq
        return self.lease.fence, self.after

    def append(self):
        if self.lease is None:
            return "idle"
        fact = Adopted(f"{self.name} {self.lease.fence}")
        entry = self.journal.append(self.lease, self.rollout, fact, after=self.after)
        self.after = entry.seq
        return entry.seq

    def ask(self):
        asked = RollbackAsked(self.name, "because")
        self.after = self.journal.append(None, self.rollout, asked, after=self.after).seq
        return self.after

    def renew(self):
        if self.lease is not None:
            self.journal.renew(self.lease)

    def release(self):
        if self.lease is not None:
            self.journal.release(self.lease)


def lead(journal, environment, *command):
    """Claim, start the command in our process group without the lock, and hang."""
    journal.claim(environment, "guard")
    say("holding", subprocess.Popen(command).pid)
    sys.stdin.read()


def fork(journal, environment):
    """Claim, then fork a child that lives on."""
    journal.claim(environment, "guard")
    child = os.fork()
    if child == 0:
        say("forked", os.getpid(), *journal.lease_fds(environment))
    sys.stdin.read()


def opened(where, seconds):
    """A folder's journal, or the one on a PostgreSQL whose access stands there as JSON."""
    clock = SystemClock()
    if where.startswith("{"):
        from guarded_rollout.adapters.journal.postgres import PostgresJournal
        from guarded_rollout.adapters.postgres import Access

        return PostgresJournal(Access(**json.loads(where)), clock, lease_seconds=seconds)
    folder = Path(where)
    return SqliteJournal(folder / "journal.db", clock, folder / "locks", lease_seconds=seconds)


def main():
    """`controller.py FOLDER-OR-ACCESS LEASE_SECONDS VERB ARGUMENT...`."""
    where, seconds, verb, *arguments = sys.argv[1:]
    journal = opened(where, float(seconds))
    {"append": append, "race": race, "hold": hold, "lead": lead, "fork": fork, "play": play}[verb](
        journal, *arguments
    )


if __name__ == "__main__":
    main()
