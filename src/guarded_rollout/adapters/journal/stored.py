"""An entry as it is stored: linked to the one before, with the fence it was written under."""

from dataclasses import dataclass

from guarded_rollout.core.chain import GENESIS, link
from guarded_rollout.core.facts import Fact, decode, encode
from guarded_rollout.ports import Entry

COLUMNS = "seq, rollout, at, kind, body, fence, prev, hash"
INSERT = f"INSERT INTO facts ({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"  # noqa: S608 - a constant


@dataclass(frozen=True, slots=True)
class Stored:
    """The columns of `facts`, in their order. `body`: the fact's canonical JSON."""

    seq: int
    rollout: str
    at: float
    kind: str
    body: bytes
    fence: int
    prev: str
    hash: str

    def values(self) -> tuple[object, ...]:
        """As COLUMNS names them."""
        return (
            *(self.seq, self.rollout, self.at, self.kind, self.body),
            *(self.fence, self.prev, self.hash),
        )

    def entry(self) -> Entry:
        """What will be read."""
        return Entry(self.seq, self.rollout, self.at, decode(self.kind, self.body), self.hash)


def following(
    head: tuple[int, str] | None, rollout: str, at: float, fact: Fact, fence: int
) -> Stored:
    """The fact, linked to the chain's head: its seq and hash, None in an empty journal."""
    kind, body = encode(fact)
    last, prev = head or (0, GENESIS)
    seq, at = last + 1, float(at)
    own = link(prev, seq, rollout=rollout, at=at, kind=kind, body=body)
    return Stored(seq, rollout, at, kind, body, fence, prev, own)
