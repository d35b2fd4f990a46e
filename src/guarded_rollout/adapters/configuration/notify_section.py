"""The sections `[notify]` and `[environments.<name>.notify]` of rollout.toml: who is told."""

import re
from collections.abc import Mapping
from dataclasses import replace
from urllib.parse import urlsplit

from guarded_rollout.adapters.configuration.located import Value, given, quoted, suggestion
from guarded_rollout.core.hosts import loopback
from guarded_rollout.core.notice import (
    Channel,
    ChannelKind,
    GithubIssues,
    NoticePolicy,
    Severity,
)

_OWN = ("channels", "mention")
_SHARED = (*_OWN, "channel", "templates", "deadline", "github")
_REPOSITORY = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,38}/[A-Za-z0-9._-]{1,100}")
_CHANNEL = ("kind", "variable", "at_least", "to")
_NAME = re.compile(r"[a-z][a-z0-9-]{0,30}")
_VARIABLE = re.compile(r"[A-Z][A-Z0-9_]{0,60}")
_MAIL = re.compile(r"[^\s@<>,;:\"\\()\[\]]+@[A-Za-z0-9.-]+")
_MENTIONS: Mapping[ChannelKind, tuple[re.Pattern[str], str]] = {
    ChannelKind.SLACK: (
        re.compile(r"here|channel|everyone|[UWS][A-Z0-9]{5,20}"),
        '"here", "channel", or the ID of a user or a user group: "U012ABCDEF", "S012ABCDEF"',
    ),
    ChannelKind.DISCORD: (
        re.compile(r"here|everyone|(?:user|role):[0-9]{5,25}"),
        '"here", "everyone", "user:NUMBER" or "role:NUMBER"',
    ),
    ChannelKind.TEAMS: (_MAIL, 'the sign-in name of a user: "alice@example.com"'),
}


def read_notify(shared: Value | None, own: Value | None) -> NoticePolicy:
    """One environment's policy. `own` adds to `shared`: its list and its mentions win."""
    fields = shared.table(optional=_SHARED) if shared is not None else {}
    mine = own.table(optional=_OWN) if own is not None else {}
    known = {str(kind): Channel(str(kind), kind, at_least=_quiet(kind)) for kind in ChannelKind}
    if "channel" in fields:
        known |= {
            name: _channel(name, section) for name, section in fields["channel"].any_table().items()
        }
    for table in (fields, mine):
        if "mention" in table:
            known |= _mentions(table["mention"], known)
    listed = mine.get("channels", fields.get("channels"))
    for table in (fields, mine):
        given(table.get("channels"), lambda at: _names(at, known), None)
    return NoticePolicy(
        known=known,
        channels=given(listed, lambda at: _names(at, known), None),
        deadline=given(fields.get("deadline"), _deadline, 60.0),
        github=given(fields.get("github"), _github, None),
        templates=given(fields.get("templates"), Value.relative_path, NoticePolicy({}).templates),
    )


def _quiet(kind: ChannelKind) -> Severity:
    """What a channel hears where nothing is said: who is paged at night hears no good news."""
    return Severity.WARNING if kind is ChannelKind.PAGERDUTY else Severity.INFO


def _github(section: Value) -> GithubIssues:
    fields = section.table(required=("repository",), optional=("labels", "api"))
    repository = fields["repository"].text()
    if _REPOSITORY.fullmatch(repository) is None or repository.endswith(("/.", "/..")):
        raise fields["repository"].problem(
            f"{quoted(repository)} is no repository", 'write "owner/name"'
        )
    return GithubIssues(
        repository=repository,
        labels=given(fields.get("labels"), _labels, ()),
        api=given(fields.get("api"), _api, GithubIssues("").api),
    )


def _labels(value: Value) -> tuple[str, ...]:
    for member in value.members():
        if not 1 <= len(member.text()) <= 50:
            raise member.problem("cannot be a label", "write 1 to 50 letters")
    return tuple(member.text() for member in value.members())


def _api(value: Value) -> str:
    text = value.text().rstrip("/")
    parts = urlsplit(text)
    local = parts.scheme == "http" and loopback(parts.hostname or "")
    plain = not (parts.query or parts.fragment or parts.username or parts.password)
    if not (parts.scheme == "https" or local) or not parts.hostname or not plain:
        raise value.problem("is no address of an API", 'write "https://github.example.com/api/v3"')
    return text


def _deadline(value: Value) -> float:
    seconds = value.seconds()
    if not 1 <= seconds <= 900:
        raise value.problem("makes no sense here", 'allowed: "1s" to "15m"')
    return seconds


def _channel(name: str, section: Value) -> Channel:
    if _NAME.fullmatch(name) is None:
        raise section.problem(
            f"{quoted(name)} cannot be a channel's name", "small letters, digits and hyphens"
        )
    fields = section.table(optional=_CHANNEL)
    usual = ChannelKind(name) if name in set(ChannelKind) else None
    if "kind" not in fields and usual is None:
        raise section.place.under("kind", section.place.line).problem(
            "is missing", f"write one of {', '.join(ChannelKind)}"
        )
    kind = given(fields.get("kind"), lambda at: ChannelKind(at.choice(ChannelKind)), usual)
    assert kind is not None
    if "to" in fields and kind is not ChannelKind.EMAIL:
        raise fields["to"].problem("belongs to a channel of kind email", "take it out")
    return Channel(
        name=name,
        kind=kind,
        variable=given(fields.get("variable"), _variable, None),
        at_least=given(
            fields.get("at_least"), lambda at: Severity(at.choice(Severity)), _quiet(kind)
        ),
        to=given(fields.get("to"), _addresses, ()),
    )


def _variable(value: Value) -> str:
    text = value.text()
    if _VARIABLE.fullmatch(text) is None:
        raise value.problem(
            "is no name of a variable",
            'write the name, such as "SLACK_ALERTS_WEBHOOK_URL"; the address itself is a secret '
            "and stays in the environment",
        )
    return text


def _addresses(value: Value) -> tuple[str, ...]:
    for member in value.members():
        if _MAIL.fullmatch(member.text()) is None:
            raise member.problem("is no e-mail address", 'write "name@example.com"')
    return tuple(member.text() for member in value.members())


def _names(value: Value, known: Mapping[str, Channel]) -> tuple[str, ...]:
    for member in value.members():
        if member.text() not in known:
            raise member.problem(
                f"{quoted(member.text())} is no channel", suggestion(member.text(), known)
            )
    return tuple(dict.fromkeys(member.text() for member in value.members()))


def _mentions(value: Value, known: Mapping[str, Channel]) -> dict[str, Channel]:
    found: dict[str, Channel] = {}
    for name, people in value.any_table().items():
        if name not in known:
            raise people.problem(f"{quoted(name)} is no channel", suggestion(name, known))
        channel = known[name]
        if channel.kind not in _MENTIONS:
            raise people.problem(
                f"a channel of kind {channel.kind} cannot mention anybody",
                f"kinds that can: {', '.join(_MENTIONS)}",
            )
        pattern, words = _MENTIONS[channel.kind]
        for member in people.members():
            if pattern.fullmatch(member.text()) is None:
                raise member.problem(f"{quoted(member.text())} is nobody", f"write {words}")
        who = tuple(member.text() for member in people.members())
        found[name] = replace(channel, mention=who)
    return found
