"""A backup takes the database's place: nobody writes, nothing is lost, everything is announced.

CLOSE: users get 503, both releases stop. SET_ASIDE: the rows that the backup does not have go
into a file, and the whole database into a safety snapshot. RESTORE: the backup's dump is put in
place. Where a person gives up the rows of a database that cannot be read, SET_ASIDE reads nothing
and keeps what is there as it is.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path

from guarded_rollout.core.changes import Change, Record, changes
from guarded_rollout.core.facts import Outcome, RollbackAsked
from guarded_rollout.core.plan import Step
from guarded_rollout.core.problems import Broken, NotPossible
from guarded_rollout.core.retention import Backup
from guarded_rollout.engine.drill import filled
from guarded_rollout.engine.order import Order, backup_file
from guarded_rollout.engine.returning import stop_all
from guarded_rollout.ports import (
    AsideNote,
    BackupRequest,
    Control,
    Database,
    Ports,
    Route,
)

PURPOSE = "aside"
FOLDER = "backups"


def close(order: Order, ports: Ports, _: Control) -> Outcome:
    """No traffic, no writers. From here to the return users get 503."""
    ports.traffic.start()
    ports.traffic.route(Route(None, None, order.fence))
    return {"stopped": stop_all(order, ports), "at": ports.clock.now()}


def set_aside(order: Order, ports: Ports, control: Control) -> Outcome:
    """The rows that the backup does not have, in a file; then the whole, in a snapshot."""
    environment = order.plan.spec.environment
    given_up = _given_up(order, ports)
    if given_up is not None:
        return {"given_up": given_up, "kept": _keep_as_it_is(order, ports, control)}
    with _read(environment.name):
        if not ports.database.exists():
            return {"file": None, "rows": {}, "snapshot": None}
        schema = ports.database.revision()
    note = AsideNote(
        service=order.plan.spec.service.name,
        environment=environment.name,
        backup=str(backup_file(order, ports).relative_to(ports.root)),
        schema=schema,
        at=ports.clock.now(),
        by=order.by,
    )
    with since(ports, environment.name, backup_file(order, ports), control) as found:
        kept = ports.aside.keep(note, found, control)
    request = BackupRequest(
        environment=environment.name,
        release=order.plan.candidate.name,
        by=order.by,
        reason=f"before {order.rollout} puts {note.backup} in place",
        files=environment.config_files + environment.data_dirs,
        safety=True,
    )
    with _read(environment.name):
        snapshot = ports.archive.create(request, ports.database, control)
    return {
        "file": kept.file,
        "sha256": kept.sha256,
        "rows": {table: dict(counts) for table, counts in kept.rows.items()},
        "snapshot": snapshot.file,
        "reapply": f"rollout backup reapply --env {environment.name} {kept.file}",
    }


def _given_up(order: Order, ports: Ports) -> str | None:
    """Why a person gave up the rows: when the rollback was begun, or at any time later."""
    asked = (entry.fact for entry in ports.journal.entries(order.rollout))
    reasons = [fact.give_up_rows for fact in asked if isinstance(fact, RollbackAsked)]
    return next(filter(None, reversed(reasons)), order.plan.give_up_rows)


def _keep_as_it_is(order: Order, ports: Ports, control: Control) -> str | None:
    stamp = datetime.fromtimestamp(order.since, UTC).strftime("%Y%m%d_%H%M%S")
    folder = ports.root / FOLDER / f"damaged_{order.plan.spec.environment.name}_{stamp}"
    return ports.database.keep_as_it_is(folder, stamp, control)


@contextmanager
def _read(environment: str) -> Iterator[None]:
    """Around reading the database that is to be replaced."""
    try:
        yield
    except Broken as problem:
        raise Broken(
            problem.why.what,
            f"{problem.why.hint}; if the database itself cannot be read any more, keep it as it "
            f"is and do without what was written since the backup: rollout rollback "
            f"--env {environment} --restore-data --give-up-rows WHY",
        ) from problem


def restore(order: Order, ports: Ports, control: Control) -> Outcome:
    """Put the backup's dump in the database's place. The database compares before it swaps."""
    environment = order.plan.spec.environment.name
    file = backup_file(order, ports)
    with ports.archive.unpacked(file, environment, ports.database) as found:
        dump = _dump(found.dump, found.backup)
        control.say(f"putting {found.backup.file} in the database's place")
        over = order.outcomes.get(Step.SET_ASIDE, {}).get("kept")
        ports.database.restore(dump, control, over=over)
    return {"file": found.backup.file, "rows": dict(found.backup.rows)}


@contextmanager
def since(
    ports: Ports, environment: str, file: Path, control: Control
) -> Iterator[Iterator[Change]]:
    """What changed in the database since the backup, table by table, streamed."""
    with ports.archive.unpacked(file, environment, ports.database) as found:
        dump = _dump(found.dump, found.backup)
        control.say(f"comparing every row with {found.backup.file}")
        with filled(ports.database, PURPOSE, dump, control) as scratch:
            yield _told(_changes(scratch, ports.database, control), environment)


def _told(found: Iterator[Change], environment: str) -> Iterator[Change]:
    with _read(environment):
        yield from found


def _changes(before: Database, now: Database, control: Control) -> Iterator[Change]:
    """Compared in the columns that both have. A table that the backup does not have is all new.

    What columns hold that the backup's table does not have is read along. A table with the
    same hash in both is the same, and is not compared row by row.
    """
    if not now.exists():
        return
    old, new = before.tables(), now.tables()
    held, found = before.fingerprint(control), now.fingerprint(control)
    for table, content in found.items():
        if held.get(table) == content:
            continue
        mine = tuple(new[table].columns)
        shared = tuple(c for c in mine if c in old[table].columns) if table in old else mine
        blank = now.blank(table) if len(shared) < len(mine) else {}
        beside = tuple(column for column in blank if column not in shared)
        with ExitStack() as stack:
            rows = stack.enter_context(now.records(table, shared, control, beside=beside))
            was: Iterator[Record] = iter(())
            if table in old:
                was = stack.enter_context(before.records(table, shared, control))
            yield from changes(table, was, rows, blank)


def _dump(dump: Path | None, backup: Backup) -> Path:
    if dump is None:
        raise NotPossible(
            f"{backup.file} holds no database: nothing can be put back from it",
            "name one that was made after the first deploy: --backup FILE",
        )
    return dump
