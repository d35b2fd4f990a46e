"""A broken file must not stand between a person and the old version."""

import pytest

from guarded_rollout.core.plan import Kind
from guarded_rollout.testing.examples import NEW, OLD

BREAKS = {
    "rollout.toml is no TOML": lambda project: project.write("rollout.toml", "[service\n"),
    "rollout.toml is gone": lambda project: (project.root / "rollout.toml").unlink(),
    "the environment is gone": lambda project: project.write(
        "rollout.toml",
        (project.root / "rollout.toml")
        .read_text()
        .replace("[environments.production]", "[environments.prod]"),
    ),
    "the gates file is no JSON": lambda project: project.write("quality-gates-config.json", "{,}"),
}


@pytest.fixture(params=BREAKS)
def broken(request, project):
    """Breaks the configuration in one of these ways, now."""
    return lambda: BREAKS[request.param](project)


def test_a_live_rollout_goes_back_whatever_the_files_say(project, broken):
    """They are not read at all: no warning either."""
    rollout = project.begin()
    broken()
    answer = project.run("rollback", "--env", "production", "--dry-run")
    assert (answer.code, answer.err) == (0, "")
    assert answer.out == f"would roll back deploy {rollout}\ndry run: nothing was changed\n"
    as_json = project.run("rollback", "--env", "production", "--dry-run", "--json")
    assert as_json.document == {"dry_run": True, "rollout": rollout}


def test_what_serves_goes_back_by_what_is_written_down_and_the_screen_says_so(project, broken):
    """The plan has the port and the replicas of the deploy that serves."""
    rollout = project.promoted()
    broken()
    answer = project.run("rollback", "--env", "production", "--dry-run")
    assert (answer.code, answer.err) == (0, "")
    lines = answer.out.splitlines()
    assert lines[0].startswith("warning: ")
    assert f"  -> goes on with the configuration that {rollout} was begun with" in lines
    assert f"rollback toy {NEW.name} in production\n  from     {OLD.name}" in answer.out
    assert "127.0.0.1:18080" in answer.out
    as_json = project.run("rollback", "--env", "production", "--dry-run", "--json")
    assert as_json.document["plan"]["baseline"]["version"] == OLD.version


def test_the_deploy_that_serves_counts_not_one_that_was_refused_since(project, broken):
    """Its configuration is the one that worked."""
    rollout = project.promoted()
    project.edit("127.0.0.1:18080", "127.0.0.1:18099")
    project.refused(name="production-later")
    broken()
    answer = project.run("rollback", "--env", "production", "--dry-run")
    assert f"  -> goes on with the configuration that {rollout} was begun with" in answer.out
    assert "127.0.0.1:18080" in answer.out


def test_status_shows_what_runs_and_what_is_wrong(project, broken):
    """In an emergency this is the first thing that is typed."""
    rollout = project.promoted()
    broken()
    answer = project.run("status", "--env", "production")
    assert answer.code == 0
    assert answer.out.startswith("warning: ")
    assert f"configuration that {rollout} was begun with" in answer.out
    assert f"  serving   {NEW.name}" in answer.out
    assert (
        project.run("status", "--env", "production", "--json").document["serving"]["name"]
        == NEW.name
    )


@pytest.mark.parametrize("words", [["watch"], ["resume"]], ids=" ".join)
def test_watch_and_resume_do_not_need_the_files(project, broken, words):
    """They work from the journal alone."""
    project.promoted()
    broken()
    answer = project.run(*words, "--env", "production")
    assert (answer.code, answer.err) == (0, "")


@pytest.mark.parametrize(
    "words", [["deploy"], ["monitor"], ["backup", "create"], ["smoke"]], ids=" ".join
)
def test_what_is_no_way_back_is_refused(project, broken, words):
    """Nothing new is begun on a configuration that nobody can read."""
    project.promoted()
    broken()
    before = project.tree()
    answer = project.run(*words, "--env", "production")
    assert answer.code == 1
    assert answer.err.startswith("rollout: ")
    assert project.tree() == before


def test_where_nothing_was_ever_deployed_the_file_s_error_is_the_answer(project):
    """There is nothing to go on with."""
    project.write("quality-gates-config.json", "{,}")
    answer = project.run("rollback", "--env", "production")
    assert answer.code == 1
    assert "quality-gates-config.json:1: is not valid JSON" in answer.err


def test_a_locked_database_does_not_hold_up_the_way_back(project, locked_database):
    """It may be the very reason to go back; the schema is just not shown."""
    project.promoted()
    with locked_database():
        answer = project.run("rollback", "--env", "production", "--dry-run")
    assert answer.code == 0
    assert "is locked: somebody held it for 5 s; traffic moves all the same" in answer.out


def test_a_live_rollout_that_has_just_ended_is_taken_back_as_what_serves(project, monkeypatch):
    """Between the look and the word it was promoted: the word still counts."""
    from guarded_rollout.cli import rolling_back

    rollout = project.begin()
    look = rolling_back.open_journal

    def promoted_meanwhile(places, *, look_only=False):
        journal = look(places, look_only=look_only)
        if not look_only and journal.active("production") is not None:
            project.promote(rollout)
        return journal

    monkeypatch.setattr(rolling_back, "open_journal", promoted_meanwhile)
    begun = []
    monkeypatch.setattr(
        rolling_back, "begin_and_follow", lambda *words: begun.append(words[-1]) or 0
    )
    answer = project.run("rollback", "--env", "production")
    assert answer.code == 0, answer
    assert f"{rollout} has just ended" in answer.out
    assert [(plan.kind, plan.candidate, plan.baseline) for plan in begun] == [
        (Kind.ROLLBACK, NEW, OLD)
    ]
