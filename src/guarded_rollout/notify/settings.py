"""Which channels an environment has: rollout.toml's, or the ones whose variables are set."""

from collections.abc import Sequence
from pathlib import Path

from guarded_rollout.adapters.configuration.located import suggestion
from guarded_rollout.adapters.configuration.notify_section import read_notify
from guarded_rollout.adapters.configuration.toml_file import read_toml
from guarded_rollout.core.notice import Channel, ChannelKind, NoticePolicy
from guarded_rollout.core.problems import BadInput
from guarded_rollout.notify.variables import USUAL, Environ, Missing, optional

FILE = "rollout.toml"


def load_policy(root: Path, environment: str) -> NoticePolicy:
    """The environment's policy. Reads nothing of rollout.toml but what is about notices.

    BadInput for an environment that it does not have, and for what is wrong in those sections.
    """
    if not (root / FILE).exists():
        return usual_policy()
    top = read_toml(root / FILE, FILE).any_table()
    own = None
    if "environments" in top:
        environments = top["environments"].any_table()
        if environment not in environments:
            raise BadInput(
                f"{FILE}: there is no environment {environment!r}",
                suggestion(environment, environments),
            )
        own = environments[environment].any_table().get("notify")
    return read_notify(top.get("notify"), own)


def usual_policy() -> NoticePolicy:
    """Where nothing is configured: every kind under its own name."""
    return read_notify(None, None)


def chosen(
    policy: NoticePolicy, asked: Sequence[str] | None, environ: Environ
) -> tuple[Channel, ...]:
    """The channels of one notice: those asked for, else the configured ones, else what is set up.

    BadInput for a name that is not known.
    """
    names = asked if asked is not None else policy.channels
    if names is None:
        names = [ChannelKind.CONSOLE, *_set_up(environ)]
    for name in names:
        if name not in policy.known:
            raise BadInput(f"there is no channel {name!r}", suggestion(name, policy.known))
    return tuple(policy.known[name] for name in dict.fromkeys(names))


def _set_up(environ: Environ) -> list[ChannelKind]:
    """Kinds whose variable is set, or whose variable's file is missing: then somebody is told."""
    found: list[ChannelKind] = []
    for kind, names in USUAL.items():
        try:
            there = optional(names, environ) is not None
        except Missing:
            there = True
        if there and kind is not ChannelKind.TEAMS_CONNECTOR:  # its address tells it from Teams
            found.append(kind)
    return found
