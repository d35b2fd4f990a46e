"""The words: help, required options, what makes no command. All of it exits with 0 or 1."""

import ast
import re
import shlex
from pathlib import Path

import pytest

import guarded_rollout
from guarded_rollout.cli.commands import build_parser
from guarded_rollout.cli.reference import parsers

SOURCE = Path(guarded_rollout.__file__).parent


PARSERS = dict(parsers(build_parser()))
COMMANDS = {words: parser for words, parser in PARSERS.items() if parser.get_default("run")}
CHANGING = sorted(w for w, p in COMMANDS.items() if not p.get_default("looks_only"))
LOOKING = sorted(w for w, p in COMMANDS.items() if p.get_default("looks_only"))
NEEDED = {
    ("promote",): ["--reason", "x"],
    ("guard",): ["--rollout", "x"],
    ("backup", "fetch"): ["x"],
    ("backup", "reapply"): ["x"],
    ("pause",): ["--reason", "x"],
    ("journal", "import"): ["x"],
    ("completion",): ["bash"],
}


def test_these_are_the_commands():
    """A new one must be put into one of the two lists on purpose."""
    assert CHANGING == [
        ("abort",),
        ("ack",),
        ("agent",),
        ("approve",),
        ("backup", "create"),
        ("backup", "fetch"),
        ("backup", "prune"),
        ("backup", "reapply"),
        ("deploy",),
        ("down",),
        ("guard",),
        ("migrate",),
        ("monitor",),
        ("pause",),
        ("pr", "protect"),
        ("promote",),
        ("rehearse",),
        ("resume",),
        ("rollback",),
    ]
    assert LOOKING == [
        ("approvals",),
        ("audit", "export"),
        ("audit", "verify"),
        ("backup", "copies"),
        ("backup", "drill"),
        ("backup", "list"),
        ("backup", "verify"),
        ("completion",),
        ("gates", "check"),
        ("gates", "power"),
        ("gates", "replay"),
        ("gates", "suggest"),
        ("incident",),
        ("journal", "export"),
        ("journal", "import"),
        ("logs", "validate"),
        ("notify",),
        ("notify-deploy",),
        ("pr", "body"),
        ("pr", "check"),
        ("premerge",),
        ("report",),
        ("smoke",),
        ("status",),
        ("watch",),
    ]


@pytest.mark.parametrize("words", PARSERS, ids=" ".join)
def test_help_exits_0_names_the_exit_codes_and_fits_a_narrow_terminal(project, monkeypatch, words):
    """Also without a rollout.toml: whoever asks for help has nothing yet."""
    monkeypatch.setenv("COLUMNS", "80")
    (project.root / "rollout.toml").unlink()
    answer = project.run(*words, "--help")
    assert (answer.code, answer.err) == (0, "")
    for line in ("exit codes:", "  0  ", "  1  ", "  2  ", "  3  "):
        assert line in answer.out
    assert [line for line in answer.out.splitlines() if len(line) > 80] == []


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_help_has_examples_that_are_commands(words):
    """Each one parses."""
    shown = COMMANDS[words].format_help().partition("examples:\n")[2].partition("\n\n")[0]
    examples = [shlex.split(line) for line in shown.splitlines()]
    assert examples, words
    for program, *rest in examples:
        assert program == "rollout"
        args = build_parser().parse_args(rest)
        assert args.run == COMMANDS[words].get_default("run")


EVERYWHERE = {("agent",), ("pr", "protect")}
"""These work on every environment, or on none: what is merged is meant for production."""


@pytest.mark.parametrize("words", [w for w in CHANGING if w not in EVERYWHERE], ids=" ".join)
def test_env_is_required_where_something_changes(project, words):
    """It exits with 1, not with argparse's 2, which means rolled back."""
    before = project.tree()
    answer = project.run(*words, *NEEDED.get(words, []))
    assert answer.code == 1
    assert answer.out == ""
    assert "the following arguments are required: --env" in answer.err
    assert f"  -> it changes something, so say where: rollout {' '.join(words)} --env" in answer.err
    assert project.tree() == before


@pytest.mark.parametrize("words", LOOKING, ids=" ".join)
def test_env_is_staging_where_nothing_changes(words):
    """`backup verify FILE` asks the file's name first; `gates check` is about all of them."""
    env = build_parser().parse_args([*words, *NEEDED.get(words, [])]).env
    others = {("backup", "verify"): None, ("gates", "check"): "all", ("completion",): "all"}
    others[("audit", "export")] = "all"
    others |= {("journal", verb): "all" for verb in ("export", "import")}
    others |= {("pr", verb): "production" for verb in ("body", "check")}
    assert env == others.get(words, "staging")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("", "required: COMMAND"),
        ("depoly --env production", "invalid choice: 'depoly'"),
        ("backup", "required: ACTION"),
        ("backup restore", "invalid choice: 'restore'"),
        ("deploy --env production --dry", "unrecognized arguments: --dry"),
        ("deploy --env production extra", "unrecognized arguments: extra"),
        ("deploy --env", "argument --env: expected one argument"),
        ("deploy --env ''", "argument --env: it is empty"),
        ("deploy --env production --source ''", "argument --source: it is empty"),
        ("deploy --env production --config ''", "argument --config: it is empty"),
        ("deploy --env production --skip-backup --backup-first", "not allowed with argument"),
        ("status --root ''", "argument --root: it is empty"),
        ("promote --env production", "required: --reason"),
        ("promote --env production --reason ''", "argument --reason: it is empty"),
        ("smoke --tier urgent", "argument --tier/--level: invalid choice: 'urgent'"),
        ("backup prune --env production --retention-days -1", "'-1' is no number of days"),
        ("backup prune --env production --retention-days nan", "'nan' is no number of days"),
        ("backup prune --env production --retention-days inf", "'inf' is no number of days"),
        ("backup create --env production --retention-days week", "'week' is no number of days"),
    ],
)
def test_a_usage_error_exits_1_and_says_what_and_what_now(project, line, said):
    """Usage, one line of what, one line of what to do; with --json a document as well."""
    answer = project.run(*shlex.split(line))
    assert (answer.code, answer.out) == (1, "")
    usage, *_, what, hint = answer.err.splitlines()
    assert usage.startswith("usage: rollout")
    assert said in what
    assert hint.startswith("  -> ")
    if "required: COMMAND" in said or "expected one" in said:
        return
    answer = project.run(*shlex.split(line), "--json")
    assert answer.code == 1
    assert answer.document["error"]["exit_code"] == 1
    assert said in answer.document["error"]["what"]


def test_words_that_are_not_utf_8_are_refused(project):
    """The journal could not keep them."""
    for words in (["deploy", "--reason", "caf\udce9"], ["rollback", "--backup", "\udcff.zip"]):
        answer = project.run(*words, "--env", "production")
        assert answer.code == 1
        assert f"argument {words[1]}: it is not UTF-8" in answer.err


def test_a_reason_is_one_line():
    """Otherwise it could look like other lines of the log."""
    args = build_parser().parse_args(["promote", "--env", "x", "--reason", " so\nand  so "])
    assert args.reason == "so and so"


def test_the_version_is_printed(project):
    """For bug reports."""
    answer = project.run("--version")
    assert (answer.code, answer.out) == (0, f"rollout {guarded_rollout.__version__}\n")


def spoken_commands():
    """Every `rollout WORDS` that a message tells people to type: (file, words)."""
    for file in sorted(SOURCE.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                for found in re.finditer(
                    r"(?:^|: |; |, |`)rollout ([a-z]+(?: [a-z]+)*)", node.value
                ):
                    yield file.relative_to(SOURCE).as_posix(), found[1].split()


def test_commands_that_messages_name_exist():
    """A hint that does not work is worse than none."""
    spoken = list(spoken_commands())
    assert len(spoken) > 30
    missing = [
        (file, " ".join(words))
        for file, words in spoken
        if not any(tuple(words[:length]) in COMMANDS for length in (1, 2))
    ]
    assert missing == []
