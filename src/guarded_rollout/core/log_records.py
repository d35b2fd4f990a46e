"""What a logger is fed with to see whether it can be trusted: plain records, and secrets.

A record's message begins with its own mark, `[p3n17]`: process 3, record 17. So a line that was
lost, doubled or torn is known by name.
"""

import json
import re
from dataclasses import asdict, dataclass, field
from typing import Any

LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
MARK = re.compile(r"\[p([0-9]+)n([0-9]+)\]")
SIZES = (0, 60, 700, 5000, 9000)
"""Characters of padding: below and above what a pipe and a buffer take in one piece."""


@dataclass(frozen=True, slots=True)
class Record:
    """One record, as a probe reads it from a JSON line. `exception`: its text, raised and caught.

    `request_id`: of the request in whose course it is logged.
    """

    message: str
    level: str = "INFO"
    event: str = "probe"
    fields: dict[str, Any] = field(default_factory=dict)
    exception: str | None = None
    request_id: str | None = None

    def line(self) -> str:
        """The JSON line."""
        return json.dumps(asdict(self))


@dataclass(frozen=True, slots=True)
class Hidden:
    """A record with a secret. `kind` and `place` name the check; `secret` must not be seen."""

    kind: str
    place: str
    secret: str
    record: Record


def mark(process: int, number: int) -> str:
    """What a record's message begins with."""
    return f"[p{process}n{number}]"


def crowd(process: int, lines: int) -> list[Record]:
    """What one process of many logs: short and long lines, each with an end that is checked."""
    records = []
    for number in range(lines):
        text = f"{mark(process, number)} {'x' * SIZES[number % len(SIZES)]} end"
        records.append(Record(text, fields={"number": number, "process": process}))
    return records


# Each secret is made up. The card numbers are the networks' own test numbers.
_SECRETS: dict[str, tuple[tuple[str, str], ...]] = {
    "password": (
        ("login with password=Tr0ub4dor-9 failed", "Tr0ub4dor-9"),
        ('{"passwd": "horse battery"}', "horse battery"),
    ),
    "token": (
        ("refresh_token=7f3c9a1be05d4412 expired", "7f3c9a1be05d4412"),
        ("GET /x?access_token=7f3c9a1be05d4413&page=1", "7f3c9a1be05d4413"),
    ),
    "API key": (
        ("api_key=9d8c7b6a5f4e3d2c was used", "9d8c7b6a5f4e3d2c"),
        ("X-Api-Key: 9d8c7b6a5f4e3d2d", "9d8c7b6a5f4e3d2d"),
        ("used sk_live_4eC39HqLyjWDarjtT1zdp7dc", "sk_live_4eC39HqLyjWDarjtT1zdp7dc"),
        ("used AKIAIOSFODNN7EXAMPLE", "AKIAIOSFODNN7EXAMPLE"),
    ),
    "bearer": (
        ("Authorization: Bearer mF_9.B5f-4.1JqM", "mF_9.B5f-4.1JqM"),
        ("sent Bearer 2YotnFZFEjr1zCsicMWpAA", "2YotnFZFEjr1zCsicMWpAA"),
    ),
    "JWT": (
        (
            "session eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiI0MiJ9.c2lnbmF0dXJl opened",
            "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiI0MiJ9",
        ),
    ),
    "connection string": (
        ("connecting to postgresql://app:pg-Pa55@db:5432/app", "pg-Pa55"),
        ("redis://:r3dis-Pa55@cache:6379/0 is away", "r3dis-Pa55"),
    ),
    "card": (
        ("paid with 4242 4242 4242 4242 today", "4242 4242 4242 4242"),
        ("paid with 5555555555554444 today", "5555555555554444"),
        ("paid with 3782-822463-10005 today", "3782-822463-10005"),
    ),
    "e-mail": (("mail to jane.roe+x@example.co.uk bounced", "jane.roe+x@example.co.uk"),),
    "SSN": (("ssn 078-05-1120 on file", "078-05-1120"),),
}
_NAMED = {
    "password": ("db_password", "Tr0ub4dor-9"),
    "token": ("access_token", "7f3c9a1be05d4414"),
    "API key": ("api_key", "9d8c7b6a5f4e3d2e"),
    "bearer": ("Authorization", "mF_9.B5f-4.1JqN"),
}
PLACES = ("message", "field", "nested", "exception", "named field")


def hidden() -> list[Hidden]:
    """Every kind of secret at every place."""
    made: list[Hidden] = []

    def add(kind: str, place: str, secret: str, **said: Any) -> None:  # noqa: ANN401 - a field
        text = f"{mark(0, len(made))} {said.pop('message', 'a secret')}"
        made.append(Hidden(kind, place, secret, Record(text, **said)))

    for kind, texts in _SECRETS.items():
        for text, secret in texts:
            add(kind, "message", secret, message=text)
            add(kind, "field", secret, fields={"detail": text})
            add(kind, "nested", secret, fields={"a": [{"b": {"c": [1, text]}}]})
            add(kind, "exception", secret, exception=text, level="ERROR")
    for kind, (name, secret) in _NAMED.items():
        add(kind, "named field", secret, fields={"outer": {name: secret}})
    return made


def clean() -> list[Record]:
    """What looks like a secret and is none: it must come out as it went in."""
    texts = (
        "POST /api/dhash/extract 200 in 12.5 ms",
        "sha256:59cd1f43a78080c5ed1346d59dfa8a590ea4f11d",
        "release 1.4.2-3f9c0a1b2c4d at 2026-11-21T03:15:00Z",
        "order 4242 4242 4242 4241 is no card: its check digit is wrong",
        "request 6f1c2d3e-4b5a-6978-8796-a5b4c3d2e1f0 from 10.1.2.3:48122",
        "the passage says that tokens of the game are secretive",
        "https://example.org/docs?page=2 has umlauts: \u00e4\u00f6\u00fc, \u96ea and \U0001f40d",
        'quotes " and backslashes \\ and a tab\tstay',
    )
    fields: tuple[dict[str, Any], ...] = (
        {"count": 7, "ratio": 0.25, "on": True, "none": None, "list": ["a", 1]},
        {},
    )
    return [
        Record(f"{mark(0, number)} {text}", fields=dict(fields[number % 2]))
        for number, text in enumerate(texts)
    ]


def levelled() -> list[Record]:
    """One record of each level."""
    return [Record(f"{mark(0, n)} level", level=level) for n, level in enumerate(LEVELS)]


def shaped() -> list[Record]:
    """Records with everything that a line has fields for."""
    return [
        Record(f"{mark(0, 0)} plain", request_id="req-1", event="probe-plain"),
        Record(f"{mark(0, 1)} more\nlines\r\nand\u2028so on", event="probe-lines"),
        Record(f"{mark(0, 2)} failed", level="ERROR", exception="it broke", event="probe-error"),
    ]
