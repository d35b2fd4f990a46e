"""A deployment whose journal is on a PostgreSQL that restarts and stays away, its guard killed."""

import json
import os
import signal

import psycopg
import pytest
from journal_kinds import made
from postgres_of_ours import PASSWORD, USER
from site_of_ours import ENVIRONMENT, Site, since_start

pytestmark = pytest.mark.slow


class SharedSite(Site):
    """Its journal is on a server."""

    def __init__(self, server, access):
        super().__init__(watch="30m")
        self._server = server
        self._access = access
        file = self.root / "rollout.toml"
        url = f"postgresql://{USER}@{access.host}:{access.port}/{access.name}"
        file.write_text(f'[journal]\nurl = "{url}"\n\n{file.read_text()}')
        self.env |= {"ROLLOUT_JOURNAL_PASSWORD": PASSWORD}
        self.env.pop("PGPASSWORD", None)

    def facts(self):
        try:
            rows = self._server.run(
                "SELECT kind, body FROM guarded_rollout.facts ORDER BY seq", name=self._access.name
            )
        except (psycopg.errors.UndefinedTable, psycopg.OperationalError):
            return []
        return [(kind, json.loads(body)) for kind, body in rows]


@pytest.fixture
def site(postgres):
    with SharedSite(postgres, made(postgres)) as found:
        yield found


def count(facts, kind):
    return sum(k == kind for k, _ in since_start(facts))


def goes_on(site, more=3):
    """The watch writes down what it sees."""
    seen = count(site.facts(), "observed")
    site.wait_for(lambda facts: count(facts, "observed") >= seen + more)


def test_a_watch_outlives_its_guard_and_its_journal_s_server(site, postgres):
    """Killed, restarted, away for longer than the lease lives: it goes on, nothing is undone."""
    done = site.rollout("deploy", "--env", ENVIRONMENT, "--detach")
    assert done.returncode == 0, done.stderr
    goes_on(site)
    first = site.guard_pid()
    os.kill(first, signal.SIGKILL)
    site.wait_for(lambda _: first not in site.processes())
    done = site.rollout("resume", "--env", ENVIRONMENT, "--detach")
    assert done.returncode == 0, done.stderr
    site.wait_for(lambda facts: count(facts, "adopted") == 1)
    goes_on(site)
    guard = site.guard_pid()
    assert guard != first

    postgres.stop()
    assert site.serving() == "1.0.0"
    postgres.start()
    goes_on(site)
    assert count(site.facts(), "adopted") == 1, "the same watch went on"

    follower = site.start("watch", "--env", ENVIRONMENT)
    assert "started by" in follower.stdout.readline()
    log = site.state / "logs" / "guard.log"
    (told,) = (site.root / "logs").glob("deploy_*.log")
    postgres.stop()
    try:
        site.wait_for(lambda _: "waiting for the journal" in told.read_text())
        assert site.serving() == "1.0.0"
        done = site.rollout("status", "--env", ENVIRONMENT)
        assert done.returncode == 1
        assert "does not answer" in done.stderr
    finally:
        postgres.start()
    site.wait_for(lambda facts: count(facts, "adopted") == 2)
    goes_on(site)
    assert site.guard_pid() == guard, "the same process waited for it"

    assert site.rollout("promote", "--env", ENVIRONMENT, "--reason", "seen enough").returncode == 0
    said = follower.communicate(timeout=60)[0]
    assert follower.returncode == 0, said
    assert "waiting for the journal" in said
    kinds = {kind for kind, _ in site.facts()}
    assert not kinds & {"rollback-asked", "step-failed"}
    assert site.serving() == "1.0.0"
    done = site.rollout("audit", "verify")
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in log.read_text()
    for file in (site.root / ".rollout").rglob("*"):
        if file.is_file() and file.stat().st_size < 2**20:
            assert PASSWORD.encode() not in file.read_bytes(), f"{file} has the password"


def test_two_agents_a_guard_that_is_killed_and_one_that_freezes(site):
    """The watch is taken over each time, within the lease; who wakes up cannot write any more."""
    with site.agent(), site.agent():
        done = site.rollout("deploy", "--env", ENVIRONMENT, "--detach")
        assert done.returncode == 0, done.stderr
        goes_on(site)
        killed = site.guard_pid()
        os.kill(killed, signal.SIGKILL)
        site.wait_for(lambda facts: count(facts, "adopted") == 1)
        goes_on(site)
        frozen = site.guard_pid()
        os.kill(frozen, signal.SIGSTOP)
        site.wait_for(lambda facts: count(facts, "adopted") == 2)
        goes_on(site)
        assert site.guard_pid() not in {killed, frozen}
        os.kill(frozen, signal.SIGCONT)
        site.until(lambda: frozen not in site.processes())
        goes_on(site)
        done = site.rollout("promote", "--env", ENVIRONMENT, "--reason", "seen enough")
        assert done.returncode == 0, done.stdout + done.stderr
    facts = site.facts()
    elapsed = [body["seen"]["elapsed"] for kind, body in facts if kind == "observed"]
    assert elapsed == sorted(set(elapsed)), "nobody wrote beside the owner"
    done = site.rollout("gates", "replay", "--env", ENVIRONMENT)
    assert "every verdict is the same" in done.stdout, "the evidence went on where it was"
    assert site.rollout("audit", "verify").returncode == 0
