"""Connections of the controller itself: short, read-only where they look, with bounded waits."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, TypeAlias

from guarded_rollout.adapters.postgres.access import CONNECT_SECONDS, Access
from guarded_rollout.adapters.postgres.problems import NO_DATABASE, problem, state
from guarded_rollout.core.problems import Interrupted
from guarded_rollout.ports import Control

if TYPE_CHECKING:
    import psycopg

# What a session of ours commits is on disk when it says so, whatever the server saves.
_DURABLE = """
    set_config('synchronous_commit', coalesce(
        nullif(current_setting('synchronous_commit'), 'off'), 'local'), false)
"""
_ASK_SECONDS = 0.2
_CANCEL_SECONDS = 5.0

Connection: TypeAlias = "psycopg.Connection[tuple[Any, ...]]"

# How values become text must not depend on the role's or the server's settings.
_SETTINGS = {
    "bytea_output": "hex",
    "datestyle": "ISO, YMD",
    "extra_float_digits": "1",
    "idle_in_transaction_session_timeout": "0",
    "intervalstyle": "postgres",
    "lc_monetary": "C",
    "row_security": "off",
    "search_path": "",
    "statement_timeout": "0",
    "timezone": "UTC",
    "xmloption": "content",
}


def connect(
    access: Access, wait_seconds: float, application: str = "guarded-rollout"
) -> Connection:
    """A connection in autocommit. Every problem of connecting is told."""
    import psycopg  # noqa: PLC0415 - 0.3 s that only PostgreSQL's users should wait

    try:
        password = access.environment().get("PGPASSWORD")
        connection = psycopg.connect(
            host=access.host,
            port=access.port,
            dbname=access.name,
            user=access.user,
            password=password,
            connect_timeout=CONNECT_SECONDS,
            application_name=application[:63],
            client_encoding="utf8",
            keepalives_idle=30,
            keepalives_interval=10,
            keepalives_count=3,
            autocommit=True,
        )
    except psycopg.Error as error:
        raise _told(error, access, "connecting to") from error
    with told(access, "setting up a session on"):
        try:
            settings = {**_SETTINGS, "lock_timeout": f"{int(wait_seconds * 1000)}ms"}
            each = ", ".join(["set_config(%s, %s, false)"] * len(settings))
            words = [word for setting in settings.items() for word in setting]
            connection.execute(f"SELECT {each}, {_DURABLE}", words)
        except BaseException:
            connection.close()
            raise
    return connection


@contextmanager
def looking(access: Access, wait_seconds: float) -> Iterator[Connection]:
    """One snapshot of everything, read only."""
    import psycopg  # noqa: PLC0415 - as above

    connection = connect(access, wait_seconds)
    try:
        with told(access, "reading"):
            connection.autocommit = False
            connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            connection.read_only = True
            yield connection
    finally:
        connection.close()


@contextmanager
def stoppable(connection: Connection, control: Control, access: Access) -> Iterator[None]:
    """A thread asks `control` and cancels whatever runs on the connection: then Interrupted."""
    import psycopg  # noqa: PLC0415 - as above

    over, cancelled = threading.Event(), threading.Event()

    def watch() -> None:
        while not over.wait(_ASK_SECONDS):
            if control.stopped():
                cancelled.set()
                with suppress(psycopg.Error):
                    connection.cancel_safe(timeout=_CANCEL_SECONDS)

    if control.stopped():
        raise _stopped(access)
    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    except psycopg.errors.QueryCanceled as error:
        if cancelled.is_set():
            raise _stopped(access) from error
        raise
    finally:
        over.set()
        thread.join()


def _stopped(access: Access) -> Interrupted:
    return Interrupted(f"the work on {access} was told to stop", "start it again")


@contextmanager
def told(access: Access, doing: str) -> Iterator[None]:
    """psycopg's errors as problems."""
    import psycopg  # noqa: PLC0415 - as above

    try:
        yield
    except psycopg.Error as error:
        raise _told(error, access, doing) from error


def there(access: Access, wait_seconds: float) -> bool:
    """Whether the database exists. Any other trouble is raised."""
    import psycopg  # noqa: PLC0415 - as above

    try:
        connect(access, wait_seconds).close()
    except Exception as error:
        cause = error.__cause__
        if isinstance(cause, psycopg.Error) and state(str(cause), cause.sqlstate) == NO_DATABASE:
            return False
        raise
    return True


def _told(error: "psycopg.Error", access: Access, doing: str) -> Exception:
    return problem(str(error), error.sqlstate, access, doing)
