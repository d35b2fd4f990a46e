"""dhash as a canary under load: a fresh control beside it, evidence decides."""

import pytest
from load import Load
from site_of_ours import Site

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def canary():
    """1.0.0 serves; users move by shares from now on, and each share has a control."""
    with Site(watch="40s", replicas=1) as site:
        site.as_canary((20, "6s"), (50, "6s"), control=True)
        yield site.serve_first()


def shares(report):
    return [step["outcome"]["percent"] for step in report["steps"] if "percent" in step["outcome"]]


def test_a_good_release_is_measured_and_gets_its_users_by_shares(canary, releases):
    """The A/A period, 20, 50, 100 %; no request is lost and no control is left."""
    with Load(canary.port, pause=0.02) as load:
        code, report = canary.deploy(releases("good"))
        tally = load.stop()
    assert (code, report["phase"]) == (0, "done"), report["reason"]
    assert shares(report) == [20.0, 50.0, 100.0]
    measured = next(step for step in report["steps"] if step["step"] == "calibrate")["outcome"]
    assert measured["between"] == "the old version and its control"
    assert {"requests", "proxy requests", "durations"} == {it["signal"] for it in measured["noise"]}
    compared = [it for it in report["verdicts"] if it["gate"].endswith("Compared")]
    assert {it["answer"] for it in compared} == {"pass"}
    assert all("0 of 0 in the baseline" not in it["reason"] for it in compared[:3])
    assert not tally.failed, (tally.statuses, tally.broken[:3])
    assert {replica["release"] for replica in canary.status()["replicas"]} == {
        f"1.0.1-{report['candidate']['digest'][:12]}"
    }


def test_a_release_that_fails_meets_few_users(canary, releases):
    """A fifth of its extractions fail: compared with the control it goes back from 20 %."""
    with Load(canary.port, pause=0.02) as load:
        code, report = canary.deploy(releases("failing"))
        tally = load.stop()
    assert (code, report["phase"]) == (2, "rolled-back"), report
    assert shares(report) == [20.0]
    assert "Compared" in report["reason"]
    assert not tally.broken, tally.broken[:3]
    assert canary.serving() == "1.0.1"
    assert {replica["release"] for replica in canary.status()["replicas"]} == {
        f"1.0.1-{report['baseline']['digest'][:12]}"
    }


def test_the_plan_says_what_each_stage_finds(canary):
    """From the traffic that the deploys before have recorded."""
    done = canary.rollout("deploy", "--env", "production", "--dry-run")
    assert done.returncode == 0, done.stderr
    assert "control  fresh processes of the old version" in done.stdout
    assert "power    20 % finds" in done.stdout
    assert "power    50 % finds" in done.stdout
