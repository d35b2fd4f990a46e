"""The data: looked at, dumped, put back, and its schema moved."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from guarded_rollout.core.changes import Change, Record
from guarded_rollout.core.migration_findings import Finding, TableSeen
from guarded_rollout.core.spec import Migrations
from guarded_rollout.ports.clock import Control
from guarded_rollout.ports.releases import Built


@dataclass(frozen=True, slots=True)
class Table:
    """What a table holds. `hash` changes with any value, not with the order of rows or columns."""

    rows: int
    hash: str


@dataclass(frozen=True, slots=True)
class Dumped:
    """A consistent copy. `rows` per table, `schema`: of the very moment copied.

    `tools`: the versions of whatever took part.
    """

    rows: Mapping[str, int]
    schema: tuple[str, ...] = ()
    tools: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Compared:
    """A database beside the dump that went into it. No `problems`: all of it came back.

    `contents`: False when only rows could be counted, True when every value was compared.
    """

    problems: tuple[str, ...]
    contents: bool


@dataclass(frozen=True, slots=True)
class Applied:
    """What came back. `conflicts`: per change that did not fit, table, key and why.

    `left_out`: columns beside that are not there, as `table.column`, sorted. A row that changed in
    these only is in no count.
    """

    added: int
    changed: int
    removed: int
    conflicts: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()


class Database(Protocol):
    """The service's data."""

    def url(self) -> str:
        """As SQLAlchemy writes it, without a password."""

    def environment(self) -> Mapping[str, str]:
        """What a process needs beside `url` to get in. Secret: never on disk, in argv or a log."""

    def prepare(self) -> None:
        """See to it that the first migration can make the database."""

    def exists(self) -> bool:
        """Look: there is a database. Broken when it cannot be reached, Busy when it is locked."""

    def size(self) -> int:
        """Look: bytes on disk; 0 where there is no database."""

    def revision(self) -> str | None:
        """Look: the schema's revision; None before the first migration."""

    def schema(self) -> tuple[str, ...]:
        """Look: what the schema is beyond the revision's name, sorted; equal means the same."""

    def rows(self) -> Mapping[str, int]:
        """Look: rows per table."""

    def fingerprint(self, control: Control) -> Mapping[str, Table]:
        """Look: rows and a hash of the content per table, of one moment. Reads everything."""

    def tables(self) -> Mapping[str, TableSeen]:
        """Look: rows, bytes and column types per table, by their names in SQL. May estimate."""

    def blank(self, table: str) -> Mapping[str, str | None]:
        """Look: per column that can be written, what it holds in a row that nobody filled.

        A constant default as `records` writes it, else None.
        """

    def records(
        self,
        table: str,
        columns: tuple[str, ...],
        control: Control,
        *,
        beside: tuple[str, ...] = (),
    ) -> AbstractContextManager[Iterator[Record]]:
        """Look: a table's rows, these columns only, ordered by key as UTF-8 bytes; streamed.

        The key is the primary key; without one, all of `columns`. Values are lossless text.
        `beside`: columns for `Record.beside`.
        """

    def apply(self, changes: Iterable[Change], control: Control, *, whole: bool = False) -> Applied:
        """Bring set-aside changes back, in one transaction; what does not fit is a conflict.

        `whole`: with a conflict nothing comes back.

        Added: inserted where the key is free. Changed and removed: where the row still is what it
        was before. Columns and tables that are not there are conflicts too, and so is a row that
        by a foreign key points to one that does not come back: a stranger may have its key.
        Columns beside come along where they are there and nobody filled them otherwise; else they
        are left out, or a conflict. What already is as it should be counts as having come back.
        Without a primary key nothing tells that a row came
        back already: such rows double when they are asked for twice.
        """

    def restore(self, dump: Path, control: Control, *, over: str | None = None) -> None:
        """Put a dump in this database's place: all at once, or everything stays as it was.

        Whoever is connected is cut off. What was there is lost: set it aside first. What gives
        out keys goes on from where it is; where that cannot be read `control` is told. `over`:
        what `keep_as_it_is` returned: what is there is damaged, and kept under that name.
        """

    def keep_as_it_is(self, folder: Path, stamp: str, control: Control) -> str | None:
        """Keep what is there without reading it, for `restore` over it. None: nothing is there.

        A file is copied into the new `folder`. A server's database gets another name with `stamp`
        in it, and that by `restore` only. Returns the folder or the name.
        """

    def dump(
        self, to: Path, control: Control, whole: Callable[[Path], None] = lambda _: None
    ) -> Dumped:
        """Write a consistent copy while writers write: a new file, or a new folder of files.

        Proven as by `prove`: Broken, and no copy, when it is unsound. `whole` may be told of a
        file in the folder that is done before the rest is; it may take it away.
        """

    def prove(self, dump: Path) -> Mapping[str, int]:
        """Look: open the copy, check its integrity, count its rows. Broken if it is unsound."""

    def scratch(self, purpose: str) -> "Scratch":
        """An empty database of its own beside this one; those of dead owners are dropped first.

        `purpose`: a word of small letters, part of its name. Whoever asks discards it.
        """

    def alone(self, who: str) -> AbstractContextManager[None]:
        """While inside, nobody else who asks gets in, from any machine that reaches it. Busy."""


class Scratch(Database, Protocol):
    """A database for trying things out. It dies with its owner, at the latest at the next one."""

    def fill(self, dump: Path, control: Control) -> None:
        """Restore a dump into it, once. Broken when the dump does not go in whole."""

    def compare(self, dump: Path, control: Control) -> Compared:
        """Look: what came back otherwise than `dump` has it, before anybody writes. Reads all.

        The schema is left out: see `Database.schema`. May write beside `dump` meanwhile.
        """

    def discard(self) -> None:
        """Drop it, whoever is still connected. Gone already: no error."""


@dataclass(frozen=True, slots=True)
class Ran:
    """One statement of a migration as it ran. `locks`: strong ones that it took, with tables."""

    sql: str
    ms: float
    locks: tuple[str, ...] = ()


class Migrator(Protocol):
    """Moves the schema. A migration that fails leaves the schema as it was."""

    def on(self, database: Database) -> "Migrator":
        """The same, for another database."""

    def up(self, built: Built, migrations: Migrations, control: Control) -> tuple[Ran, ...]:
        """To the release's head. Already there: nothing happens, nothing ran."""

    def down(
        self, built: Built, migrations: Migrations, to: str | None, control: Control
    ) -> tuple[Ran, ...]:
        """Back to revision `to`; None: before the first one. `built` knows the way down.

        Already there: nothing happens. Broken when the release has no way down.
        """

    def preview(self, built: Built, migrations: Migrations) -> str:
        """The SQL that `up` would run now."""


class Lint(Protocol):
    """What there is to know about a migration's SQL before users meet it."""

    def lint(self, sql: str, tables: Mapping[str, TableSeen]) -> tuple[Finding, ...]:
        """`tables`: the database before it. `core.schema_safety.refused` picks what stops it."""
