"""CI's own files: by their published schemas, by shellcheck, by zizmor; all of it offline.

Every linter is shown to notice what it is here for.
"""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).parents[2]
WORKFLOW = ROOT / ".github" / "workflows" / "premerge.yml"
GITLAB = ROOT / "templates" / "ci" / "gitlab-ci.premerge.yml"
SCHEMAS = {
    WORKFLOW: ("--builtin-schema", "vendor.github-workflows"),
    GITLAB: ("--builtin-schema", "vendor.gitlab-ci", "--data-transform", "gitlab-ci"),
}
SCRIPTS = sorted(
    file
    for pattern in ("*.sh", "scripts/*.sh", "services/dhash/*.sh")
    for file in ROOT.glob(pattern)
)
PINNED = re.compile(r"uses: [\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+")


def tool(name, *words):
    """Returns (exit code, all that it says)."""
    done = subprocess.run(
        [Path(sys.executable).with_name(name), *words],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def broken(folder, file, old, new):
    """A copy of the file that is wrong in one place."""
    text = file.read_text()
    assert old in text
    copy = folder / file.name
    copy.write_text(text.replace(old, new, 1))
    return copy


def schema(file, kind):
    return tool("check-jsonschema", *SCHEMAS[kind], file)


def zizmor(file):
    return tool("zizmor", "--offline", "--persona", "auditor", "--format", "plain", file)


def blocks(file):
    """What a shell reads of a CI file."""
    document = YAML(typ="safe").load(file)
    for job in document.get("jobs", {}).values():
        yield from (step["run"] for step in job["steps"] if "run" in step)
    for job in document.values() if "jobs" not in document else ():
        yield "\n".join((*job.get("before_script", ()), *job["script"]))


def shellcheck_blocks(file, folder):
    said = []
    for number, block in enumerate(blocks(file)):
        script = folder / f"block-{number}.sh"
        # GitHub hides what is between its braces from the shell.
        script.write_text(f"#!/bin/bash\nset -eo pipefail\n{re.sub(r'[$]{{.*?}}', 'x', block)}\n")
        code, text = tool("shellcheck", script)
        said += [text] if code else []
    return said


@pytest.mark.parametrize("file", SCHEMAS, ids=lambda file: file.name)
def test_the_file_is_what_its_published_schema_wants(file):
    code, said = schema(file, file)
    assert code == 0, said


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        (WORKFLOW, "runs-on:", "run-on:"),
        (GITLAB, "script:\n    - rollout", "scripts:\n    - rollout"),
    ],
    ids=["workflow", "gitlab"],
)
def test_the_schema_notices_a_key_that_is_wrong(file, old, new, tmp_path):
    code, said = schema(broken(tmp_path, file, old, new), file)
    assert code == 1, said


@pytest.mark.parametrize("file", SCHEMAS, ids=lambda file: file.name)
def test_what_a_shell_reads_is_sound(file, tmp_path):
    assert list(blocks(file))
    assert shellcheck_blocks(file, tmp_path) == []


def test_shellcheck_notices_a_word_that_splits(tmp_path):
    for file, old, new in (
        (WORKFLOW, '--base "$BASE"', "--base $BASE"),
        (GITLAB, '"$CI_MERGE_REQUEST_DIFF_BASE_SHA"', "$CI_MERGE_REQUEST_DIFF_BASE_SHA"),
    ):
        (said,) = shellcheck_blocks(broken(tmp_path, file, old, new), tmp_path)
        assert "SC2086" in said


def test_the_scripts_are_sound():
    assert len(SCRIPTS) > 8
    code, said = tool("shellcheck", "--external-sources", *SCRIPTS)
    assert code == 0, said


def test_shellcheck_notices_a_broken_script(tmp_path):
    script = broken(tmp_path, ROOT / "scripts" / "rollout.sh", '"$rollout" "$@"', "$rollout $@")
    code, said = tool("shellcheck", script)
    assert code == 1
    assert "SC2068" in said


def test_the_workflow_is_safe():
    """Pinned by commit, reading only, nothing of a pull request in a shell's text, no secret."""
    code, said = zizmor(WORKFLOW)
    assert code == 0, said
    text = WORKFLOW.read_text()
    assert "secrets." not in text
    uses = [line for line in text.splitlines() if "uses:" in line]
    assert all(PINNED.search(line) for line in uses)


UNSAFE = {
    "unpinned-uses": ("@08c6903cd8c0fde910a37f88322edcfb5dd907a8", "@v5"),
    "dangerous-triggers": ("pull_request:", "pull_request_target:"),
    "excessive-permissions": ("contents: read", "contents: write"),
    "template-injection": ('--base "$BASE"', "--base ${{ github.head_ref }}"),
    "artipacked": ("persist-credentials: false", "persist-credentials: true"),
    "concurrency-limits": (
        (
            "concurrency:\n  group: premerge-${{ github.workflow }}-${{ github.ref }}\n"
            "  cancel-in-progress: true\n"
        ),
        "",
    ),
}


@pytest.mark.parametrize("audit", UNSAFE)
def test_zizmor_notices_what_is_unsafe(audit, tmp_path):
    code, said = zizmor(broken(tmp_path, WORKFLOW, *UNSAFE[audit]))
    assert code != 0
    assert f"[{audit}]" in said


def test_it_runs_everywhere_and_keeps_what_it_made():
    """The three systems of the documents, and the folder whatever came of it."""
    (job,) = YAML(typ="safe").load(WORKFLOW)["jobs"].values()
    assert job["strategy"]["matrix"]["os"] == ["ubuntu-latest", "macos-latest", "windows-latest"]
    keep = job["steps"][-1]
    assert keep["with"]["path"] == "premerge_artifacts/"
    assert keep["if"] == "${{ !cancelled() }}"
