"""The project's repository on GitHub."""

from guarded_rollout.adapters.clock import SystemClock
from guarded_rollout.cli.wiring import Places
from guarded_rollout.core.problems import NotPossible
from guarded_rollout.core.signoff_policy import Reviewed
from guarded_rollout.github.repository import Repository
from guarded_rollout.notify.settings import load_policy


def open_hub(places: Places, environment: str) -> Repository:
    """As [notify.github] names it."""
    where = load_policy(places.root, environment).github
    if where is None:
        raise NotPossible(
            "rollout.toml names no repository",
            'add [notify.github] with repository = "owner/name"; docs/reference/github.md',
        )
    return Repository(Reviewed(where.repository, where.api), SystemClock())
