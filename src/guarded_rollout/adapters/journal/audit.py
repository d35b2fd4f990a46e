"""Walks the chain from the first entry, in constant memory and without holding up writers."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

from guarded_rollout.adapters.journal.connection import Ask
from guarded_rollout.adapters.journal.schema import Damaged
from guarded_rollout.core.chain import GENESIS, Link, fault
from guarded_rollout.ports import Audit

_BATCH = 500

Beside: TypeAlias = Callable[[Ask], str | None]
"""What else may be wrong with where the entries lie; None: nothing."""

_NEXT = """
    SELECT f.seq, f.rollout, f.at, f.kind, f.body, f.prev, f.hash,
        (SELECT min(g.seq) FROM facts g WHERE g.rollout = f.rollout),
        r.environment, r.kind
    FROM facts f LEFT JOIN rollouts r ON r.id = f.rollout
    WHERE f.seq > ? ORDER BY f.seq LIMIT ?
"""

_EMPTY = """
    SELECT id FROM rollouts r
    WHERE NOT EXISTS (SELECT 1 FROM facts f WHERE f.rollout = r.id) LIMIT 1
"""


@dataclass(slots=True)
class _Walk:
    """How far the walk came."""

    seq: int = 0
    rollouts: int = 0
    head: str = GENESIS

    def audit(self, problem: str | None, broken_at: int | None = None) -> Audit:
        return Audit(self.seq, self.rollouts, broken_at, problem, self.head)


def verify(ask: Ask, beside: Beside) -> Audit:
    """Check every entry, then what lies `beside` them. What cannot be read is a finding, no error.

    Entries cut off at the end do not show, unless a rollout lost all of its own: compare the
    head with one noted earlier. Broken: it is locked, away, or may not be read.
    """
    walk = _Walk()
    try:
        for entry in _entries(ask):
            problem = fault((walk.seq, walk.head), entry)
            if problem is not None:
                return walk.audit(problem, walk.seq + 1)
            walk.seq, walk.head = entry.seq, entry.hash
            walk.rollouts += entry.kind == "started"
        for (rollout,) in ask(_EMPTY):
            return walk.audit(f"rollout {rollout} has lost all its entries", walk.seq + 1)
        problem = beside(ask)
        if problem is not None:
            return walk.audit(problem)
    except Damaged as problem:
        return walk.audit(f"after entry {walk.seq}: {problem.why.what}", walk.seq + 1)
    return walk.audit(None)


def quick_check(ask: Ask) -> str | None:
    """SQLite's own check of the whole file."""
    for (finding,) in ask("PRAGMA quick_check(1)"):
        if finding != "ok":
            words = " ".join(finding.replace("*** in database main ***", "").split())
            return f"the file is damaged beside the entries: {words}"
    return None


def _entries(ask: Ask) -> Iterator[Link]:
    """All entries in order; Damaged comes right at the first that cannot be read."""
    seq, size = 0, _BATCH
    while True:
        try:
            rows = ask(_NEXT, seq, size)
        except Damaged:
            if size == 1:
                raise
            size = 1
            continue
        for row in rows:
            entry = Link(*row)
            yield entry
            seq = entry.seq
        if len(rows) < size:
            return
