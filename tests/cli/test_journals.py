"""Where the journal lies: moved from SQLite to PostgreSQL, found again, and on which machine."""

import json
import subprocess
import sys

import pytest
from journal_kinds import made

from guarded_rollout.core.facts import Started
from guarded_rollout.core.plan import Kind, Situation, make_plan
from guarded_rollout.testing.examples import NEW, OLD


@pytest.fixture
def on_postgres(project, postgres):
    """Puts the server into rollout.toml. Its address."""
    access = made(postgres)

    def turns():
        url = f"postgresql://{access.user}@{access.host}:{access.port}/{access.name}"
        text = (project.root / "rollout.toml").read_text()
        project.write("rollout.toml", f'[journal]\nurl = "{url}"\n{text}')
        return access

    return turns


def test_it_moves_from_sqlite_to_postgresql_and_back(project, on_postgres):
    """History, what serves, and whose turn it is are the same; the old file stays as it was."""
    sound = (project.root / "rollout.toml").read_text()
    project.promoted()
    before = project.run("status", "--env", "production", "--json").document
    first = project.run("audit", "verify", "--json").document

    def exported(name):
        answer = project.run("journal", "export")
        assert (answer.code, answer.err) == (0, "")
        project.write(name, answer.out)

    exported("one.jsonl")
    access = on_postgres()
    answer = project.run("status", "--env", "production")
    assert answer.code == 1
    assert f"names the journal {access}, but" in answer.err
    assert "rollout journal import" in answer.err
    answer = project.run("journal", "import", "one.jsonl")
    assert answer.code == 0, answer.err
    assert f"the journal is {access}" in answer.out
    assert project.run("audit", "verify", "--json").document == first
    assert project.run("status", "--env", "production", "--json").document == before
    again = project.run("journal", "import", "one.jsonl", "--json")
    assert again.document == {"entries": first["entries"], "head": first["head"], "imported": False}
    project.begin(Kind.MONITOR, serving=NEW, previous=OLD, name="m1")
    exported("two.jsonl")
    project.write("rollout.toml", sound)
    assert project.run("status", "--env", "production").code == 1
    answer = project.run("journal", "import", "two.jsonl")
    assert answer.code == 1
    assert f"has {first['entries']} entries already" in answer.err
    (project.root / ".rollout" / "journal.db").rename(project.root / "old.db")
    assert project.run("journal", "import", "two.jsonl").code == 0
    assert project.run("audit", "verify", "--json").document["entries"] == first["entries"] + 1


def test_an_import_that_is_refused_names_the_line(project):
    """And makes no journal."""
    project.write("all.jsonl", '{"format":"something else"}\n')
    answer = project.run("journal", "import", "all.jsonl")
    assert answer.code == 1
    assert "all.jsonl:1: this line was changed" in answer.err
    assert not (project.root / ".rollout").exists()
    answer = project.run("journal", "import", "none.jsonl")
    assert (answer.code, "none.jsonl cannot be read" in answer.err) == (1, True)


def test_a_broken_or_lost_configuration_still_finds_the_server(project, on_postgres):
    """As with the file: what runs must be found when it is needed most."""
    on_postgres()
    project.promoted()
    project.write("rollout.toml", "[journal\n")
    answer = project.run("status", "--env", "production")
    assert answer.code == 0, answer.err
    assert "warning: rollout.toml:1" in answer.out
    assert f"serving   {NEW.name}" in answer.out
    (project.root / "rollout.toml").unlink()
    answer = project.run("status", "--env", "production")
    assert answer.code == 0, answer.err
    assert f"serving   {NEW.name}" in answer.out


def test_a_server_that_is_away_is_said_in_words(project, on_postgres, postgres):
    """Exit code 1: nothing was changed."""
    access = on_postgres()
    project.promoted()
    postgres.stop()
    try:
        for words in (("status",), ("rollback", "--reason", "why")):
            answer = project.run(*words, "--env", "production")
            assert answer.code == 1
            assert f"the journal {access} does not answer" in answer.err
            assert "what serves goes on serving" in answer.err
    finally:
        postgres.start()
    assert project.run("status", "--env", "production").code == 0


@pytest.fixture
def lives_on(project, on_postgres, monkeypatch):
    """A rollout of production that was begun on a machine of that name."""

    def begins(machine):
        on_postgres()
        from guarded_rollout.adapters.configuration import load_spec

        plan = make_plan(
            Kind.DEPLOY, load_spec(project.root, "production"), NEW, Situation(OLD, None)
        )
        started = Started(plan, "ops@there", "", machine)
        project.journal().begin("production", "p1", started, exclusive=True)
        monkeypatch.setenv("ROLLOUT_MACHINE", "box-b")

    return begins


@pytest.mark.parametrize(
    "words",
    [
        ("deploy",),
        ("deploy", "--dry-run"),
        ("backup", "create"),
        ("resume",),
        ("guard", "--rollout", "p1"),
    ],
    ids=" ".join,
)
def test_what_lives_on_another_machine_is_not_driven_from_here(project, lives_on, words):
    """Its replicas are processes of that machine: said in one sentence, and nothing is written."""
    lives_on("box-a")
    before = project.run("audit", "verify", "--json").document
    answer = project.run(*words, "--env", "production")
    assert answer.code == 1, answer
    assert "production lives on box-a" in answer.err
    assert "and this is box-b" in answer.err
    assert "ROLLOUT_MACHINE=box-a rollout resume --env production" in answer.err
    assert project.run("audit", "verify", "--json").document == before


def test_it_can_be_looked_at_and_asked_from_everywhere(project, lives_on):
    """The journal is shared; its guard hears what is asked here."""
    lives_on("box-a")
    answer = project.run("status", "--env", "production")
    assert answer.code == 0
    assert "lives on box-a: this is box-b" in answer.out
    assert "guard     none is at work" in answer.out
    answer = project.run("rollback", "--env", "production", "--reason", "wrong", "--detach")
    assert answer.code == 0, answer.err
    assert project.journal().active("production") is None, "nothing was touched yet: that ends it"


def test_other_environments_and_the_machine_itself_are_free(project, lives_on, monkeypatch):
    """A machine that took the other's place says so."""
    lives_on("box-a")
    assert "lives on" not in project.run("status", "--env", "staging").out
    monkeypatch.setenv("ROLLOUT_MACHINE", "box-a")
    assert "lives on" not in project.run("status", "--env", "production").out


def test_a_project_without_a_journal_exports_an_empty_one(project):
    """It says what it is, and that there is nothing."""
    answer = project.run("journal", "export")
    assert (answer.code, answer.err) == (0, "")
    assert [json.loads(line).get("entries") for line in answer.out.splitlines()] == [None, 0]
    assert not (project.root / ".rollout").exists()


def test_an_export_that_nobody_reads_is_no_fault_of_the_tool(project):
    """`rollout journal export | head -1`."""
    project.promoted()
    process = subprocess.Popen(
        [sys.executable, "-m", "guarded_rollout", "journal", "export"],
        cwd=project.root,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    process.stdout.close()
    said = process.stderr.read()
    process.stderr.close()
    assert process.wait() == 141
    assert "standard output cannot be written" in said
