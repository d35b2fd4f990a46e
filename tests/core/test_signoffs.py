"""Which sign-offs count, what is missing, and what they are bound to."""

from dataclasses import replace

import pytest

from guarded_rollout.core.announcing import read
from guarded_rollout.core.fact_text import fact_lines
from guarded_rollout.core.facts import Started, decode, encode
from guarded_rollout.core.plan import Kind, Situation, Way, Wish, make_plan
from guarded_rollout.core.report import report
from guarded_rollout.core.signoff_policy import Person, SignOffPolicy
from guarded_rollout.core.signoffs import signed_text, signing_digest, stand
from guarded_rollout.core.spec import DatabaseAddress, Migrations
from guarded_rollout.core.statement import (
    Refused,
    SignOff,
    Statement,
    read_statement,
    statement_text,
)
from guarded_rollout.testing import examples
from guarded_rollout.testing.examples import NEW, OLD

NOW, HOUR = 100_000.0, 3600.0
DIGEST = "d" * 64
POLICY = SignOffPolicy(
    needed=2,
    people=(
        Person("ann", ("ops",), ("ann", "ann.b@laptop")),
        Person("bob", (), ("bob",)),
        Person("cid", ("ops", "dba"), ("cid",)),
        Person("dan", (), ("dan",)),
    ),
    from_groups=(("ops", 1),),
    valid_seconds=24 * HOUR,
)


def signed(who, **changes):
    said = Statement(DIGEST, "production", NEW.name, who, f"{who}@here", NOW, NOW + HOUR)
    return SignOff(replace(said, **changes), f"signoffs/{who}.json", f"SHA256:{who}", "signature")


def standing(*found, now=NOW, starter="ci@box", policy=POLICY):
    return stand(policy, DIGEST, found, now, starter)


def test_two_people_one_of_ops_are_enough():
    """Nothing is missing, nothing is refused."""
    met = standing(signed("ann"), signed("bob"))
    assert (met.missing, met.refused) == ((), ())
    assert met.summary == "2 of 2 sign-offs (ann, bob)"


@pytest.mark.parametrize(
    ("who", "missing"),
    [
        ((), ("2 more", "1 from ops (ann, cid)")),
        (("ann",), ("1 more",)),
        (("bob",), ("1 more", "1 from ops (ann, cid)")),
        (("bob", "dan"), ("1 from ops (ann, cid)",)),
    ],
)
def test_what_is_missing_is_said_with_who_could_sign(who, missing):
    """How many of how many, and of which group."""
    assert standing(*map(signed, who)).missing == missing


@pytest.mark.parametrize(
    ("one", "why"),
    [
        (signed("eve"), "unknown signer: eve is not in [signoffs.people] of rollout.toml"),
        (signed("ann", digest="e" * 64), "it signs another plan: eeeeeeeeeeee, and this one is"),
        (signed("ann", expires=NOW), "it expired 0 s ago"),
        (signed("ann", at=NOW - 25 * HOUR, expires=NOW + HOUR), "it expired 60 min ago"),
        (signed("ann", at=NOW + 301, expires=NOW + HOUR), "it was signed 5 min 1 s in the future"),
        (signed("ann", account="ci@box"), "self-approved: ann is ci@box"),
    ],
    ids=["stranger", "replayed", "expired", "older than the policy", "future", "self"],
)
def test_what_does_not_count_is_refused_with_the_reason(one, why):
    """Whatever else is right about it."""
    found = standing(one, signed("bob"))
    assert [signoff.statement.who for signoff in found.accepted] == ["bob"]
    assert [refused.why[: len(why)] for refused in found.refused] == [why]


@pytest.mark.parametrize("starter", ["ann@anywhere", "ann.b@laptop"])
def test_every_account_of_a_person_is_that_person(starter):
    """A bare name on each machine, `name@machine` on that one."""
    assert standing(signed("ann"), signed("bob"), starter=starter).missing == (
        "1 more",
        "1 from ops (ann, cid)",
    )
    assert not standing(signed("ann"), signed("bob"), starter="ann.b@other").missing


def test_one_person_counts_once():
    """With two statements, or with two names and one key."""
    twice = standing(signed("ann"), signed("ann", reason="again"))
    assert twice.refused[0].why == "ann has signed already: signoffs/ann.json"
    same_key = standing(signed("ann"), replace(signed("bob"), key="SHA256:ann"))
    assert same_key.refused[0].why == "it is signed with the key of ann"
    without_keys = standing(replace(signed("ann"), key=""), replace(signed("bob"), key=""))
    assert not without_keys.missing


def test_what_the_source_refused_stays_refused():
    """With its own reason."""
    forged = Refused("signoffs/ann.json", "forged")
    assert standing(forged, signed("bob")).refused == (forged,)


PLAN = examples.plan()
SPEC = PLAN.spec
ENVIRONMENT, SERVICE = SPEC.environment, SPEC.service


def with_environment(**changes):
    return replace(PLAN, spec=replace(SPEC, environment=replace(ENVIRONMENT, **changes)))


def with_service(**changes):
    return replace(PLAN, spec=replace(SPEC, service=replace(SERVICE, **changes)))


@pytest.mark.parametrize(
    "changed",
    [
        replace(PLAN, candidate=replace(NEW, digest="c" * 64)),
        with_service(migrations=Migrations("other.ini")),
        with_service(checks=()),
        with_environment(
            gates=replace(ENVIRONMENT.gates, health=replace(ENVIRONMENT.gates.health, threshold=9))
        ),
        with_environment(retention_days=1),
        with_environment(database=DatabaseAddress("sqlite", path="other.db")),
        with_environment(watch=examples.watch(auto_rollback=False)),
        with_environment(name="staging"),
        with_environment(signoffs=POLICY),
        replace(PLAN, forward_only="because"),
        replace(PLAN, use_backup="backups/old.zip"),
    ],
)
def test_a_change_of_what_is_deployed_or_how_makes_another_digest(changed):
    """So the sign-offs are void."""
    assert signing_digest(changed) != signing_digest(PLAN)


@pytest.mark.parametrize(
    "same",
    [
        make_plan(Kind.DEPLOY, SPEC, NEW, Situation(None)),
        make_plan(Kind.DEPLOY, SPEC, NEW, Situation(OLD, schema="later")),
        make_plan(Kind.MIGRATE, SPEC, NEW, Situation(OLD)),
        replace(PLAN, ways=(Way.RESTORE,)),
        with_service(source="/elsewhere/toy"),
        replace(PLAN, spec=replace(SPEC, warnings=("a variable says something else",))),
    ],
    ids=["nothing serves", "schema", "migrate", "ways", "folder", "warnings"],
)
def test_what_changes_by_itself_is_not_signed(same):
    """Another folder, another schema, another old version: the same agreement."""
    assert same != PLAN
    assert signing_digest(same) == signing_digest(PLAN)


def test_an_older_backup_that_is_used_may_change_its_name():
    """What is agreed to is that none is made."""
    older, newer = (
        make_plan(Kind.DEPLOY, SPEC, NEW, Situation(OLD), Wish(use_backup=name))
        for name in ("a", "b")
    )
    assert signing_digest(older) == signing_digest(newer)


def test_the_text_names_what_a_person_wants_to_see():
    """Release, gates, backups, migrations."""
    for word in (NEW.digest, '"threshold": 2', '"retention_days": 7', "alembic.ini"):
        assert word in signed_text(PLAN)


def test_a_statement_is_read_to_the_byte():
    """Equal meaning in other bytes was not signed."""
    statement = signed("ann", reason="naïve").statement
    text = statement_text(statement).encode()
    assert read_statement(text) == statement
    bad = (text + b" ", b"{}", b"", b"\xff", b"[" * 100_000, text.replace(b"na", b"\\ud800"))
    assert [read_statement(one) for one in bad] == [None] * len(bad)


def test_the_journal_has_who_agreed_and_who_went_without():
    """On the screen, in the report, in the notices; older journals are read as before."""
    started = Started(PLAN, "ci@box", signoffs=(signed("bob"),), without_signoffs="users get 503")
    kind, body = encode(started)
    assert decode(kind, body) == started
    assert fact_lines(started)[1:] == [
        "  signed off by bob (bob@here, SHA256:bob)",
        "  WITHOUT THE SIGN-OFFS THAT ARE MISSING: users get 503",
    ]
    document = report("r1", [NOW], [started])
    assert document["without_signoffs"] == "users get 503"
    assert [one["statement"]["who"] for one in document["signoffs"]] == ["bob"]
    loud, usual = read("r1", [(1, NOW, started)]).notices
    assert (loud.type, loud.severity, usual.type) == ("error", "error", "deploy-start")
    assert "ci@box goes on without the sign-offs that are missing: users get 503" in loud.message
    quiet = Started(PLAN, "ci@box")
    assert [one.type for one in read("r1", [(1, NOW, quiet)]).notices] == ["deploy-start"]
    old = encode(quiet)[1].replace(b',"signoffs":[],"without_signoffs":""', b"")
    assert b"without_signoffs" not in old
    assert decode(kind, old) == quiet
