"""status, watch, audit verify and the lists: what they show, and that they change nothing."""

import contextlib
import sqlite3

import pytest

from guarded_rollout.core.facts import StepBegan, StepFailed
from guarded_rollout.core.plan import Kind, Step
from guarded_rollout.core.problems import Why
from guarded_rollout.testing.examples import NEW, OLD


def stuck(project):
    """A way back that failed three times: no guard is at work, a person is needed."""
    rollout = project.begin(Kind.ROLLBACK, serving=NEW, previous=OLD)
    failed = StepFailed(Step.RETURN, Why("the disk is on fire", "put it out"))
    facts = [fact for turn in (1, 2, 3) for fact in (StepBegan(Step.RETURN, turn), failed)]
    project.happen(rollout, *facts)
    return rollout


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        (
            ["status"],
            ["toy in staging", "serving   nothing", "127.0.0.1:18081 is off", "none is active"],
        ),
        (["backup", "list"], ["no backup of staging"]),
        (["audit", "verify"], ["there is no journal yet"]),
    ],
    ids=lambda words: words[0],
)
def test_looking_at_an_empty_root_makes_no_file(project, words, shown):
    """Nothing is deployed is a fact, not an error."""
    before = project.tree()
    answer = project.run(*words)
    assert (answer.code, answer.err) == (0, "")
    for text in shown:
        assert text in answer.out
    assert project.run(*words, "--json").code == 0
    assert project.tree() == before


def test_status_of_nothing_is_one_document(project):
    """The same for machines."""
    document = project.run("status", "--env", "production", "--json").document
    assert document["environment"] == "production"
    assert document["serving"] is document["previous"] is document["active"] is None
    assert document["replicas"] == []
    assert document["traffic"] == {"running": False, "to": None, "listen": "127.0.0.1:18080"}


def test_status_of_a_stuck_rollout_starts_no_guard(project):
    """Nobody can do anything before a person did: a guard would only fill the journal."""
    rollout = stuck(project)
    before = project.tree()
    for _ in range(2):
        answer = project.run("status", "--env", "production")
        assert answer.code == 0
        assert f"rollback {rollout}, stuck" in answer.out
        assert "guard     none is at work" in answer.out
        assert "stuck, a person is needed: ops@here" not in answer.out
        assert "the disk is on fire" in answer.out
    active = project.run("status", "--env", "production", "--json").document["active"]
    assert (active["phase"], active["resumed"]) == ("stuck", False)
    assert project.tree() == before


@pytest.mark.parametrize("words", [["watch"], ["resume"]], ids=" ".join)
def test_watch_and_resume_of_a_stuck_rollout_exit_3_at_once(project, words):
    """They say what to mend and what to type then."""
    stuck(project)
    answer = project.run(*words, "--env", "production")
    assert answer.code == 3
    assert "the disk is on fire" in answer.out
    assert "mend what it names, then: rollout rollback --env production" in answer.out


@pytest.mark.parametrize(
    ("happened", "code", "shown"),
    [
        ("promoted", 0, f"promoted: {NEW.name} serves production"),
        (
            "rolled_back",
            2,
            f"rolled back: {OLD.name} serves production\n  because p95: p95 is 2300 ms",
        ),
        ("refused", 1, "refused, nothing was changed: preflight: port 127.0.0.1:18080 is taken"),
    ],
    ids=["promoted", "rolled back", "refused"],
)
def test_watch_of_an_ended_rollout_shows_it_from_its_beginning(project, happened, code, shown):
    """The newest, or the one that is named; with its own exit code; changing nothing."""
    rollout = getattr(project, happened)()
    before = project.tree()
    answer = project.run("watch", "--env", "production")
    assert (answer.code, answer.err) == (code, "")
    assert "started by ops@here" in answer.out.splitlines()[0]
    assert shown in answer.out
    named = project.run("watch", "--env", "production", "--rollout", rollout, "--json")
    assert named.code == code == named.document["exit_code"]
    assert named.document["rollout"] == rollout
    assert named.err == answer.out
    assert project.tree() == before


def test_a_rollback_that_comes_too_late_says_so_and_looks_at_what_serves(project):
    """The rollout has ended between two looks: what serves now can still be taken back."""
    project.promoted()
    answer = project.run("rollback", "--env", "production", "--dry-run")
    assert answer.code == 0
    assert f"rollback toy {NEW.name} in production\n  from     {OLD.name}" in answer.out


def test_audit_verify_of_a_whole_journal_names_its_head(project):
    """To be noted elsewhere: entries cut off at the end do not show otherwise."""
    project.promoted()
    document = project.run("audit", "verify", "--json").document
    answer = project.run("audit", "verify")
    assert answer.code == 0
    assert document["problem"] is None
    whole = f"{document['entries']} entries, 1 rollouts, head {document['head']}"
    assert answer.out == f"the journal is whole: {whole}\n"


def test_audit_verify_finds_one_flipped_byte(project):
    """It names the entry, exits with 3, and stays one JSON document."""
    project.promoted()
    file = project.root / ".rollout" / "journal.db"
    with contextlib.closing(sqlite3.connect(file, isolation_level=None)) as db:
        db.execute("DROP TRIGGER facts_never_change")
        (body,) = db.execute("SELECT body FROM facts WHERE seq = 5").fetchone()
        where = body.index(b"build")
        flipped = body[:where] + bytes([body[where] ^ 1]) + body[where + 1 :]
        assert len(flipped) == len(body)
        db.execute("UPDATE facts SET body = ? WHERE seq = 5", (flipped,))
    answer = project.run("audit", "verify")
    assert (answer.code, answer.out) == (3, "")
    assert f"the journal {file} was changed: entry 5 was changed" in answer.err
    assert "keep the file as evidence" in answer.err
    as_json = project.run("audit", "verify", "--json")
    assert as_json.code == 3
    assert as_json.document["broken_at"] == 5
    assert as_json.document["error"]["exit_code"] == 3


def test_nobody_acts_on_a_changed_journal(project):
    """Not even a look at what serves: the entry is named instead."""
    project.promoted()
    file = project.root / ".rollout" / "journal.db"
    with contextlib.closing(sqlite3.connect(file, isolation_level=None)) as db:
        db.execute("DROP TRIGGER facts_never_change")
        db.execute(
            "UPDATE facts SET body = replace(body, ?, ?) WHERE seq = 1", (OLD.digest, "e" * 64)
        )
    for words in (["status"], ["rollback", "--force"], ["deploy"]):
        answer = project.run(*words, "--env", "production")
        assert answer.code == 1
        assert f"entry 1 of the journal {file} cannot be trusted" in answer.err


def test_a_file_that_is_no_journal_is_refused(project):
    """And left as it is."""
    project.write(".rollout/journal.db", "this is a letter, not a database" * 100)
    before = project.tree()
    for words in (["status"], ["deploy", "--env", "production"], ["resume", "--env", "production"]):
        answer = project.run(*words)
        assert answer.code == 1
        assert "journal.db" in answer.err
        assert "\n  -> " in answer.err
    assert project.run("audit", "verify").code == 3
    assert project.tree() == before
