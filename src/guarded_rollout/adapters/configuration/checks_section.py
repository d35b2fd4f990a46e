"""The `[[service.checks]]` of rollout.toml: requests, and what a healthy service answers."""

import json
import re
from pathlib import Path

from guarded_rollout.adapters.configuration.located import Value, given, quoted
from guarded_rollout.core.redact import redact
from guarded_rollout.core.spec import Area, Check, Tier

VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
LARGEST_BODY = 256 * 2**20
MOST_REQUESTS = 1000
MOST_AT_ONCE = 64

_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE")
_BODIES = ("body_file", "body", "body_size")
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_SIZE = re.compile(r"([0-9]{1,12}) ?(|B|KiB|MiB)")
_UNITS = {"": 1, "B": 1, "KiB": 2**10, "MiB": 2**20}
_OURS = ("content-type", "content-length", "user-agent", "connection", "host", "transfer-encoding")


def read_checks(value: Value, root: Path) -> tuple[Check, ...]:
    """The smoke checks, at least one of them critical. BadInput names file, line and key."""
    found: dict[str, Check] = {}
    for member in value.members():
        check = _check(member, root)
        if check.name in found:
            raise member.problem(
                f"the name {quoted(check.name)} is taken", "give every check its own name"
            )
        found[check.name] = check
    critical = [check for check in found.values() if check.tier is Tier.CRITICAL]
    if not critical:
        raise value.problem(
            "no check is critical: nothing would test a release before users see it",
            'give at least one check tier = "critical"',
        )
    if not any(check.after_rollback for check in critical):
        raise value.problem(
            "no critical check applies after a rollback: nothing would test the old version",
            "leave after_rollback = false out of at least one of them",
        )
    return tuple(found.values())


def url_path(value: Value) -> str:
    """The path of a request."""
    text = value.text()
    if not text.startswith("/") or " " in text or not text.isascii():
        raise value.problem(f"{quoted(text)} is no path", 'a path begins with "/": "/health"')
    return text


def variable(value: Value) -> str:
    """The name of an environment variable."""
    text = value.text()
    if VARIABLE.fullmatch(text) is None:
        raise value.problem(
            f"{quoted(text)} is no name for an environment variable",
            "use letters, digits and _ only",
        )
    return text


def _check(value: Value, root: Path) -> Check:
    fields = value.table(
        required=("name", "path"),
        optional=(
            "method", "tier", "area", "body_file", "body", "body_size", "content_type",
            "request_headers", "token_env", "status", "contains", "lacks", "headers", "no_headers",
            "json", "within", "repeat", "concurrency", "percentile", "budget", "after_rollback",
        ),
    )  # fmt: skip
    method = given(fields.get("method"), lambda at: at.choice(_METHODS), "GET")
    _check_body(fields, method, root)
    repeat = given(fields.get("repeat"), lambda at: at.whole(1, MOST_REQUESTS, "requests"), 1)
    _check_repeat(fields, repeat)
    budget = given(fields.get("budget"), Value.seconds, None)
    return Check(
        name=fields["name"].text(),
        path=url_path(fields["path"]),
        method=method,
        tier=given(fields.get("tier"), lambda at: Tier(at.choice(Tier)), Tier.CRITICAL),
        area=given(fields.get("area"), lambda at: Area(at.choice(Area)), Area.API),
        body_file=given(fields.get("body_file"), Value.relative_path, None),
        body=given(fields.get("body"), Value.text, None),
        body_size=given(fields.get("body_size"), _size, 0),
        content_type=given(fields.get("content_type"), Value.text, None),
        request_headers=given(fields.get("request_headers"), _request_headers, ()),
        token_env=given(fields.get("token_env"), variable, None),
        status=given(fields.get("status"), lambda at: at.whole(100, 599, "as in HTTP"), 200),
        contains=given(fields.get("contains"), Value.text, None),
        lacks=given(fields.get("lacks"), _texts, ()),
        headers=given(fields.get("headers"), _wanted_headers, ()),
        no_headers=given(fields.get("no_headers"), _header_names, ()),
        json=given(fields.get("json"), _json, ()),
        within_ms=given(fields.get("within"), Value.seconds, 2.0) * 1000,
        repeat=repeat,
        concurrency=given(
            fields.get("concurrency"), lambda at: at.whole(1, MOST_AT_ONCE, "requests"), 1
        ),
        percentile=given(fields.get("percentile"), lambda at: at.number(1, 100, "percent"), 95.0),
        budget_ms=None if budget is None else budget * 1000,
        after_rollback=given(fields.get("after_rollback"), Value.flag, default=True),
    )


def _check_body(fields: dict[str, Value], method: str, root: Path) -> None:
    """At most one body, with a type, of a method that has one."""
    said = [fields[key] for key in _BODIES if key in fields]
    if len(said) > 1:
        raise said[1].problem("is a second body", f"keep one of {', '.join(_BODIES)}")
    for body in said:
        if method in {"GET", "HEAD", "OPTIONS", "TRACE"}:
            raise body.problem(f"a {method} request has no body", 'add method = "POST"')
        if body is fields.get("body_file") and not (root / body.relative_path()).is_file():
            raise body.problem(
                f"there is no file {body.relative_path()}",
                "the path is relative to the folder of rollout.toml",
            )
        if "content_type" not in fields:
            raise body.problem("has no content_type", 'add one: content_type = "image/jpeg"')


def _check_repeat(fields: dict[str, Value], repeat: int) -> None:
    at_once = fields.get("concurrency")
    if at_once is not None and at_once.whole(1, MOST_AT_ONCE, "requests") > repeat:
        raise at_once.problem(
            f"so many at once of {repeat} in all", "raise repeat to at least as many"
        )
    if "percentile" in fields and "budget" not in fields:
        raise fields["percentile"].problem(
            "says nothing without a budget", 'add one: budget = "500ms"'
        )


def _size(value: Value) -> int:
    """Bytes: `1024`, `"64KiB"`, `"51MiB"`."""
    found = _SIZE.fullmatch(str(value.raw)) if isinstance(value.raw, (int, str)) else None
    size = int(found[1]) * _UNITS[found[2]] if found else 0
    if not 0 < size <= LARGEST_BODY:
        raise value.problem(
            f"{quoted(str(value.raw))} is no size",
            f'write "64KiB" or "51MiB", at most {LARGEST_BODY // 2**20}MiB',
        )
    return size


def _texts(value: Value) -> tuple[str, ...]:
    if isinstance(value.raw, str):
        return (value.text(),)
    return tuple(member.text() for member in value.members())


def _header(value: Value, name: str) -> str:
    if _HEADER.fullmatch(name) is None:
        raise value.problem(f"{quoted(name)} is no name of a header", 'such as "Content-Type"')
    return name


def _header_names(value: Value) -> tuple[str, ...]:
    return tuple(_header(member, member.text()) for member in value.members())


def _wanted_headers(value: Value) -> tuple[tuple[str, str], ...]:
    """With "" a header only has to be there."""
    return tuple(
        (_header(member, name), "" if member.raw == "" else member.text())
        for name, member in value.any_table().items()
    )


def _request_headers(value: Value) -> tuple[tuple[str, str], ...]:
    """This file is shared, frozen into plans and backed up: no place for a secret."""
    found = []
    for name, member in value.any_table().items():
        text = member.text()
        if _header(member, name).lower() in _OURS:
            raise member.problem("is not yours to set", "for the type write content_type = ...")
        if redact(f"{name}: {text}") != f"{name}: {text}":
            raise member.problem(
                "seems to be a secret, and this file is shared, recorded and backed up",
                'name the variable that has a bearer token: token_env = "SMOKE_TOKEN"',
            )
        found.append((name, text))
    return tuple(found)


def _json(value: Value) -> tuple[tuple[str, str], ...]:
    """Dotted paths and the plain values that are expected there."""
    found = []
    for path, member in value.any_table().items():
        if not path or "" in path.split("."):
            raise member.problem(f"{quoted(path)} is no path", 'write for example "images.0.hash"')
        if isinstance(member.raw, dict):
            raise member.problem(
                "is a table, not a value", f'write the path in quotes: "{path}.NAME" = ...'
            )
        try:
            found.append((path, json.dumps(member.plain(), allow_nan=False)))
        except (TypeError, ValueError):
            raise member.problem(
                "is no value of JSON", "text, a number, true or false, or a list of them"
            ) from None
    return tuple(found)
