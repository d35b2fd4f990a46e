"""Payloads hold the services' published limits and schemas, whatever text they are made from."""

import importlib.util
import json
import re
from dataclasses import replace
from functools import cache
from pathlib import Path

import jsonschema
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from guarded_rollout.core.notice import TYPES, ChannelKind, Notice
from guarded_rollout.core.shown_text import units
from guarded_rollout.notify import load_templates, render
from guarded_rollout.notify.message import encoded

BUILT_IN = load_templates(None)
HOSTILE = (
    "<!channel> <!here> <!everyone> <@U012ABCDEF> <!subteam^S012ABCDEF> <https://evil.example|ok>",
    "@everyone @here <@123456789012345678> <@&123456789012345678> <#1> [x](https://evil.example)",
    "<at>Everyone</at> **bold** _it_ `code` ```fence``` # head > quote | table | ~~x~~",
    "</script><img src=x onerror=alert(1)>&lt;!channel&gt;",
    "\u202egnp.exe\u2066 \u200b\x00\x07\x1b[31m\x9b red \r\n\r\nBcc: x@y.example\r\n.\r\n",
    "\ud800 lone \udfff \U000e0041\U000e0042 \ufeff",
    '"}],"blocks":[{"type":"x"}] {message} {{key}} {unknown} %s ${HOME} $(id)',
    "x" * 1_000_000,
    "\U0001f525" * 50_000,
    "&<>" * 20_000,
    "line\n" * 20_000,
    "\n\n",
    "",
)
SECRETS = (
    "https://hooks.slack.com/services/T00/B00/abcdefSECRET",
    "password=hunter2SECRET",
    "Authorization: Bearer abcdef0123456789SECRET",
    "postgresql://user:SECRETpw@db/x",
    "ghp_0123456789abcdefSECRET0123456789abcd",
)
MENTIONS = {
    ChannelKind.SLACK: ("here", "U012ABCDEF", "S012ABCDEF"),
    ChannelKind.DISCORD: ("everyone", "role:123456", "user:654321"),
    ChannelKind.TEAMS: ("alice@example.com",),
}


@cache
def adaptive_card_schema():
    """The schema that Microsoft publishes as http://adaptivecards.io/schemas/adaptive-card.json.

    The package that brings it allows its own Python classes too: types that no JSON has.
    """
    package = Path(importlib.util.find_spec("adaptivecard").origin).parent
    text = (package / "schemas" / "schema.json").read_text()
    classes = set(re.findall(r'"type": ?"([A-Z][A-Za-z.]*)"', text))
    no_json = dict.fromkeys(classes, lambda *_: False)
    checker = jsonschema.Draft6Validator.TYPE_CHECKER.redefine_many(no_json)
    validator = jsonschema.validators.extend(jsonschema.Draft6Validator, type_checker=checker)
    return validator(json.loads(text))


def made(text, kind="gate-breach"):
    return Notice(
        type=kind,
        environment=text,
        message=text,
        at=1_800_000_000.0,
        service=text,
        version=text,
        initiator=text,
        duration=text,
        evidence=(text, text),
        done=text,
        now=text,
        look=(text, "https://dashboard.example.com/d/1?a=1&b=2", text),
        rollout=text,
        key=text,
    )


texts = st.text(alphabet=st.characters(categories=None), max_size=300)


def strings(node):
    """Every text of a JSON value."""
    if isinstance(node, str):
        yield node
    elif isinstance(node, dict):
        for member in node.values():
            yield from strings(member)
    elif isinstance(node, list):
        for member in node:
            yield from strings(member)


def check_slack(payload):
    """Slack Block Kit reference: blocks, header, section, context, text object."""
    blocks = payload["blocks"]
    assert 1 <= len(blocks) <= 50
    total = 0
    for block in blocks:
        if block["type"] == "header":
            assert block["text"]["type"] == "plain_text"
            inner, most = [block["text"]], 150
        elif block["type"] == "section":
            inner, most = [block["text"]], 3000
        else:
            assert block["type"] == "context"
            inner, most = block["elements"], 3000
            assert 1 <= len(inner) <= 10
        for text in inner:
            assert text["type"] in {"plain_text", "mrkdwn"}
            assert 1 <= units(text["text"]) <= most
            total += units(text["text"])
            if text["type"] == "mrkdwn":
                assert text["verbatim"] is True
            else:
                assert not re.search(r"[<>]|&(?!(?:amp|lt|gt);)", text["text"])
    assert total <= 12_000
    assert "<" not in payload["text"]


def check_teams(payload):
    """Microsoft Teams: the Adaptive Card schema, and 28 KB for a message of a webhook."""
    assert len(encoded(payload)) <= 28 * 1024
    (attachment,) = payload["attachments"]
    assert attachment["contentType"] == "application/vnd.microsoft.card.adaptive"
    card = attachment["content"]
    # `msteams` is an extension of Teams that the general schema does not know.
    plain = {key: value for key, value in card.items() if key != "msteams"}
    problem = jsonschema.exceptions.best_match(adaptive_card_schema().iter_errors(plain))
    assert problem is None, problem.message[:300]
    assert len(card["actions"]) <= 6
    marked = [block["text"] for block in card["body"] if block["type"] == "TextBlock"]
    named = " ".join(entity["text"] for entity in card["msteams"]["entities"])
    assert marked == ([named] if named else [])


def check_connector(payload):
    """Legacy actionable message card: summary, at most 10 sections, no Markdown; 28 KB."""
    assert len(encoded(payload)) <= 28 * 1024
    assert payload["@type"] == "MessageCard"
    assert payload["summary"]
    assert len(payload["sections"]) <= 10
    for text in (payload["title"], *(section["text"] for section in payload["sections"])):
        assert not re.search(r"[<>]", text.replace("<br>", ""))
    assert all(section["markdown"] is False for section in payload["sections"])


def check_discord(payload):
    """Discord: embed limits, and which mentions may ping."""
    (embed,) = payload["embeds"]
    assert units(payload["content"]) <= 2000
    assert 1 <= units(embed["title"]) <= 256
    assert units(embed["description"]) <= 4096
    assert units(embed["footer"]["text"]) <= 2048
    total = sum(units(text) for text in (embed["title"], embed["description"]))
    assert total + units(embed["footer"]["text"]) <= 6000
    assert set(payload["allowed_mentions"]) == {"parse", "roles", "users"}
    lines = (embed["title"], *embed["description"].split("\n"))
    for line in lines:
        if not line.startswith("https://"):
            assert not re.search(r"(?<!\\)(?:\\\\)*[<@*_`]", line)


def check_pagerduty(payload):
    """PagerDuty Events API v2: 512 KB, a summary of 1024 characters, a dedup_key of 255."""
    assert len(encoded(payload)) <= 512 * 1024
    assert payload["event_action"] in {"trigger", "resolve"}
    assert 1 <= len(payload["dedup_key"]) <= 255
    assert 1 <= units(payload["payload"]["summary"]) <= 1024
    assert payload["payload"]["source"]
    assert payload["payload"]["severity"] in {"critical", "error", "warning", "info"}
    assert "routing_key" not in payload


def check_email(payload):
    """RFC 5322: a header is one line of at most 998 characters."""
    assert re.fullmatch(r"[^\x00-\x1f\x7f]{1,998}", payload["subject"])


CHECKS = {
    ChannelKind.SLACK: check_slack,
    ChannelKind.TEAMS: check_teams,
    ChannelKind.TEAMS_CONNECTOR: check_connector,
    ChannelKind.DISCORD: check_discord,
    ChannelKind.PAGERDUTY: check_pagerduty,
    ChannelKind.EMAIL: check_email,
    ChannelKind.APPRISE: check_email,
    ChannelKind.WEBHOOK: lambda payload: None,
    ChannelKind.CONSOLE: lambda payload: None,
    ChannelKind.FILE: lambda payload: None,
}


def checked(kind, notice):
    payload = render(kind, notice, BUILT_IN, MENTIONS.get(kind, ()))
    CHECKS[kind](payload)
    for text in strings(payload):
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f\u202a-\u202e\u2066-\u2069]", text)
        text.encode()
    return payload


def test_every_kind_is_checked():
    """A new one needs a check."""
    assert set(CHECKS) == set(ChannelKind)


@pytest.mark.parametrize("kind", ChannelKind)
@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: ascii(text[:12]))
def test_hostile_text_keeps_within_every_limit(kind, text):
    """Shortened, never refused; a mention in it is text."""
    checked(kind, made(text))


@pytest.mark.parametrize("kind", CHECKS)
@settings(max_examples=20)
@given(text=texts)
@example(text="\x85\u2028")
def test_any_text_keeps_within_every_limit(kind, text):
    """Whatever somebody calls a release."""
    checked(kind, made(text))


@pytest.mark.parametrize("kind", ChannelKind)
@pytest.mark.parametrize("kind_of_notice", TYPES)
def test_every_type_says_what_happened_the_numbers_and_where_to_look(kind, kind_of_notice):
    """With the built-in templates, on every channel."""
    words = {
        "environment": "staging",
        "message": "The message of what happened.",
        "version": "9.8.7",
        "evidence": ("p95: 2300 ms of 812",),
        "done": "It was done so.",
        "now": "Do this now.",
        "look": ("https://example.com/board",),
    }
    notice = Notice(type=kind_of_notice, at=0.0, **words)
    payload = checked(kind, notice)
    everything = "\n".join(strings(payload)).replace("\\", "")
    for value in words.values():
        for line in (value,) if isinstance(value, str) else value:
            assert line in everything, (kind, line)


@pytest.mark.parametrize("kind", ChannelKind)
@pytest.mark.parametrize("secret", SECRETS)
def test_no_secret_leaves(kind, secret):
    """Also at the place where a long text is cut."""
    long = ("word " * 8_795 + secret, "y" * 43_980 + " " + secret)
    notices = [made(secret), made(f"before {secret} after")]
    notices += [replace(made("x"), message=text) for text in long]
    for notice in notices:
        payload = render(kind, notice, BUILT_IN)
        assert "SECRET" not in json.dumps(payload)


@pytest.mark.parametrize(
    "wrong",
    [
        {"type": "Container", "items": [{"type": "RichTextBlock"}]},
        {"type": "TextBlock", "text": 7},
        {"type": "TextBlock", "text": "x", "size": "Enormous"},
        {"type": "Telephone"},
    ],
)
def test_the_card_schema_refuses_wrong_cards(wrong):
    """Otherwise it would prove nothing."""
    card = {"type": "AdaptiveCard", "version": "1.4", "body": [wrong]}
    with pytest.raises(jsonschema.ValidationError):
        adaptive_card_schema().validate(card)


def test_only_the_configuration_pings():
    """Warnings and errors; an information pings nobody."""
    loud, quiet = made("<!channel> @everyone <at>all</at>"), made("x", "deploy-start")
    slack = checked(ChannelKind.SLACK, loud)["blocks"][1]["text"]["text"]
    assert slack == "<!here> <@U012ABCDEF> <!subteam^S012ABCDEF>"
    discord = checked(ChannelKind.DISCORD, loud)
    assert discord["content"] == "@everyone <@&123456> <@654321>"
    assert discord["allowed_mentions"] == {
        "parse": ["everyone"],
        "roles": ["123456"],
        "users": ["654321"],
    }
    (entity,) = checked(ChannelKind.TEAMS, loud)["attachments"][0]["content"]["msteams"]["entities"]
    assert entity["mentioned"] == {"id": "alice@example.com", "name": "alice"}
    none = render(ChannelKind.DISCORD, loud, BUILT_IN)
    assert (none["content"], none["allowed_mentions"]["parse"]) == ("", [])
    assert "<!here>" not in json.dumps(checked(ChannelKind.SLACK, quiet))
    assert checked(ChannelKind.DISCORD, quiet)["content"] == ""


def test_pagerduty_opens_and_ends_one_alarm_for_a_rollout():
    """The rollout is what belongs together."""
    breach = replace(made("x"), rollout="production-1")
    ended = replace(made("x", "rollback-success"), rollout="production-1")
    alone = replace(ended, rollout="", key="k")
    events = [render(ChannelKind.PAGERDUTY, one, BUILT_IN) for one in (breach, ended, alone)]
    assert [(event["event_action"], event["dedup_key"]) for event in events] == [
        ("trigger", "production-1"),
        ("resolve", "production-1"),
        ("trigger", "k"),
    ]


def test_a_key_is_stable():
    """Derived from the content and not from the time; fit for headers and files' names."""
    first = replace(made("x\r\ny"), key="")
    assert first.keyed().key == replace(first, at=7.0).keyed().key
    assert first.keyed().key != replace(first, message="z").keyed().key
    assert re.fullmatch(r"[0-9a-f]{24}", first.keyed().key)
    assert replace(first, key="a.b:c-1").keyed().key == "a.b:c-1"
