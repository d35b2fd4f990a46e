"""Who is in a database that is to be replaced, and who cannot be shown out."""

from guarded_rollout.adapters.postgres.access import Access
from guarded_rollout.adapters.postgres.sessions import Connection
from guarded_rollout.core.problems import BadInput, Busy, NotPossible

_OWNER = """
    SELECT pg_catalog.pg_get_userbyid(datdba), pg_catalog.pg_has_role(datdba, 'USAGE')
    FROM pg_catalog.pg_database WHERE datname = %s
"""
_REPLICATION = """
    SELECT 'the replication slot ' || slot_name FROM pg_catalog.pg_replication_slots
    WHERE database = %(name)s
    UNION ALL
    SELECT 'the subscription ' || subname FROM pg_catalog.pg_subscription WHERE subdbid = (
        SELECT oid FROM pg_catalog.pg_database WHERE datname = %(name)s)
    ORDER BY 1
"""
_PREPARED = """
    SELECT gid || ' of ' || owner FROM pg_catalog.pg_prepared_xacts WHERE database = %s ORDER BY 1
"""
# What pg_terminate_backend allows. Of strangers' sessions not even the kind can be seen.
_SESSIONS = """
    SELECT a.pid, a.usename::text || coalesce(' (' || nullif(a.application_name, '') || ')', ''),
        me.rolsuper OR NOT r.rolsuper AND (
            pg_catalog.pg_has_role(r.oid, 'USAGE')
            OR pg_catalog.pg_has_role('pg_signal_backend', 'USAGE'))
    FROM pg_catalog.pg_stat_activity a
    JOIN pg_catalog.pg_roles r ON r.oid = a.usesysid
    JOIN pg_catalog.pg_roles me ON me.rolname = current_user
    WHERE a.datname = %s AND coalesce(a.backend_type, 'client backend') = 'client backend'
    ORDER BY a.pid
"""


def check(connection: Connection, access: Access) -> None:
    """Refuse now what the server would refuse after users were cut off."""
    found = connection.execute(_OWNER, (access.name,)).fetchone()
    if found is not None and not found[1]:
        raise BadInput(
            f"{access.user} is not the owner of the database {access}, {found[0]} is, "
            "so it cannot be replaced",
            f'let an administrator say: ALTER DATABASE "{access.name}" OWNER TO "{access.user}"',
        )
    replicated = _words(connection, _REPLICATION, {"name": access.name})
    if replicated:
        raise NotPossible(
            f"{access} cannot be replaced: {', '.join(replicated)} would be cut for good",
            "drop them, restore, and set replication up again",
        )
    prepared = _words(connection, _PREPARED, (access.name,))
    if prepared:
        raise Busy(
            f"{access} has prepared transactions: {', '.join(prepared)}",
            "COMMIT PREPARED or ROLLBACK PREPARED them, then try again",
        )
    who = staying(connection, access.name)
    if who:
        raise Busy(
            f"{access} is in use by whom {access.user} may not cut off: {', '.join(who)}",
            "end those sessions, or let an administrator say: "
            f'GRANT pg_signal_backend TO "{access.user}"',
        )


def staying(connection: Connection, name: str, *, all_of_them: bool = False) -> list[str]:
    """Users with sessions that we may not end, each once; or simply all with sessions."""
    sessions = connection.execute(_SESSIONS, (name,))
    return sorted({who for _, who, ours in sessions if all_of_them or not ours})


def cut_off(connection: Connection, name: str) -> None:
    """End every session that we may end. One that is gone already is no error."""
    sessions = connection.execute(_SESSIONS, (name,)).fetchall()
    for pid in [pid for pid, _, ours in sessions if ours]:
        connection.execute("SELECT pg_catalog.pg_terminate_backend(%s)", (pid,))


def _words(connection: Connection, query: str, values: object) -> list[str]:
    return [str(row[0]) for row in connection.execute(query, values)]  # type: ignore[call-overload]
