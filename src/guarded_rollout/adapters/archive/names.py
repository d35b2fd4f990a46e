"""The names of backups: `<service>_<environment>_<YYYYmmdd_HHMMSS>.zip`, in UTC."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime

FOLDER = "backups"
_FORMAT = "%Y%m%d_%H%M%S"


@dataclass(frozen=True, slots=True)
class Name:
    """A backup's name, taken apart. `created` in Unix seconds; the name has whole ones."""

    service: str
    environment: str
    created: float

    def __str__(self) -> str:
        moment = datetime.fromtimestamp(self.created, UTC)
        return f"{self.service}_{self.environment}_{moment.strftime(_FORMAT)}.zip"


def parse(file: str, service: str) -> Name | None:
    """None for what is no backup of this service."""
    found = re.fullmatch(rf"{re.escape(service)}_(.+)_([0-9]{{8}}_[0-9]{{6}})\.zip", file)
    if found is None:
        return None
    try:
        moment = datetime.strptime(found[2], _FORMAT).replace(tzinfo=UTC)
    except ValueError:
        return None
    return Name(service, found[1], moment.timestamp())
