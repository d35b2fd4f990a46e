"""A sign-off: what a person says, in bytes that can be signed."""

import json
from dataclasses import dataclass
from typing import Any

import msgspec

from guarded_rollout.core.canonical import canonical


@dataclass(frozen=True, slots=True)
class Statement:
    """What a person signs. `at`, `expires`: Unix seconds. `account`: who ran the command."""

    digest: str
    environment: str
    release: str
    who: str
    account: str
    at: float
    expires: float
    reason: str = ""


@dataclass(frozen=True, slots=True)
class SignOff:
    """A statement whose signature was verified, or a review that is one in effect.

    Fields:
        source: where it was found.
        key: the fingerprint of the key that signed; empty where the source has no keys.
        signature: over `statement_text`, so that it can be verified again later.
        commit: of a review, what it is for. The person saw that, and not the digest, which is
            of the plan that the review was counted for.
    """

    statement: Statement
    source: str
    key: str = ""
    signature: str = ""
    commit: str = ""


@dataclass(frozen=True, slots=True)
class Refused:
    """Something was found that does not count, and why."""

    source: str
    why: str


def statement_text(statement: Statement) -> str:
    """The bytes that are signed: equal statements give equal bytes."""
    return readable(statement)


def read_statement(text: bytes) -> Statement | None:
    """The statement again; None unless the text is one to the byte."""
    try:
        statement = msgspec.json.decode(text, type=Statement)
        return statement if statement_text(statement).encode() == text else None
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None


def readable(value: Any) -> str:  # noqa: ANN401 - any dataclass of the core
    """Canonical JSON, one value a line."""
    plain = json.loads(canonical(value))
    return json.dumps(plain, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
