"""What a logger wrote, judged: each function gives the problem that it looks for, or None."""

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from guarded_rollout.core.log_records import LEVELS, MARK, Hidden, Record
from guarded_rollout.core.redact import redact

FIELDS = (
    "timestamp", "level", "message", "service", "version", "environment", "event", "request_id",
)  # fmt: skip
MODE_OF_OTHERS = 0o077

_TIMESTAMP = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?(Z|[+-][0-9]{2}:[0-9]{2})"
)
_OWN_LINE = re.compile(
    r"\[([0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2})\] \[([A-Z]+)\] (.*)", re.DOTALL
)
_SHOWN = 120


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a log, read. `fields` None: the line is not one of this format."""

    raw: str
    fields: Mapping[str, Any] | None

    @property
    def message(self) -> str:
        """Its message; of a line that cannot be read, all of it."""
        found = self.fields.get("message") if self.fields is not None else None
        return found if isinstance(found, str) else self.raw

    @property
    def mark(self) -> str | None:
        """Which record it is."""
        found = MARK.match(self.message)
        return found[0] if found else None


def json_lines(data: bytes) -> list[Line]:
    """The lines of a structured log."""
    return [Line(raw, _object(raw)) for raw in _split(data)]


def plain_lines(data: bytes) -> list[Line]:
    """The lines of this tool's own logs: `[2026-11-21 03:15:00] [INFO] text | {"fields": 1}`."""
    read = []
    for raw in _split(data):
        found = _OWN_LINE.fullmatch(raw)
        read.append(Line(raw, _plain(*found.groups()) if found else None))
    return read


def _plain(timestamp: str, level: str, text: str) -> Mapping[str, Any]:
    message, _, more = text.partition(" | ")
    return {"timestamp": timestamp, "level": level, "message": message, "fields": _object(more)}


def _split(data: bytes) -> list[str]:
    text = data.decode(errors="backslashreplace")
    return [raw for raw in text.split("\n") if raw]


def _object(raw: str) -> Mapping[str, Any] | None:
    try:
        found = json.loads(raw)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def torn(lines: Sequence[Line]) -> str | None:
    """A line that is no line of the format: two that ran into each other, or half of one."""
    return _first(lines, lambda line: line.fields is None, "torn or interleaved")


def lost(lines: Sequence[Line], records: Iterable[Record]) -> str | None:
    """A record that did not arrive."""
    found = {line.mark for line in lines}
    missing = [record for record in records if _mark(record) not in found]
    return f"{len(missing)} are lost, the first: {_mark(missing[0])}" if missing else None


def doubled(lines: Sequence[Line]) -> str | None:
    """A record that arrived twice."""
    counted = Counter(line.mark for line in lines if line.mark)
    twice = [mark for mark, count in counted.items() if count > 1]
    return f"{len(twice)} came more than once, the first: {twice[0]}" if twice else None


def altered(lines: Sequence[Line], records: Iterable[Record]) -> str | None:
    """A record that came out otherwise than it went in. None of these has anything to hide."""
    found = {line.mark: line for line in lines}
    for record in records:
        line = found.get(_mark(record))
        if line is None:
            return f"{_mark(record)} is lost"
        if line.message != record.message:
            return f"{record.message[:_SHOWN]!r} became {line.message[:_SHOWN]!r}"
        if record.fields and line.fields is not None:
            kept = line.fields.get("fields")
            if kept != record.fields:
                return f"the fields {record.fields} became {kept}"
    return None


def disordered(lines: Sequence[Line]) -> str | None:
    """The records of one process in another order than it logged them."""
    newest: dict[str, int] = {}
    for line in lines:
        found = MARK.match(line.message)
        if found is None:
            continue
        process, number = found[1], int(found[2])
        if number < newest.get(process, -1):
            return f"{found[0]} comes after number {newest[process]} of the same process"
        newest[process] = number
    return None


def shown(lines: Sequence[Line], cases: Iterable[Hidden]) -> str | None:
    """A secret that can be read, wherever it stands in the line; a line that was dropped for it."""
    found = {line.mark: line for line in lines}
    for case in cases:
        line = found.get(_mark(case.record))
        if line is None:
            return f"the whole line with a {case.kind} in its {case.place} is gone"
        # An exception's traceback follows its line where a log is plain text.
        if case.secret in line.raw:
            return f"a {case.kind} in its {case.place} can be read"
    return None


def unshaped(lines: Sequence[Line], expected: Mapping[str, str]) -> str | None:
    """A line without a field that every line has, or with another value than the service's."""
    for line in lines:
        fields = line.fields
        if fields is None:
            return f"not one JSON object: {_short(line)}"
        for name in FIELDS:
            if name not in fields:
                return f"{name} is missing: {_short(line)}"
        if not isinstance(fields["timestamp"], str) or not _TIMESTAMP.fullmatch(
            fields["timestamp"]
        ):
            return f"timestamp is {fields['timestamp']!r}, not like 2026-11-21T03:15:00.123Z"
        if fields["level"] not in LEVELS:
            return f"level is {fields['level']!r}, not one of {', '.join(LEVELS)}"
        for name, value in expected.items():
            if fields[name] != value:
                return f"{name} is {fields[name]!r}, not {value!r}"
    return None


def unsaid(lines: Sequence[Line], records: Iterable[Record]) -> str | None:
    """An event, request id or exception that was logged and is not in its line."""
    found = {line.mark: line.fields or {} for line in lines}
    for record in records:
        fields = found.get(_mark(record))
        if fields is None:
            return f"{_mark(record)} is lost"
        for name, value in (("event", record.event), ("request_id", record.request_id)):
            if value is not None and fields.get(name) != value:
                return f"{name} is {fields.get(name)!r}, not {value!r}"
        if record.exception and record.exception not in json.dumps(fields):
            return f"the exception {record.exception!r} is not in its line"
    return None


def mislabelled(lines: Sequence[Line], records: Iterable[Record], lowest: str | None) -> str | None:
    """A record under another level, or one that should, or should not, be there.

    `lowest` None: which levels are logged is not known, only that no label is wrong.
    """
    found = {line.mark: line.fields or {} for line in lines}
    for record in records:
        fields = found.get(_mark(record))
        wanted = lowest is None or LEVELS.index(record.level) >= LEVELS.index(lowest)
        if fields is None:
            needed = LEVELS.index(record.level) >= LEVELS.index(lowest or "WARNING")
            if wanted and needed:
                return f"a record of level {record.level} is missing"
        elif not wanted:
            return f"a record of level {record.level} is there, the lowest is {lowest}"
        elif fields.get("level") != record.level:
            return f"a record of level {record.level} says {fields.get('level')!r}"
    return None


def open_to_others(modes: Mapping[str, int]) -> str | None:
    """A file that others than its owner may read or write. `modes`: per file."""
    wrong = [f"{name} has mode {mode:o}" for name, mode in modes.items() if mode & MODE_OF_OTHERS]
    return "; ".join(wrong) or None


def leaking(lines: Sequence[Line]) -> str | None:
    """A line that this tool's own redactor still finds something in."""
    return _first(lines, lambda line: redact(line.raw) != line.raw, "with a secret")


def _first(lines: Sequence[Line], wrong: Any, what: str) -> str | None:  # noqa: ANN401 - a predicate
    found = [line for line in lines if wrong(line)]
    many = f"{len(found)} of {len(lines)} lines are" if len(found) > 1 else "a line is"
    return f"{many} {what}: {_short(found[0])}" if found else None


def _mark(record: Record) -> str:
    found = MARK.match(record.message)
    return found[0] if found else record.message


def _short(line: Line) -> str:
    return redact(line.raw)[:_SHOWN]
