"""Microsoft Teams: the Adaptive Card of Workflows, and the MessageCard of the old connectors."""

import html
from collections.abc import Iterable

from guarded_rollout.core.shown_text import fit
from guarded_rollout.notify.message import COLOURS, Message, Payload, host, within

LARGEST = 28 * 1024
_STYLES = {"info": "accent", "success": "good", "warning": "warning", "error": "attention"}
_TEXT, _MOST_LINES = 18_000, 120


def teams(message: Message, mention: tuple[str, ...]) -> Payload:
    """An Adaptive Card, as Workflows take it. `mention`: sign-in names."""

    def card(limit: int) -> Payload:
        body: list[Payload] = [
            {
                "type": "Container",
                "style": _STYLES[message.notice.severity],
                "items": [_runs(fit(message.title, 300), size="Large", weight="Bolder")],
            }
        ]
        names = [f"<at>{_teams_name(who)}</at>" for who in mention]
        if names:
            body.append({"type": "TextBlock", "text": " ".join(names), "wrap": True})
        body += _teams_lines(message, limit)
        body.append(_runs(message.footer, isSubtle=True, size="Small"))
        entities = [
            {
                "type": "mention",
                "text": name,
                "mentioned": {"id": who, "name": _teams_name(who)},
            }
            for who, name in zip(mention, names, strict=True)
        ]
        content: Payload = {
            "type": "AdaptiveCard",
            "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
            "version": "1.4",
            "body": body,
            "actions": [
                {"type": "Action.OpenUrl", "title": host(link), "url": link}
                for link in message.links
            ],
            "msteams": {"width": "Full", "entities": entities},
        }
        kind = "application/vnd.microsoft.card.adaptive"
        attachment = {"contentType": kind, "contentUrl": None, "content": content}
        return {"type": "message", "attachments": [attachment]}

    return within(card, LARGEST, _TEXT)


def _teams_lines(message: Message, limit: int) -> Iterable[Payload]:
    number = 0
    for paragraph in message.paragraphs:
        for first, line in enumerate(paragraph.split("\n")):
            if number == _MOST_LINES or limit <= 0:
                return
            short = fit(line, limit)
            limit -= len(short.encode())
            number += 1
            yield {**_runs(short), "spacing": "None" if first else "Medium"}


def _runs(text: str, **style: object) -> Payload:
    """A TextRun knows no Markdown."""
    return {"type": "RichTextBlock", "inlines": [{"type": "TextRun", "text": text or " ", **style}]}


def _teams_name(who: str) -> str:
    return html.escape(who.partition("@")[0])


def teams_connector(message: Message, _: tuple[str, ...]) -> Payload:
    """The old connectors' card. It cannot mention anybody."""

    def card(limit: int) -> Payload:
        sections: list[Payload] = []
        for paragraph in (*message.paragraphs[:8], message.footer):
            short = fit(paragraph, max(limit, 0), lambda text: len(html.escape(text).encode()))
            limit -= len(html.escape(short).encode())
            if short:
                text = html.escape(short).replace("\n", "<br>")
                sections.append({"text": text, "markdown": False})
        title = html.escape(fit(message.title, 300))
        return {
            "@type": "MessageCard",
            "@context": "http://schema.org/extensions",
            "summary": title,
            "title": title,
            "themeColor": f"{COLOURS[message.notice.severity]:06X}",
            "sections": sections,
            "potentialAction": [
                {
                    "@type": "OpenUri",
                    "name": host(link),
                    "targets": [{"os": "default", "uri": link}],
                }
                for link in message.links
            ],
        }

    return within(card, LARGEST, _TEXT)
