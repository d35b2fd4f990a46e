"""What the lint of a migration can say: rules, their recipes, findings."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Dialect(StrEnum):
    """Whose SQL it is."""

    POSTGRESQL = "postgresql"
    SQLITE = "sqlite"


class Severity(StrEnum):
    """Whether the deploy may go on."""

    WARNING = "warning"
    REFUSED = "refused"


class Rule(StrEnum):
    """What is wrong. The first group breaks the old release, the second one stops its users."""

    DROP_TABLE = "drop-table"
    DROP_COLUMN = "drop-column"
    RENAME = "rename"
    REQUIRED_COLUMN = "required-column"
    NARROWER_TYPE = "narrower-type"
    STRICTER = "stricter"
    DELETES_DATA = "deletes-data"
    CANNOT_BE_JUDGED = "cannot-be-judged"
    LONG_LOCK = "long-lock"
    CANNOT_RUN = "cannot-run"


BREAKS_OLD_RELEASE: frozenset[str] = frozenset(
    {
        Rule.DROP_TABLE,
        Rule.DROP_COLUMN,
        Rule.RENAME,
        Rule.REQUIRED_COLUMN,
        Rule.NARROWER_TYPE,
        Rule.STRICTER,
        Rule.DELETES_DATA,
        Rule.CANNOT_BE_JUDGED,
    }
)
"""Whoever gives up the way back to the old release may break these, and no others."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing to know about one statement. `recipe`: how to do it safely."""

    rule: str
    statement: str
    why: str
    recipe: str
    severity: Severity


@dataclass(frozen=True, slots=True)
class TableSeen:
    """A table as it is now. `columns`: type by name, where known."""

    rows: int
    bytes: int | None = None
    columns: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Limits:
    """From where on a table is big: its whole is read or written in more than a moment."""

    rows: int = 100_000
    bytes: int = 64 * 2**20


RECIPES: Mapping[Rule, str] = {
    Rule.DROP_TABLE: "expand and contract: deploy a release that no longer uses the table; drop it "
    "in the migration of the release after that, marked forward-only",
    Rule.DROP_COLUMN: "expand and contract: deploy a release that no longer uses the column; drop "
    "it in the migration of the release after that, marked forward-only",
    Rule.RENAME: "expand and contract: add the new name, write both, copy in batches, read the new "
    "one; drop the old name releases later, marked forward-only",
    Rule.REQUIRED_COLUMN: "give it a constant DEFAULT, or let it be NULL: the old release inserts "
    "without it",
    Rule.NARROWER_TYPE: "expand and contract: add a column of the new type, write both, copy in "
    "batches, read the new one; drop the old one releases later, marked forward-only",
    Rule.STRICTER: "deploy a release whose writes keep the rule; add the rule in the migration of "
    "the release after that",
    Rule.DELETES_DATA: "stop using the data first; delete it releases later, marked forward-only",
    Rule.CANNOT_BE_JUDGED: "write it as plain statements, or mark the release forward-only after a "
    "person has read it",
    Rule.CANNOT_RUN: "in Alembic write it inside `with op.get_context().autocommit_block():`",
    Rule.LONG_LOCK: "do it in steps that hold no lock for long",
}
