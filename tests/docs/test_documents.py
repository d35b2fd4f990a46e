"""Documents that cannot drift."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from guarded_rollout.core.diagram import page

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])


def test_the_states_page_is_made_from_the_table():
    """`just docs` writes it anew."""
    assert (ROOT / "docs/reference/states.md").read_text() == page()


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document):
    """Every relative link names a file of the repository."""
    for target in re.findall(r"\]\((?!https?:|#)([^)#]+)[^)]*\)", document.read_text()):
        assert (document.parent / target).exists(), target


def commands_in(document):
    text = document.read_text()
    written = r"(?:`|^ {4}|^\$ )rollout ((?:audit |backup )?[a-z]+)(?=[ `\n])"
    return sorted(set(re.findall(written, text, re.MULTILINE)))


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_command_that_a_document_names_exists(document):
    """`rollout X` has a help page."""
    for command in commands_in(document):
        words = command.split()
        done = subprocess.run(
            [sys.executable, "-m", "guarded_rollout", *words, "--help"],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{document.name}: rollout {command}: {done.stderr}"


def test_no_document_names_a_machine():
    """No registry hosts, no paths of somebody's machine."""
    for document in DOCUMENTS:
        text = document.read_text()
        assert not re.search(r"/work/|/root/|/opt/|pypi\.org|files\.pythonhosted", text), document
