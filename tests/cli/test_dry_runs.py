"""Dry runs where nothing was ever deployed: they print the plan, and that is all they do."""

import json

import pytest

DRY = [
    ["deploy", "--dry-run"],
    ["deploy", "--dry-run", "--again", "--duration", "90"],
    ["migrate", "--dry-run"],
    ["backup", "create", "--dry-run"],
    ["backup", "create", "--dry-run", "--retention-days", "0"],
    ["backup", "prune", "--dry-run"],
]


@pytest.mark.parametrize("words", DRY, ids=" ".join)
def test_a_dry_run_leaves_an_empty_root_as_it_was(project, words):
    """Byte for byte, times included; with --json one document."""
    before = project.tree()
    answer = project.run(*words, "--env", "production")
    assert (answer.code, answer.err) == (0, "")
    assert answer.out.endswith("dry run: nothing was changed\n")
    as_json = project.run(*words, "--env", "production", "--json")
    assert as_json.document["dry_run"] is True
    assert as_json.err == answer.out
    assert project.tree() == before


def test_the_plan_of_a_dry_run_is_the_one_that_deploy_performs(project):
    """By its digest; the steps are in their order."""
    answer = project.run("deploy", "--env", "production", "--dry-run")
    document = project.run("deploy", "--env", "production", "--dry-run", "--json").document
    assert f"  digest   {document['digest']}" in answer.out
    steps = [line.split()[1] for line in answer.out.splitlines() if line.startswith("  step ")]
    assert steps == document["plan"]["forward"]
    assert document["plan"]["candidate"]["version"] == "1.0.0"


def test_duration_and_config_change_the_plan(project):
    """Minutes by default; a gates file elsewhere than in the root."""
    gates = {"environments": {"production": {"qualityGates": {"healthFailures": {"threshold": 7}}}}}
    project.write("elsewhere/gates.json", json.dumps(gates))
    words = ["--duration", "90", "--config", "elsewhere/gates.json"]
    answer = project.run("deploy", "--env", "production", "--dry-run", *words)
    assert answer.code == 0, answer.err
    assert "  watch    90 min: " in answer.out
    assert "healthFailures: more than 7 failed looks in a row" in answer.out


def test_source_is_meant_from_where_one_stands(project, monkeypatch):
    """Not from the root: the shell completes it there."""
    monkeypatch.chdir(project.root / "toy")
    words = ["--env", "production", "--dry-run", "--json"]
    here = project.run("deploy", *words, "--source", ".").document["plan"]
    assert here["spec"]["service"]["source"] == str(project.root / "toy")
    assert here["candidate"] == project.run("deploy", *words).document["plan"]["candidate"]


def test_a_secret_in_the_configuration_is_refused_without_showing_it(project):
    """The plan would be recorded in the journal and printed by every dry run."""
    project.edit("[service.metrics]", 'API_TOKEN = "s3cr3t-abcdef-123456"\n\n[service.metrics]')
    answer = project.run("deploy", "--env", "production", "--dry-run", "--json")
    assert answer.code == 1
    assert "rollout.toml:10: service.env.API_TOKEN" in answer.err
    assert "s3cr3t" not in answer.out + answer.err
