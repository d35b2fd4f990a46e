"""Who agrees, who is told, and what they read."""

from dataclasses import dataclass
from typing import Protocol

from guarded_rollout.core.notice import Notice
from guarded_rollout.core.statement import Refused, SignOff


class SignOffs(Protocol):
    """A place where people agree to a plan: signed files, or reviews of a pull request."""

    def found(self, digest: str) -> tuple[SignOff | Refused, ...]:
        """Look: what is there for this digest, its signature or origin verified."""


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
