"""What each kind of channel is sent, from a notice. Pure: no clock, no network, no address, no key.

Texts of a notice are data in every form: no channel reads markup or mentions in them. Long texts
are shortened to the services' published limits, which `docs/reference/notices.md` lists.
"""

import re
from collections.abc import Callable, Iterable, Mapping

from guarded_rollout.core.notice import GOOD_AGAIN, ChannelKind, Notice, Severity
from guarded_rollout.core.shown_text import fit, units
from guarded_rollout.notify.message import COLOURS, LINK, Message, Payload, host, iso, within
from guarded_rollout.notify.teams import teams, teams_connector
from guarded_rollout.notify.templates import Templates, load_templates
from guarded_rollout.notify.text import clean

SLACK_HEADER, SLACK_TEXT, SLACK_BLOCKS = 150, 3000, 50
SLACK_TOTAL = 12_000
"""Of all blocks. Slack documents no such limit; it refuses messages from about 13,000 on."""
DISCORD_CONTENT, DISCORD_TITLE, DISCORD_DESCRIPTION, DISCORD_TOTAL = 2000, 256, 4096, 6000
PAGERDUTY_SUMMARY, PAGERDUTY_BYTES = 1024, 512 * 1024
SUBJECT = 200

_MOST_PARAGRAPHS = 40
_DISCORD_MARKUP = re.compile(r"([\\*_~`|>#\[\]()<:@-])")
_SLACK_GROUP = re.compile(r"S[A-Z0-9]+")


def render(
    kind: ChannelKind,
    notice: Notice,
    templates: Templates | None = None,
    mention: Iterable[str] = (),
) -> Payload:
    """The payload for one kind of channel. `mention` pings in warnings and errors only.

    `templates` None: the built-in ones.
    """
    safe = clean(notice)
    shown = templates or load_templates(None)
    filled = shown.fill(safe)
    message = Message(safe, filled.title, filled.paragraphs)
    pinged = tuple(mention) if safe.severity.rank else ()
    if kind is ChannelKind.WEBHOOK:
        return _webhook(message, shown)
    return _FORMS[kind](message, pinged)


def _slack(message: Message, mention: tuple[str, ...]) -> Payload:
    blocks: list[Payload] = [
        {"type": "header", "text": _slack_plain(message.title, SLACK_HEADER)},
    ]
    if mention:
        blocks.append(_slack_markup(" ".join(map(_slack_mention, mention))))
    left = SLACK_TOTAL - 2000
    for paragraph in message.paragraphs[:_MOST_PARAGRAPHS]:
        text = _slack_plain(paragraph, min(SLACK_TEXT, left))
        if text["text"]:
            blocks.append({"type": "section", "text": text})
            left -= units(text["text"])
    links = [f"<{_slack_safe(link)}>" for link in message.links if units(link) < 400]
    if links:
        blocks.append(_slack_markup("\n".join(links)))
    footer = _slack_plain(message.footer, 300)
    blocks.append({"type": "context", "elements": [footer]})
    return {
        "text": blocks[0]["text"]["text"],
        "mrkdwn": False,
        "unfurl_links": False,
        "unfurl_media": False,
        "blocks": blocks,
    }


def _slack_plain(text: str, limit: int) -> Payload:
    short = fit(text, limit, lambda part: units(_slack_safe(part)))
    return {"type": "plain_text", "text": _slack_safe(short), "emoji": False}


def _slack_markup(text: str) -> Payload:
    return {"type": "section", "text": {"type": "mrkdwn", "text": text, "verbatim": True}}


def _slack_safe(text: str) -> str:
    """The three characters by which Slack knows links and mentions."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _slack_mention(who: str) -> str:
    if who in {"here", "channel", "everyone"}:
        return f"<!{who}>"
    return f"<!subteam^{who}>" if _SLACK_GROUP.fullmatch(who) else f"<@{who}>"


def _discord(message: Message, mention: tuple[str, ...]) -> Payload:
    title = _discord_safe(message.title, DISCORD_TITLE)
    footer = fit(message.footer, 300)
    body = "\n\n".join(message.paragraphs)
    left = min(DISCORD_DESCRIPTION, DISCORD_TOTAL - units(title) - units(footer))
    everyone = [who for who in mention if who in {"here", "everyone"}]
    roles = [who.removeprefix("role:") for who in mention if who.startswith("role:")]
    users = [who.removeprefix("user:") for who in mention if who.startswith("user:")]
    pings = [f"@{who}" for who in everyone]
    pings += [f"<@&{role}>" for role in roles] + [f"<@{user}>" for user in users]
    return {
        "content": fit(" ".join(pings), DISCORD_CONTENT),
        "allowed_mentions": {
            "parse": ["everyone"] if everyone else [],
            "roles": roles,
            "users": users,
        },
        "embeds": [
            {
                "title": title,
                "description": _discord_safe(body, left),
                "color": COLOURS[message.notice.severity],
                "timestamp": iso(message.notice.at),
                "footer": {"text": footer},
            }
        ],
    }


def _discord_safe(text: str, limit: int) -> str:
    def safe(part: str) -> str:
        return "\n".join(
            line if LINK.fullmatch(line) else _DISCORD_MARKUP.sub(r"\\\1", line)
            for line in part.split("\n")
        )

    return safe(fit(text, limit, lambda part: units(safe(part))))


def _pagerduty(message: Message, _: tuple[str, ...]) -> Payload:
    notice = message.notice
    resolves = notice.type in GOOD_AGAIN and bool(notice.rollout)
    details = {
        name: value
        for name, value in {**notice.document(), "text": message.text}.items()
        if value and name not in {"at", "look"}
    }

    def event(limit: int) -> Payload:
        details["text"] = fit(message.text, limit)
        severity = notice.severity
        known = {Severity.SUCCESS: "info"}
        return {
            "event_action": "resolve" if resolves else "trigger",
            "dedup_key": notice.rollout or notice.key,
            "client": "guarded-rollout",
            "payload": {
                "summary": fit(message.title, PAGERDUTY_SUMMARY),
                "source": notice.service or notice.environment or "guarded-rollout",
                "severity": known.get(severity, str(severity)),
                "timestamp": iso(notice.at),
                "group": notice.environment,
                "class": notice.type,
                "custom_details": dict(details),
            },
            "links": [{"href": link, "text": host(link)} for link in message.links],
        }

    return within(event, PAGERDUTY_BYTES, PAGERDUTY_BYTES // 4)


def _email(message: Message, _: tuple[str, ...]) -> Payload:
    lines = (*message.paragraphs, message.footer)
    return {"subject": fit(message.title, SUBJECT), "body": "\n\n".join(lines) + "\n"}


def _text(message: Message, _: tuple[str, ...]) -> Payload:
    return {"text": f"{message.text}\n\n{message.footer}"}


def _webhook(message: Message, templates: Templates) -> Payload:
    own = templates.webhook(message.notice)
    usual = {
        **message.notice.document(),
        "severity": str(message.notice.severity),
        "time": iso(message.notice.at),
        "title": message.title,
        "text": message.text,
    }
    return own if isinstance(own, dict) else usual


_FORMS: Mapping[ChannelKind, Callable[[Message, tuple[str, ...]], Payload]] = {
    ChannelKind.SLACK: _slack,
    ChannelKind.TEAMS: teams,
    ChannelKind.TEAMS_CONNECTOR: teams_connector,
    ChannelKind.DISCORD: _discord,
    ChannelKind.EMAIL: _email,
    ChannelKind.PAGERDUTY: _pagerduty,
    ChannelKind.CONSOLE: _text,
    ChannelKind.FILE: _text,
    ChannelKind.APPRISE: _email,
}
