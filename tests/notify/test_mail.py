"""E-mail to a real server with TLS and a login."""

import email
from dataclasses import replace
from email.policy import default

import pytest
from notice_servers import AUTHORITY, PASSWORD, USER, mail_server

from guarded_rollout.core.notice import Channel, ChannelKind
from guarded_rollout.notify import Status, deliver

MAIL = Channel("email", ChannelKind.EMAIL)


def settings(box, **others):
    return {
        "SMTP_HOST": "127.0.0.1",
        "SMTP_PORT": str(box.port),
        "SMTP_USER": USER,
        "SMTP_PASSWORD": PASSWORD,
        "EMAIL_FROM": "alerts@example.com",
        "EMAIL_TO": "ops@example.com, dev@example.com",
        **others,
    }


def read(envelope):
    return email.message_from_bytes(envelope.content, policy=default)


@pytest.mark.parametrize("security", ["starttls", "tls"])
def test_a_letter_arrives(desk, notice, authority, security):
    """With its numbers, its thread, and a Message-ID that is the key."""
    with mail_server(security=security) as box:
        (done,) = deliver(notice, [MAIL], desk(**settings(box, SMTP_SECURITY=security)))
    assert (done.status, done.reason) == (Status.DELIVERED, "")
    (envelope,) = box.letters
    assert envelope.rcpt_tos == ["ops@example.com", "dev@example.com"]
    letter = read(envelope)
    assert letter["Subject"] == "production: gate breached: dhash 1.4.0"
    assert letter["Message-ID"] == "<notice.production-1.breach@example.com>"
    assert letter["References"] == "<rollout.production-1@example.com>"
    assert "- p95: 2300 ms, limit 2000 ms, 812 requests" in letter.get_content().splitlines()


def test_a_channel_has_its_own_people(desk, notice, authority):
    """`to` of rollout.toml wins."""
    with mail_server() as box:
        deliver(notice, [replace(MAIL, to=("lead@example.com",))], desk(**settings(box)))
    assert box.letters[0].rcpt_tos == ["lead@example.com"]


def test_a_hostile_name_adds_no_header(desk, notice, authority):
    """Line breaks in a release's name."""
    hostile = replace(notice, version="1\r\nBcc: x@evil.example\r\n\r\nbody", initiator="\r\n.\r\n")
    with mail_server() as box:
        (done,) = deliver(hostile, [MAIL], desk(**settings(box)))
    assert done.status is Status.DELIVERED
    letter = read(box.letters[0])
    assert letter["Bcc"] is None
    assert set(letter.keys()) >= {"Subject", "From", "To", "Date", "Message-ID"}
    assert box.letters[0].rcpt_tos == ["ops@example.com", "dev@example.com"]


def test_a_wrong_password_is_told_and_not_repeated(desk, notice, authority):
    """Without the password."""
    with mail_server() as box:
        ours = desk(**settings(box, SMTP_PASSWORD="wrong-SECRET"))
        (done,) = deliver(notice, [MAIL], ours)
    assert (done.status, done.attempts) == (Status.KEPT, 1)
    assert done.reason.startswith("127.0.0.1 answered 535")
    files = [file for file in ours.root.rglob("*") if file.is_file() and file != authority]
    assert not any("SECRET" in file.read_text() for file in files)


def test_a_server_that_is_busy_is_tried_again(desk, notice, authority):
    """451 now, 250 later."""
    with mail_server("451 later", "452 later") as box:
        (done,) = deliver(notice, [MAIL], desk(**settings(box)))
    assert (done.status, done.attempts, len(box.letters)) == (Status.DELIVERED, 3, 1)


def test_a_server_that_refuses_is_not(desk, notice, authority):
    """554 is for good."""
    with mail_server("554 spam") as box:
        (done,) = deliver(notice, [MAIL], desk(**settings(box)))
    assert (done.status, done.attempts) == (Status.KEPT, 1)
    assert done.reason == "127.0.0.1 answered 554: spam"


def test_a_letter_that_may_have_arrived_is_sent_at_most_once_more(desk, notice, authority):
    """The server took it and hung up without a word."""
    with mail_server(*["take and drop"] * 5) as box:
        (done,) = deliver(notice, [MAIL], desk(**settings(box)))
    assert done.status is Status.KEPT
    assert "it may have arrived all the same" in done.reason
    assert len({read(letter)["Message-ID"] for letter in box.letters}) == 1
    assert len(box.letters) == 2


def test_one_recipient_that_is_refused_is_told(desk, notice, authority):
    """The other has it."""
    with mail_server() as box:
        box.refused.add("dev@example.com")
        (done,) = deliver(notice, [MAIL], desk(**settings(box)))
    assert (done.status, box.letters[0].rcpt_tos) == (Status.DELIVERED, ["ops@example.com"])
    assert done.reason == "127.0.0.1 refused 1 of 2 recipients"


def test_a_certificate_that_is_not_trusted_gets_no_password(desk, notice):
    """This process does not trust the tests' authority here."""
    with mail_server(certificate=AUTHORITY.issue_cert("127.0.0.1")) as box:
        (done,) = deliver(notice, [MAIL], desk(**settings(box)))
    assert (done.status, done.attempts, box.letters) == (Status.KEPT, 1, [])
    assert "the certificate of 127.0.0.1 is not trusted" in done.reason


def test_a_server_without_starttls_gets_no_password(desk, notice, authority):
    """An attacker may have taken the offer away."""
    with mail_server(security="none") as box:
        (done,) = deliver(notice, [MAIL], desk(**settings(box)))
    assert (done.status, box.letters) == (Status.KEPT, [])
    assert done.reason == "127.0.0.1 does not offer STARTTLS"


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"SMTP_HOST": ""}, "SMTP_HOST is not set"),
        ({"SMTP_HOST": "mail.example.com", "SMTP_SECURITY": "none"}, "on this machine only"),
        ({"SMTP_SECURITY": "ssl"}, "SMTP_SECURITY must be one of starttls, tls, none"),
        ({"SMTP_PORT": "x"}, "SMTP_PORT is no port"),
        ({"SMTP_PASSWORD": ""}, "one of them is not set"),
        ({"EMAIL_TO": ""}, "EMAIL_TO is not set"),
        ({"EMAIL_FROM": ""}, "EMAIL_FROM is not set"),
        ({"EMAIL_TO": "a@b\r\nBcc: x"}, "EMAIL_TO is no list of plain e-mail addresses"),
    ],
)
def test_settings_that_are_missing_are_named(desk, notice, change, what):
    """Nothing is tried."""
    ours = desk(
        **{
            "SMTP_HOST": "127.0.0.1",
            "SMTP_USER": USER,
            "SMTP_PASSWORD": PASSWORD,
            "EMAIL_FROM": "a@example.com",
            "EMAIL_TO": "b@example.com",
            **change,
        }
    )
    (done,) = deliver(notice, [MAIL], ours)
    assert (done.status, done.attempts) == (Status.KEPT, 0)
    assert what in done.reason
