"""Each smoke check that we ship passes on a service that is well, and fails on one that is not.

The service answers like dhash and is broken by one switch at a time. A check without a switch
that fails it, and it alone, is a defect: so this list and rollout.toml's are compared.
"""

from dataclasses import replace
from pathlib import Path
from threading import Barrier

import breakable_service
import pytest
from breakable_service import BREAKS, RELEASE, TOKEN

from guarded_rollout.adapters.clock import SystemClock
from guarded_rollout.adapters.configuration import load_spec
from guarded_rollout.adapters.web import HttpWeb
from guarded_rollout.core.problems import Broken
from guarded_rollout.core.spec import Check, Release, Tier
from guarded_rollout.engine.smoke import (
    Asked,
    Patience,
    body_of,
    checks_of,
    must_pass,
    run_check,
    smoke,
)
from guarded_rollout.ports import Address
from guarded_rollout.testing.fakes import ports_of
from guarded_rollout.testing.journal import MemoryJournal
from guarded_rollout.testing.world import World

ROOT = Path(__file__).parents[2]
SERVICE = load_spec(ROOT, "production", None, {}).service
WEB = HttpWeb(SystemClock())
PRIVATE = (
    Check("without a token", "/private", status=401, contains='"error":'),
    Check("with a token", "/private", token_env="SMOKE_TOKEN", json=(("secret", "1"),)),
)
"""dhash has nothing to log in to; another service's spec would have these."""
CHECKS = {check.name: replace(check, within_ms=60_000.0) for check in (*SERVICE.checks, *PRIVATE)}


@pytest.fixture(scope="module")
def service():
    with breakable_service.served() as served:
        yield served


@pytest.fixture
def asked(service, monkeypatch):
    state, port = service
    state.broken = set()
    state.asked.clear()
    monkeypatch.setenv("SMOKE_TOKEN", TOKEN)
    return Asked(Address(port=port), "production", (RELEASE,))


@pytest.fixture
def ports(tmp_path):
    """Real requests, a world in memory."""
    world = World(SystemClock(), ROOT)
    return replace(ports_of(world, MemoryJournal(world.clock)), web=WEB)


def run(asked, check):
    return run_check(WEB, asked, check, body_of(ROOT, check)).problem


def test_every_check_has_a_way_to_break_it():
    """A check that cannot fail is a defect."""
    assert sorted(BREAKS) == sorted(CHECKS)


def test_every_check_passes_on_a_service_that_is_well(asked):
    """All that are shipped, and those of a service with a login."""
    assert {name: run(asked, check) for name, check in CHECKS.items()} == dict.fromkeys(CHECKS)


@pytest.mark.parametrize("name", sorted(BREAKS))
def test_the_check_fails_on_a_service_that_is_broken_in_just_that_way(service, asked, name):
    """And it says what it saw."""
    service[0].broken = {BREAKS[name]}
    assert run(asked, CHECKS[name]) is not None
    quick = [c for c in CHECKS.values() if c.repeat == 1 and not c.body_size and c.name != name]
    same_file = {"wrong hash": {"hashes of many at once"}, "mixes up answers": {"extract a photo"}}
    also = same_file.get(BREAKS[name], set())
    failed = {check.name for check in quick if run(asked, check) is not None}
    assert failed <= also


@pytest.mark.parametrize(
    ("check", "said"),
    [
        (Check("x", "/version", status=404), "status 200 instead of 404"),
        (Check("x", "/version", contains="unicorn"), "does not contain 'unicorn'"),
        (Check("x", "/version", lacks=("zebra", "service")), "contains 'service'"),
        (Check("x", "/version", headers=(("X-Not", ""),)), "the header X-Not is missing"),
        (Check("x", "/version", headers=(("x-request-id", "z"),)), "is 'abc', not 'z'"),
        (Check("x", "/version", no_headers=("x-request-id",)), "should not be there"),
        (Check("x", "/version", json=(("version", '"1"'),)), 'version is "9.8.7", not "1"'),
        (Check("x", "/version", json=(("service.name", '"1"'),)), "has no service.name"),
        (Check("x", "/metrics", json=(("a", "1"),)), "the answer is no JSON"),
        (Check("x", "/integrity", json=(("problems", "[1]"),)), "problems is [], not [1]"),
        (Check("x", "/api/dhash/queue", json=(("total", "false"),)), "total is 0, not false"),
        (Check("x", "/version", token_env="NOT_SET"), "the variable NOT_SET is not set"),
        (Check("x", "/version", repeat=4, budget_ms=0.001), "p95 is"),
        (Check("x", "/version", repeat=4, status=201), "4 of 4 answers: status 200"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_expected_and_is_not_so_is_said(asked, check, said):
    """Every key of a check, by itself."""
    assert said in run(asked, check)


@pytest.mark.parametrize(("at_once", "well"), [(4, True), (1, False)])
def test_requests_are_sent_at_once(service, asked, at_once, well):
    """The service answers four together, or waits for the others until it gives up."""
    service[0].broken = {"answers in company only"}
    service[0].company = Barrier(4, timeout=60.0 if well else 0.05)
    check = replace(CHECKS["hashes of many at once"], repeat=4, concurrency=at_once, budget_ms=None)
    assert (run(asked, replace(check, within_ms=90_000.0)) is None) is well


def test_an_answer_that_takes_too_long_is_said(asked):
    """Given up, or come too late."""
    assert run(asked, replace(CHECKS["golden PDF"], within_ms=0.01)) is not None


def test_either_release_of_a_canary_may_answer(asked):
    """And a third may not."""
    check = CHECKS["version is the deployed release"]
    old = Release("dhash", "1.0.0", "ab" * 32)
    assert run(replace(asked, releases=(old, RELEASE)), check) is None
    assert 'not "1.0.0"' in run(replace(asked, releases=(old,)), check)
    assert "not a deployed release's" in run(replace(asked, releases=()), check)


def test_what_is_left_when_the_time_is_over_has_failed(asked, ports):
    """It is not silently left out."""
    heard = []
    checks = (replace(CHECKS["health"], name="first"), CHECKS["health"])
    results = smoke(ports, asked, checks, Patience(1e-9, heard.append))
    assert [result.problem for result in results] == ["not run: 1e-09 s are over"] * 2
    assert heard == list(results)


def test_critical_checks_stop_a_release(service, asked, ports):
    """The names of those that fail are in the problem."""
    checks = checks_of(SERVICE, Tier.CRITICAL)
    must_pass(ports, asked, "replica 1", checks)
    service[0].broken = {"database down"}
    with pytest.raises(Broken, match=r"1 of 5 smoke checks failed on replica 1: health: "):
        must_pass(ports, asked, "replica 1", checks)


def test_tiers_grow_and_an_old_version_is_asked_less():
    """A more urgent tier is part of the next."""
    critical, standard, everything = (checks_of(SERVICE, tier) for tier in Tier)
    assert set(critical) < set(standard) < set(everything) == set(SERVICE.checks)
    left = set(standard) - set(checks_of(SERVICE, Tier.STANDARD, rolled_back=True))
    assert [check.name for check in left] == ["headers"]


def test_nothing_that_a_service_refuses_is_sent_as_traffic():
    """It would count as a failure of the release that is watched."""
    assert {c.status for c in SERVICE.checks if c.as_traffic} == {200}
    assert all(c.repeat == 1 and not c.body_size for c in SERVICE.checks if c.as_traffic)
