"""A restored database beside the dump that went into it: it is dumped again, byte beside byte.

A table is loaded by one COPY into an empty table, so its rows lie in the dump's order and come out
in it. Where they do not, the lines are compared whatever their order. Sequences and large objects
are compared too. Dumps of earlier versions of this tool have a hash of each table instead, of
values as a session of ours shows them: their bytes depended on settings that a dump does not have.
"""

import hashlib
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from guarded_rollout.adapters.postgres import content, dumps
from guarded_rollout.adapters.postgres.access import Access
from guarded_rollout.adapters.postgres.content_file import Content, read
from guarded_rollout.adapters.postgres.data_file import DataFile
from guarded_rollout.adapters.postgres.sessions import Connection, looking, stoppable
from guarded_rollout.adapters.postgres.tools import Quiet, Tools, find
from guarded_rollout.adapters.same_bytes import same_bytes
from guarded_rollout.core.problems import Broken, Interrupted
from guarded_rollout.ports import Clock, Compared, Control

_SHOWN = 3
_BITS = 128
_MASK = (1 << _BITS) - 1
_SEQUENCE = re.compile(r"\d+; \d+ \d+ SEQUENCE SET .+")
_SET = re.compile(r"SELECT pg_catalog\.setval\('(.+)', (-?\d+), (true|false)\);")
_OTHERWISE = "do not restore it; use another backup, and check the disk"


def check(dump: Path, access: Access, clock: Clock, wait_seconds: float, control: Control) -> None:
    """Whether a dump went in whole. Broken names every table that is otherwise."""
    said = _read(dump)
    compared = compare(dump, access, clock, wait_seconds, control)
    odd = list(compared.problems)
    with looking(access, wait_seconds) as connection:
        if content.server(connection)[1] == said.server:
            differ = sorted(set(content.schema(connection)) ^ set(said.schema))
            if differ:
                odd.append("its schema is another one: " + "; ".join(differ[:_SHOWN]))
    if odd:
        raise Broken(f"{dump} did not go in as it was: {'; '.join(odd)}", _OTHERWISE)


def compare(
    dump: Path, access: Access, clock: Clock, wait_seconds: float, control: Control
) -> Compared:
    """Look: what the database has otherwise than the dump, right after it went in.

    Needs room for the dump once more, beside it. With a server of another major version only rows
    are counted: it may write the same values otherwise.
    """
    said = _read(dump)
    with looking(access, wait_seconds) as connection, stoppable(connection, control, access):
        server = content.server(connection)[1]
        if server != said.server:
            return Compared(_miscounted(said, content.rows(connection)), contents=False)
        if said.hashes:
            return Compared(_as_hashed(said, connection), contents=True)
    tools = find(clock, server)
    with _dumped_again(dump, tools, access, wait_seconds, control) as again:
        pair = _Pair(tools, access, dump, again, control)
        return Compared((*pair.tables(), *pair.sequences(), *pair.large_objects()), contents=True)


@dataclass(frozen=True, slots=True)
class _Pair:
    """A dump and the one that was made after it went in."""

    tools: Tools
    access: Access
    dump: Path
    again: Path
    control: Control

    def tables(self) -> Iterator[str]:
        was, now = (
            dumps.data_files(dumps.listing(self.tools, self.access, folder), folder)
            for folder in (self.dump, self.again)
        )
        yield from _missing("table", set(was), set(now))
        for name in sorted(was.keys() & now.keys()):
            if same_bytes(was[name], now[name], self._go_on):
                continue
            rows, found = (DataFile(file[name]).rows(name) for file in (was, now))
            if rows != found:
                yield f"table {name} has {found} rows, not {rows}"
            elif self._lines(was[name]) != self._lines(now[name]):
                yield f"table {name} has {rows} rows, but other contents"

    def sequences(self) -> Iterator[str]:
        was, now = self._sequences(self.dump), self._sequences(self.again)
        yield from _missing("sequence", set(was), set(now))
        for name in sorted(was.keys() & now.keys()):
            if was[name] != now[name]:
                yield f"sequence {name} stands at {now[name][0]}, not {was[name][0]}"

    def large_objects(self) -> Iterator[str]:
        was, now = ({file.name: file for file in at.glob("blob_*.dat")} for at in self._both)
        yield from _missing("large object", set(was), set(now))
        for name in sorted(was.keys() & now.keys()):
            if not same_bytes(was[name], now[name], self._go_on):
                yield f"large object {name} has other contents"

    @property
    def _both(self) -> tuple[Path, Path]:
        return self.dump, self.again

    def _lines(self, file: Path) -> int:
        """A sum of hashes of the lines: whatever their order. A line is a row."""
        total = 0
        with file.open("rb") as lines:
            for number, line in enumerate(lines):
                if number % 10_000 == 0:
                    self._go_on()
                digest = hashlib.blake2b(line, digest_size=_BITS // 8).digest()
                total += int.from_bytes(digest)
        return total & _MASK

    def _sequences(self, folder: Path) -> dict[str, tuple[str, ...]]:
        """Where each will stand, by its name as it is quoted in SQL."""
        listed = dumps.listing(self.tools, self.access, folder)
        chosen = [line for line in listed if _SEQUENCE.fullmatch(line)]
        if not chosen:
            return {}
        wanted, said = (folder.with_name(folder.name + end) for end in (".wanted", ".sql"))
        try:
            wanted.write_text("".join(f"{line}\n" for line in chosen), "utf-8")
            arguments = (f"--use-list={wanted}", f"--file={said}", str(folder))
            self.tools.run(self.access, self.tools.pg_restore, arguments, folder, Quiet())
            found = _SET.findall(said.read_text("utf-8"))
        finally:
            wanted.unlink(missing_ok=True)
            said.unlink(missing_ok=True)
        return {name: (value, called) for name, value, called in found}

    def _go_on(self) -> None:
        if self.control.stopped():
            raise Interrupted(f"comparing {self.access} was told to stop", "start it again")


@contextmanager
def _dumped_again(
    dump: Path, tools: Tools, access: Access, wait_seconds: float, control: Control
) -> Iterator[Path]:
    again = dump.with_name(dump.name + ".again")
    try:
        needed = sum(file.stat().st_size for file in dump.iterdir())
        free = shutil.disk_usage(dump.parent).free
        if free < needed:
            raise Broken(
                f"comparing needs {needed} bytes in {dump.parent}, {free} are free",
                f"make room in {dump.parent}",
            )
        again.mkdir(mode=0o700)
        words = dumps.arguments(again, wait_seconds, "--section=data")
        tools.run(access, tools.pg_dump, words, again, control)
        yield again
    except OSError as error:
        raise Broken(
            f"{error.filename or again} cannot be used: {error.strerror or error}",
            f"check the folder {dump.parent}",
        ) from error
    finally:
        shutil.rmtree(again, ignore_errors=True)


def _read(dump: Path) -> Content:
    try:
        return read(dump)
    except (OSError, ValueError) as error:
        raise Broken(
            f"{dump} is not a whole dump: {error}", "do not restore it; use another backup"
        ) from error


def _missing(what: str, was: set[str], now: set[str]) -> Iterator[str]:
    for name in sorted(was ^ now):
        yield f"{what} {name} is {'missing' if name in was else 'not expected'}"


def _miscounted(said: Content, found: Mapping[str, int]) -> tuple[str, ...]:
    return (
        *_missing("table", set(said.rows), set(found)),
        *(
            f"table {name} has {found[name]} rows, not {rows}"
            for name, rows in sorted(said.rows.items())
            if found.get(name, rows) != rows
        ),
    )


def _as_hashed(said: Content, connection: Connection) -> tuple[str, ...]:
    """As the version of this tool that made the dump compared it."""
    found = content.fingerprint(connection, lambda: None, of_text=True)
    return (
        *_miscounted(said, {name: table.rows for name, table in found.items()}),
        *(
            f"table {name} has {table.rows} rows, but other contents"
            for name, table in found.items()
            if table.rows == said.rows.get(name) and table.hash != said.hashes.get(name)
        ),
    )
