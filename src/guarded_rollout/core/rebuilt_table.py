"""What changes when SQLite builds a table anew: CREATE new, copy, DROP old, RENAME new.

SQLite cannot alter much, so that is how Alembic's batch mode changes anything. The statements
alone look like a dropped table; what counts is how the new columns differ from the old ones.
"""

from collections.abc import Mapping, Sequence

from guarded_rollout.core.migration_findings import Rule
from guarded_rollout.core.migration_words import default_of
from guarded_rollout.core.sql import Kind, Token, has

_AFTER_TYPE = frozenset(
    {"constraint", "primary", "not", "null", "unique", "check", "default", "collate",
     "references", "generated", "as", "on"}
)  # fmt: skip
_AFFINITIES = (
    (("int",), "numeric"),
    (("char", "clob", "text"), "text"),
    (("blob",), "blob"),
    (("real", "floa", "doub"), "real"),
)


def rebuilt(
    table: str, old: Mapping[str, str], new: Mapping[str, Sequence[Token]]
) -> tuple[tuple[Rule, str], ...]:
    """What the old release cannot live with. `old`: type by column; `new`: what follows its name.

    Lengths say nothing: SQLite does not enforce them. What counts is a type's affinity, by which
    values are converted when they are written.
    """
    had = {name.lower(): kind for name, kind in old.items()}
    found = []
    gone = sorted(had.keys() - new.keys())
    if gone:
        found.append((Rule.DROP_COLUMN, f"{table} is built anew without {', '.join(gone)}"))
    for name, definition in new.items():
        kind = _type_of(definition)
        if name not in had:
            fills_itself = has(definition, "generated") or has(definition, "primary", "key")
            required = has(definition, "not", "null") and default_of(definition) is None
            if required and not fills_itself:
                why = f"the old release inserts into {table} without {name}"
                found.append((Rule.REQUIRED_COLUMN, why))
        elif _affinity(had[name]) != _affinity(kind):
            why = f"{table}.{name} of type {had[name] or 'none'} becomes {kind or 'none'}: "
            why += "SQLite converts what is written, and the old release may not understand it"
            found.append((Rule.NARROWER_TYPE, why))
    return tuple(found)


def _type_of(definition: Sequence[Token]) -> str:
    words = []
    for token in definition:
        if token.kind is Kind.WORD and token.text in _AFTER_TYPE:
            break
        words.append(token.text)
    return " ".join(words).replace(" ( ", "(").replace(" )", ")").replace(" , ", ", ")


def _affinity(kind: str) -> str:
    """As SQLite finds it; INTEGER converts what is written as NUMERIC does."""
    text = kind.lower()
    for parts, affinity in _AFFINITIES:
        if any(part in text for part in parts):
            return affinity
    return "numeric" if text else "blob"
