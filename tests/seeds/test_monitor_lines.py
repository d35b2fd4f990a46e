"""The documents' command lines about watching, and about the logs it leaves, as typed, in a shell.

One real deployment of dhash for all of them. A watch of an hour is begun as the documents begin
it, and a person ends it once it has looked.
"""

import json
import os
import signal
import subprocess

import pytest
from project_of_ours import Project
from site_of_ours import ENVIRONMENT, since_start

pytestmark = pytest.mark.slow

HELP = "node scripts/monitor_dhash.js --help"
WHOLE = "node scripts/monitor_dhash.js --env production"
LONG = {
    "node scripts/monitor_dhash.js --env production --duration 60": 3600,
    (
        "node scripts/monitor_dhash.js \\\n"
        "  --env production \\\n"
        "  --config quality-gates-config.json \\\n"
        "  --duration 30"
    ): 1800,
}
TAILS = ("tail -f logs/deploy_production_*.log", "tail -f logs/monitor_production_*.log")
REPORTS = "cat logs/monitor_report_production_*.json | jq ."
LINES = (HELP, WHOLE, *LONG, *TAILS, REPORTS)


@pytest.fixture(scope="module")
def project():
    with Project() as ours:
        done = ours.type("./scripts/deploy_dhash.sh --env production")
        assert done.returncode == 0, done.stdout + done.stderr
        yield ours


def typed(project, line):
    """In the background, in a group of its own."""
    return subprocess.Popen(
        ["bash", "-c", line],
        cwd=project.root,
        env=project.env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )


def test_help_is_there(project):
    """Before there is anything to watch, too."""
    done = project.type(HELP)
    assert done.returncode == 0, done.stderr
    assert "rollout monitor" in done.stdout


def test_it_sets_up_what_is_missing(project):
    """As the .sh files do; a fresh clone has no packages."""
    mark = project.root / ".venv" / ".set-up-requirements-dev.lock"
    kept = mark.rename(mark.with_name("kept"))
    try:
        assert "set-up: installing the packages" in project.type(HELP).stderr
    finally:
        kept.rename(mark)


def test_a_watch_to_its_end(project):
    """What serves stays, and the exit code is 0."""
    before = project.serving()
    done = project.type(WHOLE)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "gates: pass" in done.stdout
    assert project.serving() == before


@pytest.mark.parametrize("line", LONG)
def test_a_long_watch_looks_and_can_be_ended(project, line):
    """For as long as it says, in minutes."""
    count = len(project.facts())
    with typed(project, line) as watching:
        project.wait_for(lambda facts: len(facts) > count and since_start(facts)[-1][0] == "judged")
        (started,) = (body for kind, body in since_start(project.facts()) if kind == "started")
        assert started["plan"]["kind"] == "monitor"
        watch = started["plan"]["spec"]["environment"]["watch"]["schedule"]
        assert watch["duration"] == LONG[line]
        done = project.rollout("promote", "--env", ENVIRONMENT, "--reason", "seen enough")
        assert done.returncode == 0, done.stdout + done.stderr
        assert watching.wait(60) == 0, watching.stdout.read()


@pytest.mark.parametrize("line", TAILS)
def test_a_log_is_followed(project, line):
    """From its last lines on, until somebody stops looking."""
    newest = max(project.root.glob(line.removeprefix("tail -f ")))
    last = newest.read_text().splitlines()[-1]
    with typed(project, line) as following:
        try:
            assert any(said.rstrip("\n") == last for said in following.stdout)
        finally:
            os.killpg(following.pid, signal.SIGTERM)


def test_the_reports_are_read(project):
    """Each is JSON, and lies beside its log too."""
    reports = sorted((project.root / "logs").glob("monitor_report_production_*.json"))
    assert len(reports) >= 1
    for report in reports:
        assert json.loads(report.read_text())["environment"] == ENVIRONMENT
        assert (project.root / "monitor_logs" / report.name).exists()
    done = project.type(REPORTS)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(f'"environment": "{ENVIRONMENT}"') >= len(reports)
