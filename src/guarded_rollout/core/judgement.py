"""What the lint knows while it reads a migration, and what it has found so far."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from guarded_rollout.core.migration_findings import (
    RECIPES,
    Dialect,
    Finding,
    Limits,
    Rule,
    Severity,
    TableSeen,
)
from guarded_rollout.core.migration_words import plain
from guarded_rollout.core.sql import Token

INDEX = "CREATE INDEX CONCURRENTLY, outside a transaction (Alembic: with op.get_context()"
INDEX += ".autocommit_block())"
NOT_VALID = "ADD CONSTRAINT ... NOT VALID, and VALIDATE CONSTRAINT in a later transaction"
NOT_NULL = "ADD CONSTRAINT ... CHECK (column IS NOT NULL) NOT VALID, VALIDATE CONSTRAINT later, "
NOT_NULL += "then SET NOT NULL finds it proven"
BATCHES = "in batches of some thousand rows, each its own transaction, outside the migration"
SQLITE = "in SQLite a writer waits for the whole statement: do it while nobody writes, or fill a "
SQLITE += "new table in batches"
VOLATILE = "add the column without a default, set the default, and fill it in batches"


@dataclass(slots=True)
class Judgement:
    """A migration as it is read.

    `tables`: the database before it. `made`: its own new tables, whose locks hurt nobody.
    `dropped`: by table, where in `found` that stands; `now`: the statement that is read.
    """

    dialect: Dialect
    tables: Mapping[str, TableSeen]
    limits: Limits
    found: list[Finding] = field(default_factory=list)
    made: dict[str, Mapping[str, Sequence[Token]]] = field(default_factory=dict)
    dropped: dict[str, int] = field(default_factory=dict)
    now: str = ""

    def new(self, table: str) -> bool:
        """Whether the migration itself made the table."""
        return self.key(table) in self.made

    def seen(self, table: str) -> TableSeen | None:
        """The table before the migration."""
        return self.tables.get(self.key(table))

    def key(self, table: str) -> str:
        """One spelling of its name."""
        return plain(table, self.dialect)

    def breaks(self, rule: Rule, why: str) -> None:
        """Refused: the old release cannot go on, or it would not even run."""
        self.found.append(Finding(rule, self.now, why, RECIPES[rule], Severity.REFUSED))

    def may_break(self, why: str) -> None:
        """A warning: it depends on what the old release writes."""
        self.found.append(
            Finding(Rule.STRICTER, self.now, why, RECIPES[Rule.STRICTER], Severity.WARNING)
        )

    def lock(self, table: str, why: str, recipe: str) -> None:
        """Refused on a big table, a warning on a small one."""
        if self.new(table):
            return
        if self.dialect is Dialect.SQLITE:
            recipe = SQLITE
        seen = self.seen(table)
        if seen is None:
            how, big = f"the size of {table} is not known", True
        else:
            big = seen.rows > self.limits.rows or (seen.bytes or 0) > self.limits.bytes
            how = f"{table} has {seen.rows} rows"
            how += f" and {seen.bytes / 2**20:.0f} MB" if seen.bytes is not None else ""
        severity = Severity.REFUSED if big else Severity.WARNING
        self.found.append(Finding(Rule.LONG_LOCK, self.now, f"{why}; {how}", recipe, severity))

    def not_dropped(self, table: str) -> None:
        """The table comes back under its name: take that finding away."""
        gone = self.dropped.pop(table)
        del self.found[gone]
        self.dropped = {name: at - (at > gone) for name, at in self.dropped.items()}
