"""The hash chain: each entry's hash covers the hash before it, so nothing changes unseen.

What the chain cannot show by itself: that its last entries were cut off. Whoever wants to know
that too keeps the head (`rollout audit verify` prints it) somewhere else and looks whether the
journal still has an entry with that hash.
"""

import hashlib
from dataclasses import dataclass

from guarded_rollout.core.facts import decode

GENESIS = hashlib.sha256(b"guarded-rollout journal 1").hexdigest()
"""What the first entry follows."""


@dataclass(frozen=True, slots=True)
class Link:
    """One entry as it is stored. `first`: the smallest seq of its rollout."""

    seq: int
    rollout: str
    at: float
    kind: str
    body: bytes
    prev: str
    hash: str
    first: int
    environment: str | None
    rollout_kind: str | None


def link(prev: str, seq: int, *, rollout: str, at: float, kind: str, body: bytes) -> str:
    """The entry's hash in hex: SHA-256 over its parts as netstrings (`<length>:<bytes>,`).

    Numbers are spelled in decimal, `at` as the shortest decimal that gives the same double.
    """
    digest = hashlib.sha256()
    for part in (
        prev.encode(),
        b"%d" % seq,
        rollout.encode(),
        repr(float(at)).encode(),
        kind.encode(),
        body,
    ):
        digest.update(b"%d:%b," % (len(part), part))
    return digest.hexdigest()


def fault(before: tuple[int, str], entry: Link) -> str | None:
    """Why `entry` cannot follow the entry with that seq and hash; None when it can."""
    seq, head = before
    if entry.seq != seq + 1:
        return f"entry {seq + 1} is missing: {seq} is followed by {entry.seq}"
    if entry.prev != head:
        return f"entry {entry.seq} does not follow entry {seq}: one of them was changed"
    try:
        expected = link(
            head,
            entry.seq,
            rollout=entry.rollout,
            at=entry.at,
            kind=entry.kind,
            body=entry.body,
        )
    except (AttributeError, TypeError, ValueError):
        return f"entry {entry.seq} was changed: a field has the wrong type"
    if entry.hash != expected:
        return f"entry {entry.seq} was changed: its content does not give its hash"
    return _fault_inside(entry)


def _fault_inside(entry: Link) -> str | None:
    """The hash fits; does the content make sense?"""
    try:
        fact = decode(entry.kind, entry.body)
    except ValueError as error:
        return f"entry {entry.seq} cannot be read: {error}"
    started = entry.kind == "started"
    if started is not (entry.first == entry.seq):
        if started:
            return f"entry {entry.seq} starts rollout {entry.rollout} a second time"
        return f"entry {entry.seq} belongs to rollout {entry.rollout}, which was never started"
    if not started:
        return None
    plan = fact.plan  # type: ignore[union-attr]  # only `started` is decoded to Started
    if (entry.environment, entry.rollout_kind) != (plan.spec.environment.name, plan.kind.value):
        return f"rollout {entry.rollout} is listed as something else than its entry {entry.seq}"
    return None
