"""`rollout notify` and `rollout notify-deploy`."""

import json

import pytest
from notice_servers import hook

VARIABLES = ("SLACK", "TEAMS", "DISCORD", "NOTIFY")


@pytest.fixture(autouse=True)
def no_webhooks(monkeypatch):
    """Nobody's real channel."""
    for name in VARIABLES:
        for end in ("_WEBHOOK_URL", "_WEBHOOK", "_WEBHOOK_URL_FILE", "_WEBHOOK_FILE"):
            monkeypatch.delenv(name + end, raising=False)
    for name in ("SMTP_HOST", "PAGERDUTY_ROUTING_KEY", "APPRISE_URLS"):
        monkeypatch.delenv(name, raising=False)


SAY = ("notify", "--type", "warning", "--message", "Maintenance at 6")


def test_the_console_is_the_default(project):
    """Environment staging, as for everything that deploys nothing."""
    answer = project.run(*SAY)
    assert (answer.code, answer.err) == (0, "")
    assert answer.out.startswith("staging: warning\n\nMaintenance at 6\n")
    assert answer.out.endswith("console: delivered\n")


def test_a_webhook_is_told_everything(project, monkeypatch):
    """Every flag has its place."""
    with hook() as server:
        monkeypatch.setenv("NOTIFY_WEBHOOK_URL", server.url())
        monkeypatch.setenv("NOTIFY_WEBHOOK_TOKEN", "a-token-of-the-tests")
        answer = project.run(
            *("notify", "--type", "gate-breach", "--env", "production", "--message", "slow"),
            *("--service", "toy", "--version", "v1", "--initiator", "ann", "--duration", "5m 30s"),
            *("--evidence", "p95: 3 s", "--evidence", "n: 9", "--look", "https://x.example/y"),
            *("--done", "held", "--now", "look", "--rollout", "r1", "--key", "k1"),
            *("--channels", "webhook", "--json"),
        )
    assert answer.code == 0
    (delivery,) = answer.document["deliveries"]
    assert (delivery["status"], delivery["key"]) == ("delivered", "k1")
    (got,) = server.got
    assert {name: got[name] for name in ("version", "evidence", "now", "key", "severity")} == {
        "version": "v1",
        "evidence": "- p95: 3 s\n- n: 9",
        "now": "look",
        "key": "k1",
        "severity": "error",
    }
    assert server.headers[0]["Authorization"] == "Bearer a-token-of-the-tests"


@pytest.mark.parametrize("word", ["failure", "failed", "error"])
@pytest.mark.parametrize("dialect", ["--phase", "word"])
def test_both_dialects_and_all_words_for_a_failure(project, word, dialect):
    """One type."""
    phase = ("--phase", word) if dialect == "--phase" else (word,)
    answer = project.run("notify-deploy", *phase, "--env", "production", "--version", "v1.2.3")
    assert answer.code == 0
    assert answer.out.startswith("production: deployment failed: v1.2.3\n")
    (entry,) = json.loads((project.root / "logs/notifications.json").read_text())
    assert entry["type"] == "deploy-failure"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("notify",), "--type is missing"),
        (("notify", "--type", "error"), "--message is missing"),
        (("notify", "--type", "eror", "--message", "x"), "'eror' is none of deploy-start"),
        (("notify", "--type", "error", "--message", " "), "argument --message: it is empty"),
        ((*SAY, "--env", "prodution"), "there is no environment 'prodution'"),
        ((*SAY, "--channels", "slak"), "there is no channel 'slak'"),
        ((*SAY, "--channels", ","), "argument --channels: it is empty"),
        (("notify-deploy",), "the phase is missing"),
        (("notify-deploy", "begin"), "'begin' is none of start"),
        (("notify-deploy", "start", "--phase", "error"), "the two phases differ"),
    ],
)
def test_what_is_wrong_is_told_and_nothing_is_sent(project, words, said):
    """Exit code 1."""
    before = project.tree()
    answer = project.run(*words)
    assert (answer.code, answer.out) == (1, "")
    assert said in answer.err
    assert "\n  -> " in answer.err
    assert project.tree() == before


def test_what_cannot_be_delivered_is_kept_and_fails_no_pipeline(project, monkeypatch):
    """Unless the pipeline asks for it."""
    monkeypatch.setenv("SLACK_WEBHOOK", "...")
    answer = project.run(*SAY, "--channels", "slack,teams")
    assert answer.code == 0
    assert "warning: slack: not delivered: SLACK_WEBHOOK is no https:// address" in answer.err
    assert "warning: teams: not delivered: TEAMS_WEBHOOK_URL or TEAMS_WEBHOOK is not" in answer.err
    assert len(list((project.root / "notifications_out").iterdir())) == 2
    assert project.run(*SAY, "--channels", "teams", "--strict").code == 3


def test_retry_sends_what_was_kept(project, monkeypatch):
    """When the address is right; once."""
    project.run(*SAY, "--channels", "slack,console")
    with hook() as server:
        monkeypatch.setenv("SLACK_WEBHOOK_URL", server.url())
        assert project.run("notify", "retry").out == "slack: delivered\n"
        assert project.run("notify", "retry").out == "nothing was kept or cut off\n"
    assert len(server.got) == 1
    assert list((project.root / "notifications_out").iterdir()) == []


def test_check_finds_file_line_and_placeholder(project):
    """And exits with 1."""
    assert project.run("notify", "check").out == "templates/notifications: 0 findings\n"
    project.write("templates/notifications/hold.txt", "t\n{mesage}\n")
    answer = project.run("notify", "check", "--json")
    assert answer.code == 1
    (found,) = answer.document["findings"]
    assert (found["file"], found["line"]) == ("templates/notifications/hold.txt", 2)
    assert found["what"] == "unknown placeholder {mesage}"


def test_a_broken_configuration_does_not_keep_a_failure_secret(project, monkeypatch):
    """It warns and uses what is set up."""
    project.write("rollout.toml", "[notify\n")
    with hook() as server:
        monkeypatch.setenv("SLACK_WEBHOOK_URL", server.url())
        answer = project.run("notify-deploy", "failure", "--env", "production")
    assert (answer.code, len(server.got)) == (0, 1)
    assert "warning: rollout.toml:1: is not valid TOML" in answer.err


def test_where_nothing_can_be_written_and_nobody_reached_it_fails(project):
    """The one case in which a notice would be lost."""
    project.write("notifications_out", "in the way")
    answer = project.run(*SAY, "--channels", "slack")
    assert answer.code == 1
    assert "neither delivered nor kept: slack" in answer.err


def test_secrets_are_on_no_screen_and_in_no_file(project, monkeypatch):
    """Neither the webhook's nor one in the message."""
    with hook((403, {}, "no such hook /services/T000/B000/verysecretpath")) as server:
        monkeypatch.setenv("SLACK_WEBHOOK_URL", server.url())
        answer = project.run(
            *("notify", "--type", "error", "--message", "password=hunter2SECRET", "--verbose"),
            *("--channels", "slack,console"),
        )
    files = [file for file in project.root.rglob("*") if file.is_file()]
    written = "".join(file.read_text(errors="replace") for file in files)
    for secret in ("verysecretpath", "hunter2SECRET"):
        assert secret not in answer.out + answer.err + written


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_apprise_reaches_what_it_knows(project, monkeypatch):
    """The extra, with one of its real services."""
    with hook() as server:
        monkeypatch.setenv("APPRISE_URLS", f"json://127.0.0.1:{server.port}/x")
        answer = project.run(*SAY, "--channels", "apprise")
    assert answer.out == "apprise: delivered\n", answer.err
    assert server.got[0]["title"] == "staging: warning"
