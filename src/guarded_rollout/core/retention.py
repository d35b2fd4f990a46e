"""Which backups may go. Never the newest verified one, never another environment's."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

DAY = 86400.0


@dataclass(frozen=True, slots=True)
class Backup:
    """One archive. `file` is relative to the root, `created` in Unix seconds, `size` in bytes.

    `shape`: a hash of the schema; `server`: the database's version. Older backups have neither.
    """

    file: str
    environment: str
    created: float
    size: int
    sha256: str
    verified: bool
    release: str | None = None
    schema: str | None = None
    rows: Mapping[str, int] = field(default_factory=dict)
    shape: str = ""
    server: str = ""


def shape_of(schema: Iterable[str]) -> str:
    """A hash of a schema in words, whatever their order."""
    return hashlib.sha256("\0".join(sorted(schema)).encode("utf-8", "replace")).hexdigest()[:32]


def expired(
    backups: Iterable[Backup], environment: str, now: float, keep_days: float
) -> tuple[Backup, ...]:
    """The environment's backups older than `keep_days`, oldest first, without the newest verified.

    When none is verified, none is expired: an unreadable backup is still more than nothing.
    """
    mine = sorted((b for b in backups if b.environment == environment), key=lambda b: b.created)
    verified = [backup for backup in mine if backup.verified]
    if not verified:
        return ()
    return tuple(b for b in mine if b is not verified[-1] and now - b.created > keep_days * DAY)
