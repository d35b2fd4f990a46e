"""Writes whole watches into the journal of a test's project, as a guard would."""

import contextlib

from guarded_rollout.core.facts import StepBegan, StepDone
from guarded_rollout.core.plan import Step
from guarded_rollout.core.rollout import advance, replay

OUTCOMES = {
    Step.BACKUP: {"file": "backups/b.zip", "size": 1, "verified": True},
    Step.REHEARSE: {"pending": False, "ways": ["flip"], "because": {}, "restored": None},
    Step.MIGRATE: {"from": None, "to": None, "moved": False},
    Step.CALIBRATE: {"polls": 0, "between": "the old version over time", "noise": []},
    Step.SHIFT: {"to": "new", "at": 1.0},
    Step.RETURN: {"to": "old", "at": 1.0},
    Step.CONFIRM: {"consecutive_ok": 3},
    Step.PRUNE: {"backups": [], "releases": []},
}


def write(project, rollout, facts):
    """Append these facts to a rollout in production; the guard is gone afterwards."""
    with contextlib.closing(project.journal()) as journal:
        entries = journal.entries(rollout)
        state, seq = replay(entry.fact for entry in entries), entries[-1].seq
        lease = journal.claim("production", "guard of a test")
        for fact in facts:
            state = advance(state, fact)
            ended = str(state.phase) if state.ended else None
            seq = journal.append(lease, rollout, fact, after=seq, ended=ended).seq
        journal.release(lease)


def state_of(project, rollout):
    """Where a rollout is."""
    with contextlib.closing(project.journal()) as journal:
        return replay(entry.fact for entry in journal.entries(rollout))


def take(project, rollout):
    """The steps that are due are done."""
    queue = state_of(project, rollout).queue
    done = [(StepBegan(step, 1), StepDone(step, OUTCOMES.get(step, {}))) for step in queue]
    write(project, rollout, (fact for both in done for fact in both))
