"""A rollout tells people, through a real server that misbehaves, though its guard is killed."""

import os
import signal

import pytest
from load import Load
from notice_servers import hook
from site_of_ours import Site, since_start

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def site():
    """1.0.0 serves; who deployed it told nobody."""
    with Site(watch="20s", replicas=1) as ours:
        yield ours.serve_first()


def notified(facts):
    return [
        (body["notice"].rpartition(":")[2], body["status"])
        for kind, body in since_start(facts)
        if kind == "notified" and body["channel"] == "webhook"
    ]


def test_a_rollback_is_told_in_order_and_its_ending_is_on_record(site, releases):
    """The server drops, answers 500 and 429 first; the guard is killed in mid watch."""
    with hook("drop", 500, (429, {"Retry-After": "1"}, "")) as server:
        site.env["NOTIFY_WEBHOOK_URL"] = server.url()
        with Load(site.port, pause=0.02):
            done = site.rollout(
                "deploy", "--env", "production", "--source", releases("failing"), "--detach"
            )
            assert done.returncode == 0, done.stderr
            site.wait_for(lambda f: any(kind == "observed" for kind, _ in since_start(f)))
            os.kill(site.guard_pid(), signal.SIGKILL)
            done = site.rollout("resume", "--env", "production", "--json")
        assert done.returncode == 2, done.stdout + done.stderr
        facts = site.wait_for(lambda f: ("rollback-success", "delivered") in notified(f))
        told = [type_ for type_, status in notified(facts) if status == "delivered"]
        assert told == [
            "deploy-start",
            "watch",
            "gate-breach",
            "rollback-start",
            "rollback-success",
        ]
        assert list(dict.fromkeys(got["type"] for got in server.got)) == told
        # A kill between sending and writing it down shows at most one again, with the same key.
        assert len(server.keys) <= len(told) + 4
        last = server.got[-1]
        assert "extractionFailureRate" in last["evidence"]
    assert site.rollout("audit", "verify").returncode == 0


def test_who_acknowledges_ends_the_alarm(site):
    """The guard that waited to call again has nothing to do any more."""

    def lingering():
        return [line for line in site.processes().values() if " guard " in line]

    site.until(lingering)
    done = site.rollout("ack", "--env", "production", "--reason", "found it")
    assert done.returncode == 0, done.stderr
    assert "nobody else is called" in done.stdout
    site.until(lambda: not lingering())
