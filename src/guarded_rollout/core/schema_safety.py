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
from dataclasses import dataclass, field

from guarded_rollout.core.column_types import Change, change
from guarded_rollout.core.migration_findings import (
    RECIPES,
    Dialect,
    Finding,
    Limits,
    Rule,
    Severity,
    TableSeen,
)
from guarded_rollout.core.migration_words import (
    HARMLESS,
    HARMLESS_FOR_COLUMNS,
    OBJECTS,
    OWN,
    columns,
    default_of,
    known,
    options,
    plain,
    until,
    volatile,
)
from guarded_rollout.core.sql import Kind, Reader, Statement, Token, has, listed, statements, words

SHOWN = 200
LIMITS = Limits()


_INDEX = "CREATE INDEX CONCURRENTLY, outside a transaction (Alembic: with op.get_context()"
_INDEX += ".autocommit_block())"
_NOT_VALID = "ADD CONSTRAINT ... NOT VALID, and VALIDATE CONSTRAINT in a later transaction"
_NOT_NULL = "ADD CONSTRAINT ... CHECK (column IS NOT NULL) NOT VALID, VALIDATE CONSTRAINT later, "
_NOT_NULL += "then SET NOT NULL finds it proven"
_BATCHES = "in batches of some thousand rows, each its own transaction, outside the migration"
_SQLITE = "in SQLite a writer waits for the whole statement: do it while nobody writes, or fill a "
_SQLITE += "new table in batches"
_VOLATILE = "add the column without a default, set the default, and fill it in batches"


def refused(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """Those that stop a deploy."""
    return tuple(finding for finding in findings if finding.severity is Severity.REFUSED)


def judge(
    sql: str,
    dialect: Dialect,
    tables: Mapping[str, TableSeen],
    *,
    forward_only: bool = False,
    limits: Limits = LIMITS,
) -> tuple[Finding, ...]:
    """What there is to know about a migration's SQL, in its order.

    `tables`: the database before it. `forward_only`: whoever deploys gave up the way back; then
    what breaks the old release is a warning. It excuses no lock.
    """
    known = {plain(name, dialect): seen for name, seen in tables.items()}
    judging = _Judging(dialect, known, forward_only, limits)
    for statement in statements(sql):
        judging.judge(statement)
    return tuple(judging.found)


@dataclass(slots=True)
class _Judging:
    dialect: Dialect
    tables: Mapping[str, TableSeen]
    forward_only: bool
    limits: Limits
    found: list[Finding] = field(default_factory=list)
    made: dict[str, frozenset[str]] = field(default_factory=dict)
    dropped: dict[str, int] = field(default_factory=dict)
    now: str = ""
    inside: bool = False

    def judge(self, statement: Statement) -> None:  # noqa: C901 - one case per kind of statement
        text = " ".join(statement.text.split())
        self.now = text if len(text) <= SHOWN else f"{text[: SHOWN - 3]}..."
        read = Reader(statement.tokens)
        self._transaction(read)
        match read.word():
            case "create":
                self._create(read)
            case "alter" if read.take("alter", "table"):
                self._alter(read)
            case "alter" if read.word(1) in {"sequence", "type", "index", "view", "function"}:
                if has(read.rest(), "rename"):
                    self._breaks(Rule.RENAME, "the old release knows the old name")
            case "drop":
                self._drop(read)
            case "truncate":
                self._breaks(Rule.DELETES_DATA, "the old release finds its rows gone")
            case "update" | "delete":
                self._write(read)
            case "vacuum" | "cluster" | "reindex" | "lock" | "refresh" as verb:
                if not has(read.rest(), "concurrently"):
                    self._lock(self._last_name(read), f"{verb.upper()} locks out everybody", _INDEX)
            case word if word not in HARMLESS and not known(read):
                self._breaks(Rule.CANNOT_BE_JUDGED, "nobody can say what it does")

    def _transaction(self, read: Reader) -> None:
        first = read.word()
        if first in {"begin", "start"}:
            self.inside = True
        elif first in {"commit", "end", "rollback"} and read.word(1) != "to":
            self.inside = False
        elif self.inside and has(read.rest()[:4], "concurrently"):
            why = "CONCURRENTLY cannot run inside a transaction: the migration would fail"
            self.found.append(
                Finding(Rule.CANNOT_RUN, self.now, why, RECIPES[Rule.CANNOT_RUN], Severity.REFUSED)
            )

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
            table = self._key(read.name())
            if table not in self.tables or table in self.dropped:  # IF NOT EXISTS makes nothing
                self.made[table] = columns(read.rest())
        elif read.take("index"):
            self._index(read, unique=unique)
        elif read.word() not in OBJECTS:
            self._breaks(Rule.CANNOT_BE_JUDGED, "nobody can say what it does")
        elif read.word() in {"trigger", "policy"} or has(read.tokens[:3], "or", "replace"):
            self._may_break("it changes what the old release's statements do")

    def _index(self, read: Reader, *, unique: bool) -> None:
        concurrently = read.take("concurrently")
        while read.at < len(read.tokens) and not read.take("on"):
            read.at += 1
        read.take("only")
        table = read.name()
        if unique and not self._new(table):
            self._may_break("the old release may write what the unique index refuses")
        if not concurrently:
            self._lock(table, "building an index stops every write to the table", _INDEX)

    def _drop(self, read: Reader) -> None:
        read.take("drop")
        what = read.word()
        read.at += 1
        read.take("if", "exists")
        if what == "table":
            for part in listed(read.rest()):
                table = Reader(part).name()
                if not self._new(table):
                    self.dropped[self._key(table)] = len(self.found)
                    self._breaks(Rule.DROP_TABLE, f"the old release still uses {table}")
                self.made.pop(self._key(table), None)
        elif what not in {"index", "trigger", "policy", "statistics"}:
            self._breaks(Rule.DROP_TABLE, f"the old release may still use this {what}")

    def _write(self, read: Reader) -> None:
        verb = read.word()
        read.at += 1
        read.take("from")
        read.take("only")
        table = read.name()
        if self._key(table) in OWN or self._new(table):
            return
        if verb == "delete":
            self._breaks(Rule.DELETES_DATA, "the old release finds its rows gone")
        self._lock(table, "its rows stay locked until the migration commits", _BATCHES)

    def _alter(self, read: Reader) -> None:
        read.take("if", "exists")
        read.take("only")
        table = read.name()
        for part in listed(read.rest()):
            self._action(table, Reader(part))

    def _action(self, table: str, read: Reader) -> None:
        if read.take("rename"):
            self._rename(table, read)
        elif self._new(table):
            return
        elif read.take("add"):
            self._add(table, read)
        elif read.take("drop", "constraint") or read.take("validate") or options(read.rest()):
            return
        elif read.take("drop"):
            self._breaks(Rule.DROP_COLUMN, f"the old release still uses this column of {table}")
            if self.dialect is Dialect.SQLITE:
                self._lock(table, "SQLite writes the whole table anew", _SQLITE)
        elif read.take("alter"):
            read.take("column")
            self._column(table, read.name(), read)
        elif read.take("set") and read.word() in {"tablespace", "logged", "unlogged"}:
            self._lock(table, "it writes the whole table anew", _BATCHES)
        elif read.take("schema"):
            self._breaks(Rule.RENAME, "the old release knows the old name")
        else:
            self._breaks(Rule.CANNOT_BE_JUDGED, "nobody can say what it does")

    def _rename(self, table: str, read: Reader) -> None:
        to = self._key(read.name()) if read.take("to") else None
        if to is not None and self._new(table) and to in self.dropped:
            self._rebuilt(to, self.made.pop(self._key(table)))
        elif not self._new(table):
            if not read.take("constraint"):
                self._breaks(Rule.RENAME, "the old release knows the old name")
        elif to is not None:
            self.made[to] = self.made.pop(self._key(table))

    def _rebuilt(self, table: str, columns: frozenset[str]) -> None:
        """CREATE new, copy, DROP old, RENAME new: how SQLite changes what it cannot alter."""
        del self.found[self.dropped.pop(table)]
        self.dropped = {name: at - 1 for name, at in self.dropped.items()}
        seen = self._seen(table)
        gone = sorted({name.lower() for name in seen.columns} - columns) if seen else []
        if seen is None or not seen.columns:
            self._breaks(
                Rule.CANNOT_BE_JUDGED, f"{table} is built anew, and what it had is not known"
            )
        elif gone:
            self._breaks(Rule.DROP_COLUMN, f"{table} is built anew without {', '.join(gone)}")
        else:
            self._may_break(f"{table} is built anew: its new rules may refuse the old writes")
        self._lock(table, "the whole table is copied", _SQLITE)

    def _add(self, table: str, read: Reader) -> None:
        rest = read.rest()
        if read.word() in {"constraint", "check", "foreign", "unique", "primary", "exclude"}:
            self._constraint(table, rest)
            return
        read.take("column")
        read.take("if", "not", "exists")
        column = read.name()
        rest = read.rest()
        kind = words(rest)[:1]
        fills_itself = has(rest, "generated") or kind in {("serial",), ("bigserial",)}
        default = default_of(rest)
        if has(rest, "not", "null") and default is None and not fills_itself:
            self._breaks(
                Rule.REQUIRED_COLUMN, f"the old release inserts into {table} without {column}"
            )
        if fills_itself or (default is not None and volatile(default)):
            self._lock(table, f"every row gets its own {column}: the table is rewritten", _VOLATILE)
        if has(rest, "check"):
            self._lock(table, "every row is checked while everybody waits", _NOT_VALID)
        if has(rest, "references") and self.dialect is Dialect.POSTGRESQL and default is not None:
            self._lock(table, "every row's reference is checked", _NOT_VALID)
        if has(rest, "unique") or has(rest, "primary", "key"):
            self._lock(table, "building its index stops every access to the table", _INDEX)

    def _constraint(self, table: str, rest: Sequence[Token]) -> None:
        self._may_break("the old release may write what the constraint refuses")
        if has(rest, "using", "index") or has(rest, "not", "valid"):
            return
        if has(rest, "unique") or has(rest, "primary", "key") or has(rest, "exclude"):
            recipe = f"{_INDEX}, then ADD CONSTRAINT ... USING INDEX"
            self._lock(table, "building its index stops every access to the table", recipe)
        else:
            self._lock(table, "every row is checked while writers wait", _NOT_VALID)

    def _column(self, table: str, column: str, read: Reader) -> None:
        if read.take("set", "not", "null"):
            self._breaks(Rule.STRICTER, f"the old release may write NULL into {table}.{column}")
            self._lock(table, "every row is checked while everybody waits", _NOT_NULL)
        elif read.take("drop", "default"):
            self._breaks(
                Rule.STRICTER, f"the old release may rely on the default of {table}.{column}"
            )
        elif read.take("type") or read.take("set", "data", "type"):
            self._type(table, column, read.rest())
        elif words(read.rest())[:2] not in HARMLESS_FOR_COLUMNS:
            self._breaks(Rule.CANNOT_BE_JUDGED, "nobody can say what it does")

    def _type(self, table: str, column: str, rest: Sequence[Token]) -> None:
        seen = self._seen(table)
        old = seen.columns.get(column) if seen else None
        new = "".join(token.text for token in until(rest, "using"))
        what = change(old, new)
        if what is Change.FREE:
            return
        if what is Change.NARROWER:
            self._breaks(
                Rule.NARROWER_TYPE,
                f"{table}.{column} of type {old or 'that is not known'} becomes {new}: values may "
                "not fit, and the old release may not understand it",
            )
        self._lock(table, "the whole table and its indexes are rewritten", _BATCHES)

    def _new(self, table: str) -> bool:
        return self._key(table) in self.made

    def _seen(self, table: str) -> TableSeen | None:
        return self.tables.get(self._key(table))

    def _key(self, table: str) -> str:
        return plain(table, self.dialect)

    @staticmethod
    def _last_name(read: Reader) -> str:
        names = [t.text for t in read.tokens if t.kind in {Kind.WORD, Kind.QUOTED}]
        return names[-1]

    def _breaks(self, rule: Rule, why: str) -> None:
        severity = Severity.WARNING if self.forward_only else Severity.REFUSED
        self.found.append(Finding(rule, self.now, why, RECIPES[rule], severity))

    def _may_break(self, why: str) -> None:
        self.found.append(
            Finding(Rule.STRICTER, self.now, why, RECIPES[Rule.STRICTER], Severity.WARNING)
        )

    def _lock(self, table: str, why: str, recipe: str) -> None:
        if self._new(table):
            return
        if self.dialect is Dialect.SQLITE:
            recipe = _SQLITE
        seen = self._seen(table)
        if seen is None:
            how, big = f"the size of {table} is not known", True
        else:
            big = seen.rows > self.limits.rows or (seen.bytes or 0) > self.limits.bytes
            how = f"{table} has {seen.rows} rows"
            how += f" and {seen.bytes / 2**20:.0f} MB" if seen.bytes is not None else ""
        severity = Severity.REFUSED if big else Severity.WARNING
        self.found.append(Finding(Rule.LONG_LOCK, self.now, f"{why}; {how}", recipe, severity))
