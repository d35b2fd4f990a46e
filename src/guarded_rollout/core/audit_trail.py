"""Who did what, when and why: the journal for auditors, as summed lines of JSON.

Line 1 says what it is. Then a line per entry that says anything to a person: its number, time,
rollout, who, the words, and its hash in the journal. The last one has the journal's head.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import msgspec

from guarded_rollout.core.fact_text import fact_lines
from guarded_rollout.core.facts import Started, decode
from guarded_rollout.core.summed_lines import BadLine, Sums, summed

FORMAT = "guarded-rollout audit 1"

Content = dict[str, Any]


def trail(
    exported: Iterable[bytes], utc: Callable[[float], str], environment: str | None
) -> Iterator[bytes]:
    """The lines, from those of a journal's export. `environment` None: of all."""
    sums = Sums()
    yield sums.line(_first(environment))
    entries = 0
    head = ""
    for content in _told(exported, utc):
        if "seq" in content:
            entries += 1
            yield sums.line(content)
        else:
            head = content["head"]
    yield sums.line({"entries": entries, "head": head})


def _first(environment: str | None) -> Content:
    return {"format": FORMAT, "environment": environment}


def _told(exported: Iterable[bytes], utc: Callable[[float], str]) -> Iterator[Content]:
    """Each entry that says anything, then the export's own last line."""
    places: dict[str, str] = {}
    for line in exported:
        content = msgspec.json.decode(line)
        if "seq" in content:
            fact = decode(content["kind"], content["body"].encode())
            rollout = content["rollout"]
            if isinstance(fact, Started):
                places[rollout] = fact.plan.spec.environment.name
            if said := fact_lines(fact):
                yield {
                    "seq": content["seq"],
                    "at": utc(content["at"]),
                    "environment": places[rollout],
                    "rollout": rollout,
                    "kind": content["kind"],
                    "who": getattr(fact, "by", None),
                    "said": said,
                    "hash": content["hash"],
                }
        elif "head" in content:
            yield content


class Trail:
    """A file of it, line by line. After `entries` was gone through, `head` is the journal's then.

    Raises BadLine at the first line that was changed, moved, added, or stands after a gap.
    """

    def __init__(self, lines: Iterable[bytes]) -> None:
        self._lines = summed(lines)
        self.number = 1
        self.head = ""
        first = next(self._lines, {})
        self.environment: str | None = first.get("environment")
        if first != _first(self.environment):
            raise BadLine(1, f"does not say {FORMAT}")

    def entries(self) -> Iterator[Content]:
        """Each entry, oldest first."""
        count = 0
        for content in self._lines:
            self.number += 1
            if self.head:
                raise BadLine(self.number, "stands behind the end")
            if "seq" in content:
                count += 1
                yield content
            elif content == {"entries": count, "head": content.get("head")}:
                self.head = content["head"]
            else:
                raise BadLine(self.number, "ends another file than this one")
        if not self.head:
            raise BadLine(self.number + 1, "is missing: the file was cut off")


def differs(
    file: Trail, exported: Iterable[bytes], utc: Callable[[float], str]
) -> tuple[int, str] | None:
    """The first entry that the journal tells otherwise: its number and what. None: none does.

    What the journal has beyond the file's end is no difference: it grew.
    """
    there = (content for content in _told(exported, utc) if "seq" in content)
    for content in file.entries():
        own = next(there, None)
        if own is None:
            return content["seq"], "the journal has lost it, and all after it"
        if own != content:
            keys = [key for key in content if own.get(key) != content[key]]
            return content["seq"], f"the journal says otherwise: {', '.join(keys)}"
    return None
