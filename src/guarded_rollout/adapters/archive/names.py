"""The names of backups: `<service>_<environment>_<YYYYmmdd_HHMMSS>.zip`, in UTC.

A safety snapshot has `before-restore_` in front, so that no pattern for backups finds it.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime

FOLDER = "backups"
SAFETY = "before-restore_"
_FORMAT = "%Y%m%d_%H%M%S"
_STAMPED = re.compile(r".+_[0-9]{8}_[0-9]{6}\.zip")


@dataclass(frozen=True, slots=True)
class Name:
    """A backup's name, taken apart. `created` in Unix seconds; the name has whole ones."""

    service: str
    environment: str
    created: float
    safety: bool = False

    def __str__(self) -> str:
        moment = datetime.fromtimestamp(self.created, UTC)
        before = SAFETY if self.safety else ""
        return f"{before}{self.service}_{self.environment}_{moment.strftime(_FORMAT)}.zip"


def parse(file: str, service: str) -> Name | None:
    """None for what is no backup of this service; a safety snapshot is none."""
    found = parse_any(file, service)
    return None if found is None or found.safety else found


def parse_any(file: str, service: str) -> Name | None:
    """A backup or a safety snapshot of this service; None for what is neither."""
    found = re.fullmatch(
        rf"({SAFETY})?{re.escape(service)}_(.+)_([0-9]{{8}}_[0-9]{{6}})\.zip", file
    )
    if found is None:
        return None
    try:
        moment = datetime.strptime(found[3], _FORMAT).replace(tzinfo=UTC)
    except ValueError:
        return None
    return Name(service, found[2], moment.timestamp(), safety=found[1] is not None)


def stamped(file: str) -> bool:
    """Whether a file is named like a backup, of whatever service."""
    return _STAMPED.fullmatch(file) is not None
