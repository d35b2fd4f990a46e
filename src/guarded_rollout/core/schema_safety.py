"""Whether the old release can live with a migration, and whether users wait for a lock meanwhile.

Two questions about each statement:
    Expand only: may the old release go on, reading and writing, on the new schema? What it needs
        may not go (drop, rename, narrow), and nothing new may be demanded of its writes. Only
        then is the way back a flip of traffic.
    Locks: does it hold a lock that stops readers or writers for as long as it reads, rewrites or
        indexes a whole table? On a small table that is a moment; on a big one it is an outage.

What cannot be judged is refused: nobody can say that it is safe.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from guarded_rollout.core.judgement import BATCHES, INDEX, Judgement
from guarded_rollout.core.migration_findings import (
    BREAKS_OLD_RELEASE,
    Dialect,
    Finding,
    Limits,
    Rule,
    Severity,
    TableSeen,
)
from guarded_rollout.core.migration_words import HARMLESS, OBJECTS, OWN, columns, known, plain
from guarded_rollout.core.sql import Kind, Reader, Statement, has, listed, statements
from guarded_rollout.core.table_changes import TableChanges

SHOWN = 200
LIMITS = Limits()


def refused(findings: Sequence[Finding], *, forward_only: bool = False) -> tuple[Finding, ...]:
    """Those that stop a deploy.

    `forward_only`: whoever deploys gave up the way back to the old release. It excuses no lock.
    """
    excused = BREAKS_OLD_RELEASE if forward_only else frozenset()
    return tuple(
        finding
        for finding in findings
        if finding.severity is Severity.REFUSED and finding.rule not in excused
    )


def breaks_old_release(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """Those after which the old release cannot go on, as far as a statement tells.

    What it only may not be able to live with is a warning: trying it out decides.
    """
    return tuple(finding for finding in refused(findings) if finding.rule in BREAKS_OLD_RELEASE)


def judge(
    sql: str,
    dialect: Dialect,
    tables: Mapping[str, TableSeen],
    *,
    limits: Limits = LIMITS,
) -> tuple[Finding, ...]:
    """What there is to know about a migration's SQL, in its order.

    `tables`: the database before it.
    """
    known = {plain(name, dialect): seen for name, seen in tables.items()}
    book = Judgement(dialect, known, limits)
    judging = _Judging(book)
    for statement in statements(sql):
        judging.judge(statement)
    return tuple(book.found)


@dataclass(slots=True)
class _Judging:
    """One kind of statement after the other. `inside`: a transaction is open."""

    book: Judgement
    inside: bool = False

    def judge(self, statement: Statement) -> None:  # noqa: C901 - one case per kind of statement
        text = " ".join(statement.text.split())
        self.book.now = text if len(text) <= SHOWN else f"{text[: SHOWN - 3]}..."
        read = Reader(statement.tokens)
        self._transaction(read)
        match read.word():
            case "create":
                self._create(read)
            case "alter" if read.take("alter", "table"):
                self._alter(read)
            case "alter" if read.word(1) in {"sequence", "type", "index", "view", "function"}:
                if has(read.rest(), "rename"):
                    self.book.breaks(Rule.RENAME, "the old release knows the old name")
            case "drop":
                self._drop(read)
            case "truncate":
                self.book.breaks(Rule.DELETES_DATA, "the old release finds its rows gone")
            case "update" | "delete":
                self._write(read)
            case "vacuum" | "cluster" | "reindex" | "lock" | "refresh" as verb:
                if not has(read.rest(), "concurrently"):
                    why = f"{verb.upper()} locks out everybody"
                    self.book.lock(self._last_name(read), why, INDEX)
            case word if word not in HARMLESS and not known(read):
                self.book.breaks(Rule.CANNOT_BE_JUDGED, "nobody can say what it does")

    def _transaction(self, read: Reader) -> None:
        first = read.word()
        if first in {"begin", "start"}:
            self.inside = True
        elif first in {"commit", "end", "rollback"} and read.word(1) != "to":
            self.inside = False
        elif self.inside and has(read.rest()[:4], "concurrently"):
            why = "CONCURRENTLY cannot run inside a transaction: the migration would fail"
            self.book.breaks(Rule.CANNOT_RUN, why)

    def _create(self, read: Reader) -> None:
        read.take("create")
        while read.word() in {"temp", "temporary", "unlogged", "unique", "or", "replace"}:
            unique = read.word() == "unique"
            read.at += 1
            if unique:
                break
        else:
            unique = False
        if read.take("table"):
            read.take("if", "not", "exists")
            table = self.book.key(read.name())
            # IF NOT EXISTS makes nothing where there is one.
            if table not in self.book.tables or table in self.book.dropped:
                self.book.made[table] = columns(read.rest())
        elif read.take("index"):
            self._index(read, unique=unique)
        elif read.word() not in OBJECTS:
            self.book.breaks(Rule.CANNOT_BE_JUDGED, "nobody can say what it does")
        elif read.word() in {"trigger", "policy"} or has(read.tokens[:3], "or", "replace"):
            self.book.may_break("it changes what the old release's statements do")

    def _index(self, read: Reader, *, unique: bool) -> None:
        concurrently = read.take("concurrently")
        while read.at < len(read.tokens) and not read.take("on"):
            read.at += 1
        read.take("only")
        table = read.name()
        if unique and not self.book.new(table):
            self.book.may_break("the old release may write what the unique index refuses")
        if not concurrently:
            self.book.lock(table, "building an index stops every write to the table", INDEX)

    def _drop(self, read: Reader) -> None:
        read.take("drop")
        what = read.word()
        read.at += 1
        read.take("if", "exists")
        if what == "table":
            for part in listed(read.rest()):
                table = Reader(part).name()
                if not self.book.new(table):
                    self.book.dropped[self.book.key(table)] = len(self.book.found)
                    self.book.breaks(Rule.DROP_TABLE, f"the old release still uses {table}")
                self.book.made.pop(self.book.key(table), None)
        elif what not in {"index", "trigger", "policy", "statistics"}:
            self.book.breaks(Rule.DROP_TABLE, f"the old release may still use this {what}")

    def _write(self, read: Reader) -> None:
        verb = read.word()
        read.at += 1
        read.take("from")
        read.take("only")
        table = read.name()
        if self.book.key(table) in OWN or self.book.new(table):
            return
        if verb == "delete":
            self.book.breaks(Rule.DELETES_DATA, "the old release finds its rows gone")
        self.book.lock(table, "its rows stay locked until the migration commits", BATCHES)

    def _alter(self, read: Reader) -> None:
        read.take("if", "exists")
        read.take("only")
        table = read.name()
        changes = TableChanges(self.book)
        for part in listed(read.rest()):
            changes.judge(table, Reader(part))

    @staticmethod
    def _last_name(read: Reader) -> str:
        names = [t.text for t in read.tokens if t.kind in {Kind.WORD, Kind.QUOTED}]
        return names[-1]
