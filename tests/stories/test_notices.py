"""A rollout tells people, through a real server that misbehaves, though its guard is killed."""

import json
import os
import shutil
import signal

import pytest
from bad_releases import FAILING_GATES
from github_server import REPOSITORY, TOKEN, github
from load import Load
from notice_servers import hook
from site_of_ours import GATES, Site, began, since_start

from guarded_rollout.core.plan import Step

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


def incident_of(site):
    """The newest rollout's document and page, and its logs by their names."""
    folder = site.root / "incidents"
    (document,) = [json.loads(file.read_text()) for file in folder.glob("*.json")]
    name = document["incident"]
    logs = {file.name: file.read_text() for file in (folder / name).iterdir()}
    return document, (folder / f"{name}.md").read_text(), logs


def backup_of(facts):
    """What the newest rollout's backup step has said."""
    done = [body for kind, body in since_start(facts) if kind == "step-done"]
    return next(body["outcome"] for body in done if body["step"] == Step.BACKUP)


def check_incident(site):
    """The gate's numbers, the backup's checksum, and what both arms have printed."""
    document, page, logs = incident_of(site)
    assert document["phase"] == "rolled-back"
    breaches = [one for one in document["gates"] if one["at"] is not None]
    assert breaches
    assert {one["gate"] for one in breaches} <= FAILING_GATES
    assert all(one["verdict"]["reason"] in page for one in breaches)
    backup = backup_of(site.facts())
    checksum = (site.root / f"{backup['file']}.sha256").read_text().split()[0]
    assert checksum in page
    plots = {(one["what"], one["baseline"]): one for one in document["plots"]}
    failed = max(filter(None, plots["work that failed", False]["values"]))
    assert failed > GATES["extractionFailureRate"]["threshold"]
    for release in (document["candidate"], document["baseline"]):
        name = f"{release['version']}-{release['digest'][:12]}-0.log"
        lines = [json.loads(line) for line in logs[name].splitlines() if line.startswith("{")]
        assert {line["version"] for line in lines} == {release["version"]}
    failing = f"{document['candidate']['version']}-{document['candidate']['digest'][:12]}-0.log"
    assert "extract" in logs[failing]
    assert (site.root / "incidents" / f"{document['incident']}-rca.md").exists()
    return document


def test_a_rollback_is_told_in_order_and_its_ending_is_on_record(site, releases):
    """The server drops, answers 500 and 429 first; the guard is killed in mid watch.

    GitHub takes the issue and dies before it says so: there is one.
    """
    with (
        hook("drop", 500, (429, {"Retry-After": "1"}, "")) as server,
        github(plan=[("POST", "take and drop")]) as hub,
    ):
        site.env["NOTIFY_WEBHOOK_URL"] = server.url()
        site.env["GITHUB_TOKEN"] = TOKEN
        toml = site.root / "rollout.toml"
        section = f'[notify.github]\nrepository = "{REPOSITORY}"\napi = "{hub.api}"\n'
        toml.write_text(f"{toml.read_text()}\n{section}")
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
        # A machine that is busy with other tests is told of, too.
        assert [type_ for type_ in told if type_ != "warning"] == [
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
        assert any(gate in last["evidence"] for gate in FAILING_GATES), last["evidence"]
        document = check_incident(site)
        assert last["look"] == f"incidents/{document['incident']}.md"
        site.until(
            lambda: any("rollback-success" in one["body"] for one in hub.comments.get(1, ()))
        )
        (issue,) = hub.issues
        assert issue["title"].startswith(document["incident"])
        assert document["backup"]["sha256"] in issue["body"]
        toml.write_text(toml.read_text().replace(section, ""))
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


def test_an_incident_outlives_its_guard_and_a_disk_that_took_nothing(site, releases):
    """Something stands where the files should be; the guard is killed -9 right after the ending."""
    folder = site.root / "incidents"
    shutil.rmtree(folder)
    folder.write_text("a file is in the way")
    site.env["NOTIFY_WEBHOOK_URL"] = "http://127.0.0.1:1/nobody"
    with Load(site.port, pause=0.02):
        done = site.rollout(
            "deploy", "--env", "production", "--source", releases("failing"), "--detach"
        )
        assert done.returncode == 0, done.stderr
        pid = site.wait_until_guarded()
        facts = site.wait_for(began(Step.REPORT, "step-done"))
    os.kill(pid, signal.SIGKILL)
    (report,) = [
        body["outcome"]
        for kind, body in since_start(facts)
        if kind == "step-done" and body["step"] == Step.REPORT
    ]
    assert any("incidents/" in problem for problem in report["problems"])
    assert site.serving() == "1.0.0"
    folder.unlink()
    done = site.rollout("incident", "--env", "production", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    document = check_incident(site)
    assert json.loads(done.stdout)["incident"] == document["incident"]
    page = site.rollout("incident", "--env", "production")
    assert page.returncode == 0
    assert document["backup"]["sha256"] in page.stdout
    done = site.rollout("ack", "--env", "production", "--reason", "harmless: only a test")
    assert done.returncode == 0, done.stderr
    assert incident_of(site)[0]["acknowledged"] is not None


def test_the_reports_are_there_again(site):
    """Of the newest deployment, and of what some days of watching say about the gates."""
    done = site.rollout("report", "--env", "production")
    assert done.returncode == 0, done.stderr
    for wanted in ("rolled back", "| `confirm` |", "SHA-256", "extractionFailureRate"):
        assert wanted in done.stdout, wanted
    reports = list((site.root / "logs").glob("deployment_report_production_*.md"))
    assert len(reports) == 3
    done = site.rollout("report", "tuning", "--env", "production", "--hours", "24", "--json")
    assert done.returncode == 0, done.stderr
    tuning = json.loads(done.stdout)
    last = tuning["watched"][-1]
    assert last["harmless"].endswith("harmless: only a test")
    assert last["requests"] > 0
    assert any(gate["breached"] for gate in last["gates"])
    page = site.rollout("report", "tuning", "--env", "production")
    assert page.returncode == 0, page.stderr
    assert "harmless: only a test" in page.stdout
