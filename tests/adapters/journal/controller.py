"""A controller process for the tests: does what its first argument says, until it is killed."""

import os
import subprocess
import sys
from pathlib import Path

from guarded_rollout.adapters.clock import SystemClock
from guarded_rollout.adapters.journal.sqlite import SqliteJournal
from guarded_rollout.core.facts import Adopted, Started
from guarded_rollout.core.plan import Kind, Situation, make_plan
from guarded_rollout.core.problems import Problem
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
        entry = journal.append(lease, known.rollout, Adopted(str(after + 1)), after=after)
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
    fds = journal.lease_fds(environment)
    started = subprocess.Popen(command, pass_fds=fds, start_new_session=True) if command else None
    say("holding", started.pid if started else 0)
    sys.stdin.read()


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


def main():
    """`controller.py FOLDER LEASE_SECONDS VERB ARGUMENT...`."""
    folder, seconds, verb, *arguments = sys.argv[1:]
    journal = SqliteJournal(
        Path(folder) / "journal.db",
        SystemClock(),
        Path(folder) / "locks",
        lease_seconds=float(seconds),
    )
    {"append": append, "race": race, "hold": hold, "lead": lead, "fork": fork}[verb](
        journal, *arguments
    )


if __name__ == "__main__":
    main()
