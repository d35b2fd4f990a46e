"""Which schema the database has, and how it gets another one.

Revisions are four digits, so that old code knows a newer schema when it meets one: it runs on
every later revision, because migrations only add.
"""

import re
from importlib import resources
from typing import TYPE_CHECKING

from sqlalchemy import inspect, select, text
from sqlalchemy.exc import SQLAlchemyError

from dhash.database import Connection, Engine, connect, immediate
from dhash.errors import ConfigError
from dhash.tables import alembic_version

if TYPE_CHECKING:
    from alembic.config import Config

NEEDED = "0002"
"""The oldest revision on which this code runs."""

_REVISION = re.compile(r"[0-9]{4}")
_LOCK_KEY = 0x6448617368  # "dHash": the advisory lock's name among others of the same server
_LOCK_TIMEOUT = "5s"


def read_revision(connection: Connection) -> str:
    """The revision of the database; empty where no migration ever ran."""
    if not inspect(connection).has_table(alembic_version.name):
        return ""
    return connection.execute(select(alembic_version.c.version_num)).scalar() or ""


def check_schema(engine: Engine) -> str:
    """The revision; a `ConfigError` where it is too old or the database cannot be read."""
    try:
        with engine.connect() as connection:
            revision = read_revision(connection)
    except SQLAlchemyError as error:
        reason = str(getattr(error, "orig", None) or error).strip().splitlines()[0]
        raise ConfigError(
            f"The database cannot be opened: {reason}. If it is new, run: dhash migrate"
        ) from error
    if revision and not _REVISION.fullmatch(revision):
        raise ConfigError(f"The database has revision {revision!r}, which is none of ours.")
    if revision < NEEDED:
        raise ConfigError(
            f"The database's schema is {revision or 'empty'}, this release needs {NEEDED} or "
            "later. Run: dhash migrate"
        )
    return revision


def alembic_config(url: str = "") -> "Config":
    """Alembic's configuration as it lies in the package."""
    from alembic.config import Config  # noqa: PLC0415 - slow, and the server never needs it

    config = Config(str(resources.files("dhash") / "alembic.ini"))
    config.attributes["database_url"] = url
    return config


def heads() -> list[str]:
    """The newest revisions this release knows; one, unless somebody branched."""
    from alembic.script import ScriptDirectory  # noqa: PLC0415 - as above

    return sorted(ScriptDirectory.from_config(alembic_config()).get_heads())


def migrate(url: str, target: str = "head") -> tuple[str, str]:
    """Move the database to `target` and say from where to where.

    `target` is "head", "base" or a revision; older than the present one means going back. One
    transaction: a migration that fails leaves the schema as it was. One runner at a time.
    """
    from alembic import command  # noqa: PLC0415 - as above

    engine = connect(url, pooled=False, may_create=True)
    config = alembic_config(url)
    with immediate(engine).begin() as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(text(f"SET LOCAL lock_timeout = '{_LOCK_TIMEOUT}'"))
            connection.execute(text(f"SELECT pg_advisory_xact_lock({_LOCK_KEY})"))
        before = read_revision(connection)
        config.attributes["connection"] = connection
        if target != "head" and (target == "base" or target < before):
            command.downgrade(config, target)
        else:
            command.upgrade(config, target)
        after = read_revision(connection)
    engine.dispose()
    return before, after


def print_sql(url: str, target: str = "head") -> None:
    """Write the statements from an empty database to `target` to standard output."""
    from alembic import command  # noqa: PLC0415 - as above

    command.upgrade(alembic_config(url), target, sql=True)
