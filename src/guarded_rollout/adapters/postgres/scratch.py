"""Databases for trying things out, named `<name>_<purpose>_<hex seconds>_<random>`.

Whoever makes one holds an advisory lock on its name, in the real database, for as long as it
lives. So leftovers of a killed owner are known at once: nobody holds their lock. One that still
has sessions is left until it is an hour old.
"""

import hashlib
import re
import secrets
from dataclasses import dataclass
from pathlib import Path

from guarded_rollout.adapters.postgres import comparison, dumps
from guarded_rollout.adapters.postgres.access import Access
from guarded_rollout.adapters.postgres.database import PostgresDatabase
from guarded_rollout.adapters.postgres.sessions import Connection, connect, told
from guarded_rollout.core.problems import BadInput
from guarded_rollout.ports import Compared, Control

OLD_SECONDS = 3600.0
_STEM = 31  # of 63 bytes that a name may have
_LOCK = "hashtextextended('guarded-rollout scratch ' || %s, 0)"


@dataclass(frozen=True, slots=True)
class PostgresScratch(PostgresDatabase):
    """A database of its own. `owner`: the session that holds its lock; `beside`: the real one."""

    owner: "Connection | None" = None
    beside: Access | None = None

    def fill(self, dump: Path, control: Control) -> None:
        """By pg_restore."""
        dumps.restore(self, dump, control, dumps.FOR_TRYING_OUT)

    def compare(self, dump: Path, control: Control) -> Compared:
        """By dumping it again."""
        return comparison.compare(dump, self.access, self.clock, self.wait_seconds, control)

    def discard(self) -> None:
        """Drop it, with whoever is connected."""
        assert self.owner is not None, "made by make"
        assert self.beside is not None, "made by make"
        self.owner.close()  # it may have been lost meanwhile; a fresh session drops for certain
        connection = connect(self.beside, self.wait_seconds)
        try:
            with told(self.beside, f"dropping the scratch database {self.access.name} beside"):
                drop(connection, self.access.name)
        finally:
            connection.close()


def make(database: PostgresDatabase, purpose: str) -> PostgresScratch:
    """A new one, after the leftovers of dead owners are gone."""
    if re.fullmatch(r"[a-z]{1,12}", purpose) is None:
        raise BadInput(f"{purpose!r} is no purpose of a scratch database", "use small letters")
    access = database.access
    name = scratch_name(access.name, purpose, database.clock.now())
    owner = connect(access, database.wait_seconds, f"guarded-rollout scratch {name}")
    try:
        sweep(owner, access, database.clock.now())
        with told(access, f"making the scratch database {name} beside"):
            owner.execute(f"SELECT pg_advisory_lock({_LOCK})", (name,))
            _check_rights(owner, access)
            _create(owner, name)
    except BaseException:
        owner.close()
        raise
    return PostgresScratch(access.named(name), database.clock, database.wait_seconds, owner, access)


def _check_rights(connection: Connection, access: Access) -> None:
    may = connection.execute(
        "SELECT rolcreatedb OR rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user"
    ).fetchone()
    if may != (True,):
        raise BadInput(
            f"{access.user} may not create databases on {access.host}:{access.port}, "
            f"so nothing can be tried out or restored beside {access.name}",
            f'let an administrator say: ALTER ROLE "{access.user}" CREATEDB',
        )


def sweep(connection: Connection, access: Access, now: float) -> tuple[str, ...]:
    """Drop what dead owners left. Returns the names. `connection`: to the real database."""
    from psycopg import errors  # noqa: PLC0415 - only PostgreSQL's users should wait for it

    pattern = rf"{re.escape(stem(access.name))}_[a-z]{{1,12}}_([0-9a-f]{{8}})_[0-9a-f]{{8}}"
    gone = []
    with told(access, "looking for scratch databases beside"):
        names = [str(row[0]) for row in connection.execute("SELECT datname FROM pg_database")]
        for name in names:
            found = re.fullmatch(pattern, name)
            if found is None:
                continue
            free = connection.execute(f"SELECT pg_try_advisory_lock({_LOCK})", (name,)).fetchone()
            if free != (True,):
                continue
            try:
                force = now - int(found[1], 16) > OLD_SECONDS
                drop(connection, name, force=force)
                gone.append(name)
            except (errors.ObjectInUse, errors.InsufficientPrivilege):
                pass  # somebody still looks at it, or it is another user's: later, or theirs
            finally:
                connection.execute(f"SELECT pg_advisory_unlock({_LOCK})", (name,))
    return tuple(gone)


def scratch_name(name: str, purpose: str, now: float) -> str:
    """A new name for a database beside the one called `name`. Whoever is dead is swept by it."""
    return f"{stem(name)}_{purpose}_{int(now):08x}_{secrets.token_hex(4)}"


def stem(name: str) -> str:
    """What names beside the database `name` begin with: it, cut where it leaves no room.

    Then no other one is cut to the same.
    """
    if len(name.encode()) <= _STEM:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:8]
    return f"{name.encode()[: _STEM - 9].decode(errors='ignore')}-{digest}"


def _create(connection: Connection, name: str) -> None:
    from psycopg import sql  # noqa: PLC0415 - as above

    row = connection.execute(
        "SELECT pg_catalog.pg_encoding_to_char(encoding), datcollate, datctype, t.spcname, "
        "pg_catalog.to_jsonb(d) ->> 'datlocprovider', coalesce("
        "pg_catalog.to_jsonb(d) ->> 'datlocale', pg_catalog.to_jsonb(d) ->> 'daticulocale') "
        "FROM pg_catalog.pg_database d JOIN pg_catalog.pg_tablespace t ON t.oid = d.dattablespace "
        "WHERE datname = pg_catalog.current_database()"
    ).fetchone()
    assert row is not None
    encoding, collate, ctype, space, provider, locale = row
    words = [
        sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(sql.Identifier(name)),
        sql.SQL("ENCODING {} LC_COLLATE {} LC_CTYPE {}").format(
            *map(sql.Literal, (encoding, collate, ctype))
        ),
    ]
    if space != "pg_default":
        words.append(sql.SQL("TABLESPACE {}").format(sql.Identifier(space)))
    if provider == "i":
        words.append(sql.SQL("LOCALE_PROVIDER icu ICU_LOCALE {}").format(sql.Literal(locale)))
    elif provider == "b":
        words.append(
            sql.SQL("LOCALE_PROVIDER builtin BUILTIN_LOCALE {}").format(sql.Literal(locale))
        )
    connection.execute(sql.SQL(" ").join(words))


def drop(connection: Connection, name: str, *, force: bool = True) -> None:
    """Drop a database; `force`: whoever is connected. Not there: no error."""
    from psycopg import sql  # noqa: PLC0415 - as above

    ending = " WITH (FORCE)" if force else ""
    connection.execute(sql.SQL("DROP DATABASE IF EXISTS {}" + ending).format(sql.Identifier(name)))
