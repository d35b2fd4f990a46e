"""`rollout premerge` in a fresh repository: real releases, and nothing left but its folder."""

import json
import shutil
import signal
import subprocess

import pytest
from clone_of_ours import Clone

from guarded_rollout.cli.app import main

pytestmark = pytest.mark.slow

NAMED = (
    "deploy-dryrun.log",
    "migrate-dryrun.log",
    "backup-dryrun.log",
    "rollback-dryrun.log",
    "postdeploy-smoketests.log",
    "test_logging.log",
    "monitor_logs/monitor_*.log",
    "backups/dhash_staging_*.zip",
    "backups/dhash_staging_*.zip.sha256",
    "junit*.xml",
    "summary.md",
)
"""What the documents want attached to a pull request."""


@pytest.fixture(scope="module")
def clone():
    ours = Clone()
    yield ours
    ours.close()


def steps(manifest):
    return {step.name: step for step in manifest.steps}


@pytest.fixture(scope="module")
def whole(clone):
    """What the one run that does all of it gave. The next run replaces the files."""
    return clone.premerge("--base", "HEAD~1")


def test_everything_the_documents_name_comes_out_of_a_fresh_clone(clone, whole):
    code, manifest = whole
    assert {step.status for step in manifest.steps} == {"passed"}, manifest.steps
    assert (code, manifest.passed, manifest.clean) == (0, True, True)
    assert manifest.commit == clone.git("rev-parse", "HEAD").strip()
    for name in NAMED:
        assert list(clone.out.glob(name)), name
    kinds = {file.kind for file in manifest.files}
    assert kinds == {"log", "backup", "checksum", "junit", "report", "summary"}
    for file in clone.out.glob("backups/*.sha256"):
        subprocess.run(
            ["sha256sum", "-c", file.relative_to(clone.out)],
            cwd=clone.out,
            check=True,
            capture_output=True,
        )
    # The release of the base served first, and served again in the end.
    assert "promoted: 7.7.7-" in (clone.out / "rollout.log").read_text()
    assert "rolled back: 1.0.0-" in (clone.out / "rollback.log").read_text()
    summary = (clone.out / "summary.md").read_text()
    assert summary.startswith("# Premerge: passed\n")
    assert all(file.sha256 in summary for file in manifest.files if file.kind != "summary")


def checked(clone, capsys):
    """`rollout pr check --offline`: its exit code, and the reason of each item that is red."""
    capsys.readouterr()
    code = main(["pr", "check", "--offline", "--json", "--root", str(clone.root)])
    items = json.loads(capsys.readouterr().out)["items"]
    return code, {one["key"]: one["why"] for one in items if one["mark"] == "RED"}


def test_the_pull_requests_check_is_green_on_it_and_red_after_any_change(clone, whole, capsys):
    """Each file in turn: taken away, then with a byte more."""
    _, manifest = whole
    assert checked(clone, capsys) == (0, {})
    for file in manifest.files:
        path = clone.out / file.path
        content = path.read_bytes()
        path.unlink()
        code, red = checked(clone, capsys)
        assert (code, red["bundle"]) == (1, f"{file.path} is missing")
        path.write_bytes(content + b" ")
        code, red = checked(clone, capsys)
        assert (code, red["bundle"].split(":")[0]) == (1, f"{file.path} was altered")
        path.write_bytes(content)
    assert checked(clone, capsys) == (0, {})


def test_a_gates_file_with_a_finding_fails_its_step_and_no_other(clone):
    gates = clone.root / "quality-gates-config.json"
    good = gates.read_text()
    content = json.loads(good)
    policy = content["environments"]["staging"] | {"judge": "thresholds"}
    policy["qualityGates"]["extractionFailureRate"]["timeWindow"] = 120
    content["environments"]["staging"] = policy
    gates.write_text(json.dumps(content))
    try:
        code, manifest = clone.premerge("--quick")
    finally:
        gates.write_text(good)
    found = steps(manifest)
    assert (code, manifest.passed, manifest.clean) == (1, False, False)
    assert {name for name, step in found.items() if step.status == "failed"} == {"gates"}
    assert "extractionFailureRate" in found["gates"].why
    assert found["deploy-dryrun"].status == "passed"
    assert found["rollback"].status == "skipped"
    assert "extractionFailureRate" in (clone.out / "summary.md").read_text()


def test_a_gates_file_that_cannot_be_read_fails_what_reads_it(clone):
    gates = clone.root / "quality-gates-config.json"
    good = gates.read_text()
    gates.write_text(good.replace("timeWindow", "timeWindwo", 1))
    try:
        _, manifest = clone.premerge("--quick")
    finally:
        gates.write_text(good)
    found = steps(manifest)
    failed = {name for name, step in found.items() if step.status == "failed"}
    assert failed == {"gates", "backup-dryrun", "deploy-dryrun", "migrate-dryrun"}
    for name in failed:
        assert "quality-gates-config.json:6" in found[name].why
        assert "timeWindow" in found[name].why
    assert found["configuration"].status == "passed"


def test_a_base_that_is_not_there_stops_what_needs_it_and_says_so(clone):
    code, manifest = clone.premerge("--base", "nowhere")
    found = steps(manifest)
    assert code == 1
    assert {name for name, step in found.items() if step.status == "failed"} == {"site"}
    assert "git rev-parse" in found["site"].why
    assert found["baseline"].why == "it needs site, which failed"
    assert found["rollback"].why == "it needs rollout, which was skipped"
    assert found["deploy-dryrun"].status == "passed"


def test_an_interrupted_run_takes_everything_down_and_says_how_far_it_came(clone):
    shutil.rmtree(clone.out, ignore_errors=True)
    process = clone.start()
    log = clone.out / "baseline.log"
    clone.until(lambda: log.exists() and "look 1 at" in log.read_text())
    assert clone.left()
    process.send_signal(signal.SIGTERM)
    said, _ = process.communicate(timeout=120)
    assert process.returncode == 130, said
    assert "taken down" in said
    assert clone.left() == {}
    assert list(clone.temporary.iterdir()) == []
    manifest = clone.manifest()
    assert not manifest.passed
    assert steps(manifest)["baseline"].why == "premerge did not come to its end"


def test_a_folder_that_is_not_premerges_is_left_alone(clone):
    (clone.root / "services" / "mine.txt").write_text("mine")
    try:
        process = clone.start("--quick", "--out", "services")
        said, _ = process.communicate(timeout=60)
        assert process.returncode == 1
        assert "was not written by premerge" in said
        assert (clone.root / "services" / "mine.txt").read_text() == "mine"
    finally:
        (clone.root / "services" / "mine.txt").unlink()
