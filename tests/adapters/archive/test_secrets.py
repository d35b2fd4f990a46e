"""What leaves the machine in a backup, and what does not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guarded_rollout.adapters.archive.secrets import looks_secret, without_secrets

SECRET = "hunter2hunter2"


@pytest.mark.parametrize(
    "line",
    [
        "DB_PASSWORD={}",
        "export DB_PASSWORD='{}'",
        'DB_PASSWORD="{} and more"',
        "DBPASSWORD = {}",
        "SLACK_WEBHOOK_URL=https://example.org/{}",
        "slackWebhookUrl: {}",
        "api-key: '{}'",
        "AWS_SECRET_ACCESS_KEY={}",
        "# DB_PASSWORD={}  (the old one)",
        '  "authToken": "{}",',
        '{{"port": 1, "password": "{}", "more": 2}}',
        "smtp = {{ host = 'x', password = '{}' }}",
        "DATABASE_URL=postgresql://dhash:{}@db/dhash",
        "DATABASE_URL=postgresql://dhash:with/slash@and@{}@db/dhash",
        "PROXY=http://:{}@proxy:3128",
        "HOOK=https://hooks.slack.com/services/T0/B0/{}",
        "X=https://discord.com/api/webhooks/1/{}",
        "CONNECT=host=db user=ada password={} port=5432",
        "LINK=https://example.org/x?sig={}&y=1",
        "HEADER=Authorization: Bearer {}",
        "ANY=ghp_aaaaaaaaaaaa{}",
        "TOKENS=[\n  '{}',\n  'other',\n]\nPORT=1",
        'PRIVATE_KEY="first line\n{}\nlast line"',
        "PASSWORD=one \\\n{}",
        "secrets:\n  one: {}\n\n  two: {}\nport: 1",
        "X=-----BEGIN RSA PRIVATE KEY-----\n{}\n-----END RSA PRIVATE KEY-----\nPORT=1",
        'KEY = """\n{}\n"""\nPORT = 1',
    ],
)
def test_a_secret_does_not_get_through(line):
    """In whatever way it is written; the lines that were changed are known."""
    cleaned = without_secrets(f"BEFORE=1\n{line.format(SECRET, SECRET)}\nAFTER=2\n")
    assert SECRET not in cleaned.text
    assert cleaned.text.startswith("BEFORE=1\n")
    assert cleaned.text.endswith("AFTER=2\n")
    assert cleaned.lines
    assert 1 not in cleaned.lines


@pytest.mark.parametrize(
    "text",
    [
        "PORT=8080\nHOST=127.0.0.1\n",
        "# a comment about passwords in general\n",
        '{"health": {"threshold": 2}, "timeWindow": 10}\n',
        "URL=https://example.org:8443/path?page=2\n",
        "[service]\nname = 'dhash'\nstart = ['python', '-m', 'dhash']\n",
        "MONKEY=1\r\nTURKEYS=2\r\n",
        "DB_PASSWORD=\nPORT=1\n",
        "",
        "no newline at the end",
    ],
)
def test_what_is_no_secret_stays_byte_for_byte(text):
    """Line ends too."""
    assert without_secrets(text).text == text
    assert without_secrets(text).lines == ()


def test_the_file_still_reads_as_what_it_was():
    """Keys, quotes and commas stay; so does the rest of the file."""
    cleaned = without_secrets('A=1\nDB_PASSWORD="x y"\n{\n  "token": "abc",\n  "port": 1\n}\n')
    assert cleaned.text == 'A=1\nDB_PASSWORD="***"\n{\n  "token": "***",\n  "port": 1\n}\n'
    assert cleaned.lines == (2, 4)


def test_keys_are_read_by_their_words():
    """MONKEY is not a key, and a passport no password."""
    for key in ("KEY", "apiKey", "API_KEYS", "db.password", "SMTP_PASS", "MYSQLPASSWORD", "TOKEN2"):
        assert looks_secret(key), key
    for key in ("MONKEY", "PASSPORT", "PORT", "keyboard", "tokenizer", "authors", "compass"):
        assert not looks_secret(key), key


@given(st.text())
def test_any_text_is_survived_and_keeps_its_lines(text):
    """As many lines as before, and doing it twice changes nothing more."""
    once = without_secrets(text)
    assert once.text.count("\n") == text.count("\n")
    assert without_secrets(once.text).text == once.text
