"""What our own documents say to type is typed: the tutorial in its order, the others after it.

One site for all of them, with a short watch. What would change something is asked for its plan.
"""

import json
import re
import shlex
import shutil
import sys
from pathlib import Path

import pytest
from project_of_ours import Project
from seed_commands import commands, fenced, kept
from site_of_ours import free_port

from guarded_rollout.cli.commands import build_parser

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
TUTORIAL = ROOT / "docs" / "tutorial.md"
HOW_TO = sorted((ROOT / "docs" / "how-to").glob("*.md"))
PAGES = [ROOT / "DEPLOYMENT_OPERATIONS_GUIDE.md", ROOT / "docs" / "operators.md", *HOW_TO]

PARSER = build_parser()
SEEDS = {said.command for said in kept()}
STEPS = [command for _, command in commands(TUTORIAL.read_text())]
TYPED = {
    command: page.name
    for page in PAGES
    for _, command in commands(page.read_text())
    if command not in SEEDS
}
"""Each once; tests/seeds types those that the seed documents have too."""

ENDS_WITH = {"rollout deploy --env development --source /tmp/failing": 2}
PARSED_ONLY = ("ack",)
"""These change something and have no dry run; the tutorial types them where they belong."""


class Tutorial(Project):
    """`development` as shipped, but for the port, and seconds instead of minutes."""

    def _configure(self):
        self.dev_port = free_port()
        super()._configure()
        file = self.root / "rollout.toml"
        file.write_text(file.read_text().replace(":8083", f":{self.dev_port}"))
        gates = self.root / "quality-gates-config.json"
        environments = json.loads(gates.read_text())["environments"]
        environments["development"] = environments["staging"]
        gates.write_text(json.dumps({"environments": environments}))

    def _lend_rollout(self):
        super()._lend_rollout()
        (self.root / "tests").symlink_to(ROOT / "tests")
        tools = self.root / ".venv" / "bin"
        (tools / "python").unlink()
        (tools / "python").symlink_to(sys.executable)
        self.env["PATH"] = f"{tools}:{self.env['PATH']}"

    def typed(self, line):
        """In this site's places."""
        line = line.replace(":8083", f":{self.dev_port}")
        return self.type(re.sub(r"/tmp/(failing|good)\b", rf"{self.root}/\1", line))


def numbered(lines):
    return [f"{number} {line[:50]}" for number, line in enumerate(lines, 1)]


@pytest.fixture(scope="module")
def site():
    with Tutorial() as ours:
        yield ours


@pytest.mark.parametrize("step", STEPS, ids=numbered(STEPS))
def test_the_tutorial(site, step):
    """In its order, each with the exit code that it tells."""
    done = site.typed(step)
    assert done.returncode == ENDS_WITH.get(step, 0), done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def test_the_tutorial_tells_the_truth(site):
    """What it says will be there."""
    assert '"version":"1.0.0"' in site.typed("curl -s http://127.0.0.1:8083/version").stdout
    assert len(list((site.root / "incidents").glob("INC-*.md"))) == 2  # the page, and its cause
    text = TUTORIAL.read_text()
    assert text.count("exit code 2") == len(ENDS_WITH)


@pytest.fixture(scope="module")
def lived_in(site):
    """After the tutorial: there is a release to go back to, and the gates are the shipped ones."""
    done = site.typed("rollout deploy --env development --source /tmp/good")
    assert done.returncode == 0, done.stdout + done.stderr
    shutil.copy2(ROOT / "quality-gates-config.json", site.root / "quality-gates-config.json")
    return site


def without_effect(command):
    """What changes something is asked for its plan; None where it has none."""
    words = shlex.split(command)
    if words[0] != "rollout":
        return command
    args = PARSER.parse_args(words[1 : words.index(">") if ">" in words else None])
    if args.looks_only or getattr(args, "dry_run", None):
        return command
    return f"{command} --dry-run" if "dry_run" in args else None


@pytest.mark.parametrize("command", TYPED, ids=numbered(TYPED))
def test_a_command_of_the_other_documents(lived_in, command):
    """In the environment that the tutorial left behind."""
    safe = without_effect(command)
    if safe is None:
        assert shlex.split(command)[1] in PARSED_ONLY
        return
    done = lived_in.typed(re.sub(r"\bproduction\b", "development", safe))
    assert done.returncode == 0, f"{TYPED[command]}: {done.stdout}{done.stderr}"
    assert "Traceback" not in done.stderr


def spoken():
    """(page, command) of every command that stands in a sentence or in an indented line."""
    for page in [*PAGES, TUTORIAL]:
        for found in re.finditer(
            r"`(rollout [^`]+)`|^ {4,7}(rollout .+)$", page.read_text(), re.MULTILINE
        ):
            yield page.name, (found[1] or found[2]).partition(" > ")[0].strip()


def test_every_command_in_a_sentence_makes_sense():
    """The words parse, placeholders and all."""
    said = [(page, command) for page, command in spoken() if " --" in command]
    assert len(said) > 20
    for page, command in said:
        words = shlex.split(command)[1:]
        if "--help" not in words:
            assert PARSER.parse_args(words).run, f"{page}: {command}"


def configuration_of(page):
    lines = [line for _, language, line in fenced(page.read_text()) if language == "toml"]
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("page", ["add-a-gate.md", "sign-off.md"])
def test_the_configuration_of_a_how_to(tmp_path, page):
    """Added to the shipped file it is understood."""
    from guarded_rollout.cli.app import main

    shutil.copytree(ROOT / "services/dhash/golden", tmp_path / "services/dhash/golden")
    shipped = (ROOT / "rollout.toml").read_text()
    (tmp_path / "rollout.toml").write_text(
        shipped + configuration_of(ROOT / "docs" / "how-to" / page)
    )
    assert main(["gates", "check", "--root", str(tmp_path)]) == 0


def test_a_service_of_your_own(tmp_path, capsys):
    """The page's whole rollout.toml, with the tests' toy as the source."""
    from guarded_rollout.cli.app import main

    page = ROOT / "docs" / "how-to" / "bring-your-own-service.md"
    (tmp_path / "rollout.toml").write_text(configuration_of(page))
    shutil.copytree(ROOT / "tests" / "toy_service", tmp_path / "shop")
    assert main(["gates", "check", "--root", str(tmp_path)]) == 0
    assert main(["deploy", "--env", "staging", "--dry-run", "--root", str(tmp_path)]) == 0
    assert "deploy shop" in capsys.readouterr().out
