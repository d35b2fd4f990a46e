"""What a column holds in a row that nobody filled."""

import re

from guarded_rollout.adapters.postgres.sessions import Connection
from guarded_rollout.adapters.postgres.shapes import Shape

# What the rows of then have in a column that was added later, else its default.
_DEFAULTS = """
    SELECT a.attname, (a.attmissingval::text::text[])[1],
        pg_catalog.pg_get_expr(f.adbin, f.adrelid)
    FROM pg_catalog.pg_attribute a
    LEFT JOIN pg_catalog.pg_attrdef f ON f.adrelid = a.attrelid AND f.adnum = a.attnum
    WHERE a.attrelid = %s::pg_catalog.regclass AND a.attnum > 0 AND NOT a.attisdropped
"""
_TYPE = r"""("[^"]+"|[a-z_][\w ]*)(\.("[^"]+"|[a-z_]\w*))?(\([0-9, ]+\))?( with(out)? time zone)?"""
_CONSTANT = re.compile(
    rf"\(*(NULL|true|false|-?[0-9]+(\.[0-9]*)?|E?'([^']|'')*')\)*(::{_TYPE}(\[\])?)*"
)


def blank(connection: Connection, shape: Shape) -> dict[str, str | None]:
    """Per column that is not generated: a constant default as text, else None."""
    found: dict[str, str | None] = {}
    table = shape.quoted.as_string(connection)
    for name, missing, default in connection.execute(_DEFAULTS, (table,)).fetchall():
        if shape.columns[name].generated:
            continue
        found[name] = missing
        if missing is None and default is not None and _CONSTANT.fullmatch(default):
            found[name] = _text(connection, default, shape.columns[name].type)
    return found


def _text(connection: Connection, default: str, kind: str) -> str | None:
    """Both are the server's own words: a literal with casts, and a type."""
    row = connection.execute(f"SELECT (({default})::{kind})::text").fetchone()
    assert row is not None, "it has no FROM"
    text: str | None = row[0]
    return text
