"""One notice on its way: a real server misbehaves, time is counted instead of waited for."""

import json
import socket
import threading
from dataclasses import replace
from datetime import UTC, datetime
from email.utils import format_datetime

import pytest
import trustme
from notice_servers import AUTHORITY, hook, proxy
from still_clock import StillClock

from guarded_rollout.adapters.clock import SystemClock
from guarded_rollout.core.notice import Channel, ChannelKind, Severity
from guarded_rollout.notify import Patience, Status, deliver, known

AT = StillClock().at
SLACK = Channel("slack", ChannelKind.SLACK)
CONSOLE = Channel("console", ChannelKind.CONSOLE)
FILE = Channel("file", ChannelKind.FILE)
PAGER = Channel("pagerduty", ChannelKind.PAGERDUTY)


def ledger(desk):
    return json.loads((desk.root / "logs/notifications.json").read_text())


def kept(desk):
    return [json.loads(file.read_text()) for file in (desk.root / "notifications_out").iterdir()]


def everything_written(desk):
    """All text that the notifier left behind."""
    files = [file for file in desk.root.rglob("*") if file.is_file()]
    return "".join(file.read_text() for file in files)


def test_a_notice_arrives_once_and_is_written_down(desk, notice):
    """A second time with the same key nothing is sent."""
    with hook() as server:
        ours = desk(SLACK_WEBHOOK_URL=server.url())
        (first,) = deliver(notice, [SLACK], ours)
        (second,) = deliver(notice, [SLACK], ours)
    assert (first.status, first.attempts, first.again) == (Status.DELIVERED, 1, False)
    assert (second.status, second.again) == (Status.DELIVERED, True)
    assert server.keys == [notice.key]
    (entry,) = ledger(ours)
    assert (entry["status"], entry["channel"], entry["type"]) == ("delivered", "slack", notice.type)
    assert known(notice.key, "slack", ours).status is Status.DELIVERED
    assert known(notice.key, "teams", ours) is None
    assert not (ours.root / "notifications_out").exists()


@pytest.mark.parametrize("trouble", [500, 503, 429, "drop"])
def test_passing_trouble_is_tried_again(desk, notice, trouble):
    """Three times wrong, then right: each pause is longer, the first is the channel's rate."""
    with hook(trouble, 503, 503) as server:
        ours = desk(SLACK_WEBHOOK_URL=server.url())
        (done,) = deliver(notice, [SLACK], ours)
    assert (done.status, done.attempts) == (Status.DELIVERED, 4)
    assert ours.clock.at - AT == pytest.approx(1.0 + 1.5 + 3.0)


def test_nobody_listens(desk, notice):
    """Tried to the end of its attempts, then kept with the reason."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    ours = desk(SLACK_WEBHOOK_URL=f"http://127.0.0.1:{port}/services/secret")
    (done,) = deliver(notice, [SLACK], ours)
    assert (done.status, done.attempts) == (Status.KEPT, 6)
    assert done.reason == "127.0.0.1: connection refused"
    (letter,) = kept(ours)
    assert letter["reason"] == done.reason
    assert letter["payload"]["text"] == "production: gate breached: dhash 1.4.0"
    assert known(notice.key, "slack", ours).file == done.file


@pytest.mark.parametrize("header", ["17", format_datetime(datetime.fromtimestamp(AT + 17, UTC))])
def test_retry_after_is_honoured(desk, notice, header):
    """Seconds or a date."""
    with hook((429, {"Retry-After": header}, "")) as server:
        ours = desk(SLACK_WEBHOOK_URL=server.url())
        (done,) = deliver(notice, [SLACK], ours)
    assert done.attempts == 2
    assert ours.clock.at - AT == pytest.approx(17)


def test_a_wait_beyond_the_deadline_is_not_begun(desk, notice):
    """It is kept at once, and the reason says how long the service asked for."""
    with hook((429, {"Retry-After": "3600"}, "")) as server:
        ours = desk(SLACK_WEBHOOK_URL=server.url())
        (done,) = deliver(notice, [SLACK], ours)
    assert (done.status, done.attempts) == (Status.KEPT, 1)
    assert done.reason.endswith("answered 429; the next attempt in 3600 s would be too late")
    assert ours.clock.at == AT


@pytest.mark.parametrize("status", [400, 403, 404, 410])
def test_a_refusal_is_not_repeated(desk, notice, status):
    """The service's words are in the reason, without the address."""
    said = "invalid_token verysecretpath in /services/T000/B000/verysecretpath"
    with hook((status, {}, said)) as server:
        ours = desk(SLACK_WEBHOOK_URL=server.url())
        (done,) = deliver(notice, [SLACK], ours)
    assert (done.status, done.attempts) == (Status.KEPT, 1)
    assert f"answered {status}: invalid_token" in done.reason
    assert "verysecretpath" not in done.reason + everything_written(ours)


def test_what_may_have_arrived_is_sent_at_most_once_more(desk, notice):
    """Accepted and then reset, again and again: one visible duplicate, and a person is told."""
    with hook(*["reset"] * 9) as server:
        ours = desk(SLACK_WEBHOOK_URL=server.url())
        (done,) = deliver(notice, [SLACK], ours)
        (again,) = deliver(notice, [SLACK], ours)
        assert server.keys == [notice.key] * 2
        assert done.status is Status.KEPT
        assert done.reason.endswith("it may have arrived all the same")
        assert again.status is Status.KEPT
        (insisted,) = deliver(notice, [SLACK], ours, insist=True)
    assert server.keys == [notice.key] * 4
    assert insisted.status is Status.KEPT


def test_pagerduty_drops_seconds_itself(desk, notice):
    """So it is tried on; its key is in the body that is sent, and nowhere else."""
    with hook("reset", "reset", "reset", 202) as server:
        ours = desk(
            PAGERDUTY_ROUTING_KEY="R0123456789ABCDEF0123456789ABCDE",
            PAGERDUTY_EVENTS_URL=server.url("/v2/enqueue"),
        )
        (done,) = deliver(notice, [PAGER], ours)
    assert (done.status, len(server.got)) == (Status.DELIVERED, 4)
    assert {event["dedup_key"] for event in server.got} == {"production-1"}
    assert server.got[0]["routing_key"] == "R0123456789ABCDEF0123456789ABCDE"
    assert "R0123456789" not in everything_written(ours)


def test_an_answer_that_breaks_off_after_its_status_is_an_answer(desk, notice):
    """The status is what counts."""
    with hook("half") as server:
        (done,) = deliver(notice, [SLACK], desk(SLACK_WEBHOOK_URL=server.url()))
    assert (done.status, done.attempts) == (Status.DELIVERED, 1)


def test_a_server_that_does_not_answer_is_given_up(desk, notice):
    """It may have heard."""
    with hook("slow", "slow") as server:
        ours = desk(SLACK_WEBHOOK_URL=server.url(), patience=Patience(answer=0.2))
        (done,) = deliver(notice, [SLACK], ours)
    assert done.status is Status.KEPT
    assert "no answer in time" in done.reason
    assert "it may have arrived all the same" in done.reason
    assert len(server.got) == 2


def test_a_slow_channel_does_not_hold_up_the_others(desk, notice):
    """The console speaks while the first channel's server has not answered."""
    with hook("slow") as server:
        ours = desk(SLACK_WEBHOOK_URL=server.url())

        def free(_):
            server.freed.set()

        # Nothing but the console's line frees the slow server.
        done = deliver(notice, [SLACK, CONSOLE], replace(ours, say=free))
    assert [one.status for one in done] == [Status.DELIVERED] * 2
    assert [one.attempts for one in done] == [1, 1]


@pytest.mark.parametrize("where", ["https://elsewhere.example/x", "/services/other"])
def test_redirects_are_not_followed(desk, notice, where):
    """Wherever they lead."""
    with hook((302, {"Location": where}, "")) as server:
        (done,) = deliver(notice, [SLACK], desk(SLACK_WEBHOOK_URL=server.url()))
    assert (done.status, len(server.got)) == (Status.KEPT, 1)
    assert done.reason.endswith("answered 302: redirects are not followed")


@pytest.mark.parametrize(
    ("url", "what"),
    [
        ("http://hooks.slack.com/services/secret", "is http://"),
        ("ftp://hooks.slack.com/secret", "is no https:// address"),
        ("...", "is no https:// address"),
        ("https://user:secret@hooks.slack.com/x", "contains a user or a password"),
        ("https://[bad", "is no address"),
        ("https://hooks.slack.com/a b", "is no https:// address"),
        ("https://hooks.slack.com/a\r\nX: y", "is no https:// address"),
    ],
)
def test_an_address_that_cannot_be_used_is_told_by_its_variable(desk, notice, url, what):
    """Never by itself."""
    ours = desk(SLACK_WEBHOOK_URL=url)
    (done,) = deliver(notice, [SLACK], ours)
    assert (done.status, done.attempts) == (Status.KEPT, 0)
    assert done.reason.startswith(f"SLACK_WEBHOOK_URL {what}")
    assert "secret" not in everything_written(ours)


def test_https_with_a_certificate_that_is_trusted(desk, notice, authority):
    """The whole way."""
    with hook(certificate=AUTHORITY.issue_cert("127.0.0.1")) as server:
        (done,) = deliver(notice, [SLACK], desk(SLACK_WEBHOOK_URL=server.url()))
    assert (done.status, len(server.got)) == (Status.DELIVERED, 1)


@pytest.mark.parametrize("wrong", ["authority", "name"])
def test_a_certificate_that_is_not_trusted_is_refused(desk, notice, authority, wrong):
    """Nothing is sent, nothing is tried again."""
    issuer = trustme.CA() if wrong == "authority" else AUTHORITY
    name = "127.0.0.1" if wrong == "authority" else "other.example"
    with hook(certificate=issuer.issue_cert(name)) as server:
        (done,) = deliver(notice, [SLACK], desk(SLACK_WEBHOOK_URL=server.url()))
    assert (done.status, done.attempts, server.got) == (Status.KEPT, 1, [])
    assert "the certificate of 127.0.0.1 is not trusted" in done.reason


def test_a_proxy_sees_the_host_and_nothing_else(desk, notice, authority, monkeypatch):
    """The certificate is checked through it."""
    name = "hooks.chat.example"
    with (
        hook(certificate=AUTHORITY.issue_cert(name)) as server,
        proxy(server.port) as (port, asked),
    ):
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{port}")
        ours = desk(SLACK_WEBHOOK_URL=f"https://{name}/services/verysecretpath")
        (done,) = deliver(notice, [SLACK], ours)
    assert (done.status, len(server.got)) == (Status.DELIVERED, 1)
    assert asked[0] == f"CONNECT {name}:443 HTTP/1.0"
    assert "verysecretpath" not in "".join(asked)


def test_a_proxy_that_refuses_is_told(desk, notice, authority, monkeypatch):
    """Tried again, as it may change its mind."""
    with proxy(0, refuses=True) as (port, _):
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{port}")
        ours = desk(SLACK_WEBHOOK_URL="https://hooks.chat.example/services/x")
        (done,) = deliver(notice, [SLACK], ours)
    assert (done.status, done.attempts) == (Status.KEPT, 6)
    assert done.reason == "hooks.chat.example: the proxy refused to connect"


def test_the_variable_with_url_wins_and_a_file_will_do(desk, notice, tmp_path):
    """SLACK_WEBHOOK_URL before SLACK_WEBHOOK; NAME_FILE names a file."""
    with hook() as right, hook() as wrong:
        both = {"SLACK_WEBHOOK_URL": right.url(), "SLACK_WEBHOOK": wrong.url()}
        deliver(notice, [SLACK], desk(root=tmp_path / "a", **both))
        secret = tmp_path / "secret"
        secret.write_text(right.url() + "\n")
        deliver(notice, [SLACK], desk(root=tmp_path / "b", SLACK_WEBHOOK_FILE=str(secret)))
        assert (len(right.got), len(wrong.got)) == (2, 0)
    gone = desk(root=tmp_path / "c", SLACK_WEBHOOK_FILE="/nowhere/secret")
    (done,) = deliver(notice, [SLACK], gone)
    assert done.reason == (
        "SLACK_WEBHOOK_FILE names a file that cannot be read: No such file or directory"
    )


def test_old_connectors_say_200_when_they_did_not_deliver(desk, notice):
    """Their body tells."""
    said = "Webhook message delivery failed with error: HTTP error 429"
    channel = Channel("teams", ChannelKind.TEAMS_CONNECTOR)
    with hook((200, {}, said), (200, {}, "1")) as server:
        (done,) = deliver(notice, [channel], desk(TEAMS_WEBHOOK=server.url()))
    assert (done.status, done.attempts) == (Status.DELIVERED, 2)


def test_a_dry_run_sends_nothing_and_says_what_is_missing(desk, notice):
    """And it does not count as delivered."""
    with hook() as server:
        ours = desk(SLACK_WEBHOOK_URL=server.url())
        pager = Channel("pagerduty", ChannelKind.PAGERDUTY)
        done = deliver(notice, [SLACK, pager], ours, dry_run=True)
        assert server.got == []
        assert [one.status for one in done] == [Status.DRY_RUN] * 2
        assert done[0].reason == "nothing was sent"
        assert done[1].reason.endswith("it could not be: PAGERDUTY_ROUTING_KEY is not set")
        assert {letter["status"] for letter in kept(ours)} == {"dry-run"}
        deliver(notice, [SLACK], ours)
        assert len(server.got) == 1
    assert [entry["status"] for entry in ledger(ours)] == ["dry-run", "dry-run", "delivered"]


def test_a_letter_goes_when_its_notice_was_delivered_after_all(desk, notice):
    """The ledger says so."""
    with hook(404) as server:
        ours = desk(SLACK_WEBHOOK_URL=server.url())
        deliver(notice, [SLACK], ours)
        assert len(kept(ours)) == 1
        (done,) = deliver(replace(notice, at=AT + 99), [SLACK], ours)
    assert (done.status, kept(ours)) == (Status.DELIVERED, [])
    (entry,) = ledger(ours)
    assert (entry["status"], entry["file"]) == ("delivered", "")


def test_the_same_content_without_a_key_is_the_same_notice_for_ten_minutes(desk, notice):
    """A pipeline's retry is not shown twice; next week's reminder is shown."""
    plain = replace(notice, key="")
    with hook() as server:
        ours = desk(SLACK_WEBHOOK_URL=server.url())
        deliver(plain, [SLACK], ours)
        ours.clock.at += 300
        (again,) = deliver(replace(plain, at=ours.clock.at), [SLACK], ours)
        assert again.again
        ours.clock.at += 601
        (later,) = deliver(replace(plain, at=ours.clock.at), [SLACK], ours)
        assert not later.again
        (other,) = deliver(replace(plain, message="another"), [SLACK], ours)
        assert not other.again
    assert len(server.got) == 3


def test_a_channel_is_not_flooded(desk, notice):
    """Slack takes one a second: the second notice waits for its turn."""
    with hook() as server:
        ours = desk(SLACK_WEBHOOK_URL=server.url())
        for number in range(3):
            deliver(replace(notice, key=f"k{number}"), [SLACK], ours)
    assert server.keys == ["k0", "k1", "k2"]
    assert ours.clock.at - AT == pytest.approx(2.0)


def test_a_quiet_notice_is_not_for_a_loud_channel(desk, notice):
    """But an alarm's end is."""
    alarms = replace(PAGER, at_least=Severity.WARNING)
    with hook(202) as server:
        ours = desk(PAGERDUTY_ROUTING_KEY="R0", PAGERDUTY_EVENTS_URL=server.url())
        (quiet,) = deliver(replace(notice, type="watch", key="w"), [alarms], ours)
        (ended,) = deliver(replace(notice, type="window-complete", key="e"), [alarms], ours)
    assert (quiet.status, ended.status) == (Status.SKIPPED, Status.DELIVERED)
    assert [event["event_action"] for event in server.got] == ["resolve"]


def test_a_disk_that_cannot_be_written_does_not_stop_the_notice(desk, notice, tmp_path):
    """It tells that it was not written down."""
    root = tmp_path / "full"
    root.mkdir()
    for name in ("logs", ".rollout", "notifications_out"):
        (root / name).write_text("a file in the folder's place")
    with hook() as server:
        (done,) = deliver(notice, [SLACK], desk(root=root, SLACK_WEBHOOK_URL=server.url()))
    assert (done.status, len(server.got)) == (Status.DELIVERED, 1)
    assert not done.recorded
    assert "not written down" in done.reason


def test_the_file_channel_appends(desk, notice):
    """One JSON line per notice."""
    ours = desk()
    deliver(notice, [FILE], ours)
    deliver(replace(notice, key="other"), [FILE], ours)
    lines = (ours.root / "logs/notices.log").read_text().splitlines()
    assert [json.loads(line)["key"] for line in lines] == [notice.key, "other"]


def test_two_at_once_send_one(desk, notice):
    """Whoever comes second waits and finds it delivered."""
    with hook("slow") as server:
        ours = replace(desk(SLACK_WEBHOOK_URL=server.url()), clock=SystemClock())
        done = []

        def one():
            done.extend(deliver(notice, [SLACK], ours))

        threads = [threading.Thread(target=one) for _ in range(2)]
        for thread in threads:
            thread.start()
        while not server.got:
            threads[0].join(0.01)
        server.freed.set()
        for thread in threads:
            thread.join()
    assert len(server.got) == 1
    assert [one.status for one in done] == [Status.DELIVERED] * 2
    assert {one.again for one in done} == {True, False}
