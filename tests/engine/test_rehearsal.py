"""What is proven before production is touched, on a world in memory."""

from guarded_rollout.core.migration_findings import Finding, Rule, Severity
from guarded_rollout.core.plan import Kind, Step, Way
from guarded_rollout.core.problems import Broken
from guarded_rollout.core.state import Phase
from guarded_rollout.testing import examples

OLD, NEW = examples.OLD.name, examples.NEW.name


def rehearsed(state):
    return state.outcomes[Step.REHEARSE]


def test_every_way_is_proven_on_a_scratch_database_that_is_gone_afterwards(advancing):
    """Up, down, up, both releases, down; then production, once."""
    state = advancing.deploy()
    assert state.phase is Phase.DONE
    assert rehearsed(state)["ways"] == [Way.FLIP, Way.DOWN, Way.RESTORE]
    assert rehearsed(state)["because"] == {}
    ledger = advancing.world.ledger
    start = ledger.index("scratch rehearse")
    assert ledger[start + 2 : ledger.index(f"start {NEW}")] == [
        "migrate on scratch 0002",
        "unmigrate on scratch 0001",
        "migrate on scratch 0002",
        f"try {NEW}",
        f"try {OLD}",
        "unmigrate on scratch 0001",
        "discard sqlite:////data/toy_rehearse.db",
        "migrate 0002",
    ]


def test_without_a_migration_the_backup_is_proven_all_the_same(settled):
    """It is restored and compared; nothing else is there to prove."""
    state = settled.deploy()
    assert rehearsed(state)["pending"] is False
    assert rehearsed(state)["restored"] == {"rows": 3, "tables": 1}
    assert "fill sqlite:////data/toy_rehearse.db" in settled.world.ledger


def test_an_old_release_that_does_not_live_with_the_schema_stops_the_deploy(advancing):
    """Refused before anything changed; the reason names the release, the flag, and what to do."""
    advancing.world.unfit = {(OLD, "0002")}
    state = advancing.deploy()
    assert state.phase is Phase.REFUSED
    assert rehearsed(state)["ways"] == [Way.DOWN, Way.RESTORE]
    assert OLD in state.reason
    assert "--forward-only" in state.reason
    assert advancing.world.schema == "0001"
    assert advancing.world.serving() == OLD


def test_allowed_by_a_person_it_goes_and_a_breach_takes_the_schema_down_first(advancing):
    """The way that was proven: down, then traffic."""
    advancing.world.unfit = {(OLD, "0002")}
    advancing.world.failing = {NEW: 0.5}
    state = advancing.deploy(forward_only="ann read it")
    assert state.phase is Phase.ROLLED_BACK
    assert advancing.world.schema == "0001"
    assert advancing.world.serving() == OLD
    ledger = advancing.world.ledger
    assert ledger.index("unmigrate 0001") < len(ledger) - 1 - ledger[::-1].index(f"route {OLD}")


def test_a_migration_without_a_way_down_flips_where_the_old_release_lives_with_it(advancing):
    """The old release does not need the way down."""
    advancing.world.fails = {
        "unmigrate on scratch": Broken("the migration has no way down", "write one")
    }
    state = advancing.deploy()
    assert state.phase is Phase.DONE
    assert rehearsed(state)["ways"] == [Way.FLIP, Way.RESTORE]
    assert rehearsed(state)["because"] == {Way.DOWN: "the migration has no way down"}


def test_a_migration_that_fails_on_the_copy_never_reaches_production(advancing):
    """Nor does it leave a scratch database."""
    advancing.world.fails = {"migrate on scratch": Broken("relation exists", "mend it")}
    state = advancing.deploy()
    assert state.phase is Phase.REFUSED
    assert advancing.world.scratches == {}
    assert advancing.world.schema == "0001"


def test_a_new_release_that_fails_on_the_copy_never_reaches_production(advancing):
    """Its migration neither."""
    advancing.world.unfit = {(NEW, "0002")}
    state = advancing.deploy()
    assert state.phase is Phase.REFUSED
    assert NEW in state.reason
    assert advancing.world.schema == "0001"


def finding(rule):
    return Finding(rule, "ALTER TABLE things ...", "so it is", "do it otherwise", Severity.REFUSED)


def test_a_lock_on_a_big_table_is_refused_whoever_allows_what(advancing):
    """Giving up the way back does not give users' waiting away."""
    advancing.world.findings = (finding(Rule.LONG_LOCK),)
    state = advancing.deploy(forward_only="ann read it")
    assert state.phase is Phase.REFUSED
    assert "so it is: ALTER TABLE things" in state.reason


def test_a_finding_that_breaks_the_old_release_is_no_flip_even_if_its_smoke_passes(advancing):
    """Smoke checks do not know every statement of the old release."""
    advancing.world.findings = (finding(Rule.DROP_COLUMN),)
    state = advancing.deploy()
    assert state.phase is Phase.REFUSED
    assert rehearsed(state)["ways"] == [Way.DOWN, Way.RESTORE]


def test_a_rehearsal_alone_changes_nothing_and_says_what_it_found(advancing):
    """`rollout rehearse`: no traffic, no schema, no process."""
    state = advancing.drive(advancing.begin(Kind.REHEARSE))
    assert state.phase is Phase.DONE
    assert rehearsed(state)["ways"] == [Way.FLIP, Way.DOWN, Way.RESTORE]
    assert advancing.world.schema == "0001"
    assert set(advancing.world.started) == {OLD}


def test_a_rollback_of_a_finished_deploy_knows_what_it_has_proven(advancing):
    """The old release lives only on the old schema: the schema goes down first."""
    advancing.world.unfit = {(OLD, "0002")}
    assert advancing.deploy(forward_only="ann read it").phase is Phase.DONE
    state = advancing.drive(advancing.begin(Kind.ROLLBACK, candidate=examples.NEW))
    assert state.phase is Phase.ROLLED_BACK
    assert (advancing.world.schema, advancing.world.serving()) == ("0001", OLD)
