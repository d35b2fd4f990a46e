"""Bad input: one clear error, exit code 1, and the folder as it was."""

import json

import pytest

from guarded_rollout.cli import guard, looking, rollouts
from guarded_rollout.core.problems import Broken
from guarded_rollout.testing.examples import OLD

EVERYWHERE = [
    ["status"],
    ["watch"],
    ["smoke"],
    ["backup", "list"],
    ["backup", "verify"],
    ["backup", "create"],
    ["backup", "prune"],
    ["deploy"],
    ["deploy", "--dry-run"],
    ["migrate"],
    ["monitor"],
    ["rollback"],
    ["promote", "--reason", "x"],
    ["resume"],
]
WITH_CONFIGURATION = [
    words for words in EVERYWHERE if words[0] not in {"watch", "promote", "resume"}
]
ids = [" ".join(words) for words in EVERYWHERE]


def refused(project, *words, code=1):
    """Run it twice, the second time with --json: the same words, nothing changed. Returns them."""
    before = project.tree()
    answer = project.run(*words)
    assert answer.code == code, answer
    assert answer.out == ""
    assert answer.err.startswith("rollout: ")
    assert "\n  -> " in answer.err
    assert "Traceback" not in answer.err
    as_json = project.run(*words, "--json")
    assert (as_json.code, as_json.err) == (code, answer.err)
    error = as_json.document["error"]
    assert error["exit_code"] == code
    assert error["what"] in answer.err
    assert error["hint"] in answer.err
    assert project.tree() == before
    return answer.err


@pytest.mark.parametrize("words", EVERYWHERE, ids=ids)
def test_an_unknown_environment_is_refused_by_every_command(project, words):
    """Naming the file, the line and the one that was meant."""
    said = refused(project, *words, "--env", "prodction")
    line = (
        project.root.joinpath("rollout.toml")
        .read_text()
        .splitlines()
        .index("[environments.production]")
        + 1
    )
    assert f"rollout.toml:{line}: environments.prodction: no such environment" in said
    assert "did you mean production?" in said


@pytest.mark.parametrize("words", EVERYWHERE, ids=ids)
def test_a_folder_without_rollout_toml_is_refused_by_every_command(project, words, tmp_path):
    """Where one stands, and where --root points."""
    (project.root / "rollout.toml").unlink()
    said = refused(project, *words, "--env", "staging")
    assert f"there is no rollout.toml in {project.root} or above it" in said
    assert "--root FOLDER" in said
    said = refused(project, *words, "--env", "staging", "--root", tmp_path / "nowhere")
    assert f"there is no rollout.toml in {tmp_path / 'nowhere'}\n" in said


def test_audit_verify_refuses_a_folder_that_is_no_project(project, tmp_path):
    """A slip of the fingers must not be called a whole journal."""
    said = refused(project, "audit", "verify", "--root", tmp_path)
    assert "there is no rollout.toml" in said


def test_the_project_is_found_from_a_folder_inside_it(project, monkeypatch):
    """As git finds its own."""
    inside = project.root / "toy" / "src"
    monkeypatch.chdir(inside)
    assert project.run("status").code == 0


@pytest.mark.parametrize("words", WITH_CONFIGURATION, ids=" ".join)
def test_an_unknown_key_in_rollout_toml_is_named_with_file_and_line(project, words):
    """The key that was meant is suggested."""
    project.edit('health = "/health"\n', 'health = "/health"\nredy = "10s"\n')
    said = refused(project, *words, "--env", "production")
    assert "rollout.toml:6: service.redy: " in said
    assert "ready" in said


@pytest.mark.parametrize("words", WITH_CONFIGURATION, ids=" ".join)
def test_bad_json_in_the_gates_file_is_named_with_file_and_line(project, words):
    """With the column, and what to do about it."""
    project.write("quality-gates-config.json", '{\n  "environments": {},\n}\n')
    said = refused(project, *words, "--env", "production")
    assert "quality-gates-config.json:3: is not valid JSON, column 1" in said
    assert "remove the comma after the last entry" in said


@pytest.mark.parametrize("words", [["deploy"], ["monitor"]], ids=" ".join)
def test_a_duration_that_was_meant_in_seconds_is_refused(project, words):
    """5000 minutes are three and a half days."""
    said = refused(project, *words, "--env", "production", "--duration", "5000")
    assert "--duration: 5000 would be 5000 minutes, more than a day" in said
    assert 'for seconds write "5000s"' in said


@pytest.mark.parametrize("text", ["", "0", "-5", "soon", "1y"])
def test_a_duration_that_is_none_is_refused(project, text):
    """An empty one too: an unset variable must not mean the file's."""
    said = refused(project, "deploy", "--env", "production", f"--duration={text}")
    assert "--duration: " in said


def test_a_gates_file_that_is_named_must_be_there(project):
    """Otherwise its limits would silently be others."""
    said = refused(project, "deploy", "--env", "production", "--config", "no.json")
    assert "no.json" in said


def test_a_source_that_is_named_must_be_there(project):
    """Nothing is begun for it."""
    said = refused(project, "deploy", "--env", "production", "--source", "nowhere")
    assert "nowhere" in said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["monitor"], "nothing is deployed in production"),
        (["monitor", "--dry-run"], "nothing is deployed in production"),
        (["rollback"], "production has no earlier release to go back to"),
        (["rollback", "--dry-run"], "production has no earlier release to go back to"),
        (["rollback", "--backup", "backups/no.zip"], "there is no backup backups/no.zip"),
        (["promote", "--reason", "x"], "no rollout is active in production"),
        (["deploy", "--skip-backup"], "--skip-backup needs a verified backup of production"),
        (["backup", "verify"], "there is no backup of production"),
        (["backup", "verify", "backups/no.zip"], "there is no backup backups/no.zip"),
        (["watch"], "there is no rollout yet in production"),
        (["watch", "--rollout", "r1"], "there is no rollout r1 in production"),
        (["guard", "--rollout", "r1"], "there is no rollout r1 in production"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_be_done_where_nothing_is_deployed_is_refused(project, words, said):
    """Not even a journal is made for it."""
    assert said in refused(project, *words, "--env", "production")


def test_resume_where_nothing_is_active_is_no_error(project):
    """A machine that boots may always ask for it. Nothing is made for it."""
    before = project.tree()
    answer = project.run("resume", "--env", "production")
    assert (answer.code, answer.out, answer.err) == (0, "nothing to resume in production\n", "")
    answer = project.run("resume", "--env", "production", "--json")
    assert (answer.code, answer.document) == (0, {"phase": "none"})
    assert project.tree() == before


def test_a_second_rollout_names_the_active_one(project):
    """A dry run does not start its guard; a backup does not wait for an hour either."""
    rollout = project.begin()
    before = project.tree()
    for words in (["deploy"], ["migrate"], ["backup", "create"]):
        answer = project.run(*words, "--env", "production", "--dry-run")
        assert answer.code == 1
        assert f"deploy {rollout} is active in production since" in answer.err
        assert "undo it: rollout rollback --env production --reason WHY" in answer.err
        assert "guard" not in answer.err
    assert project.tree() == before


def test_promote_is_refused_while_there_is_nothing_to_promote_yet(project):
    """The phase is named; the journal has no trace of it."""
    project.begin()
    said = refused(project, "promote", "--env", "production", "--reason", "x")
    assert "cannot be promoted while it is preparing" in said


def test_a_release_that_was_deployed_again_is_no_earlier_release_of_itself(project):
    """Taking it back would stop the processes that serve."""
    again = project.begin(candidate=OLD, serving=OLD)
    project.promote(again)
    said = refused(project, "rollback", "--env", "production", "--force")
    assert "production has no earlier release to go back to" in said


def test_a_rollback_before_the_first_step_ends_the_rollout(project, monkeypatch):
    """There is no guard to write the ending down; the environment must be free all the same."""
    monkeypatch.setattr(guard, "spawn", None)
    rollout = project.begin()
    answer = project.run("rollback", "--env", "production", "--reason", "typed too fast")
    assert answer.code == 0, answer
    assert "refused, nothing was changed: asked by" in answer.out
    assert project.run("status", "--env", "production", "--json").document["active"] is None
    assert project.run("deploy", "--env", "production", "--dry-run").code == 0
    assert project.run("watch", "--env", "production", "--rollout", rollout).code == 1
    assert project.run("audit", "verify").code == 0


def test_losing_sight_of_a_rollout_is_not_called_nothing_changed(project, monkeypatch):
    """The journal's disk may fail while somebody watches: 3, not 1."""

    def fail(follower):
        raise Broken("the journal failed", "see what the system's log says of its disk")

    monkeypatch.setattr(guard, "spawn", lambda *_: None)
    monkeypatch.setattr(rollouts.Follower, "run", fail)
    rollout = project.begin()
    answer = project.run("watch", "--env", "production", "--json")
    assert answer.code == 3
    what = f"lost sight of {rollout}, which goes on: the journal failed"
    assert answer.document["error"]["what"] == what


def fail_with(monkeypatch, error):
    def fail(args):
        raise error

    monkeypatch.setattr(looking, "status", fail)


def interrupted(args):
    """A command during which somebody presses Ctrl-C."""
    raise KeyboardInterrupt


def test_a_defect_of_the_tool_exits_3_without_a_traceback(project, monkeypatch):
    """1 would say that nothing was changed, which nobody knows."""
    fail_with(monkeypatch, ZeroDivisionError("by zero"))
    said = refused(project, "status", code=3)
    assert "unexpected ZeroDivisionError: by zero" in said
    assert "--verbose" in said


@pytest.mark.parametrize("how", ["flag", "variable"])
def test_verbose_adds_the_traceback_and_changes_nothing_else(project, monkeypatch, how):
    """--verbose and DEBUG=1 are the same; DEBUG=0 is neither."""
    fail_with(monkeypatch, ZeroDivisionError("by zero"))
    monkeypatch.setenv("DEBUG", "1" if how == "variable" else "0")
    assert project.run("status").err.count("Traceback") == (how == "variable")
    answer = project.run("status", "--json", *(["--verbose"] if how == "flag" else []))
    assert answer.code == 3
    assert "Traceback" in answer.err
    assert ", in fail\n" in answer.err
    assert answer.document["error"]["exit_code"] == 3


def test_ctrl_c_exits_130_and_promises_no_more_than_is_known(project, monkeypatch):
    """A command that looks changed nothing; another one points to the status."""
    fail_with(monkeypatch, KeyboardInterrupt())
    answer = project.run("status", "--json")
    assert answer.code == 130
    assert answer.document["error"] == {
        "what": "interrupted",
        "hint": "nothing was changed",
        "exit_code": 130,
    }
    monkeypatch.setattr(rollouts, "deploy", interrupted)
    answer = project.run("deploy", "--env", "production")
    assert answer.code == 130
    assert answer.err == (
        "rollout: interrupted\n"
        "  -> a rollout that was begun goes on: rollout status --env production\n"
    )
    assert "nothing was changed" in project.run("deploy", "--env", "production", "--dry-run").err


def test_errors_do_not_show_secrets(project):
    """A password that somebody put into a URL, for instance."""
    answer = project.run("watch", "--env", "production", "--json", "--rollout", "password=hunter2")
    assert "hunter2" not in answer.out + answer.err
    assert "[redacted]" in json.dumps(answer.document)


def test_rows_are_given_up_with_a_restore_only(project):
    """Also with --force; and never without a reason."""
    for words in ([], ["--schema-down"], ["--force"]):
        said = refused(
            project, "rollback", "--env", "production", "--give-up-rows", "nobody wrote", *words
        )
        assert "--give-up-rows goes with --restore-data" in said
    answer = project.run("rollback", "--env", "production", "--restore-data", "--give-up-rows", " ")
    assert answer.code == 1
    assert "--give-up-rows" in answer.err
