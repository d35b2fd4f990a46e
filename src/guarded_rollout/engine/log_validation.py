"""Can a logger be trusted? Asked with records whose fate is then looked up in its log."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from guarded_rollout.core import log_judging as judge
from guarded_rollout.core import log_records as records
from guarded_rollout.core.check_report import Result
from guarded_rollout.core.log_judging import Line
from guarded_rollout.core.log_records import LEVELS, PLACES, Hidden, Record
from guarded_rollout.ports import Clock, LogWriter, Replica, Written

ROTATION_LINES = 30
LAST_LINE = 15_000
"""Characters. With it a round is more than the writer's log may hold, and without it less."""
TAIL_BYTES = 2**18
LOG_BYTES = 2 * 20_000_000 + TAIL_BYTES
"""What a replica's log may take on the disk: two files of the keeper's limit, and a little."""


@dataclass(frozen=True, slots=True)
class Subject:
    """Whose logger it is.

    Fields:
        name: for the report.
        read: its log's format.
        expected: what every structured line says of its service; None: the log is plain text.
        level_env: the variable that sets the lowest level, if there is one.
    """

    name: str
    writer: LogWriter
    read: Callable[[bytes], list[Line]]
    expected: Mapping[str, str] | None = None
    level_env: str | None = None


@dataclass(frozen=True, slots=True)
class Effort:
    """How many processes log how many lines at once, and how long one run may take (seconds)."""

    processes: int = 10
    lines: int = 200
    timeout: float = 60.0


def validate(subject: Subject, effort: Effort, clock: Clock) -> Iterator[Result]:
    """Every check that this logger's format allows, one after the other."""
    checks = (concurrency, redaction, unchanged, *((shape, levels) if subject.expected else ()))
    for check in (*checks, rotation):
        began = clock.monotonic()
        for name, problem, note in check(subject, effort):
            ms = (clock.monotonic() - began) * 1000
            yield Result(name, ms, problem, subject.name, "", note)
            began = clock.monotonic()


Found = tuple[str, str | None, str]
"""A check's name, its problem, and a note."""


def concurrency(subject: Subject, effort: Effort) -> Iterator[Found]:
    """Many processes write into one log at once."""
    sent = [records.crowd(process, effort.lines) for process in range(effort.processes)]
    written = subject.writer.feed([_lines(batch) for batch in sent], effort.timeout)
    lines = subject.read(written.output)
    everything = [record for batch in sent for record in batch]
    count = len(everything) - len(sent)
    rate = f", {count / written.seconds:.0f} lines/s" if written.seconds else ""
    many = f"{effort.processes} processes x {effort.lines} lines{rate}"
    yield "nothing is lost", written.problem or judge.lost(lines, everything), many
    yield "nothing is written twice", judge.doubled(lines), ""
    yield "nothing is torn or interleaved", judge.torn(lines), ""
    yield "every long line is whole", judge.altered(lines, everything), ""
    yield "each process keeps its order", judge.disordered(lines), ""
    yield "its log is for its owner only", judge.open_to_others(written.modes), ""


def redaction(subject: Subject, effort: Effort) -> Iterator[Found]:
    """Every kind of secret, in messages, fields, nested ones and exceptions."""
    cases = records.hidden()
    written, lines = _fed(subject, [case.record for case in cases], effort)
    for kind in dict.fromkeys(case.kind for case in cases):
        yield f"hides: {kind}", written.problem or _first_shown(lines, cases, kind), ""


def _first_shown(lines: Sequence[Line], cases: Sequence[Hidden], kind: str) -> str | None:
    places = [
        judge.shown(lines, [case for case in cases if (case.kind, case.place) == (kind, place)])
        for place in PLACES
    ]
    return "; ".join(filter(None, places)) or None


def unchanged(subject: Subject, effort: Effort) -> Iterator[Found]:
    """What only looks like a secret comes out as it went in."""
    sent = records.clean()
    written, lines = _fed(subject, sent, effort)
    yield "clean lines are unchanged", written.problem or judge.altered(lines, sent), ""


def shape(subject: Subject, effort: Effort) -> Iterator[Found]:
    """One JSON object per record, with the fields that every line has."""
    sent = records.shaped()
    written, lines = _fed(subject, sent, effort)
    expected = subject.expected or {}
    wrong = written.problem or judge.lost(lines, sent) or judge.unshaped(lines, expected)
    yield "every line has its fields", wrong, ", ".join(judge.FIELDS)
    yield "event, request id and exception are there", judge.unsaid(lines, sent), ""


def levels(subject: Subject, effort: Effort) -> Iterator[Found]:
    """The label of each level, and that the lowest one can be chosen where there is a way."""
    sent = records.levelled()
    name = subject.level_env
    problems = []
    for lowest in LEVELS if name else (None,):
        env = {name: lowest} if name and lowest else {}
        written, lines = _fed(subject, sent, effort, env)
        problems.append(written.problem or judge.mislabelled(lines, sent, lowest))
    note = f"lowest level by {name}" if name else "no variable sets the lowest level"
    yield "levels", next(filter(None, problems), None), note


def rotation(subject: Subject, effort: Effort) -> Iterator[Found]:
    """Past its limit twice: one older file is kept, and the log is written on."""
    rounds = []
    for number in (1, 2, 3):
        count = ROTATION_LINES if number < 3 else 1
        batch = [
            Record(f"{records.mark(number, line)} {'x' * 1000}", fields={"n": line})
            for line in range(count)
        ]
        padding = "x" * (LAST_LINE if number < 3 else 0)
        over = f"{records.mark(number, count)} round {number} is over {padding}"
        batch.append(Record(over))
        rounds.append(batch)
    rotated = subject.writer.rotate([_lines(batch) for batch in rounds], effort.timeout)
    if rotated is None:
        return
    older, newer = subject.read(rotated.older), subject.read(rotated.newer)
    wrong = rotated.problem or judge.torn([*older, *newer])
    yield "a full log is rotated, and written on", wrong or judge.lost(newer, rounds[2]), ""
    yield "nothing is lost by that", judge.lost([*older, *newer], [*rounds[1], *rounds[2]]), ""
    surplus = [name for name in rotated.files if name not in {"log", "log.1"}]
    yield "one older log is kept", f"there are {', '.join(surplus)} too" if surplus else None, ""
    yield "rotated logs are for their owner only", judge.open_to_others(rotated.modes), ""


def running(
    replicas: Sequence[Replica], subject: Subject, name: str = "running service"
) -> Iterator[Result]:
    """The logs of the replicas that serve: as they are now, their newest lines."""
    lines: list[Line] = []
    modes, size = {}, 0
    for replica in replicas:
        data = replica.log.read_bytes()
        if len(data) > TAIL_BYTES:  # from the first whole line on
            data = data[-TAIL_BYTES:].partition(b"\n")[2]
        lines += subject.read(data)
        for file in (replica.log, replica.log.with_name("log.1")):
            if file.exists():
                modes[f"{replica.name}/{file.name}"] = file.stat().st_mode & 0o777
                size = max(size, file.stat().st_size)
    none = None if lines else "there is no line to look at"
    shaped = none or judge.unshaped(lines, subject.expected or {})
    big = f"{size} bytes in one log: it is not rotated" if size > LOG_BYTES else None
    yield Result("its lines have their fields", 0.0, shaped, name, "", f"{len(lines)} lines")
    yield Result("its lines have no secret", 0.0, none or judge.leaking(lines), name)
    yield Result("its logs are for their owner only", 0.0, judge.open_to_others(modes), name)
    yield Result("its logs are rotated", 0.0, big, name, "", f"the biggest has {size} bytes")


def _fed(
    subject: Subject, sent: Sequence[Record], effort: Effort, env: Mapping[str, str] | None = None
) -> tuple[Written, list[Line]]:
    written = subject.writer.feed([_lines(sent)], effort.timeout, env or {})
    return written, subject.read(written.output)


def _lines(batch: Sequence[Record]) -> list[str]:
    return [record.line() for record in batch]
