"""What belongs to a database and is not in its dump: owner, rights, settings, comment."""

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from guarded_rollout.adapters.postgres.sessions import Connection
from guarded_rollout.ports import Control

if TYPE_CHECKING:
    from psycopg import sql

_DATABASE = """
    SELECT d.oid, pg_catalog.pg_get_userbyid(d.datdba), d.datconnlimit, d.datacl IS NOT NULL,
        pg_catalog.shobj_description(d.oid, 'pg_database')
    FROM pg_catalog.pg_database d WHERE d.datname = %s
"""
_RIGHTS = """
    SELECT CASE a.grantee WHEN 0 THEN NULL ELSE pg_catalog.pg_get_userbyid(a.grantee) END,
        a.privilege_type, a.is_grantable
    FROM pg_catalog.pg_database d, pg_catalog.aclexplode(d.datacl) a WHERE d.oid = %s
"""
_SETTINGS = """
    SELECT r.rolname, setting
    FROM pg_catalog.pg_db_role_setting s CROSS JOIN unnest(s.setconfig) setting
    LEFT JOIN pg_catalog.pg_roles r ON r.oid = s.setrole
    WHERE s.setdatabase = %s ORDER BY 1, 2
"""
# Settings whose value is a list of names, as in PostgreSQL's variable_is_guc_list_quote.
_LISTS = frozenset(
    {"local_preload_libraries", "search_path", "session_preload_libraries",
     "shared_preload_libraries", "temp_tablespaces", "unix_socket_directories"}
)  # fmt: skip
_NAME = re.compile(r'"((?:[^"]|"")*)"|([^",\s]+)')


def liken(connection: Connection, live: str, fresh: str, control: Control) -> None:
    """Give `fresh` what `live` has. What only an administrator may set is said, not set."""
    from psycopg import errors  # noqa: PLC0415 - only PostgreSQL's users should wait for it

    found = connection.execute(_DATABASE, (live,)).fetchone()
    assert found is not None, "it was prepared"
    oid, owner, limit, granted, comment = found
    for statement in _likeness(fresh, owner, limit, comment):
        connection.execute(statement)
    if granted:
        rights = connection.execute(_RIGHTS, (oid,)).fetchall()
        for statement in _rights(fresh, owner, rights):
            connection.execute(statement)
    for role, setting in connection.execute(_SETTINGS, (oid,)).fetchall():
        try:
            connection.execute(_setting(fresh, role, setting))
        except errors.InsufficientPrivilege:
            shown = _setting(live, role, setting).as_string(connection)
            control.say(f"a setting is lost, let an administrator set it again: {shown}")


def _likeness(fresh: str, owner: str, limit: int, comment: str | None) -> Iterator["sql.Composed"]:
    from psycopg import sql  # noqa: PLC0415 - as above

    name = sql.Identifier(fresh)
    yield sql.SQL("ALTER DATABASE {} OWNER TO {}").format(name, sql.Identifier(owner))
    yield sql.SQL("ALTER DATABASE {} CONNECTION LIMIT {}").format(name, sql.Literal(limit))
    yield sql.SQL("COMMENT ON DATABASE {} IS {}").format(name, sql.Literal(comment))


def _rights(
    fresh: str, owner: str, rights: list[tuple[str | None, str, bool]]
) -> Iterator["sql.Composed"]:
    from psycopg import sql  # noqa: PLC0415 - as above

    name = sql.Identifier(fresh)
    yield sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC, {}").format(name, sql.Identifier(owner))
    for who, right, onward in rights:
        yield sql.SQL("GRANT {} ON DATABASE {} TO {}{}").format(
            sql.SQL(right),
            name,
            sql.SQL("PUBLIC") if who is None else sql.Identifier(who),
            sql.SQL(" WITH GRANT OPTION" if onward else ""),
        )


def _setting(fresh: str, role: str | None, setting: str) -> "sql.Composed":
    from psycopg import sql  # noqa: PLC0415 - as above

    key, _, value = setting.partition("=")
    values = [value]
    if key in _LISTS:
        found = _NAME.findall(value)
        values = [quoted.replace('""', '"') or bare for quoted, bare in found] or [""]
    where = sql.SQL("ALTER DATABASE {}").format(sql.Identifier(fresh))
    if role is not None:
        names = map(sql.Identifier, (role, fresh))
        where = sql.SQL("ALTER ROLE {} IN DATABASE {}").format(*names)
    parts = sql.SQL(".").join(map(sql.Identifier, key.split(".")))
    return sql.SQL("{} SET {} TO {}").format(
        where, parts, sql.SQL(", ").join(map(sql.Literal, values))
    )
