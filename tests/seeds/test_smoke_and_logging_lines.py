"""The documents' command lines about smoke tests and logging validation, as typed, in a shell.

One real deployment of dhash for all of them. `.venv` lends `rollout` and installs nothing.
"""

import json
from xml.etree import ElementTree as ET

import pytest
from project_of_ours import Project

pytestmark = pytest.mark.slow

SMOKE = (
    "./scripts/smoke_tests.sh --env production",
    "./scripts/smoke_tests.sh --env production --timeout 600",
    "./scripts/smoke_tests.sh --env production --post-rollback",
    "./scripts/smoke_tests.sh --env production --tier critical",
    "./scripts/smoke_tests.sh --env production --tier all",
)
ALIASES = (
    "./scripts/smoke_tests.sh --env production --level critical --json",
    "./scripts/smoke_tests.sh --env production --quick --junit junit.xml",
)
LOGGING = (
    "node scripts/validate_logging.js --env production --concurrency 10",
    "node scripts/validate_logging.js --env production",
)
LINES = (*SMOKE, *LOGGING)


@pytest.fixture(scope="module")
def project():
    with Project() as ours:
        done = ours.type("./scripts/deploy_dhash.sh --env production")
        assert done.returncode == 0, done.stdout + done.stderr
        yield ours


def test_a_deploy_asks_as_a_user_after_the_watch(project):
    """The standard checks through the proxy, before the old version goes."""
    facts = [body for kind, body in project.facts() if kind == "step-done"]
    (said,) = [body["outcome"] for body in facts if body["step"] == "smoke-users"]
    assert said["tier"] == "standard"
    assert said["checks"] > 10


@pytest.mark.parametrize("line", SMOKE)
def test_a_smoke_line(project, line):
    """All pass on the real service, and the report lies where the documents look for it."""
    done = project.type(line)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "checks passed" in done.stdout
    newest = (project.root / "logs" / "postdeploy-smoketests.log").read_text()
    assert newest.splitlines()[-1] in done.stdout
    assert ("after a rollback" in newest) is ("--post-rollback" in line)
    assert ("many at once" in newest) is ("--tier all" in line)


def test_the_aliases(project):
    """--level and --quick are --tier."""
    documents = [project.type(line) for line in ALIASES]
    assert [done.returncode for done in documents] == [0, 0]
    results = json.loads(documents[0].stdout)["results"]
    assert {result["tier"] for result in results} == {"critical"}
    suite = ET.parse(project.root / "junit.xml").find("testsuite")
    assert suite.get("tests") == str(len(results))


@pytest.mark.parametrize("line", LOGGING)
def test_a_logging_line(project, line):
    """The release's own logger, the running service, and this tool's own logs."""
    done = project.type(line)
    assert done.returncode == 0, done.stdout + done.stderr
    text = (project.root / "logs" / "test_logging.log").read_text()
    assert "10 processes x 200 lines" in text
    for group in ("logger ", "running service ", "rollout's own log "):
        assert f"ok      {group}" in text
    assert "FAILED" not in text


@pytest.mark.parametrize("line", ["./scripts/smoke_tests.sh", "node scripts/validate_logging.js"])
def test_help_is_there(project, line):
    """With examples."""
    done = project.type(f"{line} --help")
    assert done.returncode == 0
    assert "examples:" in done.stdout
