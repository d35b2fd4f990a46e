"""A journal as JSON lines, and back: to keep one, to look at one, to move one elsewhere.

Line 1 says what it is, then one line per entry, one per environment's fence, and one that ends
it. The lines are summed (`core.summed_lines`). The entries' own chain is checked beside that.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import msgspec

from guarded_rollout.adapters.journal.connection import Ask
from guarded_rollout.adapters.journal.stored import COLUMNS, INSERT, Stored
from guarded_rollout.core.chain import GENESIS, Link, fault
from guarded_rollout.core.facts import Started, decode
from guarded_rollout.core.problems import BadInput, Broken, NotPossible
from guarded_rollout.core.summed_lines import BadLine, Sums, summed

FORMAT = "guarded-rollout journal 1"
_BATCH = 200
_ROWS = f"""
    SELECT {", ".join(f"f.{column}" for column in COLUMNS.split(", "))},
        (SELECT min(g.seq) FROM facts g WHERE g.rollout = f.rollout),
        (SELECT max(g.seq) FROM facts g WHERE g.rollout = f.rollout AND g.seq <= ?),
        r.environment, r.kind, r.exclusive
    FROM facts f JOIN rollouts r ON r.id = f.rollout
    WHERE f.seq > ? AND f.seq <= ? ORDER BY f.seq LIMIT {_BATCH}
"""  # noqa: S608 - constants


class Run(Protocol):
    """Runs one statement in a transaction that is open."""

    def __call__(self, sql: str, *values: object) -> list[Any]:
        """Its rows."""


@dataclass(frozen=True, slots=True)
class Carried:
    """An entry as a line has it. `ended`: the ending of its rollout, at its last entry."""

    seq: int
    rollout: str
    at: float
    kind: str
    body: str
    fence: int
    prev: str
    hash: str
    exclusive: bool
    ended: str | None

    def stored(self) -> Stored:
        """As the tables have it."""
        return Stored(
            *(self.seq, self.rollout, self.at, self.kind, self.body.encode()),
            *(self.fence, self.prev, self.hash),
        )


def lines(ask: Ask, environment: str | None = None) -> Iterator[bytes]:
    """The journal as it is now, whole or of one environment. Broken: it was changed."""
    sums = Sums()
    yield sums.line({"format": FORMAT, "environment": environment})
    # Asked first: what has ended by now has its ending among the entries up to `last`.
    endings = dict(ask("SELECT id, ended FROM rollouts WHERE ended IS NOT NULL"))
    ((last,),) = ask("SELECT coalesce(max(seq), 0) FROM facts") or ((0,),)
    before, count = (0, GENESIS), 0
    while rows := ask(_ROWS, last, before[0], last):
        for row in rows:
            *stored, first, newest, of, kind, exclusive = row
            before = _sound(before, Stored(*stored), first, (of, kind))
            if environment in {None, of}:
                count += 1
                ending = endings.get(stored[1]) if newest == before[0] else None
                values = (*stored[:4], stored[4].decode(), *stored[5:], bool(exclusive), ending)
                yield sums.line(msgspec.to_builtins(Carried(*values)))
    for of, fence in ask("SELECT environment, fence FROM leases ORDER BY environment"):
        if environment in {None, of}:
            yield sums.line({"environment": of, "fence": fence})
    yield sums.line({"entries": count, "head": before[1]})


def _sound(
    before: tuple[int, str], stored: Stored, first: int, listed: tuple[str, str]
) -> tuple[int, str]:
    wrong = fault(before, _link(stored, first, listed))
    if wrong is not None:
        raise Broken(
            f"the journal was changed: {wrong}", "see how far it is sound: rollout audit verify"
        )
    return stored.seq, stored.hash


def _link(stored: Stored, first: int, listed: tuple[str | None, str | None]) -> Link:
    return Link(
        *(stored.seq, stored.rollout, stored.at, stored.kind, stored.body),
        *(stored.prev, stored.hash, first, *listed),
    )


class File:
    """An exported file. Going through it gives its entries; then the rest of it is known.

    BadInput names the first line that is not sound, and nothing after it is looked at.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.fences: dict[str, int] = {}
        self.head = GENESIS
        self.entries = 0
        self._number = 0

    def __iter__(self) -> Iterator[Carried]:
        """Each entry, checked against all lines before it."""
        self.head, self.entries, self.fences, self._number = GENESIS, 0, {}, 0
        begun: dict[str, int] = {}
        ended = False
        for content in self._contents():
            if ended:
                raise self._wrong("stands behind the end")
            if self._number == 1:
                self._expect_ours(content)
            elif "seq" in content:
                yield self._entry(content, begun)
            elif "fence" in content:
                self.fences[content["environment"]] = content["fence"]
            else:
                ended = True
                if content != {"entries": self.entries, "head": self.head}:
                    raise self._wrong("ends another journal than this one")
        if not ended:
            self._number += 1
            raise self._wrong("is missing: the file was cut off")

    def check(self) -> None:
        """Go through all of it."""
        for _ in self:
            pass

    def _contents(self) -> Iterator[dict[str, Any]]:
        try:
            with self.path.open("rb") as file:
                for self._number, content in enumerate(summed(file), start=1):
                    yield content
        except BadLine as bad:
            self._number = bad.number
            raise self._wrong(bad.what) from None
        except OSError as error:
            raise BadInput(
                f"{self.path} cannot be read: {error.strerror}", "name a file of journal export"
            ) from error

    def _expect_ours(self, content: dict[str, Any]) -> None:
        if content.get("format") != FORMAT:
            raise self._wrong(f"does not say {FORMAT}")
        if content.get("environment") is not None:
            raise NotPossible(
                f"{self.path} has the entries of {content['environment']} alone: between them are "
                "gaps, and a journal without gaps cannot be made of it",
                "export the whole journal: rollout journal export > FILE",
            )

    def _entry(self, content: dict[str, Any], begun: dict[str, int]) -> Carried:
        try:
            carried = msgspec.convert(content, Carried)
            stored = carried.stored()
            listed = _listed(stored)
        except ValueError as error:
            raise self._wrong(f"has an entry that cannot be read: {error}") from None
        first = begun.setdefault(stored.rollout, stored.seq)
        wrong = fault((self.entries, self.head), _link(stored, first, listed))
        if wrong is not None:
            raise self._wrong(f"breaks the chain: {wrong}")
        self.entries, self.head = stored.seq, stored.hash
        return carried

    def _wrong(self, what: str) -> BadInput:
        return BadInput(
            f"{self.path}:{self._number}: this line {what}",
            "export it once more where it was made; nothing was imported",
        )


def _listed(stored: Stored) -> tuple[str | None, str | None]:
    """Environment and kind of the rollout that this entry starts."""
    fact = decode(stored.kind, stored.body)
    if not isinstance(fact, Started):
        return None, None
    return fact.plan.spec.environment.name, fact.plan.kind.value


def take_in(run: Run, file: File) -> bool:
    """Write a file's entries into an empty journal. False: exactly these are there already.

    NotPossible when it has others. Call it inside a transaction.
    """
    there = run("SELECT seq, hash FROM facts ORDER BY seq DESC LIMIT 1")
    if there and tuple(there[0]) == (file.entries, file.head):
        return False
    if there:
        raise NotPossible(
            f"this journal has {there[0][0]} entries already, and they are not the file's",
            "import into an empty one: a chain cannot be joined to another",
        )
    for carried in file:
        stored = carried.stored()
        environment, kind = _listed(stored)
        if environment is not None:
            run(
                "INSERT INTO rollouts (id, environment, kind, began, exclusive)"
                " VALUES (?, ?, ?, ?, ?)",
                *(stored.rollout, environment, kind, stored.at, int(carried.exclusive)),
            )
        run(INSERT, *stored.values())
        if carried.ended is not None:
            run("UPDATE rollouts SET ended = ? WHERE id = ?", carried.ended, stored.rollout)
    for environment, fence in file.fences.items():
        run(
            "INSERT INTO leases (environment, pid, started, process_group, host, fence, until)"
            " VALUES (?, 0, 0, 0, '', ?, 0) ON CONFLICT (environment) DO UPDATE"
            " SET fence = excluded.fence WHERE leases.fence < excluded.fence",
            *(environment, fence),
        )
    return True
