"""A dump: a folder as `pg_dump -Fd` writes it, and CONTENT.json of ours, which pg_restore ignores.

pg_dump and the session that looks at the schema see the same exported snapshot, so what is written
down about the dump is true of the dump, whatever writers do meanwhile. Rows are counted in the
files while pg_dump writes them. That they come back is proven by `comparison`.
"""

import re
import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from guarded_rollout.adapters.postgres import content
from guarded_rollout.adapters.postgres.access import Access
from guarded_rollout.adapters.postgres.content_file import Content, read, write
from guarded_rollout.adapters.postgres.data_file import DataFile
from guarded_rollout.adapters.postgres.sessions import connect, looking
from guarded_rollout.adapters.postgres.tools import Quiet, Tools, find
from guarded_rollout.core.problems import BadInput, Broken
from guarded_rollout.ports import Clock, Control, Dumped

if TYPE_CHECKING:
    from guarded_rollout.adapters.postgres.database import PostgresDatabase

JOBS = 2
TOC = "toc.dat"
_SAY_EVERY_SECONDS = 2.0
_DATA = "[0-9]*.dat"
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
    """Counts what pg_dump has written, and says how far it is, whenever it is asked to stop.

    `whole` is told of each file that has its end while pg_dump still writes others.
    """

    control: Control
    folder: Path
    clock: Clock
    began: float
    said: float
    whole: Callable[[Path], None]
    files: dict[str, DataFile] = field(default_factory=dict)

    def stopped(self) -> bool:
        for path in self.folder.glob(_DATA):
            file = self.files.setdefault(path.name, DataFile(path))
            if not file.ended:
                file.follow()
                if file.ended:
                    self.whole(path)
        now = self.clock.monotonic()
        if now - self.said >= _SAY_EVERY_SECONDS:
            self.said = now
            done = sum(file.stat().st_size for file in self.folder.glob("*"))
            rate = done / max(now - self.began, 0.001)
            self.control.say(f"dumping: {done / 1e6:.0f} MB, {rate / 1e6:.0f} MB/s")
        return self.control.stopped()

    def say(self, text: str) -> None:
        self.control.say(text)

    def rows(self, files: Mapping[str, Path]) -> dict[str, int]:
        """Of each table, by its file, once pg_dump has ended."""
        return {
            label: self.files.get(path.name, DataFile(path)).rows(label)
            for label, path in files.items()
        }


def dump(
    database: "PostgresDatabase", to: Path, control: Control, whole: Callable[[Path], None]
) -> Dumped:
    """Write the new folder `to`, 0700. On failure there is no `to`."""
    access = database.access
    _new_folder(to)
    try:
        with looking(access, database.wait_seconds) as connection:
            version, major = content.server(connection)
            tools = find(database.clock, major)
            exported = connection.execute("SELECT pg_catalog.pg_export_snapshot()").fetchone()
            assert exported is not None
            shape = content.schema(connection)
            tables = {table.label for table in content.tables(connection)}
            now = database.clock.monotonic()
            growing = _Growing(control, to, database.clock, now, now, whole)
            words = arguments(to, database.wait_seconds, f"--snapshot={exported[0]}")
            tools.run(access, tools.pg_dump, words, to, growing)
        rows = growing.rows(data_files(listing(tools, access, to), to))
        _check_all_there(to, tables - rows.keys(), tools)
        write(to, Content(major, shape, rows))
        for file in to.iterdir():
            file.chmod(0o600)
    except BaseException as error:
        shutil.rmtree(to, ignore_errors=True)
        if isinstance(error, OSError):
            raise Broken(
                f"{to} cannot be written: {error.strerror}", f"check the folder {to.parent}"
            ) from error
        raise
    return Dumped(rows, shape, {"server": version, "pg_dump": tools.version})


def arguments(to: Path, wait_seconds: float, *more: str) -> tuple[str, ...]:
    """What pg_dump is told. Whoever wants its dump to outlive a power cut syncs it."""
    wait = f"--lock-wait-timeout={int(wait_seconds * 1000)}"
    return ("-Fd", f"-j{JOBS}", "-Z0", "--no-sync", wait, *more, f"--file={to}")


def prove(folder: Path, clock: Clock, access: Access) -> Mapping[str, int]:
    """Look: the table of contents can be read, and every table's data are there to the last row.

    Needs pg_restore, but no server.
    """
    tools = find(clock)
    try:
        expected = read(folder).rows
        files = data_files(listing(tools, access, folder), folder)
        rows = {label: DataFile(file).rows(label) for label, file in files.items()}
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


def listing(tools: Tools, access: Access, folder: Path) -> tuple[str, ...]:
    """The table of contents in pg_restore's words, a line per entry."""
    said = folder.with_name(folder.name + ".list")
    try:
        arguments = ("--list", f"--file={said}", str(folder))
        tools.run(access, tools.pg_restore, arguments, folder, Quiet())
        return tuple(said.read_text("utf-8").splitlines())
    finally:
        said.unlink(missing_ok=True)


def data_files(entries: Iterable[str], folder: Path) -> dict[str, Path]:
    """The file with the rows of each table, the migrations' own table left out."""
    found = [_ENTRY.fullmatch(line) for line in entries]
    return {
        content.label(one[2], one[3]): folder / f"{one[1]}.dat"
        for one in found
        if one and one[3] != content.VERSION_TABLE
    }


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


def _check_all_there(folder: Path, lacking: set[str], tools: Tools) -> None:
    if lacking:
        raise Broken(
            f"{folder} is not a whole dump: it has no rows of {', '.join(sorted(lacking))}",
            f"look at {tools.pg_dump}, then make another one",
        )


def _new_folder(path: Path) -> None:
    try:
        path.mkdir(mode=0o700)
    except FileExistsError as error:
        raise BadInput(f"{path} exists already", "dump to a new name") from error
    except OSError as error:
        raise Broken(
            f"{path} cannot be written: {error.strerror}", f"check the folder {path.parent}"
        ) from error
