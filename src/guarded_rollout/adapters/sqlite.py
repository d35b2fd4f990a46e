"""Data in one SQLite file that services write at the same time.

How the source is opened, and why:
    A reader of a WAL database needs the files `-wal` and `-shm`, and a read-only connection that
    had to make them leaves them behind. So an idle database is opened for writing with
    `query_only`, which changes nothing and, as the last one out, takes those files away again. A
    database with something in its `-wal` or `-journal` is opened read-only: a connection that
    may write would fold a dead service's log into the file, and looking must not do that.

How it is copied, and why:
    By SQLite's backup API, step by step, inside one read transaction. Without the transaction a
    step that follows a commit of another process begins the copy again, for ever under steady
    writers. With it every step reads the same snapshot; writers go on (in WAL mode; the log just
    cannot be folded in meanwhile). `VACUUM INTO` is consistent too, but builds the tables anew
    and may renumber rows that have no INTEGER PRIMARY KEY.
"""

import os
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from guarded_rollout.adapters.sqlite_content import fingerprint, statements, tables
from guarded_rollout.adapters.sqlite_content import rows as counted
from guarded_rollout.core.problems import BadInput, Broken, Busy, Interrupted
from guarded_rollout.ports import Clock, Control, Dumped, Table

if TYPE_CHECKING:
    from guarded_rollout.adapters.sqlite_scratch import SqliteScratch

WAIT_SECONDS = 5.0
_PAGES_PER_STEP = 1024
_SAY_EVERY_SECONDS = 2.0
_FINDINGS_SHOWN = 3
_PROOF_CACHE_KIB = 65536  # indexes are checked in an order that jumps about: a fifth faster


@dataclass(frozen=True, slots=True)
class SqliteDatabase:
    """One SQLite file. `wait_seconds`: how long to wait for a lock before saying Busy."""

    path: Path
    clock: Clock
    wait_seconds: float = WAIT_SECONDS

    def __post_init__(self) -> None:
        """Refuse a path that a URL cannot carry."""
        if not self.path.is_absolute() or "?" in str(self.path):
            raise BadInput(
                f"{self.path} cannot be a database's path",
                "give an absolute path without a question mark",
            )

    def url(self) -> str:
        """As SQLAlchemy writes it: three slashes, then the absolute path."""
        return f"sqlite:///{self.path}"

    def environment(self) -> Mapping[str, str]:
        """Nothing: whoever may read the file gets in."""
        return {}

    def prepare(self) -> None:
        """Make the folder, for the first migration. Broken when that cannot be."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise Broken(
                f"the folder of {self.path} cannot be made: {error.strerror}",
                "check the folder's rights, or change `database` in rollout.toml",
            ) from error

    def exists(self) -> bool:
        """Look: there is a database, and it answers. Makes no file."""
        if not self._there():
            return False
        with self._reading(self.path) as connection:
            connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        return True

    def size(self) -> int:
        """Look: bytes on disk, the write-ahead log included; 0 where there is no database."""
        return _bytes(self.path) + _bytes(_beside(self.path, "-wal"))

    def revision(self) -> str | None:
        """Look: Alembic's revision; None where no migration ever ran."""
        if not self._there():
            return None
        with self._reading(self.path) as connection:
            if "alembic_version" not in tables(connection):
                return None
            found = [str(row[0]) for row in connection.execute("SELECT * FROM alembic_version")]
        if len(found) > 1:
            raise Broken(
                f"{self.path} has {len(found)} schema revisions at once: {', '.join(found)}",
                "merge the branches of the migrations: alembic merge heads",
            )
        return found[0] if found else None

    def schema(self) -> tuple[str, ...]:
        """Look: the statements that made every table, index, view and trigger, sorted."""
        if not self._there():
            return ()
        with self._reading(self.path) as connection:
            return statements(connection)

    def rows(self) -> Mapping[str, int]:
        """Look: rows per table, without SQLite's own tables and Alembic's."""
        if not self._there():
            return {}
        with self._reading(self.path) as connection:
            return counted(connection)

    def fingerprint(self, control: Control) -> Mapping[str, Table]:
        """Look: rows and a hash of the content per table, in one snapshot."""
        if not self._there():
            return {}
        with self._reading(self.path) as connection:
            return fingerprint(connection, self._going_on(control))

    def scratch(self, purpose: str) -> "SqliteScratch":
        """An empty database in a folder of its own beside this one."""
        from guarded_rollout.adapters.sqlite_scratch import make  # noqa: PLC0415 - it knows us

        return make(self, purpose)

    @contextmanager
    def alone(self, who: str) -> Iterator[None]:
        """Nothing to hold: one machine has the file, and the migrator locks a file of its own."""
        del who
        yield

    def dump(self, to: Path, control: Control) -> Dumped:
        """Copy one snapshot into the new file `to`, mode 0600. On failure there is no `to`.

        BadInput when `to` exists; Busy when the database stays locked; Interrupted when told to
        stop; Broken when the database cannot be read or `to` cannot be written.
        """
        if not self._there():
            raise Broken(f"there is no database at {self.path}", "deploy once, or check its path")
        _new_file(to)
        try:
            with self._reading(self.path, to) as source:
                self._copy(source, to, control)
            with self._reading(to, copy=True) as connection:
                found = fingerprint(connection, self._going_on(control))
                return Dumped(found, statements(connection), {"sqlite": sqlite3.sqlite_version})
        except BaseException:
            for name in ("", "-journal", "-wal", "-shm"):
                _beside(to, name).unlink(missing_ok=True)
            raise

    def prove(self, dump: Path) -> Mapping[str, int]:
        """Look: read every page of a copy that nobody writes; check keys; count rows."""
        with self._reading(dump, copy=True) as connection:
            connection.execute(f"PRAGMA cache_size = -{_PROOF_CACHE_KIB}")
            found = [str(row[0]) for row in connection.execute("PRAGMA integrity_check")]
            if found != ["ok"]:
                raise Broken(
                    f"{dump} is damaged: {'; '.join(found[:_FINDINGS_SHOWN])}",
                    "do not restore it; use another backup, and check the disk",
                )
            orphans = connection.execute("PRAGMA foreign_key_check").fetchall()
            if orphans:
                table, _row, parent, _key = orphans[0]
                raise Broken(
                    f"{dump} has {len(orphans)} rows that point to nothing, "
                    f"the first in table {table}: its row in {parent} is missing",
                    "a writer works without PRAGMA foreign_keys = ON; repair those rows first",
                )
            return counted(connection)

    def _there(self) -> bool:
        try:
            return self.path.exists()
        except OSError as error:
            raise Broken(
                f"{self.path} cannot be reached: {error.strerror}", "check the folder's rights"
            ) from error

    @contextmanager
    def _reading(
        self, file: Path, target: Path | None = None, *, copy: bool = False
    ) -> Iterator[sqlite3.Connection]:
        """A connection inside one read transaction. `copy`: nobody else has the file open."""
        try:
            how = "mode=ro&immutable=1" if copy else f"mode={_mode(file)}"
            with closing(
                sqlite3.connect(
                    f"{file.as_uri()}?{how}",
                    uri=True,
                    timeout=self.wait_seconds,
                    isolation_level=None,
                )
            ) as connection:
                connection.execute("PRAGMA query_only = ON")
                connection.execute("BEGIN")
                yield connection
        except sqlite3.Error as error:
            raise self._problem(error, file, target) from error

    def _going_on(self, control: Control) -> Callable[[], None]:
        def go_on() -> None:
            if control.stopped():
                raise Interrupted(f"reading {self.path} was told to stop", "start it again")

        return go_on

    def _copy(self, source: sqlite3.Connection, to: Path, control: Control) -> None:
        source.execute("SELECT count(*) FROM sqlite_master").fetchone()  # the snapshot begins here
        said = self.clock.monotonic()

        def step(_status: int, remaining: int, total: int) -> None:
            nonlocal said
            if control.stopped():
                raise Interrupted(f"the copy of {self.path} was told to stop", "start it again")
            if self.clock.monotonic() - said >= _SAY_EVERY_SECONDS:
                said = self.clock.monotonic()
                control.say(f"copying {self.path.name}: {100 * (total - remaining) // total} %")

        with closing(sqlite3.connect(f"{to.as_uri()}?mode=rw", uri=True)) as target:
            # Whoever wants the copy to outlive a power cut moves it somewhere and syncs it there.
            target.execute("PRAGMA journal_mode = OFF")
            target.execute("PRAGMA synchronous = OFF")
            source.backup(target, pages=_PAGES_PER_STEP, progress=step)

    def _problem(self, error: sqlite3.Error, file: Path, target: Path | None) -> Broken | Busy:
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
        if code in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
            return Busy(
                f"{file} is locked: somebody held it for {self.wait_seconds:g} s",
                f"see who has it open (fuser {file}), end it or wait, then try again",
            )
        if code in {sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT}:
            return Broken(
                f"{file} is not a sound SQLite database: {error}",
                "check the path; if it is right, roll back to a verified backup",
            )
        if target is not None and code in {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR}:
            return Broken(
                f"{file} could not be copied to {target}: {error}",
                f"make room in {target.parent}",
            )
        if code == sqlite3.SQLITE_READONLY:
            return Broken(
                f"{file} was left in the middle of a transaction and cannot be read as it is",
                "start the service once, so that it repairs its database",
            )
        return Broken(f"{file} cannot be read: {error}", "check the path and the file's rights")


def _beside(file: Path, suffix: str) -> Path:
    """SQLite's companion of a database; it follows symbolic links first."""
    real = file.resolve()
    return real.with_name(real.name + suffix)


def _bytes(file: Path) -> int:
    try:
        return file.stat().st_size
    except FileNotFoundError:
        return 0


def _mode(file: Path) -> str:
    in_use = _bytes(_beside(file, "-wal")) > 0 or _beside(file, "-journal").exists()
    return "ro" if in_use else "rw"


def _new_file(path: Path) -> None:
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    except FileExistsError as error:
        raise BadInput(f"{path} exists already", "copy to a new name") from error
    except OSError as error:
        raise Broken(
            f"{path} cannot be written: {error.strerror}", f"check the folder {path.parent}"
        ) from error
