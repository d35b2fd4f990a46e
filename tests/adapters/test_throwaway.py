"""A copy in which everything may be tried: nothing of the real environments comes along."""

import json
import subprocess
import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from site_of_ours import REPOSITORY

from guarded_rollout.adapters.configuration import load_spec
from guarded_rollout.adapters.throwaway import (
    MARKER,
    _toml,
    changed_files,
    copy_project,
    lay,
    set_apart,
    told_apart,
)
from guarded_rollout.core.problems import BadInput, NotPossible

REAL = (REPOSITORY / "rollout.toml").read_text()
SENSITIVE = """
[journal]
url = "postgresql://rollout@db.example/journal"

[notify]
channels = ["slack"]

[environments.staging.signoffs]
needed = 2
signers = "config/signers"

[signoffs.people.ann]
groups = ["ops"]

[[environments.staging.copies]]
name = "elsewhere"
folder = "/mnt/backups"
"""


@pytest.fixture
def tree(tmp_path):
    """The project's configuration with everything in it that must not be touched."""
    folder = tmp_path / "tree"
    (folder / "config").mkdir(parents=True)
    (folder / "rollout.toml").write_text(REAL + SENSITIVE)
    (folder / "config" / "db_staging.conf").write_text("DB_HOST=db.example\n")
    (folder / "services").symlink_to(REPOSITORY / "services")
    return folder


def test_nothing_that_is_outside_comes_along(tree):
    text = set_apart(tree, "staging", 4711)
    assert not list((tree / "config").iterdir())
    for word in ("db.example", "slack", "elsewhere", "/mnt", "signoffs", "journal", "production"):
        assert word not in text
    spec = load_spec(tree, "staging")
    ours = spec.environment
    assert (ours.listen_host, ours.listen_port) == ("127.0.0.1", 4711)
    assert (ours.database.kind, ours.copies, ours.signoffs) == ("sqlite", (), None)
    real = tomllib.loads(REAL)
    assert tomllib.loads(text)["service"] == real["service"]
    assert set(json.loads((tree / "quality-gates-config.json").read_text())["environments"]) == {
        "staging"
    }


def test_no_server_is_started_to_throw_away(tree):
    file = tree / "rollout.toml"
    file.write_text(file.read_text().replace('"sqlite:data/staging/dhash.db"', '"postgresql"'))
    with pytest.raises(NotPossible, match="staging has its data in postgresql"):
        set_apart(tree, "staging", 4711)


@pytest.mark.parametrize(
    ("text", "word"),
    [("[service", "cannot be read"), ("x = 1", "'service'"), (REAL, "'nowhere'")],
    ids=["no TOML", "no service", "no such environment"],
)
def test_what_cannot_be_read_is_said(tree, text, word):
    (tree / "rollout.toml").write_text(text)
    with pytest.raises(BadInput, match=word):
        set_apart(tree, "nowhere", 4711)


PLAIN = st.text(st.characters(exclude_categories=("Cs",)), max_size=8)
VALUES = st.recursive(
    st.booleans() | st.integers(-(2**53), 2**53) | st.floats(-1e9, 1e9) | PLAIN,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(PLAIN, inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(PLAIN, VALUES, max_size=4))
def test_what_is_written_is_what_tomllib_reads(document):
    assert tomllib.loads(_toml(document)) == document


def test_the_same_release_twice_is_told_apart_once(tmp_path):
    trees = tmp_path / "a", tmp_path / "b"
    for tree in trees:
        source = tree / "services" / "dhash"
        source.mkdir(parents=True)
        (tree / "rollout.toml").write_text(REAL)
        (source / "pyproject.toml").write_text('[project]\nname = "dhash"\nversion = "1"\n')
        (source / "requirements.lock").write_text("")
    assert told_apart("dhash", *trees) is False
    assert (trees[0] / "services" / "dhash" / MARKER).exists()
    assert not (trees[1] / "services" / "dhash" / MARKER).exists()
    assert told_apart("dhash", *trees) is True


def test_a_tree_is_replaced_and_what_rollouts_wrote_stays(tmp_path):
    site, tree = tmp_path / "site", tmp_path / "tree"
    for file in (site / "src" / "gone.py", site / "data" / "kept.db", tree / "src" / "new.py"):
        file.parent.mkdir(parents=True)
        file.write_text(file.name)
    lay(tree, site)
    files = {str(path.relative_to(site)) for path in site.rglob("*") if path.is_file()}
    assert files == {"data/kept.db", "src/new.py"}


def test_what_git_ignores_does_not_come_along(tmp_path):
    root, to = tmp_path / "root", tmp_path / "to"
    root.mkdir()
    subprocess.run(["git", "init", "--quiet"], cwd=root, check=True)
    (root / "premerge_artifacts").mkdir()
    ours = "premerge_artifacts/summary.md"
    for name, text in ((".gitignore", "*.conf\n"), ("a.conf", "x"), ("b.toml", "b"), (ours, "x")):
        (root / name).write_text(text)
    copy_project(root, to)
    assert {path.name for path in to.iterdir()} == {".gitignore", "b.toml"}
    assert changed_files(root) == ("?? .gitignore", "?? b.toml")
    assert changed_files(to.parent) is None
