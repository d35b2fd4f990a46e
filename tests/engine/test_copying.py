"""Copies of backups: a place that fails is told and fails nothing but itself."""

from dataclasses import replace

import pytest

from guarded_rollout.core.fact_text import fact_lines
from guarded_rollout.core.facts import Started, StepDone
from guarded_rollout.core.plan import Kind, Step, make_plan
from guarded_rollout.core.problems import Broken
from guarded_rollout.core.report import ending_lines, plan_lines
from guarded_rollout.core.retention import DAY, Backup
from guarded_rollout.core.spec import CopyPlace
from guarded_rollout.core.state import Phase, exit_code
from guarded_rollout.engine.situation import read_situation
from guarded_rollout.testing import examples
from guarded_rollout.testing.copies import HeldCopy

DISK, S3 = CopyPlace("folder:/mnt/toy"), CopyPlace("s3://toy", required=True)


def begin(bench, kind, *places):
    spec = examples.spec()
    spec = replace(spec, environment=replace(spec.environment, copies=places))
    bench.world.candidate = examples.NEW
    situation = read_situation(bench.journal, "production", bench.world.schema)
    plan = make_plan(kind, spec, examples.NEW, situation)
    bench.journal.begin("production", "c1", Started(plan, "ops"), exclusive=kind is Kind.DEPLOY)
    return plan


def done(bench) -> StepDone:
    facts = [entry.fact for entry in bench.journal.entries("c1")]
    return next(f for f in facts if isinstance(f, StepDone) and f.step is Step.BACKUP)


def test_every_place_gets_its_copy(settled):
    """And the journal says so."""
    plan = begin(settled, Kind.BACKUP, DISK, S3)
    state = settled.drive("c1")
    backup = settled.world.backups[-1]
    name = backup.file.removeprefix("backups/")
    assert [list(held) for held in settled.world.copies.values()] == [[name], [name]]
    assert (state.phase, exit_code(state)) == (Phase.DONE, 0)
    assert [c["place"] for c in done(settled).outcome["copies"]] == [DISK.name, S3.name]
    assert "  copied to s3://toy, verified" in fact_lines(done(settled))
    assert "  copy     of the backup to s3://toy" in plan_lines(plan)


def test_a_deploy_goes_on_without_its_copies_and_names_the_place(settled):
    """Required or not: the way back needs the local backup only."""
    settled.world.fails["copy s3://toy"] = Broken("s3://toy cannot be used", "look at the server")
    begin(settled, Kind.DEPLOY, DISK, S3)
    assert settled.drive("c1").phase is Phase.DONE
    assert settled.serving() == examples.NEW
    lines = fact_lines(done(settled))
    assert "  copied to folder:/mnt/toy, verified" in lines
    assert "  WARNING: not copied: s3://toy cannot be used\n  -> look at the server" in lines


@pytest.mark.parametrize(("place", "code"), [(S3, 3), (replace(S3, required=False), 0)])
def test_a_backup_that_was_asked_for_needs_a_person_when_a_required_copy_is_missing(
    settled, place, code
):
    """Exit code 3; the local backup is there."""
    before = len(settled.world.backups)
    settled.world.fails["copy s3://toy"] = Broken("s3://toy cannot be used", "look")
    begin(settled, Kind.BACKUP, place)
    state = settled.drive("c1")
    assert exit_code(state) == code
    assert len(settled.world.backups) == before + 1
    told = any("no copy at s3://toy" in line for line in ending_lines(state, "c1"))
    assert told is (code == 3)


def test_each_place_keeps_its_own_time_and_never_loses_the_newest_sound_copy(settled):
    """Other environments' copies are not touched."""
    now = settled.clock.now()

    def held(environment, days):
        name = f"toy_{environment}_{days}.zip"
        return name, HeldCopy(
            Backup(name, environment, now - days * DAY, 1, "0", verified=False), None, "0"
        )

    long = replace(S3, retention_days=90)
    for place in (DISK, long):
        settled.world.copies[place.name] = dict(
            [held("production", 6), held("production", 8), held("production", 91),
             held("staging", 400)]
        )  # fmt: skip
    begin(settled, Kind.BACKUP, DISK, long)
    settled.drive("c1")
    kept = {name: sorted(held) for name, held in settled.world.copies.items()}
    assert "toy_production_91.zip" not in kept[long.name]
    assert "toy_production_8.zip" in kept[long.name]
    assert "toy_production_8.zip" not in kept[DISK.name]
    for names in kept.values():
        assert {"toy_production_6.zip", "toy_staging_400.zip"} <= set(names)
    assert done(settled).outcome["copies"][0]["removed"] == [
        "toy_production_91.zip",
        "toy_production_8.zip",
    ]


def test_where_the_copy_failed_nothing_is_removed(settled):
    """Old copies are more than none."""
    backup = Backup("toy_production_1.zip", "production", 0.0, 1, "0", verified=False)
    settled.world.copies[S3.name] = {backup.file: HeldCopy(backup, None, "0")}
    settled.world.fails["copy s3://toy"] = Broken("down", "look")
    begin(settled, Kind.BACKUP, S3)
    settled.drive("c1")
    assert list(settled.world.copies[S3.name]) == [backup.file]
