"""`rollout incident` and `rollout report`: out of the journal, without a guard."""

import contextlib

import pytest

from guarded_rollout.core.facts import Acknowledged


@pytest.fixture
def rolled_back(project):
    rollout = project.rolled_back()
    with contextlib.closing(project.journal()) as journal:
        last = journal.entries(rollout)[-1].seq
        journal.append(None, rollout, Acknowledged("bob", "harmless: a load test"), after=last)
    return rollout


def test_an_incident_is_there_though_nobody_wrote_it(project, rolled_back):
    """Printed, and written; once more by its name and as JSON."""
    answer = project.run("incident", "--env", "production", "--root", project.root)
    assert answer.code == 0, answer.err
    for wanted in (f"# INC-{rolled_back}", "p95 is 2300 ms", "harmless: a load test"):
        assert wanted in answer.out
    folder = project.root / "incidents"
    names = {file.name for file in folder.iterdir()}
    base = f"INC-{rolled_back}"
    assert names == {f"{base}.md", f"{base}.json", f"{base}-rca.md"}
    assert "it has no log on this machine" in (folder / f"{base}.md").read_text()
    assert "Root cause: INC-" in (folder / f"{base}-rca.md").read_text()
    words = ("incident", "--env", "production", "--rollout", rolled_back, "--json")
    answer = project.run(*words, "--root", project.root)
    assert answer.document["cause"] == "went-back"
    files = [f"incidents/{base}{end}" for end in (".md", ".json", "-rca.md")]
    assert answer.document["files"] == files


def test_where_nothing_went_wrong_there_is_none(project):
    """Exit code 1, nothing written, and what to look at instead."""
    rollout = project.promoted()
    for words in ((), ("--rollout", rollout), ("--rollout", "nobody")):
        answer = project.run("incident", "--env", "production", *words, "--root", project.root)
        assert answer.code == 1
        assert "rollout status --env production" in answer.err
    assert not (project.root / "incidents").exists()


def test_an_issue_needs_a_repository(project, rolled_back):
    """The incident is shown and written all the same."""
    words = ("incident", "--env", "production", "--issue", "--json", "--root", project.root)
    answer = project.run(*words)
    assert answer.code == 3
    assert "names no repository" in answer.err
    assert answer.document["rollout"] == rolled_back


def test_an_issue_without_a_token_says_so(project, rolled_back, monkeypatch):
    """In words; nothing is sent."""
    for name in ("GITHUB_TOKEN", "GH_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    text = (project.root / "rollout.toml").read_text()
    project.write("rollout.toml", f'{text}\n[notify.github]\nrepository = "acme/shop"\n')
    answer = project.run("incident", "--env", "production", "--issue", "--root", project.root)
    assert answer.code == 3
    assert "issue: kept, GITHUB_TOKEN or GH_TOKEN is not set" in answer.out


def test_a_report_can_be_had_again(project, rolled_back):
    """The Markdown, or the JSON that the guard writes."""
    answer = project.run("report", "--env", "production", "--root", project.root)
    assert answer.code == 0, answer.err
    assert "# Deploy report: `production`" in answer.out
    assert "| `confirm` |" in answer.out
    words = ("report", "--rollout", rolled_back, "--env", "production", "--json")
    assert project.run(*words, "--root", project.root).document["phase"] == "rolled-back"


def test_a_report_on_the_gates(project, rolled_back):
    """What was watched, a false alarm, and too little for anything else."""
    words = ("report", "tuning", "--env", "production", "--root", project.root)
    answer = project.run(*words)
    assert answer.code == 0, answer.err
    assert "1 watches, 1 false alarms." in answer.out
    assert "bob: harmless: a load test" in answer.out
    document = project.run(*words, "--hours", "24", "--json").document
    assert document["watched"][0]["rollout"] == rolled_back
    assert document["gaps"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("report", "--hours", "24"), "--hours goes with tuning"),
        (("report", "tuning", "--rollout", "x"), "--rollout goes with"),
        (("report", "tuning", "--hours", "0"), "no number of hours"),
        (("report", "tuning", "--hours", "nan"), "no number of hours"),
        (("report", "yesterday"), "yesterday"),
        (("report", "--rollout", "nobody"), "there is no rollout nobody"),
        (("report", "--env", "nowhere"), "nowhere"),
        (("report", "tuning", "--env", "nowhere"), "nowhere"),
    ],
)
def test_words_that_make_no_sense_are_refused(project, rolled_back, words, said):
    """With one clear error and exit code 1."""
    del rolled_back
    where = () if "--env" in words else ("--env", "production")
    answer = project.run(*words, *where, "--root", project.root)
    assert answer.code == 1
    assert said in answer.err
