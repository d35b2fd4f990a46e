"""The words of migrations that do no harm, and what is asked of the words in a statement."""

from collections.abc import Mapping, Sequence
from itertools import pairwise

from guarded_rollout.core.migration_findings import Dialect
from guarded_rollout.core.sql import Kind, Reader, Token, listed, words

HARMLESS = frozenset(
    {"begin", "start", "commit", "end", "rollback", "savepoint", "release", "show", "values",
     "insert", "comment", "grant", "analyze"}
)  # fmt: skip
SETTINGS = frozenset(
    {"lock_timeout", "statement_timeout", "transaction_timeout", "constraints", "client_encoding",
     "idle_in_transaction_session_timeout", "maintenance_work_mem", "work_mem", "timezone",
     "max_parallel_maintenance_workers"}
)  # fmt: skip
PRAGMAS = frozenset(
    {"foreign_keys", "defer_foreign_keys", "foreign_key_check", "integrity_check", "user_version",
     "busy_timeout", "cache_size", "legacy_alter_table", "mmap_size", "optimize", "quick_check",
     "synchronous", "temp_store", "foreign_key_list", "index_info", "index_list", "index_xinfo",
     "table_info", "table_list", "table_xinfo"}
)  # fmt: skip
CALLS = frozenset(
    {"setval", "nextval", "currval", "pg_advisory_lock", "pg_advisory_xact_lock",
     "pg_get_serial_sequence",
     # functions that give and take values only
     "abs", "array_agg", "avg", "ceil", "ceiling", "char_length", "coalesce", "concat", "count",
     "date", "date_trunc", "datetime", "decode", "dense_rank", "encode", "extract", "first_value",
     "floor", "generate_series", "greatest", "group_concat", "hex", "ifnull", "instr",
     "json_agg", "json_array", "json_build_object", "json_extract", "json_object", "jsonb_agg",
     "jsonb_build_object", "julianday", "lag", "lead", "least", "left", "length", "lower", "ltrim",
     "max", "md5", "min", "now", "nullif", "octet_length", "position", "rank", "regexp_replace",
     "replace", "right", "round", "row_number", "rtrim", "sha256", "split_part", "strftime",
     "string_agg", "substr", "substring", "sum", "to_char", "to_date", "to_number", "to_timestamp",
     "total", "trim", "typeof", "unnest", "upper",
     # words that may stand before a parenthesis and call nothing
     "all", "and", "any", "as", "between", "by", "case", "cast", "char", "decimal", "distinct",
     "else", "except", "exists", "filter", "from", "having", "in", "intersect", "interval", "is",
     "join", "lateral", "like", "limit", "materialized", "not", "numeric", "offset", "on", "or",
     "over", "select", "some", "then", "union", "using", "values", "varchar", "when", "where"}
)  # fmt: skip
WRITES = frozenset({"insert", "update", "delete", "merge"})
OBJECTS = frozenset(
    {"view", "type", "sequence", "function", "procedure", "extension", "schema", "trigger",
     "domain", "statistics", "policy", "materialized", "aggregate", "collation"}
)  # fmt: skip
HARMLESS_FOR_COLUMNS = frozenset(
    {("set", "default"), ("drop", "not"), ("set", "statistics"), ("set", "storage")}
)
CONSTANT_CALLS = frozenset({"now", "current_timestamp", "current_date", "localtimestamp"})
OWN = frozenset({"alembic_version"})


_RULES = frozenset({"constraint", "check", "foreign", "unique", "primary", "exclude", "like"})


def plain(name: str, dialect: Dialect) -> str:
    """One spelling of a table's name."""
    if dialect is Dialect.SQLITE:
        return name.lower().removeprefix("main.")
    return name.removeprefix("public.")


def columns(tokens: Sequence[Token]) -> Mapping[str, Sequence[Token]]:
    """The columns of CREATE TABLE name ( ... ): by name in small letters, what follows it."""
    inside = tokens[1:-1] if tokens and tokens[0].text == "(" else ()
    parts = [part for part in listed(inside) if part]
    return {
        part[0].text.lower(): part[1:]
        for part in parts
        if part[0].kind is Kind.QUOTED or part[0].text not in _RULES
    }


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
    if read.take("reset"):
        return read.word() in SETTINGS
    if read.take("pragma"):
        return read.name().rpartition(".")[2] in PRAGMAS
    reads = read.word() == "select" or (
        read.word() == "with" and not WRITES & set(words(read.rest()))
    )
    return reads and calls(read.rest()) <= CALLS
