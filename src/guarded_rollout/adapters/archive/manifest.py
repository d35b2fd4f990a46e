"""What a backup says about itself, as MANIFEST.json inside it."""

import hashlib
import platform
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass, field

import msgspec

from guarded_rollout import __version__
from guarded_rollout.core.problems import BadInput, Broken

NAME = "MANIFEST.json"
FORMAT = 3


@dataclass(frozen=True, slots=True)
class Member:
    """One file in the zip. `hidden`: the lines whose secrets were replaced by ***."""

    name: str
    size: int
    sha256: str
    hidden: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Dump:
    """The database inside. `member` None: there was none, and `reason` says why.

    `member` is a file, or a folder when it ends with a slash. `sha256`: of the names and the
    SHA-256s of all its parts, see `whole`; empty before format 3, which had hashes of what the
    server held instead. `shape`: of the schema; `tools`: the versions of whatever took part.
    """

    url: str
    member: str | None
    rows: dict[str, int] = field(default_factory=dict)
    reason: str = ""
    sha256: str = ""
    shape: str = ""
    tools: dict[str, str] = field(default_factory=dict)

    def holds(self, member: str) -> bool:
        """Whether the member is the dump, or a part of it."""
        if self.member is None:
            return False
        return member == self.member or (
            self.member.endswith("/") and member.startswith(self.member)
        )


def whole(parts: Iterable[Member]) -> str:
    """One hash of a dump: of a line per part, as sha256sum writes it, by name."""
    lines = sorted(f"{part.sha256}  {part.name}\n" for part in parts)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Manifest:
    """Everything a restore must know. `created` in Unix seconds; `schema`: the revision."""

    service: str
    environment: str
    created: float
    release: str | None
    schema: str | None
    by: str
    reason: str
    database: Dump
    members: tuple[Member, ...]
    format: int = FORMAT
    tool: str = f"guarded-rollout {__version__}"
    python: str = platform.python_version()
    sqlite: str = sqlite3.sqlite_version


def kind(url: str) -> str:
    """`sqlite` or `postgresql`: what a database's URL begins with."""
    return url.partition(":")[0].partition("+")[0]


@dataclass(frozen=True, slots=True)
class _Version:
    format: int


def encode(manifest: Manifest) -> bytes:
    """JSON for people and programs."""
    return msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n"


def decode(data: bytes, file: str) -> Manifest:
    """The manifest of the backup `file`. BadInput when a newer tool wrote it; Broken otherwise."""
    try:
        version = msgspec.json.decode(data, type=_Version).format
        if version > FORMAT:
            raise BadInput(
                f"{file} has format {version}; this tool reads up to {FORMAT}",
                "update guarded-rollout, or use the version that made the backup",
            )
        return msgspec.json.decode(data, type=Manifest)
    except msgspec.MsgspecError as error:
        raise Broken(f"{file} has an unreadable {NAME}: {error}", "use another backup") from error
    except UnicodeDecodeError as error:
        raise Broken(f"{file} has an unreadable {NAME}: not UTF-8", "use another backup") from error
