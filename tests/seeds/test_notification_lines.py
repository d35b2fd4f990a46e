"""The documents' command lines about notices, as typed, in a shell, in a fresh clone.

There is no set-up: node and a bare Python do. Nothing outside of the machine is reached.
"""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from notice_servers import hook

REPOSITORY = Path(__file__).parents[2]
COPIED = ("src", "scripts", "templates", "rollout.toml")

DEPLOY = 'node scripts/notify.js --type deploy --env production --message "Deployment complete"'
DRY = 'node scripts/notify.js --type deploy --message "test" --dry-run'
START = (
    "node scripts/deploy/deploy-notify.js \\\n"
    "  --phase start \\\n"
    "  --env production \\\n"
    "  --version v1.2.3 \\\n"
    "  --initiator alice"
)
CHANNELS = (
    "node scripts/notify.js \\\n"
    "  --type warning \\\n"
    "  --env production \\\n"
    '  --message "Scheduled maintenance in 1 hour" \\\n'
    '  --channels "slack,teams,email"'
)
DRY_START = "node scripts/deploy/deploy-notify.js start --env staging --dry-run"
SUCCESS = (
    'SLACK_WEBHOOK="..." TEAMS_WEBHOOK="..." node scripts/deploy/deploy-notify.js success '
    '--env production --duration "5m 30s"'
)
HISTORY = "cat logs/notifications.json | jq '.[] | select(.type == \"error\")'"
LINES = (DEPLOY, DRY, START, CHANNELS, DRY_START, SUCCESS, HISTORY)


@pytest.fixture
def clone(tmp_path):
    for name in COPIED:
        copy = shutil.copytree if (REPOSITORY / name).is_dir() else shutil.copy2
        copy(REPOSITORY / name, tmp_path / name)
    return tmp_path


def typed(clone, line, **environ):
    """What somebody types in the root, without any variable of ours."""
    done = subprocess.run(
        ["bash", "-c", line],
        cwd=clone,
        env={"PATH": os.environ["PATH"], **environ},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done


def entries(clone):
    return json.loads((clone / "logs/notifications.json").read_text())


def letters(clone):
    found = [json.loads(file.read_text()) for file in (clone / "notifications_out").glob("*.json")]
    return {(letter["channel"], letter["status"]): letter["reason"] for letter in found}


def test_a_deployment_is_told(clone):
    """On the console, and on what is set up."""
    assert "Deployment complete" in typed(clone, DEPLOY).stdout
    with hook() as server:
        typed(clone, DEPLOY, SLACK_WEBHOOK_URL=server.url())
    assert server.got[0]["blocks"][1]["text"]["text"] == "Deployment complete"
    assert [entry["type"] for entry in entries(clone)] == ["deploy", "deploy"]


def test_dry_runs_send_nothing(clone):
    """They say what they would send, in notifications_out/."""
    with hook() as server:
        typed(clone, DRY, SLACK_WEBHOOK=server.url())
        typed(clone, DRY_START, SLACK_WEBHOOK=server.url())
    assert server.got == []
    assert len(list((clone / "notifications_out").glob("*_dry-run.json"))) == 4
    assert {entry["environment"] for entry in entries(clone)} == {"staging"}


def test_a_start_is_told(clone):
    """With version and initiator."""
    with hook() as server:
        typed(clone, START, DISCORD_WEBHOOK=server.url())
    (embed,) = server.got[0]["embeds"]
    assert embed["title"] == r"production\: deployment started\: v1.2.3"
    assert "Started by alice" in embed["description"]


def test_channels_that_are_not_set_up_are_kept_with_the_reason(clone):
    """The documents' own line on a machine without secrets."""
    done = typed(clone, CHANNELS)
    assert letters(clone) == {
        ("slack", "kept"): "SLACK_WEBHOOK_URL or SLACK_WEBHOOK is not set",
        ("teams", "kept"): "TEAMS_WEBHOOK_URL or TEAMS_WEBHOOK is not set",
        ("email", "kept"): "SMTP_HOST is not set",
    }
    assert done.stderr.count("warning: ") == 3


def test_channels_that_are_set_up_are_reached(clone):
    """Each once."""
    with hook() as slack, hook() as teams:
        urls = {"SLACK_WEBHOOK_URL": slack.url(), "TEAMS_WEBHOOK_URL": teams.url()}
        typed(clone, CHANNELS, **urls)
    assert (len(slack.got), len(teams.got)) == (1, 1)
    assert [entry["status"] for entry in entries(clone)].count("delivered") == 2


def test_the_documents_dots_are_no_address(clone):
    """The line as it stands, and the same with real addresses."""
    typed(clone, SUCCESS)
    assert letters(clone) == {
        ("slack", "kept"): "SLACK_WEBHOOK is no https:// address",
        ("teams", "kept"): "TEAMS_WEBHOOK is no https:// address",
    }
    with hook() as slack, hook() as teams:
        line = SUCCESS.replace("...", slack.url(), 1).replace("...", teams.url(), 1)
        typed(clone, line)
    assert len(slack.got) == len(teams.got) == 1
    card = json.dumps(teams.got[0])
    assert "Duration: 5m 30s" in card


def test_the_history_is_read_with_jq(clone):
    """jq's own words, on what was written; jq itself where it is installed."""
    typed(clone, 'node scripts/notify.js --type error --message "it broke"')
    typed(clone, DEPLOY)
    assert [entry["type"] for entry in entries(clone)] == ["error", "deploy"]
    if shutil.which("jq"):
        found = json.loads(typed(clone, HISTORY).stdout)
        assert (found["type"], found["message"]) == ("error", "it broke")
