"""ALTER TABLE, one action at a time."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from guarded_rollout.core.column_types import Change, change
from guarded_rollout.core.judgement import (
    BATCHES,
    INDEX,
    NOT_NULL,
    NOT_VALID,
    SQLITE,
    VOLATILE,
    Judgement,
)
from guarded_rollout.core.migration_findings import Dialect, Rule
from guarded_rollout.core.migration_words import (
    HARMLESS_FOR_COLUMNS,
    default_of,
    options,
    until,
    volatile,
)
from guarded_rollout.core.rebuilt_table import rebuilt
from guarded_rollout.core.sql import Reader, Token, has, words


@dataclass(frozen=True, slots=True)
class TableChanges:
    """Judges them. What it finds goes into the book."""

    book: Judgement

    def judge(self, table: str, read: Reader) -> None:
        """One action on a table."""
        if read.take("rename"):
            self._rename(table, read)
        elif self.book.new(table):
            return
        elif read.take("add"):
            self._add(table, read)
        elif read.take("drop", "constraint") or read.take("validate") or options(read.rest()):
            return
        elif read.take("drop"):
            self.book.breaks(Rule.DROP_COLUMN, f"the old release still uses this column of {table}")
            if self.book.dialect is Dialect.SQLITE:
                self.book.lock(table, "SQLite writes the whole table anew", SQLITE)
        elif read.take("alter"):
            read.take("column")
            self._column(table, read.name(), read)
        elif read.take("set") and read.word() in {"tablespace", "logged", "unlogged"}:
            self.book.lock(table, "it writes the whole table anew", BATCHES)
        elif read.take("schema"):
            self.book.breaks(Rule.RENAME, "the old release knows the old name")
        else:
            self.book.breaks(Rule.CANNOT_BE_JUDGED, "nobody can say what it does")

    def _rename(self, table: str, read: Reader) -> None:
        to = self.book.key(read.name()) if read.take("to") else None
        if to is not None and self.book.new(table) and to in self.book.dropped:
            self._rebuilt(to, self.book.made.pop(self.book.key(table)))
        elif not self.book.new(table):
            if not read.take("constraint"):
                self.book.breaks(Rule.RENAME, "the old release knows the old name")
        elif to is not None:
            self.book.made[to] = self.book.made.pop(self.book.key(table))

    def _rebuilt(self, table: str, columns: Mapping[str, Sequence[Token]]) -> None:
        """CREATE new, copy, DROP old, RENAME new: how SQLite changes what it cannot alter."""
        self.book.not_dropped(table)
        seen = self.book.seen(table)
        if seen is None or not seen.columns:
            self.book.breaks(
                Rule.CANNOT_BE_JUDGED, f"{table} is built anew, and what it had is not known"
            )
        else:
            broken = rebuilt(table, seen.columns, columns)
            for rule, why in broken:
                self.book.breaks(rule, why)
            if not broken:
                why = f"{table} is built anew: its new rules may refuse the old writes"
                self.book.may_break(why)
        self.book.lock(table, "the whole table is copied", SQLITE)

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
            self.book.breaks(
                Rule.REQUIRED_COLUMN, f"the old release inserts into {table} without {column}"
            )
        if fills_itself or (default is not None and volatile(default)):
            why = f"every row gets its own {column}: the table is rewritten"
            self.book.lock(table, why, VOLATILE)
        if has(rest, "check"):
            self.book.lock(table, "every row is checked while everybody waits", NOT_VALID)
        filled = default is not None and self.book.dialect is Dialect.POSTGRESQL
        if filled and has(rest, "references"):
            self.book.lock(table, "every row's reference is checked", NOT_VALID)
        if has(rest, "unique") or has(rest, "primary", "key"):
            self.book.lock(table, "building its index stops every access to the table", INDEX)

    def _constraint(self, table: str, rest: Sequence[Token]) -> None:
        self.book.may_break("the old release may write what the constraint refuses")
        if has(rest, "using", "index") or has(rest, "not", "valid"):
            return
        if has(rest, "unique") or has(rest, "primary", "key") or has(rest, "exclude"):
            recipe = f"{INDEX}, then ADD CONSTRAINT ... USING INDEX"
            self.book.lock(table, "building its index stops every access to the table", recipe)
        else:
            self.book.lock(table, "every row is checked while writers wait", NOT_VALID)

    def _column(self, table: str, column: str, read: Reader) -> None:
        if read.take("set", "not", "null"):
            self.book.breaks(Rule.STRICTER, f"the old release may write NULL into {table}.{column}")
            self.book.lock(table, "every row is checked while everybody waits", NOT_NULL)
        elif read.take("drop", "default"):
            self.book.breaks(
                Rule.STRICTER, f"the old release may rely on the default of {table}.{column}"
            )
        elif read.take("type") or read.take("set", "data", "type"):
            self._type(table, column, read.rest())
        elif words(read.rest())[:2] not in HARMLESS_FOR_COLUMNS:
            self.book.breaks(Rule.CANNOT_BE_JUDGED, "nobody can say what it does")

    def _type(self, table: str, column: str, rest: Sequence[Token]) -> None:
        seen = self.book.seen(table)
        old = seen.columns.get(column) if seen else None
        new = "".join(token.text for token in until(rest, "using"))
        what = change(old, new)
        if what is Change.FREE:
            return
        if what is Change.NARROWER:
            self.book.breaks(
                Rule.NARROWER_TYPE,
                f"{table}.{column} of type {old or 'that is not known'} becomes {new}: values may "
                "not fit, and the old release may not understand it",
            )
        self.book.lock(table, "the whole table and its indexes are rewritten", BATCHES)
