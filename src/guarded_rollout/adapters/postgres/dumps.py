"""A dump: a folder as `pg_dump -Fd` writes it, and CONTENT.json of ours, which pg_restore ignores.

pg_dump and the session that counts and hashes see the same exported snapshot, so what is written
down about the dump is true of the dump, whatever writers do meanwhile.
"""

import re
import shutil
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from guarded_rollout.adapters.postgres import content
from guarded_rollout.adapters.postgres.access import Access
from guarded_rollout.adapters.postgres.content_file import Content, read, write
from guarded_rollout.adapters.postgres.sessions import Connection, connect, looking
from guarded_rollout.adapters.postgres.tools import Quiet, find
from guarded_rollout.core.problems import BadInput, Broken, Interrupted
from guarded_rollout.ports import Clock, Control, Dumped, Table

if TYPE_CHECKING:
    from guarded_rollout.adapters.postgres.database import PostgresDatabase

JOBS = 2
TOC = "toc.dat"
_SAY_EVERY_SECONDS = 2.0
_POLL_SECONDS = 0.1
_CHUNK = 1 << 20
_END = b"\\.\n\n\n"
_ENTRY = re.compile(r"(\d+); \d+ \d+ TABLE DATA (\S+) (.+) \S+")
# Subscriptions would begin to replicate, wherever they come back.
IN_ITS_PLACE = ("subscriptions",)
FOR_TRYING_OUT = (
    *("owner", "privileges", "comments", "publications", "security-labels"),
    *IN_ITS_PLACE,
)
_DAMAGED = "do not restore it; use another backup, and check the disk"


@dataclass(slots=True)
class _Growing:
    """Says how far pg_dump is whenever it is asked whether to stop."""

    control: Control
    folder: Path
    clock: Clock
    began: float
    said: float

    def stopped(self) -> bool:
        now = self.clock.monotonic()
        if now - self.said >= _SAY_EVERY_SECONDS:
            self.said = now
            done = sum(file.stat().st_size for file in self.folder.glob("*"))
            rate = done / max(now - self.began, 0.001)
            self.control.say(f"dumping: {done / 1e6:.0f} MB, {rate / 1e6:.0f} MB/s")
        return self.control.stopped()

    def say(self, text: str) -> None:
        self.control.say(text)


def dump(access: Access, to: Path, control: Control, clock: Clock, wait_seconds: float) -> Dumped:
    """Write the new folder `to`, 0700. On failure there is no `to`."""
    _new_folder(to)
    try:
        with looking(access, wait_seconds) as connection:
            version, major = content.server(connection)
            tools = find(clock, major)
            exported = connection.execute("SELECT pg_catalog.pg_export_snapshot()").fetchone()
            assert exported is not None
            shape = content.schema(connection)
            wait = f"--lock-wait-timeout={int(wait_seconds * 1000)}"
            arguments = ("-Fd", f"-j{JOBS}", "-Z0", wait, f"--snapshot={exported[0]}")
            now = clock.monotonic()
            growing = _Growing(control, to, clock, now, now)
            with _hashing(connection, control) as hashed:
                tools.run(access, tools.pg_dump, (*arguments, f"--file={to}"), to, growing)
                found = _wait(hashed, control)
        dumped = Dumped(found, shape, {"server": version, "pg_dump": tools.version})
        write(to, Content(major, shape, found))
        for file in to.iterdir():
            file.chmod(0o600)
    except BaseException as error:
        shutil.rmtree(to, ignore_errors=True)
        if isinstance(error, OSError):
            raise Broken(
                f"{to} cannot be written: {error.strerror}", f"check the folder {to.parent}"
            ) from error
        raise
    return dumped


def prove(folder: Path, clock: Clock, access: Access) -> Mapping[str, int]:
    """Look: the table of contents can be read, and every table's data are there to the last row.

    Needs pg_restore, but no server.
    """
    tools = find(clock)
    try:
        expected = {name: table.rows for name, table in read(folder).tables.items()}
        listing = folder.with_name(folder.name + ".list")
        try:
            arguments = ("--list", f"--file={listing}", str(folder))
            tools.run(access, tools.pg_restore, arguments, folder, Quiet())
            entries = listing.read_text("utf-8")
        finally:
            listing.unlink(missing_ok=True)
        rows = {}
        for line in entries.splitlines():
            found = _ENTRY.fullmatch(line)
            if found and found[3] != content.VERSION_TABLE:
                label = content.label(found[2], found[3])
                rows[label] = _count(folder / f"{found[1]}.dat", folder, label)
    except (OSError, ValueError) as error:
        raise Broken(f"{folder} is not a whole dump: {error}", _DAMAGED) from error
    except Broken as error:
        if str(folder) in error.why.what:
            raise
        raise Broken(f"{folder} cannot be read: {error.why.what}", _DAMAGED) from error
    if rows != expected:
        odd = sorted(name for name in {*rows, *expected} if rows.get(name) != expected.get(name))
        raise Broken(
            f"{folder} is not a whole dump: "
            + ", ".join(
                f"{name} has {rows.get(name, 'no')} rows, not {expected.get(name, 'any')}"
                for name in odd
            ),
            _DAMAGED,
        )
    return rows


def restore(
    target: "PostgresDatabase", folder: Path, control: Control, leave: tuple[str, ...]
) -> None:
    """Into an empty database that belongs to the user. `leave`: what of the dump stays behind."""
    access = target.access
    connection = connect(access, target.wait_seconds)
    try:
        server = content.server(connection)[1]
    finally:
        connection.close()
    tools = find(target.clock, server)
    arguments = (*(f"--no-{what}" for what in leave), "--exit-on-error", f"-j{JOBS}")
    control.say(f"restoring into {access.name}")
    tools.run(
        access, tools.pg_restore, (*arguments, "-d", access.name, str(folder)), folder, control
    )


class _hashing:  # noqa: N801 - used like a function
    """Hashes in a thread while pg_dump runs; leaving early cancels the statement."""

    def __init__(self, connection: Connection, control: Control) -> None:
        self._connection = connection
        self._control = control
        self._leaving = False
        self._threads = ThreadPoolExecutor(1)

    def __enter__(self) -> "Future[dict[str, Table]]":
        self._future = self._threads.submit(content.fingerprint, self._connection, self._go_on)
        return self._future

    def __exit__(self, *_: object) -> None:
        self._leaving = True
        if not self._future.done():
            self._connection.cancel_safe(timeout=_POLL_SECONDS * 50)
        self._threads.shutdown(wait=True)

    def _go_on(self) -> None:
        if self._leaving or self._control.stopped():
            raise Interrupted("the dump was told to stop", "start it again")


def _wait(hashed: "Future[dict[str, Table]]", control: Control) -> dict[str, Table]:
    while True:
        try:
            return hashed.result(timeout=_POLL_SECONDS)
        except TimeoutError:
            if control.stopped():
                raise Interrupted("the dump was told to stop", "start it again") from None


def _new_folder(path: Path) -> None:
    try:
        path.mkdir(mode=0o700)
    except FileExistsError as error:
        raise BadInput(f"{path} exists already", "dump to a new name") from error
    except OSError as error:
        raise Broken(
            f"{path} cannot be written: {error.strerror}", f"check the folder {path.parent}"
        ) from error


def _count(file: Path, folder: Path, label: str) -> int:
    """A table's data are one line per row, and an end of their own."""
    lines, tail = 0, b""
    for chunk in _chunks(file):
        if b"\0" in chunk:
            raise Broken(f"{folder} is damaged: the data of {label} hold zero bytes", _DAMAGED)
        lines += chunk.count(b"\n")
        tail = (tail + chunk)[-len(_END) - 1 :]
    if tail != _END and tail != b"\n" + _END:
        raise Broken(f"{folder} is damaged: the data of {label} have no end", _DAMAGED)
    return lines - _END.count(b"\n")


def _chunks(file: Path) -> Iterator[bytes]:
    with file.open("rb") as data:
        while chunk := data.read(_CHUNK):
            yield chunk
