"""Files for people: whole, for their owner alone, and templates of the project or built in."""

import stat

import pytest
from made_journals import rolled_back, utc

from guarded_rollout.adapters.papers import PaperFiles
from guarded_rollout.core.filling import PIECE
from guarded_rollout.core.incident import incident_of, rca_values
from guarded_rollout.core.problems import Broken


def test_a_file_is_whole_and_its_owners(tmp_path):
    """Its folder too: logs are in there."""
    papers = PaperFiles(tmp_path)
    assert papers.written("incidents/x.md") is None
    papers.write("incidents/x.md", "text")
    papers.write("incidents/x.md", "more ✓")
    assert papers.written("incidents/x.md") == "more ✓"
    assert stat.S_IMODE((tmp_path / "incidents/x.md").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "incidents").stat().st_mode) == 0o700
    assert [file.name for file in (tmp_path / "incidents").iterdir()] == ["x.md"]


def test_what_cannot_be_written_is_said(tmp_path):
    """With the file's name; what was there stays."""
    papers = PaperFiles(tmp_path)
    (tmp_path / "incidents").write_text("a file is in the way")
    with pytest.raises(Broken, match=r"incidents/x\.md cannot be written: "):
        papers.write("incidents/x.md", "text")
    assert papers.written("incidents") == "a file is in the way"


def test_the_projects_own_template_wins(tmp_path):
    """Without one, and where it cannot be read, the built-in one is there."""
    papers = PaperFiles(tmp_path)
    built_in = papers.template("incident/rca.md")
    assert "Root cause" in built_in
    own = tmp_path / "templates" / "incident"
    own.mkdir(parents=True)
    (own / "rca.md").write_bytes(b"\xff\xfe")
    assert papers.template("incident/rca.md") == built_in
    (own / "rca.md").write_text("ours: {incident}")
    assert papers.template("incident/rca.md") == "ours: {incident}"


def test_the_built_in_template_uses_names_that_there_are(tmp_path):
    """And no single brace."""
    known = rca_values(incident_of("r1", rolled_back()), utc)
    used = {piece[1] for piece in PIECE.finditer(PaperFiles(tmp_path).template("incident/rca.md"))}
    assert used <= known.keys()
