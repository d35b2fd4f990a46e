"""Schema migrations by the service's own Alembic, run in a child process from the built release.

Alembic takes no lock of its own, so every run holds two: a lock on a file named after the
database, inherited by the child, so that it lasts as long as anybody migrates; and the
database's own, where it has one. The service's
`env.py` must migrate in one transaction; what a failed run left is looked at, not assumed.
"""

import fcntl
import hashlib
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from guarded_rollout.adapters.processes.leash import run
from guarded_rollout.core.problems import BadInput, Broken, Busy, Problem
from guarded_rollout.core.spec import Migrations
from guarded_rollout.ports import Built, Clock, Control, Database

_PASSED_ON = frozenset({"HOME", "LANG", "LC_ALL", "PATH", "TMPDIR", "TZ"})
_LINES_SHOWN = 6
_LINE_LENGTH = 300


@dataclass(frozen=True, slots=True)
class _Sight:
    """The schema at one moment."""

    revision: str | None
    statements: tuple[str, ...]


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

    def up(self, built: Built, migrations: Migrations, control: Control) -> None:
        """To the release's head; nothing happens when it is there already.

        BadInput when the release has no such Alembic configuration; Busy when somebody else
        migrates this database; Broken when the migration fails or takes too long, with its last
        lines and whether the schema is what it was; Interrupted when told to stop.
        """
        if self._done(built):
            return
        argv = (*_alembic(built, migrations), "upgrade", "head")
        with self._alone(built) as lock:
            if self._done(built):
                return
            before = self._sight()
            log = self.log_folder / f"migrate_{built.release.service}_{self._stamp()}.log"
            control.say(
                f"migrating {self.database.url()} from revision {before.revision} to {built.head}"
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
                    pass_fds=(lock,),
                )
            except Problem as problem:
                what = f"{problem.why.what}; {self._since(before)}"
                raise type(problem)(what, problem.why.hint) from problem
            if finished.code != 0:
                raise Broken(
                    f"the migration of {self.database.url()} to {built.head} failed: "
                    f"{_last_lines(finished.output)}\n{self._since(before)}",
                    _hint(finished.output, log),
                )
        after = self.database.revision()
        if built.head is not None and after != built.head:
            raise Broken(
                f"the migration reported success, but {self.database.url()} has revision {after}, "
                f"not {built.head}",
                f"check that the service's env.py uses {self.url_variable}; look at {log}",
            )
        control.say(f"{self.database.url()} has revision {after}")

    def preview(self, built: Built, migrations: Migrations) -> str:
        """The SQL that `up` would run now. Reads the revision, writes nothing."""
        if self._done(built):
            return ""
        span = f"{self.database.revision() or 'base'}:head"
        try:
            printed = subprocess.run(
                (*_alembic(built, migrations), "upgrade", span, "--sql"),
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
                f"{_last_lines(output)}",
                _hint(output, None),
            )
        return printed.stdout.decode("utf-8", "replace")

    def _done(self, built: Built) -> bool:
        return built.head is not None and self.database.revision() == built.head

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

    def _sight(self) -> _Sight:
        return _Sight(self.database.revision(), self.database.schema())

    def _since(self, before: _Sight) -> str:
        """What a failed run did to the schema."""
        try:
            after = self._sight()
        except Problem as problem:
            return f"THE SCHEMA IS UNKNOWN: it was revision {before.revision}; {problem.why.what}"
        if after == before:
            return f"the schema is what it was: revision {before.revision}"
        changed = sorted(set(before.statements) ^ set(after.statements))
        return (
            f"THE SCHEMA IS NOT WHAT IT WAS: revision {before.revision} before, "
            f"{after.revision} after; {len(changed)} statements differ"
            + "".join(f"\n  {' '.join(statement.split())[:_LINE_LENGTH]}" for statement in changed)
        )

    @contextmanager
    def _alone(self, built: Built) -> Iterator[int]:
        """The only migration of this database; the lock's descriptor.

        The file's lock passes to the child and so outlives us; the database's own reaches
        controllers on other machines.
        """
        name = hashlib.sha256(self.database.url().encode()).hexdigest()[:16]
        path = self.lock_folder / f"migrate-{name}.lock"
        try:
            self.lock_folder.mkdir(parents=True, exist_ok=True)
            handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise Broken(
                f"{path} cannot be opened: {error.strerror}", "check the folder's rights"
            ) from error
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                holder = os.pread(handle, 1000, 0).decode("utf-8", "replace").strip()
                raise Busy(
                    f"{self.database.url()} is being migrated: {holder or 'somebody just began'}",
                    "wait for it to end; the lock goes with the process",
                ) from error
            who = (
                f"process {os.getpid()}, to release {built.release.name}, since {self._stamp()} UTC"
            )
            os.ftruncate(handle, 0)
            os.pwrite(handle, f"{who}\n".encode(), 0)
            try:
                with self.database.alone(f"to {built.release.name}"):
                    yield handle
            finally:
                os.ftruncate(handle, 0)
        finally:
            os.close(handle)


def _alembic(built: Built, migrations: Migrations) -> tuple[str, ...]:
    """The command as far as the configuration. Writes no bytecode: the release is read-only."""
    python = built.folder / "venv" / "bin" / "python"
    if not python.exists():
        raise Broken(f"{built.folder} has no venv/bin/python", "build the release again")
    packages = sorted((built.folder / "venv").glob("lib/python*/site-packages"))
    ini = migrations.alembic_ini.replace("{folder}", str(built.folder))
    if "{site_packages}" in ini:
        if len(packages) != 1:
            raise Broken(
                f"{built.folder}/venv has {len(packages)} site-packages folders, not one",
                "build the release again",
            )
        ini = ini.replace("{site_packages}", str(packages[0]))
    if "{" in ini or not (built.folder / ini).is_file():
        raise BadInput(
            f"alembic_ini {migrations.alembic_ini!r} is no file in release {built.release.name}: "
            f"{built.folder / ini}",
            "name the file with {site_packages}/PACKAGE/alembic.ini or {folder}/alembic.ini",
        )
    return (str(python), "-I", "-B", "-m", "alembic", "-c", str(built.folder / ini))


def _last_lines(output: str) -> str:
    """What went wrong, in Alembic's words; where in its code is in the log."""
    said = [line for line in output.splitlines() if line.strip()]
    outside = [line for line in said if not line.startswith((" ", "(", "Traceback", "The above"))]
    lines = [line.strip()[:_LINE_LENGTH] for line in outside or said]
    return "\n  ".join(["", *lines[-_LINES_SHOWN:]]) if lines else "it printed nothing"


def _hint(output: str, log: Path | None) -> str:
    look = f"look at {log}" if log else "repair the migration"
    if "database is locked" in output:
        return f"another process holds the database; find it (fuser -v FILE), end it, then {look}"
    if "Can't locate revision" in output:
        return f"the database is newer than this release's migrations; {look}"
    return f"{look}, repair the migration, and try again"
