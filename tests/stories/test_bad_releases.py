"""Real bad releases of dhash, under load, with nobody at the keyboard."""

import pytest
from bad_releases import FAILING_GATES
from load import Load, read_access_log

pytestmark = pytest.mark.slow

BAD = {
    "slow": ({"p95HashTime"}, {}),
    "failing": (FAILING_GATES, {}),
    "crash-loop": ({"start: replica"}, {}),
    "unhealthy-later": ({""}, {"seconds": 8.0}),
    "growing-queue": ({"lowConfidenceQueue"}, {}),
}


def own_failures_only(site, start, version):
    """Every failure since `start` was answered by a replica of `version` itself."""
    logged = read_access_log(site.access_log, start)
    assert not logged.not_own, logged.not_own[:3]
    return logged


def test_a_good_release_is_promoted_and_a_person_can_take_it_back(site, releases):
    """Gates with evidence pass; a manual rollback starts the old version again."""
    before = site.access_log.stat().st_size
    with Load(site.port, pause=0.05) as load:
        code, report = site.deploy(releases("good"))
        assert (code, report["phase"]) == (0, "done"), report["reason"]
        assert {v["answer"] for v in report["verdicts"]} == {"pass"}
        assert site.serving() == "1.0.1"
        done = site.rollout("rollback", "--env", "production", "--reason", "only trying", "--force")
        tally = load.stop()
    assert done.returncode == 0, done.stdout + done.stderr
    assert site.serving() == "1.0.0"
    assert tally.failed == 0, (tally.statuses, tally.broken[:3])
    assert own_failures_only(site, before, "1.0.1").failed == 0


def test_a_migration_that_fails_is_refused_in_the_rehearsal(site, releases):
    """Production is not touched: neither its schema nor a request."""
    before = site.access_log.stat().st_size
    with Load(site.port, pause=0.05) as load:
        code, report = site.deploy(releases("bad-migration"))
        tally = load.stop()
    assert (code, report["phase"]) == (1, "refused"), report
    assert "rehearse: " in report["reason"]
    assert "no such table: no_such_table" in report["reason"]
    assert site.serving() == "1.0.0"
    assert tally.failed == 0, (tally.statuses, tally.broken[:3])
    assert own_failures_only(site, before, "1.0.0").failed == 0


@pytest.mark.parametrize("name", BAD)
def test_a_bad_release_goes_back_by_itself(site, releases, name):
    """The old version serves, the reason has its numbers, no request was lost on the way."""
    gates, options = BAD[name]
    before = site.access_log.stat().st_size
    with Load(site.port, pause=0.05) as load:
        code, report = site.deploy(releases(name, **options))
        tally = load.stop()
    assert code == 2, report
    assert report["phase"] == "rolled-back"
    assert any(gate in report["reason"] for gate in gates), report["reason"]
    assert report["baseline"]["version"] == "1.0.0" == site.serving()
    assert not tally.broken, tally.broken[:3]
    logged = own_failures_only(site, before, report["candidate"]["version"])
    if name != "failing":
        assert logged.failed == 0, logged.own
    replicas = {replica["release"] for replica in site.status()["replicas"]}
    assert replicas == {f"1.0.0-{report['baseline']['digest'][:12]}"}
    log = max((site.root / "logs").glob("deploy_production_*.log")).read_text()
    assert "Traceback" not in log


def test_the_journal_of_all_this_is_whole(site):
    """The hash chain holds."""
    done = site.rollout("audit", "verify", "--json")
    assert done.returncode == 0, done.stderr
