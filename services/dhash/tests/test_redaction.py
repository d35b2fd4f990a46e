import json
import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dhash.logs import JsonFormatter, request_id
from dhash.redaction import HIDDEN, redact, redact_text

SECRETS = [
    ("password=hunter2secret", "hunter2secret"),
    ('{"password": "hunter two"}', "hunter two"),
    ("DB_PASSWORD: hunter2", "hunter2"),
    ("connect postgresql://ann:hunter2@db/x failed", "hunter2"),
    ("redis://:hunter2@cache:6379/0", "hunter2"),
    ("Authorization: Bearer abc.def-123456", "abc.def-123456"),
    ("authorization: Basic dXNlcjpwYXNz", "dXNlcjpwYXNz"),
    ("token eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln was refused", "eyJhbGciOiJIUzI1NiJ9"),
    ("api_key=abcd1234efgh", "abcd1234efgh"),
    ("X-Api-Key: abcd1234efgh", "abcd1234efgh"),
    ("?access_token=abcd1234efgh&x=1", "abcd1234efgh"),
    ("key sk_live_abcdefghijklmnop1234", "sk_live_abcdefghijklmnop1234"),
    ("ghp_abcdefghijklmnopqrstuvwxyz0123456789", "ghp_abcdefghijklmnopqrstuvwxyz0123456789"),
    ("card 4111 1111 1111 1111 paid", "4111 1111 1111 1111"),
    ("card 4111111111111111", "4111111111111111"),
    ("from ann.smith+x@example.co.uk today", "ann.smith+x@example.co.uk"),
    ("ssn 123-45-6789", "123-45-6789"),
]


@pytest.mark.parametrize(("text", "secret"), SECRETS)
def test_a_secret_is_hidden_in_text_and_in_fields(text, secret):
    assert secret not in redact_text(text)
    assert HIDDEN in redact_text(text)
    assert secret not in json.dumps(redact({"detail": ["x", {"deep": text}]}))


@pytest.mark.parametrize(
    "name", ["password", "DB_PASSWORD", "api_key", "apiKey-token", "Authorization", "ssn", "secret"]
)
def test_a_field_with_a_secret_name_is_hidden_whatever_it_holds(name):
    assert redact({name: 12}) == {name: HIDDEN}
    assert redact({name: {"a": "b"}}) == {name: HIDDEN}


@pytest.mark.parametrize(
    "text",
    [
        "POST /api/dhash/extract 200",
        "schema 0002, 11.4 ms",
        "sha256:59cd1f43a78080c5ed1346d59dfa8a590ea4f11d",
        "order 4111 1111 1111 1112",
        "2026-11-21T03:11:43.632Z",
        "the tokens of the game and the passage",
    ],
)
def test_ordinary_text_stays(text):
    assert redact_text(text) == text


@given(st.text(max_size=300))
def test_any_text_can_be_logged(text):
    record = logging.LogRecord("dhash", logging.INFO, "", 0, "%s", (text,), None)
    assert json.loads(JsonFormatter("test").format(record))["service"] == "dhash"


def test_a_line_has_every_field():
    record = logging.LogRecord("dhash", logging.WARNING, "", 0, "hello", None, None)
    record.event, record.fields = "greeting", {"password": "x", "seconds": 0.5}
    token = request_id.set("r1")
    line = json.loads(JsonFormatter("production").format(record))
    request_id.reset(token)
    assert line.pop("timestamp").endswith("Z")
    assert line.pop("version")
    assert line == {
        "level": "WARNING",
        "message": "hello",
        "service": "dhash",
        "environment": "production",
        "event": "greeting",
        "request_id": "r1",
        "fields": {"password": HIDDEN, "seconds": 0.5},
    }
