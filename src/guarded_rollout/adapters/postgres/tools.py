"""pg_dump and pg_restore: found, compared with the server, run on a leash."""

import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from guarded_rollout.adapters.postgres.access import Access
from guarded_rollout.adapters.postgres.problems import problem
from guarded_rollout.adapters.processes.leash import run
from guarded_rollout.core.problems import BadInput
from guarded_rollout.ports import Clock, Control

FOLDER = "PG_BIN"
_DEBIAN = "/usr/lib/postgresql"
_VERSION = re.compile(r"\(PostgreSQL\) ((\d+)[^\s]*)")
_VERSION_SECONDS = 30.0
_LIMIT_SECONDS = 24 * 3600.0
# pg_dump sets the rest itself. Without these two the settings of a role or of a database would
# show in the text of values, and a restored database would dump other bytes.
_ALIKE = {"PGOPTIONS": "-c timezone=UTC -c bytea_output=hex"}


@dataclass(frozen=True, slots=True)
class Quiet:
    """A control for what takes a moment."""

    def stopped(self) -> bool:
        """Never."""
        return False

    def say(self, text: str) -> None:
        """Nothing."""


@dataclass(frozen=True, slots=True)
class Tools:
    """The two programs of one version."""

    pg_dump: Path
    pg_restore: Path
    version: str
    major: int
    clock: Clock

    def run(
        self, access: Access, program: Path, arguments: tuple[str, ...], cwd: Path, control: Control
    ) -> None:
        """Run one; when it fails the problem has what it said. Never asks for a password."""
        alike = _ALIKE if program == self.pg_dump else {}
        finished = run(
            (str(program), "--no-password", *arguments),
            env={**access.tool_environment(), **alike},
            cwd=cwd,
            control=control,
            clock=self.clock,
            timeout=_LIMIT_SECONDS,
        )
        if finished.code != 0:
            raise problem(finished.output, None, access, f"{program.name} of")


def find(clock: Clock, server: int | None = None) -> Tools:
    """The first that fit. `server`: its major version; older tools cannot dump it.

    BadInput names where was looked, and what was found instead.
    """
    seen: list[str] = []
    for folder in _folders():
        names = (folder / "pg_dump", folder / "pg_restore")
        if not all(os.access(name, os.X_OK) for name in names):
            continue
        version, major = _version(names[0], clock)
        if server is None or major >= server:
            return Tools(*names, version, major, clock)
        seen.append(f"{names[0]} is of version {version}")
    where = f"{FOLDER}={os.environ[FOLDER]}" if os.environ.get(FOLDER) else "PATH"
    if seen:
        raise BadInput(
            f"the server is PostgreSQL {server}, but {'; '.join(seen)}: older tools cannot dump it",
            f"install the client tools of PostgreSQL {server}, or set {FOLDER} to their folder",
        )
    raise BadInput(
        f"pg_dump and pg_restore are not in {where}",
        f"install PostgreSQL's client tools, or set {FOLDER} to the folder that has them",
    )


def _folders() -> Iterator[Path]:
    chosen = os.environ.get(FOLDER)
    if chosen:
        yield Path(chosen)
        return
    found = shutil.which("pg_dump")
    if found is not None:
        yield Path(found).parent
    versions = [folder for folder in Path(_DEBIAN).glob("*/bin") if folder.parent.name.isdecimal()]
    yield from sorted(versions, key=lambda folder: -int(folder.parent.name))


def _version(program: Path, clock: Clock) -> tuple[str, int]:
    env = {"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "LC_ALL": "C.UTF-8"}
    finished = run(
        (str(program), "--version"),
        env=env,
        cwd=Path("/"),
        control=Quiet(),
        clock=clock,
        timeout=_VERSION_SECONDS,
    )
    found = _VERSION.search(finished.output)
    if found is None:
        raise BadInput(
            f"{program} does not say its version: {finished.output.strip()[:200]!r}",
            f"set {FOLDER} to a folder with working tools",
        )
    return found[1], int(found[2])
