"""The manifest of a premerge run: there and back, and what contradicts itself is refused."""

import json

import pytest

from guarded_rollout.core.premerge_manifest import File, Manifest, Step, manifest_of, text_of
from guarded_rollout.core.problems import BadInput

LOG = File("deploy-dryrun.log", "a" * 64, 12, "log")
STEP = Step(
    "deploy-dryrun", ("rollout", "deploy", "--dry-run"), "passed", 0, 1.5, "deploy-dryrun.log"
)
SKIPPED = Step("staging", (), "skipped", None, 0.0, None, "no Envoy on win32")
MANIFEST = Manifest(
    tool="1.2.3",
    commit="c" * 40,
    clean=True,
    began=10.0,
    ended=12.5,
    platform="linux",
    environment="staging",
    steps=(STEP, SKIPPED),
    files=(LOG,),
    passed=True,
)


def changed(change):
    document = json.loads(text_of(MANIFEST))
    change(document)
    return json.dumps(document)


def test_there_and_back():
    assert manifest_of(text_of(MANIFEST)) == MANIFEST
    assert manifest_of(changed(lambda it: it.update(commit=None))).commit is None
    assert json.loads(text_of(MANIFEST))["format"] == 1


def put(key, value, *where):
    def change(document):
        for part in where:
            document = document[part]
        document[key] = value

    return change


FILES = json.loads(text_of(MANIFEST))["files"]
MISFITS = {
    "format": (put("format", 2), "format 2"),
    "platform": (put("platform", 7), "platform"),
    "commit": (put("commit", "main"), "commit"),
    "key": (put("extra", 1), "keys"),
    "step's key": (put("extra", 1, "steps", 0), "keys"),
    "passed": (put("passed", value=False), "passed is false"),
    "ended": (put("ended", 9), "before it began"),
    "status": (put("status", "fine", "steps", 0), "status"),
    "exit": (put("exit", 3, "steps", 0), "exit code 3"),
    "log": (put("log", "else.log", "steps", 0), "else.log"),
    "why": (put("why", "", "steps", 1), "why"),
    "step twice": (put("name", "deploy-dryrun", "steps", 1), "2 times"),
    "sha256": (put("sha256", "A" * 64, "files", 0), "sha256"),
    "bytes": (put("bytes", -1, "files", 0), "bytes"),
    "kind": (put("kind", "picture", "files", 0), "kind"),
    "file twice": (put("files", FILES * 2), "2 times"),
    "no steps": (lambda document: document.pop("steps"), "steps"),
}
PATHS = ("", "/etc/passwd", "../x.log", "a/../../x", "a//b", "C:/x", "a\\b", "./a")


@pytest.mark.parametrize(("change", "word"), MISFITS.values(), ids=MISFITS)
def test_what_does_not_fit_is_refused_by_name(change, word):
    with pytest.raises(BadInput, match=word) as refused:
        manifest_of(changed(change), "premerge_artifacts/manifest.json")
    assert refused.value.why.what.startswith("premerge_artifacts/manifest.json ")
    assert refused.value.why.hint


@pytest.mark.parametrize("path", PATHS)
def test_a_path_that_leaves_the_folder_is_refused(path):
    with pytest.raises(BadInput, match="path"):
        manifest_of(changed(put("path", path, "files", 0)))


@pytest.mark.parametrize("text", [b"", b"\xff", b"[]", b"{", b"[" * 100_000])
def test_what_is_no_json_is_refused(text):
    with pytest.raises(BadInput, match=r"manifest\.json"):
        manifest_of(text)


def test_steps_that_were_only_skipped_do_not_pass():
    with pytest.raises(BadInput, match="passed is true"):
        manifest_of(changed(lambda it: it.update(steps=it["steps"][1:])))
