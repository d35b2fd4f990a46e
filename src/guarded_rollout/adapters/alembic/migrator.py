"""The Migrator port on the service's own Alembic.

Alembic takes no lock of its own, so every run holds two: a lock on a file named after the
database, inherited by the child, so that it lasts as long as anybody migrates; and the
database's own, where it has one. The service's
`env.py` must migrate in one transaction; what a failed run left is looked at, not assumed.
"""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from guarded_rollout.adapters.alembic.command import hint, last_lines, moving, printing
from guarded_rollout.adapters.alembic.lock import only_one
from guarded_rollout.adapters.alembic.recording import Failed, Recording, read, recording
from guarded_rollout.adapters.alembic.sight import Sight, look, since
from guarded_rollout.adapters.processes.leash import Finished, run
from guarded_rollout.core.problems import Broken, Busy, Problem
from guarded_rollout.core.spec import Migrations
from guarded_rollout.ports import Built, Clock, Control, Database, Ran

_PASSED_ON = frozenset({"HOME", "LANG", "LC_ALL", "PATH", "TMPDIR", "TZ"})
_LOCK_TIMEOUT = "55P03"
_SHOWN = 300


@dataclass(frozen=True, slots=True)
class _Move:
    """A way through the revisions. `goal`: where it ends; `known`: whether that can be checked."""

    words: tuple[str, str]
    goal: str | None
    known: bool
    name: str


@dataclass(frozen=True, slots=True)
class _Run:
    """One run of Alembic. `before`: the schema when it began."""

    move: _Move
    built: Built
    before: Sight
    log: Path


@dataclass(frozen=True, slots=True)
class AlembicMigrator:
    """Migrates one database. `url_variable`: where the service's env.py reads the database's URL.

    Every run writes a log of its own into `log_folder`. `lock_folder` must be the same for every
    controller of this database.
    """

    database: Database
    url_variable: str
    log_folder: Path
    lock_folder: Path
    clock: Clock

    def on(self, database: Database) -> "AlembicMigrator":
        """The same, for another database."""
        return replace(self, database=database)

    def up(self, built: Built, migrations: Migrations, control: Control) -> tuple[Ran, ...]:
        """To the release's head; nothing happens when it is there already.

        BadInput when the release has no such Alembic configuration; Busy when somebody else
        migrates this database or holds a lock for longer than `lock_timeout_seconds`; Broken when
        the migration fails or takes too long, with its last lines and whether the schema is what
        it was; Interrupted when told to stop.
        """
        move = _Move(("upgrade", "head"), built.head, built.head is not None, "migrate")
        return self._move(move, built, migrations, control)

    def down(
        self, built: Built, migrations: Migrations, to: str | None, control: Control
    ) -> tuple[Ran, ...]:
        """Back to revision `to`, None for the time before the first; problems as of `up`.

        Broken, too, when a revision on the way has no downgrade(), or `to` is not on the way.
        """
        return self._move(
            _Move(("downgrade", to or "base"), to, known=True, name="unmigrate"),
            built,
            migrations,
            control,
        )

    def preview(self, built: Built, migrations: Migrations) -> str:
        """The SQL that `up` would run now. Reads the revision, writes nothing.

        What reads the database to decide what to do (data, SQLite's batch mode) has none: Broken.
        """
        revision = self.database.revision()
        if built.head is not None and revision == built.head:
            return ""
        try:
            printed = subprocess.run(
                printing(built, migrations, f"{revision or 'base'}:head"),
                env=self._environment(),
                cwd=built.folder,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=migrations.timeout_seconds,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise Broken(
                f"Alembic could not print the migration of {self.database.url()}: {error}",
                f"run it by hand in {built.folder}",
            ) from error
        if printed.returncode != 0:
            output = printed.stderr.decode("utf-8", "replace")
            raise Broken(
                f"Alembic could not print the migration of {self.database.url()}: "
                f"{last_lines(output)}",
                hint(output, None),
            )
        return printed.stdout.decode("utf-8", "replace")

    def _move(
        self, move: _Move, built: Built, migrations: Migrations, control: Control
    ) -> tuple[Ran, ...]:
        if self._there(move):
            return ()
        with recording(self.log_folder) as report:
            argv = moving(built, migrations, move.words, report)
            with self._alone(built) as lock:
                if self._there(move):
                    return ()
                log = self.log_folder / f"{move.name}_{built.release.service}_{self._stamp()}.log"
                it = _Run(move, built, look(self.database), log)
                control.say(
                    f"migrating {self.database.url()} from revision {it.before.revision} "
                    f"to {move.goal}"
                )
                try:
                    finished = run(
                        argv,
                        env=self._environment(),
                        cwd=built.folder,
                        control=control,
                        clock=self.clock,
                        timeout=migrations.timeout_seconds,
                        log=log,
                        pass_fds=(lock, report),
                    )
                except Problem as ended:
                    what = f"{ended.why.what}{_doing(read(report))}; {self._since(it)}"
                    raise type(ended)(what, ended.why.hint) from ended
                recorded = read(report)
                problem = self._problem(it, finished, recorded)
        if problem is not None:
            raise problem
        control.say(f"{self.database.url()} has revision {self.database.revision()}")
        return recorded.ran

    def _problem(self, it: _Run, finished: Finished, recorded: Recording) -> Problem | None:
        """What to tell of a run that came to its end; None: it did what it was asked."""
        if finished.code == 0:
            return self._lost(it)
        what = f"the migration of {self.database.url()} to {it.move.goal} failed"
        failed = recorded.failed
        if recorded.no_way_down:
            return Broken(
                f"release {it.built.release.name} has no way down from revision "
                f"{it.before.revision} to {it.move.goal}: a revision on the way has no "
                f"downgrade(); {self._since(it)}",
                f"look at {it.log}; write it, or deploy such a release as forward-only",
            )
        if failed is not None and failed.state == _LOCK_TIMEOUT:
            return Busy(f"{what}: {_waited(failed)}\n{self._since(it)}", _WAIT)
        return Broken(
            f"{what}: {last_lines(finished.output)}\n{self._since(it)}",
            hint(finished.output, it.log),
        )

    def _lost(self, it: _Run) -> Problem | None:
        after = self.database.revision()
        if not it.move.known or after == it.move.goal:
            return None
        return Broken(
            f"the migration reported success, but {self.database.url()} has revision {after}, "
            f"not {it.move.goal}",
            f"check that the service's env.py uses {self.url_variable}; look at {it.log}",
        )

    def _since(self, it: _Run) -> str:
        return since(it.before, self.database)

    def _there(self, move: _Move) -> bool:
        return move.known and self.database.revision() == move.goal

    def _environment(self) -> dict[str, str]:
        """Little and always the same, whoever starts it; PG* is how libpq is given its secrets."""
        passed_on = {
            name: value
            for name, value in os.environ.items()
            if name in _PASSED_ON or name.startswith("PG")
        }
        own = self.database.environment()
        return {**passed_on, **own, self.url_variable: self.database.url()}

    def _stamp(self) -> str:
        return datetime.fromtimestamp(self.clock.now(), UTC).strftime("%Y%m%d_%H%M%S")

    @contextmanager
    def _alone(self, built: Built) -> Iterator[int]:
        """The only migration of this database; the file lock's descriptor.

        The file's lock passes to the child and so outlives us; the database's own reaches
        controllers on other machines.
        """
        who = f"process {os.getpid()}, to release {built.release.name}, since {self._stamp()} UTC"
        with (
            only_one(self.lock_folder, self.database.url(), who) as handle,
            self.database.alone(f"to {built.release.name}"),
        ):
            yield handle


_WAIT = (
    "let that transaction end, or end it: SELECT pg_terminate_backend(PROCESS); then try again. "
    "While it waits everybody else waits behind it, so raise lock_timeout in "
    "[service.migrations] with care"
)


def _waited(failed: Failed) -> str:
    who = "; ".join(failed.holders) or "nobody who still holds one"
    return (
        f"a lock did not come free within {failed.ms / 1000:.1f} s for "
        f"{_shown(failed.sql)}\n  held by: {who}"
    )


def _doing(recorded: Recording) -> str:
    """The statement in whose middle it was ended."""
    sql = recorded.running or (recorded.failed.sql if recorded.failed else None)
    return f" while it ran: {_shown(sql)}" if sql else ""


def _shown(sql: str) -> str:
    text = " ".join(sql.split())
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."
