"""The words of migrations that do no harm, and what is asked of the words in a statement."""

from collections.abc import Sequence
from itertools import pairwise

from guarded_rollout.core.migration_findings import Dialect
from guarded_rollout.core.sql import Kind, Reader, Token, listed, words

HARMLESS = frozenset(
    {"begin", "start", "commit", "end", "rollback", "savepoint", "release", "show", "values",
     "insert", "comment", "grant", "analyze"}
)  # fmt: skip
SETTINGS = frozenset(
    {"lock_timeout", "statement_timeout", "transaction_timeout", "constraints", "client_encoding",
     "idle_in_transaction_session_timeout", "maintenance_work_mem"}
)  # fmt: skip
PRAGMAS = frozenset(
    {"foreign_keys", "defer_foreign_keys", "foreign_key_check", "integrity_check", "user_version"}
)
CALLS = frozenset(
    {"setval", "nextval", "currval", "count", "max", "min", "coalesce",
                    "pg_advisory_lock", "pg_advisory_xact_lock", "pg_get_serial_sequence",
                    "select", "from", "in", "exists", "and", "or", "not", "as"}
)  # fmt: skip
OBJECTS = frozenset(
    {"view", "type", "sequence", "function", "procedure", "extension", "schema", "trigger",
     "domain", "statistics", "policy", "materialized", "aggregate", "collation"}
)  # fmt: skip
HARMLESS_FOR_COLUMNS = frozenset(
    {("set", "default"), ("drop", "not"), ("set", "statistics"), ("set", "storage")}
)
CONSTANT_CALLS = frozenset({"now", "current_timestamp", "current_date", "localtimestamp"})
OWN = frozenset({"alembic_version"})


def plain(name: str, dialect: Dialect) -> str:
    """One spelling of a table's name."""
    if dialect is Dialect.SQLITE:
        return name.lower().removeprefix("main.")
    return name.removeprefix("public.")


def columns(tokens: Sequence[Token]) -> frozenset[str]:
    """The columns of CREATE TABLE name ( ... )."""
    inside = tokens[1:-1] if tokens and tokens[0].text == "(" else ()
    found = set()
    for part in listed(inside):
        if part and part[0].text not in {"constraint", "check", "foreign", "unique", "primary"}:
            found.add(part[0].text.lower())
    return frozenset(found)


def until(tokens: Sequence[Token], word: str) -> Sequence[Token]:
    for at, token in enumerate(tokens):
        if token == Token(Kind.WORD, word):
            return tokens[:at]
    return tokens


def default_of(tokens: Sequence[Token]) -> Sequence[Token] | None:
    for at, token in enumerate(tokens):
        if token == Token(Kind.WORD, "default"):
            rest = tokens[at + 1 :]
            return None if words(rest[:1]) == ("null",) else rest
    return None


def volatile(default: Sequence[Token]) -> bool:
    """It calls a function that is not known to give every row the same."""
    return bool(calls(default) - CONSTANT_CALLS - {"check", "varchar", "numeric", "references"})


def calls(tokens: Sequence[Token]) -> frozenset[str]:
    pairs = pairwise(tokens)
    return frozenset(one.text for one, two in pairs if one.kind is Kind.WORD and two.text == "(")


def options(tokens: Sequence[Token]) -> bool:
    """`SET (fillfactor = 70)` and `RESET (...)`."""
    texts = [token.text for token in tokens[:2]]
    return texts in (["set", "("], ["reset", "("])


def known(read: Reader) -> bool:
    """A setting, a PRAGMA or a SELECT that changes nothing the old release needs."""
    if read.take("set"):
        _ = read.take("local") or read.take("session")
        return read.word() in SETTINGS
    if read.take("pragma"):
        return read.word() in PRAGMAS
    return read.word() == "select" and calls(read.rest()) <= CALLS
