"""`rollout smoke` and `rollout logs validate`: reports, exit codes, and what they refuse."""

import contextlib
from xml.etree import ElementTree as ET

import breakable_service
import pytest
from toy_configuration import ROLLOUT

from guarded_rollout.core.facts import Judged, PromoteAsked, StepBegan, StepFailed
from guarded_rollout.core.gates import Answer, Verdict
from guarded_rollout.core.plan import Step
from guarded_rollout.core.problems import Why
from guarded_rollout.core.report import ending_lines
from guarded_rollout.core.rollout import replay
from guarded_rollout.core.state import Hold, Phase, exit_code


def logs(project):
    return sorted(file.name for file in (project.root / "logs").iterdir())


def test_smoke_of_a_service_that_is_off_exits_3(project):
    """With each check's reason, and a count."""
    answer = project.run("smoke", "--json")
    assert answer.code == 3
    assert [result["problem"] for result in answer.document["results"]] == ["connection refused"]
    assert answer.document["passed"] is False
    assert "1 of 1 checks failed" in answer.err
    assert "FAILED  critical/api         health" in answer.err


def test_smoke_of_a_service_that_is_well_exits_0_and_leaves_its_report(project):
    """On the screen, in logs/ twice, and as JUnit."""
    with breakable_service.served() as (state, port):
        project.edit("127.0.0.1:18081", f"127.0.0.1:{port}")
        answer = project.run("smoke", "--quick", "--junit", project.root / "out" / "j.xml")
        state.broken = {"database down"}
    assert (answer.code, answer.err) == (0, "")
    assert answer.out.splitlines()[-2] == "all 1 checks passed"
    first, second = logs(project)
    assert first == "postdeploy-smoketests.log"
    assert second.startswith("postdeploy-smoketests_staging_2")
    text = (project.root / "logs" / second).read_text()
    assert text == (project.root / "logs" / first).read_text()
    assert "tier critical and more urgent: 1 checks, at most 600 s" in text
    assert ET.parse(project.root / "out" / "j.xml").find("testsuite").get("tests") == "1"


def test_a_post_rollback_run_says_what_it_left_out(project):
    """Checks that came with the new version are no verdict on the old one."""
    new = '\n[[service.checks]]\nname = "new"\npath = "/new"\nafter_rollback = false\n'
    project.edit("\n[environments.production]", f"{new}\n[environments.production]")
    answer = project.run("smoke", "--post-rollback")
    assert "after a rollback: the old version is asked what applies to it" in answer.out
    assert "left out, they came with the new version: new" in answer.out
    assert "1 of 1 checks failed" in answer.err
    assert "2 of 2 checks failed" in project.run("smoke").err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("smoke --tier critical --quick", "not allowed with argument"),
        ("smoke --timeout 0", "no time at all"),
        ("smoke --timeout soon", "is no duration"),
        ("logs validate --concurrency 1", "no number from 2 to 10000"),
        ("logs validate --lines many", "no number from 2 to 10000"),
        ("logs validate", "nothing is deployed in staging"),
    ],
)
def test_what_cannot_be_meant_is_refused(project, words, said):
    """Before anything is sent."""
    answer = project.run(*words.split())
    assert answer.code == 1
    assert said in answer.err
    assert not (project.root / "logs").exists()


def test_a_junit_file_that_cannot_be_written_is_said_with_the_verdict(project):
    """The checks did run."""
    answer = project.run("smoke", "--junit", "rollout.toml/j.xml")
    assert answer.code == 1
    assert "the checks did run: 1 of 1 checks failed" in answer.err


def test_a_logger_that_nobody_can_reach_is_said(project):
    """With what to write."""
    project.promoted()
    answer = project.run("logs", "validate", "--env", "production")
    assert ROLLOUT.count("service.logging") == 0
    assert answer.code == 1
    assert "[service.logging] is missing" in answer.err
    assert "log-probe" in answer.err


def test_a_release_that_answers_users_badly_after_its_watch_waits_for_a_person(project):
    """Both versions run; taken all the same, it is not asked again."""
    rollout = project.begin()
    failed = StepFailed(Step.SMOKE_USERS, Why("1 of 2 smoke checks failed", "read the log"))
    tries = [fact for turn in (1, 2, 3) for fact in (StepBegan(Step.SMOKE_USERS, turn), failed)]
    person = PromoteAsked("ops@here", "checked by hand")
    project.happen(rollout, *project.forward(rollout), person, *tries)

    def state():
        with contextlib.closing(project.journal()) as journal:
            return replay(entry.fact for entry in journal.entries(rollout))

    assert (state().phase, state().hold, exit_code(state())) == (Phase.HOLDING, Hold.UNWELL, 3)
    told = "\n".join(ending_lines(state(), rollout))
    assert "a person is needed: users are not answered as the spec wants: 1 of 2" in told
    assert "rollout rollback --env production" in told
    passes = Judged(9.0, (Verdict("healthFailures", Answer.PASS, "0 in a row", 0.0),))
    project.happen(rollout, passes, PromoteAsked("ops@here", "it is the check"))
    assert state().queue == (Step.RETIRE, Step.PRUNE, Step.REPORT)
