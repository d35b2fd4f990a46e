"""The outside world, as the engine sees it. Each verb that changes something may be asked twice,
and has a verb that looks: after a crash the engine looks before it acts.

Verbs raise `problems.Broken` (the world failed), `problems.BadInput` (a file or value is wrong),
`problems.Busy` (somebody else is at it) or `problems.Interrupted` (`control.stopped()` was true).
Paths are absolute unless said otherwise; times are seconds.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from guarded_rollout.core.changes import Change, Record
from guarded_rollout.core.facts import Fact, Started
from guarded_rollout.core.migration_findings import Finding, TableSeen
from guarded_rollout.core.notice import Notice
from guarded_rollout.core.problems import BadInput, Broken
from guarded_rollout.core.retention import Backup
from guarded_rollout.core.series import HostSeen, ProxyReading, Reading
from guarded_rollout.core.spec import (
    Check,
    CopyPlace,
    MetricNames,
    Migrations,
    Release,
    Service,
)
from guarded_rollout.core.statement import Refused, SignOff


class Clock(Protocol):
    """Time, so that tests can own it."""

    def now(self) -> float:
        """Unix seconds. May jump."""

    def monotonic(self) -> float:
        """Seconds since some start. Never goes back."""

    def sleep(self, seconds: float) -> None:
        """Wait."""


class Control(Protocol):
    """Handed to every long verb."""

    def stopped(self) -> bool:
        """True: stop soon, leave nothing half done, raise Interrupted."""

    def say(self, text: str) -> None:
        """One line of progress for people."""


@dataclass(frozen=True, slots=True)
class Built:
    """A release on disk: read-only, named by its digest. `head`: the schema revision it needs."""

    release: Release
    folder: Path
    head: str | None


class Builder(Protocol):
    """Makes releases from source."""

    def describe(self, service: Service, source: Path) -> Release:
        """Look: the release this source would give. Reads, never writes."""

    def built(self, release: Release) -> Built | None:
        """Look: the release on disk, whole, or None."""

    def build(self, service: Service, source: Path, release: Release, control: Control) -> Built:
        """Build it into its own folder, all or nothing. BadInput if the source changed since."""

    def releases(self, service: str) -> tuple[Release, ...]:
        """Look: what is on disk."""

    def remove(self, release: Release) -> None:
        """Delete it. No release, no error."""


@dataclass(frozen=True, slots=True)
class Launch:
    """What to run. `{python} {folder} {socket} {replica}` in argv are filled in per replica."""

    built: Built
    argv: tuple[str, ...]
    env: tuple[tuple[str, str], ...]
    replicas: int


@dataclass(frozen=True, slots=True)
class Replica:
    """One supervised process. `restarts`: how often its supervisor started it again."""

    name: str
    socket: Path
    alive: bool
    pid: int | None
    restarts: int
    last_exit: str | None
    log: Path


class Target(Protocol):
    """Runs releases. Replicas outlive whoever started them."""

    def start(self, launch: Launch) -> tuple[Replica, ...]:
        """See to it that these replicas are supervised. Running ones are adopted, not restarted."""

    def replicas(self, release: Release) -> tuple[Replica, ...]:
        """Look: the release's replicas, by name; empty when it is not started."""

    def started(self, service: str) -> tuple[Release, ...]:
        """Look: the releases that have replicas, running or dying."""

    def stop(self, release: Release, drain_seconds: float) -> None:
        """SIGTERM, wait for the drain, then SIGKILL. Not running: no error."""

    def logs(self, release: Release) -> Mapping[str, Path]:
        """Look: by replica what it prints, or what it last printed before it was stopped."""


@dataclass(frozen=True, slots=True)
class Arm:
    """The replicas that traffic can be sent to, by the release's name."""

    release: str
    sockets: tuple[Path, ...]


@dataclass(frozen=True, slots=True)
class Route:
    """Where traffic goes: all of it to `to`; `standby` is kept warm and answers when `to` is gone.

    `to` None: nothing is deployed, the proxy answers 503. `fence`: the lease that asked.
    With `canary`, `percent` of the users go there, in steps of 0.1, the others to `to`, which is
    the baseline and answers when the canary is gone. `control`: gets as many users as the canary,
    as far as there are any left. BadInput for a share that cannot be.
    """

    to: Arm | None
    standby: Arm | None
    fence: int
    canary: Arm | None = None
    percent: float = 0.0
    control: Arm | None = None

    @property
    def control_percent(self) -> float:
        """The control's share of the users."""
        return min(self.percent, 100.0 - self.percent) if self.control is not None else 0.0

    def __post_init__(self) -> None:
        """See to it that the share is one."""
        if self.canary is None:
            if self.control is not None:
                raise BadInput(f"{self.control.release} controls nothing: there is no canary")
            if self.percent != 0:
                raise BadInput(f"{self.percent:g} % of the users go to no release")
            return
        if self.to is None or self.to.release == self.canary.release:
            raise BadInput(
                f"{self.canary.release} cannot be a canary of {self.to and self.to.release}",
                "a canary needs another release beside it as its baseline",
            )
        tenths = self.percent * 10
        if not 0 < self.percent < 100 or abs(tenths - round(tenths)) > 1e-6:
            raise BadInput(
                f"{self.percent!r} % of the users cannot go to {self.canary.release}",
                "choose a share from 0.1 to 99.9, in steps of 0.1",
            )


class Trial(Protocol):
    """A release on trial: one process, in nobody's traffic."""

    def socket(self) -> Path:
        """Where it answers."""

    def log(self) -> Path:
        """What it prints."""

    def ended(self) -> str | None:
        """Look: how it ended; None while it runs. It is not started again."""


class Stage(Protocol):
    """Where releases are tried out, apart from those that users reach."""

    def try_out(self, launch: Launch) -> AbstractContextManager[Trial]:
        """Run one replica of it while inside. It ends when left, or with whoever started it."""


class Traffic(Protocol):
    """The proxy in front of the replicas."""

    def check_port(self) -> None:
        """Look: Broken, naming who, when something else listens on the proxy's port."""

    def start(self) -> None:
        """See to it that the proxy runs with its last good routes. Broken if its port is taken."""

    def running(self) -> bool:
        """Look: the proxy answers."""

    def route(self, route: Route) -> None:
        """Shift in one change; returns when the proxy has taken it up. A stale fence is refused.

        Broken when the proxy rejects it, or `to` or the canary has no healthy replica: then
        nothing has moved.
        """

    def routed(self) -> Route | None:
        """Look: the route that is live in the proxy; None when the proxy does not run."""

    def drain(self, release: str, seconds: float) -> bool:
        """Wait until the release has no request in flight. False: it still has after `seconds`."""

    def readings(self) -> Mapping[str, ProxyReading]:
        """Look: the proxy's counters per release name; all arms are read together."""

    def tidy(self) -> None:
        """Keep what the proxy writes to disk bounded."""

    def stop(self) -> None:
        """End the proxy. Not running: no error."""


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


@dataclass(frozen=True, slots=True)
class BackupRequest:
    """What to put into a backup, and what to write down about it. Files relative to the root.

    `safety`: a snapshot before a restore. It is named otherwise, never listed and never pruned.
    """

    environment: str
    release: str | None
    by: str
    reason: str
    files: tuple[str, ...]
    safety: bool = False


@dataclass(frozen=True, slots=True)
class Unpacked:
    """A verified backup and the dump from inside it; None when there was no database."""

    backup: Backup
    dump: Path | None


class Archive(Protocol):
    """Backups: a plain zip and its `.sha256`, written whole, read back."""

    def create(self, request: BackupRequest, database: Database, control: Control) -> Backup:
        """Write and verify one. On any failure nothing is left behind."""

    def verify(self, file: Path, environment: str, database: Database) -> Backup:
        """Look: checksum, every member, the dump inside. Raises naming file and what is wrong."""

    def unpacked(
        self, file: Path, environment: str, database: Database
    ) -> AbstractContextManager[Unpacked]:
        """Look: verify, and lend the dump while inside. It is gone afterwards."""

    def backups(self) -> tuple[Backup, ...]:
        """Look: all of them, newest first; `verified` means their checksum fits."""

    def remove(self, backup: Backup) -> None:
        """Delete one and its checksum."""


@dataclass(frozen=True, slots=True)
class AsideNote:
    """What set-aside rows belong to. `schema`: the revision that they were written under."""

    service: str
    environment: str
    backup: str
    schema: str | None
    at: float
    by: str


@dataclass(frozen=True, slots=True)
class Kept:
    """A file of set-aside rows. `rows`: per table and per `core.changes.What`, how many."""

    file: str
    sha256: str
    rows: Mapping[str, Mapping[str, int]]


class Aside(Protocol):
    """Rows that a restore takes out of the database: kept in files that people can read."""

    def keep(self, note: AsideNote, changes: Iterable[Change], control: Control) -> Kept:
        """Write them, whole or not at all, with a checksum beside."""

    def read(
        self, file: Path, environment: str
    ) -> AbstractContextManager[tuple[AsideNote, Iterator[Change]]]:
        """Look: check the file, then stream it. BadInput: not one of ours, or of elsewhere."""


@dataclass(frozen=True, slots=True)
class Copy:
    """A copy of a backup that was read back. `sent`: False when it was there already."""

    name: str
    size: int
    sha256: str
    sent: bool = False


class Place(Protocol):
    """Copies of one service's backups and their checksums, away from the backups themselves.

    A copy has its backup's file name. Nothing counts as a copy before it was read back.
    """

    def put(self, backup: Backup, control: Control) -> Copy:
        """See to it that a sound copy is there. One that is there already is not sent again."""

    def holds(self) -> tuple[Backup, ...]:
        """Look: what lies there, newest first. Nothing is read back: none is `verified`."""

    def verify(self, name: str, control: Control) -> Copy:
        """Look: read the copy back, against the checksum beside it. Broken says what is wrong."""

    def fetch(self, name: str, to: Path, control: Control) -> Copy:
        """Bring a copy and its checksum back to the new file `to`, verified, whole or not."""

    def remove(self, name: str) -> None:
        """Delete a copy and its checksum. No copy, no error."""


class Copies(Protocol):
    """The places that copies of backups go to."""

    def at(self, place: CopyPlace) -> Place:
        """The place. Sends nothing. BadInput names a package or a credential that is missing."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where to send a request: a unix socket or a port on a host."""

    socket: Path | None = None
    host: str = "127.0.0.1"
    port: int = 0


@dataclass(frozen=True, slots=True)
class Answered:
    """What came back. `status` None: nothing did, `problem` says why. `ms` is the time it took.

    `headers`: names in lower case, in the answer's order.
    """

    status: int | None
    body: bytes
    ms: float
    problem: str | None = None
    headers: tuple[tuple[str, str], ...] = ()


class Web(Protocol):
    """HTTP requests of the guard itself: probes, scrapes, smoke checks. Never raises."""

    def get(self, address: Address, path: str, timeout: float) -> Answered:
        """GET."""

    def check(self, address: Address, check: Check, body: bytes | None) -> Answered:
        """Send a smoke check's request."""

    def metrics(
        self, address: Address, path: str, names: MetricNames, instance: str, timeout: float
    ) -> Reading | str:
        """Scrape Prometheus text. A string says why there is no reading."""


@dataclass(frozen=True, slots=True)
class Written:
    """What processes logged: `output` as it lies on the disk, `modes` of the files it lies in.

    `problem`: why a process did not end well. `seconds`: from the second record to the last.
    """

    output: bytes
    modes: Mapping[str, int]
    seconds: float
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class Rotated:
    """A log that was written past its limit twice.

    Fields:
        older, newer: the file that was put aside, and the one that is written to.
        files: all that there is of this log.
        problem: why it did not come to that.
    """

    older: bytes
    newer: bytes
    files: tuple[str, ...]
    modes: Mapping[str, int]
    problem: str | None = None


class LogWriter(Protocol):
    """A program that logs what it is told, as a service or this tool does."""

    def feed(
        self, batches: Sequence[Sequence[str]], timeout: float, env: Mapping[str, str] = ...
    ) -> Written:
        """One process per batch of records, JSON lines; all at once into the same log."""

    def rotate(self, rounds: Sequence[Sequence[str]], timeout: float) -> Rotated | None:
        """Each round is more than the log may hold, the last one is not. None: it is not rotated.

        It is written on when the round before was rotated away.
        """


class Host(Protocol):
    """The machine."""

    def seen(self) -> HostSeen:
        """Look: CPU, memory and disk in use. What cannot be read is None."""

    def free_bytes(self) -> int:
        """Look: what the disk of `root` still takes."""


class SignOffs(Protocol):
    """A place where people agree to a plan: signed files, or reviews of a pull request."""

    def found(self, digest: str) -> tuple[SignOff | Refused, ...]:
        """Look: what is there for this digest, its signature or origin verified."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the journal."""

    seq: int
    rollout: str
    at: float
    fact: Fact
    hash: str


@dataclass(frozen=True, slots=True)
class Known:
    """A rollout as the journal lists it. `ended`: the ending phase, None while it lives."""

    rollout: str
    environment: str
    kind: str
    began: float
    ended: str | None


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to write for an environment. `fence` rises with every claim."""

    environment: str
    owner: str
    fence: int


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds an environment's lease, and until when (Unix seconds, the journal's clock)."""

    owner: str
    pid: int
    until: float
    alive: bool


class Behind(Exception):  # noqa: N818 - not an error: read on and decide again
    """Somebody appended since you last read."""


class Away(Broken):
    """The journal's server does not answer now. What was being written may have been: ask again.

    The same append on the same journal object finds out, and is never written twice.
    """


@dataclass(frozen=True, slots=True)
class Audit:
    """The result of checking the hash chain. `broken_at`: the first entry that does not fit."""

    entries: int
    rollouts: int
    broken_at: int | None
    problem: str | None
    head: str


class Journal(Protocol):
    """Append-only, hash-chained, fsynced. See docs/decisions.md for the rules it keeps."""

    def begin(self, environment: str, rollout: str, fact: Started, *, exclusive: bool) -> Entry:
        """Open a rollout. Busy names the active one when `exclusive` and there is one."""

    def append(
        self, lease: Lease | None, rollout: str, fact: Fact, *, after: int, ended: str | None = None
    ) -> Entry:
        """Append one fact. `after`: the rollout's last entry known to the caller, else Behind.

        With a stale lease: Busy, and nothing is written. Without one only what anybody may say
        (facts.BY_ANYBODY) is accepted, and afterwards facts.AFTERWARDS. `ended` closes the rollout
        in the same commit.
        """

    def entries(self, rollout: str, after: int = 0) -> tuple[Entry, ...]:
        """Look: the rollout's entries with a higher seq, in order."""

    def active(self, environment: str) -> Known | None:
        """Look: the environment's exclusive rollout that has not ended."""

    def known(self, environment: str | None = None) -> tuple[Known, ...]:
        """Look: rollouts, newest first."""

    def claim(self, environment: str, owner: str) -> Lease:
        """Take the lease. Busy says who holds it, until when."""

    def renew(self, lease: Lease) -> None:
        """Heartbeat. Busy when the lease is lost."""

    def release(self, lease: Lease) -> None:
        """Give it back. Lost already: no error."""

    def holder(self, environment: str) -> Holder | None:
        """Look: who holds the lease; None when nobody does."""

    def verify(self) -> Audit:
        """Look: walk the chain from the first entry."""


@dataclass(frozen=True, slots=True)
class Told:
    """What came of a notice on one channel. `status`: in the notifier's words; it is final."""

    status: str
    attempts: int
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Issue:
    """What an incident's issue is made of, for the first time. `since`: of its rollout, Unix.

    `name` tells it from all others, `title` and `body` are for people; `body` is Markdown.
    """

    name: str
    environment: str
    since: float
    title: str
    body: str


class Notices(Protocol):
    """Tells people. Nothing here raises: what cannot be delivered is kept where they look."""

    def channels(self, environment: str) -> tuple[str, ...]:
        """Look: where this environment's notices go now."""

    def deliver(self, notice: Notice, channel: str) -> Told:
        """Send it, or give it up and keep it. A key that arrived there is not sent again."""


class Tracker(Protocol):
    """Where people work on incidents: one issue for each. Nothing here raises."""

    def name(self, environment: str) -> str | None:
        """Look: what it is called among the channels; None: none is configured."""

    def tell(self, issue: Issue, news: Notice) -> Told:
        """See to it that the issue is there, and that it has this piece of news once."""


class Papers(Protocol):
    """Files for people, below the root. Paths are relative to it."""

    def template(self, name: str) -> str:
        """Look: the project's own template, or the one that is built in."""

    def write(self, file: str, text: str) -> None:
        """Put it there, whole or not at all, and on the disk. Broken when it cannot be written."""

    def written(self, file: str) -> str | None:
        """Look: what is there; None: nothing that can be read."""


@dataclass(frozen=True, slots=True)
class Ports:
    """Everything outside, for one environment. `root` is the folder of rollout.toml."""

    root: Path
    clock: Clock
    journal: Journal
    builder: Builder
    target: Target
    stage: Stage
    traffic: Traffic
    database: Database
    migrator: Migrator
    lint: Lint
    archive: Archive
    aside: Aside
    copies: Copies
    web: Web
    host: Host
    notices: Notices
    tracker: Tracker
    papers: Papers
