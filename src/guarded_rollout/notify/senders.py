"""How a payload leaves: one function per kind of channel."""

import contextlib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from guarded_rollout.core.notice import Channel, ChannelKind, Notice
from guarded_rollout.notify.answers import Answer, Attempt, Came
from guarded_rollout.notify.mail import letter, postman, send_mail
from guarded_rollout.notify.message import Payload, encoded
from guarded_rollout.notify.posting import AGENT, Request, Unusable, checked, post
from guarded_rollout.notify.variables import Environ, Found, Missing, address, optional, word

PAGERDUTY = "https://events.pagerduty.com/v2/enqueue"
LINES = "logs/notices.log"

Send = Callable[[Attempt, float, float], Answer]
"""One attempt: (attempt, seconds that it may take, Unix time) -> what came of it."""


@dataclass(frozen=True, slots=True)
class Way:
    """Where a channel leads on this machine."""

    root: Path
    environ: Environ
    say: Callable[[str], None]


def sender(channel: Channel, notice: Notice, payload: Payload, way: Way) -> Send:
    """What sends this payload. Raises Missing when the channel is not set up."""
    if channel.kind is ChannelKind.EMAIL:
        by = postman(channel, way.environ)
        data = letter(payload, notice, by)
        return lambda attempt, seconds, _: send_mail(data, by, attempt, seconds)
    if channel.kind is ChannelKind.CONSOLE:
        return lambda attempt, _, __: _say(payload, way, attempt)
    if channel.kind is ChannelKind.FILE:
        return lambda attempt, _, __: _append(payload, notice, way, attempt)
    if channel.kind is ChannelKind.APPRISE:
        urls = address(channel, way.environ)
        return lambda attempt, _, __: _apprise(payload, urls, attempt)
    request = _request(channel, notice, payload, way.environ)
    return lambda attempt, seconds, now: post(request, attempt, seconds, now)


def connector(channel: Channel, environ: Environ) -> ChannelKind:
    """The kind that the address itself tells: an old Teams connector has a host of its own."""
    if channel.kind is ChannelKind.TEAMS:
        with contextlib.suppress(Missing, Unusable):
            host = checked(address(channel, environ).value).hostname or ""
            if host == "outlook.office.com" or host.endswith(".webhook.office.com"):
                return ChannelKind.TEAMS_CONNECTOR
    return channel.kind


def _request(channel: Channel, notice: Notice, payload: Payload, environ: Environ) -> Request:
    headers = {
        "Content-Type": "application/json; charset=utf-8",
        "User-Agent": AGENT,
        "Connection": "close",
        "Idempotency-Key": notice.key,
    }
    found = address(channel, environ)
    if channel.kind is ChannelKind.PAGERDUTY:
        url = Found("PAGERDUTY_EVENTS_URL", word("PAGERDUTY_EVENTS_URL", environ, PAGERDUTY))
        body = encoded({**payload, "routing_key": found.value})
        return Request(_usable(url), body, headers, (found.value,))
    secrets: tuple[str, ...] = ()
    if channel.kind is ChannelKind.WEBHOOK:
        token = optional(("NOTIFY_WEBHOOK_TOKEN",), environ)
        if token is not None:
            if not (token.value.isascii() and token.value.isprintable()):
                raise Missing("NOTIFY_WEBHOOK_TOKEN cannot stand in a header")
            headers["Authorization"] = f"Bearer {token.value}"
            secrets = (token.value,)
    return Request(_usable(found), encoded(payload), headers, secrets)


def _usable(found: Found) -> str:
    try:
        checked(found.value)
    except Unusable as unusable:
        raise Missing(f"{found.variable} {unusable}") from None
    return found.value


def _say(payload: Payload, way: Way, attempt: Attempt) -> Answer:
    attempt.sending()
    way.say(str(payload["text"]))
    return Answer(Came.DELIVERED)


def _append(payload: Payload, notice: Notice, way: Way, attempt: Attempt) -> Answer:
    at = datetime.fromtimestamp(notice.at, UTC).isoformat()
    line = json.dumps({"at": at, "key": notice.key, **payload}, sort_keys=True)
    try:
        file = way.root / LINES
        file.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        with os.fdopen(handle, "ab") as log:
            attempt.sending()
            log.write(line.encode() + b"\n")
            log.flush()
            os.fsync(log.fileno())
    except OSError as error:
        return Answer(Came.REFUSED, f"{LINES} cannot be written: {error.strerror}")
    return Answer(Came.DELIVERED)


def _apprise(payload: Payload, urls: Found, attempt: Attempt) -> Answer:
    try:
        import apprise  # noqa: PLC0415 - an extra that few need
    except ImportError:
        return Answer(
            Came.REFUSED, "Apprise is not installed: pip install 'guarded-rollout[apprise]'"
        )
    many = apprise.Apprise()
    if not many.add(urls.value.split()):
        return Answer(Came.REFUSED, f"Apprise does not know every address in {urls.variable}")
    attempt.sending()
    sent = many.notify(title=str(payload["subject"]), body=str(payload["body"]), body_format="text")
    # Apprise sends to several services and says only whether all of them took it.
    return Answer(Came.DELIVERED) if sent else Answer(Came.UNSURE, "Apprise could not send to all")
