"""One SQLite file behind the port. How it is opened, and why, is in `access`."""

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from guarded_rollout.adapters.sqlite import access, dumps, layout
from guarded_rollout.adapters.sqlite.application import apply
from guarded_rollout.adapters.sqlite.content import fingerprint
from guarded_rollout.adapters.sqlite.defaults import blank
from guarded_rollout.adapters.sqlite.keeping import keep
from guarded_rollout.adapters.sqlite.records import records
from guarded_rollout.adapters.sqlite.restoration import restore
from guarded_rollout.core.changes import Change, Record
from guarded_rollout.core.migration_findings import TableSeen
from guarded_rollout.core.problems import BadInput, Broken, Interrupted
from guarded_rollout.ports import Applied, Clock, Control, Dumped, Table

if TYPE_CHECKING:
    from guarded_rollout.adapters.sqlite.scratch import SqliteScratch

WAIT_SECONDS = 5.0


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
        if not self.there():
            return False
        with self.reading() as connection:
            connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        return True

    def size(self) -> int:
        """Look: bytes on disk, the write-ahead log included; 0 where there is no database."""
        return access.size(self.path) + access.size(access.beside(self.path, "-wal"))

    def revision(self) -> str | None:
        """Look: Alembic's revision; None where no migration ever ran."""
        if not self.there():
            return None
        with self.reading() as connection:
            if layout.VERSION_TABLE not in layout.tables(connection):
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
        if not self.there():
            return ()
        with self.reading() as connection:
            return layout.statements(connection)

    def rows(self) -> Mapping[str, int]:
        """Look: rows per table, without SQLite's own tables and Alembic's."""
        if not self.there():
            return {}
        with self.reading() as connection:
            return layout.rows(connection)

    def fingerprint(self, control: Control) -> Mapping[str, Table]:
        """Look: rows and a hash of the content per table, in one snapshot."""
        if not self.there():
            return {}
        with self.reading() as connection:
            return fingerprint(connection, self.going_on(control))

    def tables(self) -> Mapping[str, TableSeen]:
        """Look: rows, bytes with indexes, and declared types per table. Reads every page.

        Columns that SQLite computes are among them. `bytes` is None where SQLite cannot say.
        """
        if not self.there():
            return {}
        with self.reading() as connection:
            return layout.seen(connection)

    def blank(self, table: str) -> Mapping[str, str | None]:
        """Look: per column that SQLite does not compute, its constant default, else None.

        BadInput when the table is not there.
        """
        with self.reading() as connection:
            return blank(connection, self._layout(connection, table))

    @contextmanager
    def records(
        self,
        table: str,
        columns: tuple[str, ...],
        control: Control,
        *,
        beside: tuple[str, ...] = (),
    ) -> Iterator[Iterator[Record]]:
        """Look: a table's rows, ordered by the key's text, from one snapshot; see `values`.

        BadInput when the table or a column is not there.
        """
        with self.reading() as connection:
            made = self._layout(connection, table)
            if missing := [name for name in (*columns, *beside) if name not in made.columns]:
                raise BadInput(
                    f"table {table} in {self.path} has no column {', '.join(missing)}",
                    "look at its columns first",
                )
            found = records(connection, made, (columns, beside), self.going_on(control))
            yield self._named(found)

    def _layout(self, connection: sqlite3.Connection, table: str) -> layout.Layout:
        if table not in layout.service_tables(connection):
            raise BadInput(f"{self.path} has no table {table}", "look at its tables first")
        return layout.layout(connection, table)

    def apply(self, changes: Iterable[Change], control: Control, *, whole: bool = False) -> Applied:
        """Bring set-aside changes back, in one transaction; what does not fit is a conflict.

        The changes are read before the database is locked. Constraints hold, foreign keys at the
        end; triggers do not fire, but for those that fill a virtual table: what they once wrote
        is among the changes. In a table without a key a row is added where no equal one was.
        """
        if not self.there():
            raise dumps.absent(self.path)
        with access.writing(self.path, self.wait_seconds) as connection:
            return apply(connection, changes, self.going_on(control), whole=whole)

    def restore(self, dump: Path, control: Control, *, over: str | None = None) -> None:
        """Put a dump's content in this file's place, in one transaction of SQLite's own.

        Whoever has the file open sees it from the next transaction on; nobody needs to open it
        again. The file keeps its mode and owner. Busy when somebody holds the lock; Broken when
        there is no room: both leave what was there. AUTOINCREMENT goes on from where it is. With
        `over` another file takes its place: who has the old one open must open it again.
        """
        restore(self, dump, control, over)

    def keep_as_it_is(self, folder: Path, stamp: str, control: Control) -> str | None:
        """Copy the file and what lies beside it into the new `folder`, byte by byte."""
        del stamp
        return keep(self, folder, control)

    def scratch(self, purpose: str) -> "SqliteScratch":
        """An empty database in a folder of its own beside this one."""
        from guarded_rollout.adapters.sqlite.scratch import make  # noqa: PLC0415 - it knows us

        return make(self, purpose)

    @contextmanager
    def alone(self, who: str) -> Iterator[None]:
        """Nothing to hold: one machine has the file, and the migrator locks a file of its own."""
        del who
        yield

    def dump(
        self, to: Path, control: Control, whole: Callable[[Path], None] = lambda _: None
    ) -> Dumped:
        """Copy one snapshot into the new file `to`, mode 0600. On failure there is no `to`.

        BadInput when `to` exists; Busy when the database stays locked; Interrupted when told to
        stop; Broken when the database cannot be read or `to` cannot be written.
        """
        del whole  # there is one file
        return dumps.dump(self, to, control)

    def prove(self, dump: Path) -> Mapping[str, int]:
        """Look: read every page of a copy that nobody writes; check keys; count rows."""
        return dumps.prove(dump)

    def there(self) -> bool:
        """Look: there is a file. Broken when its folder cannot be looked into."""
        try:
            return self.path.exists()
        except OSError as error:
            raise Broken(
                f"{self.path} cannot be reached: {error.strerror}", "check the folder's rights"
            ) from error

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Look: a connection inside one read transaction. Broken when there is no database."""
        if not self.there():
            raise dumps.absent(self.path)
        with access.reading(self.path, self.wait_seconds) as connection:
            yield connection

    def going_on(self, control: Control) -> Callable[[], None]:
        """Raises Interrupted when called after `control` was told to stop."""

        def go_on() -> None:
            if control.stopped():
                raise Interrupted(f"work on {self.path} was told to stop", "start it again")

        return go_on

    def _named(self, found: Iterator[Record]) -> Iterator[Record]:
        """Errors are about this file, also where two are read at once."""
        with access.problems(self.path, self.wait_seconds):
            yield from found
