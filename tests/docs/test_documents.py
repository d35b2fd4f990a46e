"""Documents that cannot drift."""

import ast
import re
from importlib import import_module
from pathlib import Path

import pytest

from guarded_rollout.cli.commands import build_parser
from guarded_rollout.cli.reference import pages, parsers

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "guarded_rollout"
PARSERS = dict(parsers(build_parser()))
COMMANDS = {words for words, parser in PARSERS.items() if parser.get_default("run")}
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])


@pytest.mark.parametrize("name", pages())
def test_a_page_that_is_made_from_the_code_is_not_stale(name):
    """`just docs` writes it anew."""
    assert (ROOT / "docs/reference" / name).read_text() == pages()[name]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document):
    """Every relative link names a file of the repository."""
    for target in re.findall(r"\]\((?!https?:|#)([^)#]+)[^)]*\)", document.read_text()):
        assert (document.parent / target).exists(), target


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_command_that_a_document_names_exists(document):
    """`rollout X` has a help page."""
    written = r"(?:`|^ {4}|^\$ |bin/)rollout ([a-z][a-z-]*(?: [a-z]+)?)(?=[ `\n])"
    for command in re.findall(written, document.read_text(), re.MULTILINE):
        first, *rest = command.split()
        assert (first,) in PARSERS, command
        if rest and (first,) not in COMMANDS:
            assert (first, *rest) in COMMANDS, command


def keys_of_the_loader():
    """(file, key) of every key that a section of the configuration may have."""
    for file in sorted((SOURCE / "adapters/configuration").glob("*.py")):
        module = vars(import_module(f"guarded_rollout.adapters.configuration.{file.stem}"))
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "table":
                for keyword in node.keywords:
                    if keyword.arg in {"required", "optional"} and unparsed(keyword) != "known":
                        names = eval(unparsed(keyword), dict(module))
                        yield from ((file.name, name) for name in names)


def unparsed(keyword):
    return ast.unparse(keyword.value)


def test_every_key_of_the_loader_is_explained():
    """In a table of the reference, under its name."""
    explained = "".join(file.read_text() for file in (ROOT / "docs/reference").glob("*.md"))
    keys = set(keys_of_the_loader())
    assert len(keys) > 80
    assert {file for file, _ in keys} >= {"environment_section.py", "gates_file.py"}
    missing = [
        (file, key)
        for file, key in sorted(keys)
        if not re.search(rf"[`.\[\"]{key}[`.\]\"]|\b{key} = ", explained)
    ]
    assert missing == []


def test_no_document_names_a_machine():
    """No registry hosts, no paths of somebody's machine."""
    for document in DOCUMENTS:
        text = document.read_text()
        assert not re.search(r"/work/|/root/|/opt/|pypi\.org|files\.pythonhosted", text), document
