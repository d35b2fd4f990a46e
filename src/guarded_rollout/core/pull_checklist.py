"""The checklist of a pull request: each item proven from what is there, or why it is not."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from guarded_rollout.core.premerge_manifest import NAME, File, Manifest
from guarded_rollout.core.problems import Why

AGAIN = "rollout premerge, on a clean checkout of the pull request's head"
DRY_RUNS = ("deploy-dryrun.log", "migrate-dryrun.log")
TEST_LOGS = ("postdeploy-smoketests.log", "test_logging.log")
MONITOR = "monitor_logs/"
PLATFORMS = ("ubuntu", "macos", "windows")
ARTIFACTS: Mapping[str, str] = {
    "bundle": "premerge_artifacts/ is whole, and of this commit",
    "backups": "backups with their checksums",
    "verified": "the latest backup fits its checksum",
    "dry_runs": " and ".join(DRY_RUNS),
    "test_logs": " and ".join(TEST_LOGS),
    "monitor": MONITOR,
}
"""What the artifacts alone prove."""
ASKED: Mapping[str, str] = {
    "links": "links to the CI runs (Ubuntu, macOS, Windows)",
    "workflow": "premerge.yml passed on the head",
    "protection": "branch protection: checks, approvals, one of ops",
    "ops": "ops has approved the head",
    "monitoring": "monitoring and automatic rollback",
    "reviewers": "enough approvals of the head",
}
"""What GitHub is asked for."""
TITLES: Mapping[str, str] = {**ARTIFACTS, **ASKED}


class Mark(StrEnum):
    """How an item is."""

    PROVEN = "ok"
    RED = "RED"
    UNASKED = "not checked"
    ABSENT = "not there"
    """Only for what may be missing."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A piece of evidence, one line. `url`: where to look, if it is not a file."""

    text: str
    url: str = ""


@dataclass(frozen=True, slots=True)
class Item:
    """One item. `key`: its name in templates; `what`: on the screen."""

    key: str
    what: str
    mark: Mark
    seen: tuple[Seen, ...] = ()
    why: str = ""
    todo: str = ""

    def __str__(self) -> str:
        """One line: what, why, what to do."""
        why = f": {self.why}" if self.why else ""
        todo = f" -> {self.todo}" if self.todo else ""
        return f"{self.mark:<11}  {self.what}{why}{todo}"


@dataclass(frozen=True, slots=True)
class Bundle:
    """What lies in the folder of artifacts.

    Fields:
        faults: by path, why a file is not what the manifest says.
        strangers: files that the manifest does not have.
        zips: by path, the SHA-256 that its `.sha256` beside it names.
    """

    manifest: Manifest
    faults: Mapping[str, str] = field(default_factory=dict)
    strangers: tuple[str, ...] = ()
    zips: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Job:
    """A job of a workflow's run; its name is the check that a branch can require."""

    name: str
    status: str
    html_url: str | None
    conclusion: str | None = None


@dataclass(frozen=True, slots=True)
class Run:
    """A workflow's run. `conclusion`: None until it is over."""

    id: int
    status: str | None
    conclusion: str | None
    html_url: str
    head_sha: str


def item(key: str, faults: Iterable[str], todo: str, seen: Sequence[Seen] = ()) -> Item:
    """Proven without a fault."""
    why = "; ".join(faults)
    if why:
        return Item(key, TITLES[key], Mark.RED, tuple(seen), why, todo)
    return Item(key, TITLES[key], Mark.PROVEN, tuple(seen))


def unasked(key: str, why: str) -> Item:
    """Nobody asked."""
    return Item(key, TITLES[key], Mark.UNASKED, (), why)


def refused(key: str, why: Why) -> Item:
    """It was asked, and there was no answer."""
    return Item(key, TITLES[key], Mark.RED, (), why.what, why.hint)


def artifact_items(bundle: Bundle | Why, head: str | None) -> tuple[Item, ...]:
    """What the artifacts alone prove. `head`: the commit that they must be of, if it is known."""
    if isinstance(bundle, Why):
        return tuple(refused(key, bundle) for key in ARTIFACTS)
    return (
        _whole(bundle, head),
        _backups(bundle),
        _latest(bundle),
        _logs(bundle, "dry_runs", DRY_RUNS),
        _logs(bundle, "test_logs", TEST_LOGS),
        _monitor(bundle),
    )


def run_items(run: Run | Why | None, jobs: Sequence[Job]) -> tuple[Item, Item]:
    """Whether premerge passed on the head, and where: `links`, `workflow`."""
    todo = "push the head, wait for premerge.yml; gh run list --workflow premerge.yml"
    if isinstance(run, Why):
        return refused("links", run), refused("workflow", run)
    if run is None:
        why = ["premerge.yml never ran for the head commit"]
        return item("links", why, todo), item("workflow", why, todo)
    bad = [f"it is {run.status}"] if run.conclusion is None else []
    bad += [f"it ended with {run.conclusion}"] if run.conclusion not in {None, "success"} else []
    bad += [f"{one.name}: {one.conclusion or one.status}" for one in jobs if _failed(one)]
    seen = [Seen("premerge", run.html_url)]
    for name in PLATFORMS:
        seen += [Seen(one.name, one.html_url or "") for one in jobs if name in one.name.lower()]
    missing = [
        f"no job of it passed on {name}"
        for name in PLATFORMS
        if not any(name in one.name.lower() and one.conclusion == "success" for one in jobs)
    ]
    return item("links", missing, todo, seen), item("workflow", bad, todo, seen[:1])


def _failed(job: Job) -> bool:
    return job.conclusion not in {"success", "skipped", "neutral"}


def _whole(bundle: Bundle, head: str | None) -> Item:
    manifest = bundle.manifest
    faults = [f"{path} {why}" for path, why in sorted(bundle.faults.items())]
    faults += [f"{path} is not in {NAME}" for path in bundle.strangers]
    faults += [f"{one.name} failed: {one.why}" for one in manifest.steps if one.status == "failed"]
    if not manifest.passed and not any(one.status == "failed" for one in manifest.steps):
        faults.append("no step passed")
    if not manifest.clean:
        faults.append("the files were not those of a commit when it was made")
    if head is not None and manifest.commit != head:
        of = manifest.commit[:12] if manifest.commit else "no commit"
        faults.append(f"it was made of {of}, and the head is {head[:12]}")
    passed = sum(one.status == "passed" for one in manifest.steps)
    seen = [
        Seen(f"{len(manifest.files)} files, {passed} of {len(manifest.steps)} steps passed"),
        Seen(f"commit {manifest.commit}, {manifest.platform}, {manifest.environment}"),
        *(
            Seen(f"{one.name} was skipped: {one.why}")
            for one in manifest.steps
            if one.status == "skipped"
        ),
    ]
    return item("bundle", faults, AGAIN, seen)


def _zip_faults(bundle: Bundle, file: File) -> list[str]:
    faults = _file_faults(bundle, file.path)
    beside = f"{file.path}.sha256"
    if file.path not in bundle.zips:
        return [*faults, f"{beside} is missing, or names another file"]
    faults += _file_faults(bundle, beside)
    if bundle.zips[file.path] != file.sha256:
        faults.append(f"{beside} has another SHA-256 than {file.path}")
    return faults


def _zips(bundle: Bundle) -> list[File]:
    return [one for one in bundle.manifest.files if one.kind == "backup"]


def _backups(bundle: Bundle) -> Item:
    zips = _zips(bundle)
    faults = [fault for one in zips for fault in _zip_faults(bundle, one)]
    none = [] if zips else ["there is no backup in it"]
    return item("backups", none + faults, AGAIN, [_digest(one) for one in zips])


def _latest(bundle: Bundle) -> Item:
    """By the time in its name, as `backups/<service>_<environment>_<time>.zip` has it."""
    zips = sorted(_zips(bundle), key=lambda one: one.path.split("_")[-2:])
    latest = zips[-1:]
    faults = [fault for one in latest for fault in _zip_faults(bundle, one)]
    made = [one for one in bundle.manifest.steps if one.name == "backup-verify"]
    faults += [f"{one.name} {one.status}: {one.why}" for one in made if one.status != "passed"]
    none = [] if zips else ["there is no backup in it"]
    return item("verified", none + faults, AGAIN, [_digest(one) for one in latest])


def _logs(bundle: Bundle, key: str, names: Sequence[str]) -> Item:
    faults: list[str] = []
    seen: list[Seen] = []
    for name in names:
        here = [one for one in bundle.manifest.files if one.path == name]
        steps = [one for one in bundle.manifest.steps if one.log == name]
        if not here or not steps:
            faults.append(f"{name} is not in {NAME}")
        faults += _file_faults(bundle, name)
        faults += [f"{one.name} {one.status}: {one.why}" for one in steps if one.status != "passed"]
        seen += [_digest(one) for one in here]
    return item(key, faults, AGAIN, seen)


def _monitor(bundle: Bundle) -> Item:
    files = [one for one in bundle.manifest.files if one.path.startswith(MONITOR)]
    if not files:
        return Item("monitor", MONITOR, Mark.ABSENT, why="no rollout was watched, see the steps")
    faults = [fault for one in files for fault in _file_faults(bundle, one.path)]
    return item("monitor", faults, AGAIN, [_digest(one) for one in files])


def _file_faults(bundle: Bundle, path: str) -> list[str]:
    return [f"{path} {bundle.faults[path]}"] if path in bundle.faults else []


def _digest(file: File) -> Seen:
    return Seen(f"{file.path} sha256:{file.sha256}")
