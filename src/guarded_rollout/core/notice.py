"""A notice: what happened, the evidence, what was done, what a person should do now, where to look.

Data only. `guarded_rollout.notify` gives it a channel's form and sends it.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Any

from guarded_rollout.core.redact import redact

_KEY = re.compile(r"[A-Za-z0-9._:-]{1,120}")


class Severity(StrEnum):
    """How loud a notice is. `success` is as quiet as `info`."""

    INFO = "info"
    SUCCESS = "success"
    WARNING = "warning"
    ERROR = "error"

    @property
    def rank(self) -> int:
        """0, 1 or 2: the louder, the more."""
        return {Severity.WARNING: 1, Severity.ERROR: 2}.get(self, 0)


TYPES: Mapping[str, Severity] = {
    "deploy-start": Severity.INFO,
    "deploy-success": Severity.SUCCESS,
    "deploy-failure": Severity.ERROR,
    "watch": Severity.INFO,
    "gate-breach": Severity.ERROR,
    "hold": Severity.WARNING,
    "rollback-start": Severity.WARNING,
    "rollback-success": Severity.WARNING,
    "rollback-failure": Severity.ERROR,
    "escalation": Severity.ERROR,
    "sign-off": Severity.WARNING,
    "window-complete": Severity.SUCCESS,
    # What people and scripts send.
    "info": Severity.INFO,
    "success": Severity.SUCCESS,
    "warning": Severity.WARNING,
    "error": Severity.ERROR,
    "deploy": Severity.INFO,
    "rollback": Severity.WARNING,
    "monitor": Severity.INFO,
}
"""Every type of notice, and how loud it is."""

GOOD_AGAIN = frozenset({"deploy-success", "rollback-success", "window-complete"})
"""What ends the alarm of a rollout, where a channel knows alarms."""


class ChannelKind(StrEnum):
    """How a channel is spoken to."""

    SLACK = "slack"
    TEAMS = "teams"
    TEAMS_CONNECTOR = "teams-connector"
    DISCORD = "discord"
    EMAIL = "email"
    WEBHOOK = "webhook"
    PAGERDUTY = "pagerduty"
    CONSOLE = "console"
    FILE = "file"
    APPRISE = "apprise"


@dataclass(frozen=True, slots=True)
class Channel:
    """One channel as rollout.toml has it. Addresses and secrets are in the environment.

    `variable` None: the kind's usual ones. `to`: e-mail addresses; none: the variable EMAIL_TO.
    `mention`: who is pinged by warnings and errors, in the kind's own words.
    """

    name: str
    kind: ChannelKind
    variable: str | None = None
    at_least: Severity = Severity.INFO
    to: tuple[str, ...] = ()
    mention: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class GithubIssues:
    """Where incidents get an issue. `repository`: owner/name; `api`: the address of its REST API.

    The token is in the environment.
    """

    repository: str
    labels: tuple[str, ...] = ()
    api: str = "https://api.github.com"


@dataclass(frozen=True, slots=True)
class NoticePolicy:
    """One environment's channels. `channels` None: the console, and what has its variable set.

    `known`: every channel that may be named. `deadline`: seconds for one notice on one channel.
    `templates`: a folder below the root. `github`: where incidents get an issue; None: nowhere.
    """

    known: Mapping[str, Channel]
    channels: tuple[str, ...] | None = None
    deadline: float = 60.0
    templates: str = "templates/notifications"
    github: GithubIssues | None = None


@dataclass(frozen=True, slots=True)
class Notice:
    """Something that people should know. `type`: of TYPES. `at`: Unix seconds.

    `evidence`: one line each, in numbers. `look`: paths, commands or https addresses. `rollout`:
    notices with the same one belong together (a mail thread, a PagerDuty alert). `key`: two
    notices with the same key are the same notice; empty: derived from the content without `at`.
    """

    type: str
    environment: str
    message: str
    at: float
    service: str = ""
    version: str = ""
    initiator: str = ""
    duration: str = ""
    evidence: tuple[str, ...] = ()
    done: str = ""
    now: str = ""
    look: tuple[str, ...] = ()
    rollout: str = ""
    key: str = ""

    @property
    def severity(self) -> Severity:
        """Of its type; an unknown type is an error, so that it is not overheard."""
        return TYPES.get(self.type, Severity.ERROR)

    def document(self) -> dict[str, Any]:
        """JSON values."""
        return asdict(self)

    def keyed(self) -> "Notice":
        """The same with a key that fits into a file's name and a header, and is no secret."""
        if _KEY.fullmatch(self.key) and redact(self.key) == self.key:
            return self
        content = self.key or json.dumps({**self.document(), "at": None}, sort_keys=True)
        digest = hashlib.sha256(content.encode("utf-8", "backslashreplace")).hexdigest()
        return replace(self, key=digest[:24])


def read_notice(document: Mapping[str, Any]) -> Notice:
    """What `document` wrote. Raises TypeError or ValueError for anything else."""
    fields = dict(document)
    for name in ("evidence", "look"):
        fields[name] = tuple(str(line) for line in fields.get(name, ()))
    fields["at"] = float(fields["at"])
    return Notice(**fields)
