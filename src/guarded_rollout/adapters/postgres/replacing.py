"""A dump takes the place of the live database: all at once, or everything stays as it was.

It goes into a fresh database beside the live one, is compared with what was written down about
it, and gets the live one's owner, rights and settings; no sequence is lowered by it. Then, in one
transaction, the live one is renamed away and the fresh one gets its name, while a second session
cuts off whoever is connected; the server lets nobody in meanwhile. Then what was there is dropped.

What a kill leaves: before that transaction a fresh database, after it the displaced one, each with
the name of a scratch database that nobody owns, so that the next scratch or restore drops it; in
the transaction nothing, because the server takes it back. There is always one of the live name.
"""

from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from guarded_rollout.adapters.postgres import comparison, dumps
from guarded_rollout.adapters.postgres.counters import carry_on
from guarded_rollout.adapters.postgres.database import MAINTENANCE, PostgresDatabase
from guarded_rollout.adapters.postgres.guests import check, cut_off, staying
from guarded_rollout.adapters.postgres.likeness import liken
from guarded_rollout.adapters.postgres.scratch import (
    PostgresScratch,
    drop,
    make,
    scratch_name,
    stem,
)
from guarded_rollout.adapters.postgres.sessions import Connection, connect, stoppable, told
from guarded_rollout.core.problems import Busy, Interrupted, Problem
from guarded_rollout.ports import Control

PURPOSE = "restore"
DISPLACED = "displaced"
_CUT_SECONDS = 0.05


def replace(database: PostgresDatabase, dump: Path, control: Control, over: str | None) -> None:
    """Put `dump` in the place of `database`, which is made where there is none.

    `database.alone` is held until users are cut off, so no migration is torn. `over`: the name
    under which what was there is kept; it is dropped where that name is taken, because then it
    has been kept before.
    """
    control.say(f"checking {dump.name}")
    database.prove(dump)
    database.prepare()
    helm = connect(database.access.named(MAINTENANCE), database.wait_seconds)
    try:
        with told(database.access, "looking at"):
            check(helm, database.access)
        with database.alone("restores a backup"):
            fresh = make(database, PURPOSE)
            try:
                _fill(fresh, dump, control)
                with told(database.access, "copying the settings of"):
                    liken(helm, database.access.name, fresh.access.name, control)
                carry_on(database.access, fresh.access, database.wait_seconds, control)
            except BaseException:
                _discard(fresh)
                raise
        try:
            with told(database.access, "looking for what was kept of"):
                keeps = over is not None and not _taken(helm, over)
            left = _swap(helm, database, fresh, control, over if keeps else None)
        except BaseException:
            _discard(fresh)
            raise
        if keeps:
            control.say(f"what was there is kept as it is, as the database {left}")
        else:
            _drop(helm, left, control)
    finally:
        helm.close()


def _fill(fresh: PostgresScratch, dump: Path, control: Control) -> None:
    dumps.restore(fresh, dump, control, dumps.IN_ITS_PLACE)
    control.say("comparing every table with what was written down")
    comparison.check(dump, fresh.access, fresh.clock, fresh.wait_seconds, control)
    connection = connect(fresh.access, fresh.wait_seconds)
    try:
        with (
            told(fresh.access, "gathering statistics of"),
            stoppable(connection, control, fresh.access),
        ):
            connection.execute("ANALYZE")  # or the first users meet bad plans
    finally:
        connection.close()


def kept_name(database: PostgresDatabase, stamp: str) -> str:
    """Where `replace` keeps what was there. No sweep takes this for a scratch database."""
    return f"{stem(database.access.name)}_damaged_{stamp}"


def _taken(helm: Connection, name: str) -> bool:
    found = helm.execute("SELECT FROM pg_catalog.pg_database WHERE datname = %s", (name,))
    return found.fetchone() is not None


def _swap(
    helm: Connection,
    database: PostgresDatabase,
    fresh: PostgresScratch,
    control: Control,
    keep_as: str | None,
) -> str:
    """Returns the name under which the displaced database is left."""
    from psycopg import errors  # noqa: PLC0415 - only PostgreSQL's users should wait for it

    access = database.access
    if control.stopped():
        raise Interrupted(f"the restore of {access} was told to stop", "start it again")
    control.say(f"putting it in the place of {access.name}; whoever is connected is cut off")
    with told(access, "cutting off and renaming"):
        try:
            return _renamed(helm, database, fresh, keep_as)
        except errors.ObjectInUse as error:  # for the 5 s that the server waits
            who = staying(helm, access.name, all_of_them=True)
            raise Busy(
                f"{access} cannot be replaced, somebody does not let go of it: "
                + (", ".join(who) or "who, cannot be seen"),
                "end those sessions, then restore again; nothing has changed",
            ) from error


def _renamed(
    helm: Connection, database: PostgresDatabase, fresh: PostgresScratch, keep_as: str | None
) -> str:
    now = database.clock.now()
    left = keep_as or scratch_name(database.access.name, DISPLACED, now)
    names = (fresh.access.name, scratch_name(database.access.name, PURPOSE, now))
    session = connect(database.access.named(MAINTENANCE), database.wait_seconds)
    try:
        with ThreadPoolExecutor(1) as threads:
            renaming = threads.submit(_rename, session, fresh, names, database.access.name, left)
            _cut_until(renaming, helm, database.access.name)
            renaming.result()
    finally:
        session.close()
    return left


def _cut_until(renaming: "Future[None]", helm: Connection, name: str) -> None:
    while True:
        with suppress(TimeoutError):
            renaming.exception(timeout=_CUT_SECONDS)
            return
        cut_off(helm, name)


def _rename(
    session: Connection, fresh: PostgresScratch, names: tuple[str, str], live: str, left: str
) -> None:
    """RENAME keeps newcomers out from the moment it waits for those that are in."""
    from psycopg import sql  # noqa: PLC0415 - as above

    def rename(old: str, new: str) -> None:
        words = sql.SQL("ALTER DATABASE {} RENAME TO {}")
        session.execute(words.format(sql.Identifier(old), sql.Identifier(new)))

    with session.transaction():
        rename(*names)  # locked by us from here on, so its owner may let go of it
        assert fresh.owner is not None, "made by make"
        fresh.owner.close()
        rename(live, left)
        rename(names[1], live)


def _discard(fresh: PostgresScratch) -> None:
    with suppress(Problem):  # the server is away: the next one sweeps it
        fresh.discard()


def _drop(helm: Connection, left: str, control: Control) -> None:
    import psycopg  # noqa: PLC0415 - as above

    control.say("dropping what was there")
    try:
        drop(helm, left)
    except psycopg.Error as error:
        control.say(f"{left} could not be dropped, the next restore will: {error}")
