"""Notices need nothing but a Python: no package, no set-up, no environment."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from notice_servers import hook

ROOT = Path(__file__).parents[2]
NEEDED = ("src", "scripts", "templates", "rollout.toml")
LINE = ["--type", "deploy", "--env", "production", "--message", "Deployment complete"]


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """A fresh clone: no .venv, nothing installed."""
    root = tmp_path_factory.mktemp("clone")
    for name in NEEDED:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy2
        copy(ROOT / name, root / name)
    return root


def base_python():
    """The interpreter below the virtual environment."""
    return os.path.realpath(sys.executable)


def run(checkout, *words, **environ):
    return subprocess.run(
        words,
        cwd=checkout,
        env={"PATH": os.environ["PATH"], "PYTHON": base_python(), **environ},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_bare_interpreter_sends(checkout):
    """`python3 -I -S` on the checkout, to a real server."""
    with hook() as server:
        bare = (base_python(), "-I", "-S", "src/guarded_rollout", "notify", *LINE)
        done = run(checkout, *bare, "--channels", "slack", SLACK_WEBHOOK_URL=server.url())
    assert (done.returncode, done.stdout, done.stderr) == (0, "slack: delivered\n", "")
    assert server.got[0]["blocks"][1]["text"]["text"] == "Deployment complete"


def test_nothing_is_imported_but_the_standard_library_and_ourselves(checkout):
    """Every module that is loaded after every kind of channel was used."""
    program = """
import sys
sys.path.insert(0, "src")
from guarded_rollout.cli.app import main
code = main(["notify", "--type", "error", "--message", "x", "--channels",
             "slack,teams,teams-connector,discord,email,webhook,pagerduty,console,file"])
ours = {name.partition(".")[0] for name in sys.modules}
print(code, sorted(ours - set(sys.stdlib_module_names)))
"""
    bare = (base_python(), "-I", "-S", "-c", program)
    kinds = ("SLACK", "TEAMS", "DISCORD", "NOTIFY")
    with hook() as server:
        environ = {f"{kind}_WEBHOOK": server.url() for kind in kinds}
        done = run(checkout, *bare, **environ)
    assert len(server.got) == 5
    assert done.stdout.splitlines()[-1] == "0 ['__main__', 'guarded_rollout']", done.stderr


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("scripts/notify.js", LINE),
        ("scripts/deploy/deploy-notify.js", ["start", "--env", "staging", "--dry-run"]),
    ],
)
def test_the_scripts_work_in_a_fresh_clone(checkout, script, words):
    """From another folder too: the project is the folder one stands in."""
    done = run(checkout, "node", script, *words)
    assert done.returncode == 0, done.stderr
    assert json.loads((checkout / "logs/notifications.json").read_text())[-1]["key"]
    help_page = run(checkout, "node", script, "--help")
    assert (help_page.returncode, help_page.stderr) == (0, "")
    assert "examples:\n  rollout notify" in help_page.stdout
    wrong = run(checkout, "node", script, "--env")
    assert wrong.returncode == 1


def test_without_a_python_the_script_says_what_to_install(checkout, tmp_path):
    """One error, no traceback."""
    node = shutil.which("node")
    done = run(checkout, node, "scripts/notify.js", *LINE, PATH=str(tmp_path), PYTHON="")
    assert done.returncode == 1
    assert "Python 3.11 or newer is missing\n  -> " in done.stderr
