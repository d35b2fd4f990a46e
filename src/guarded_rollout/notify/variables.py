"""Addresses and secrets: from variables of the environment, or from files that those name."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from guarded_rollout.core.notice import Channel, ChannelKind

Environ = Mapping[str, str]

USUAL: Mapping[ChannelKind, tuple[str, ...]] = {
    ChannelKind.SLACK: ("SLACK_WEBHOOK_URL", "SLACK_WEBHOOK"),
    ChannelKind.TEAMS: ("TEAMS_WEBHOOK_URL", "TEAMS_WEBHOOK"),
    ChannelKind.TEAMS_CONNECTOR: ("TEAMS_WEBHOOK_URL", "TEAMS_WEBHOOK"),
    ChannelKind.DISCORD: ("DISCORD_WEBHOOK_URL", "DISCORD_WEBHOOK"),
    ChannelKind.EMAIL: ("SMTP_HOST",),
    ChannelKind.WEBHOOK: ("NOTIFY_WEBHOOK_URL", "NOTIFY_WEBHOOK"),
    ChannelKind.PAGERDUTY: ("PAGERDUTY_ROUTING_KEY",),
    ChannelKind.APPRISE: ("APPRISE_URLS",),
}
"""The variable that makes a channel usable; the first that is set wins."""

_LARGEST = 64 * 1024


class Missing(Exception):  # noqa: N818 - it names what is
    """A variable is not set, or its file cannot be read. The text names the variable only."""


@dataclass(frozen=True, slots=True)
class Found:
    """A value and the variable it came from."""

    variable: str
    value: str


def names_of(channel: Channel) -> tuple[str, ...]:
    """The variables of a channel, the winner first."""
    return (channel.variable,) if channel.variable else USUAL.get(channel.kind, ())


def address(channel: Channel, environ: Environ) -> Found:
    """The channel's address or key. Raises Missing."""
    return required(names_of(channel), environ)


def required(names: tuple[str, ...], environ: Environ) -> Found:
    """The first that is set. Raises Missing."""
    found = optional(names, environ)
    if found is None:
        raise Missing(f"{' or '.join(names)} is not set")
    return found


def optional(names: tuple[str, ...], environ: Environ) -> Found | None:
    """The first that is set, or None. `NAME_FILE` names a file with the value. Raises Missing."""
    for name in names:
        value = environ.get(name, "").strip()
        if value:
            return Found(name, value)
        file = environ.get(f"{name}_FILE", "").strip()
        if file:
            return Found(name, _read(f"{name}_FILE", Path(file)))
    return None


def word(name: str, environ: Environ, default: str = "") -> str:
    """One variable, or the default. Raises Missing for its file."""
    found = optional((name,), environ)
    return found.value if found else default


def _read(variable: str, file: Path) -> str:
    try:
        if file.stat().st_size > _LARGEST:
            raise Missing(f"{variable} names a file that is too large for a secret")
        value = file.read_text("utf-8").strip()
    except OSError as error:
        raise Missing(f"{variable} names a file that cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise Missing(f"{variable} names a file that is not UTF-8 text") from None
    if not value:
        raise Missing(f"{variable} names an empty file")
    return value
