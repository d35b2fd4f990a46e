"""What a premerge run did and left behind, as `premerge_artifacts/manifest.json`."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Literal

import msgspec

from guarded_rollout.core.problems import BadInput

NAME = "manifest.json"
FORMAT: Literal[1] = 1
AGAIN = "run `rollout premerge` again"

Status = Literal["passed", "failed", "skipped"]
Sort = Literal["log", "backup", "checksum", "junit", "report", "summary"]
Sha256 = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
Commit = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{40}$")]
Count = Annotated[int, msgspec.Meta(ge=0)]
Duration = Annotated[float, msgspec.Meta(ge=0)]
Name = Annotated[str, msgspec.Meta(min_length=1)]


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that premerge tried.

    Fields:
        command: what a person would type for the same; empty when there is no such line.
        exit: the exit code; None when nothing was run, or when it was not a command.
        log: one of the files.
        why: the reason, unless it passed.
    """

    name: Name
    command: tuple[str, ...]
    status: Status
    exit: int | None
    seconds: Duration
    log: str | None
    why: str = ""


@dataclass(frozen=True, slots=True)
class File:
    """One file beside the manifest. `path`: relative to the manifest's folder, POSIX."""

    path: Name
    sha256: Sha256
    bytes: Count
    kind: Sort


@dataclass(frozen=True, slots=True)
class Manifest:
    """A premerge run. Times in Unix seconds.

    Fields:
        tool: this package's version.
        commit: what was checked out; None outside of a Git repository.
        clean: whether the files were those of the commit.
        passed: see `all_passed`.
    """

    tool: str
    commit: Commit | None
    clean: bool
    began: float
    ended: float
    platform: str
    environment: str
    steps: tuple[Step, ...]
    files: tuple[File, ...]
    passed: bool
    format: Literal[1] = FORMAT


@dataclass(frozen=True, slots=True)
class _Version:
    format: int


def all_passed(steps: tuple[Step, ...]) -> bool:
    """No step failed, and some passed: what was only skipped proves nothing."""
    outcomes = {step.status for step in steps}
    return "passed" in outcomes and "failed" not in outcomes


def text_of(manifest: Manifest) -> str:
    """JSON for people and programs."""
    return msgspec.json.format(msgspec.json.encode(manifest), indent=2).decode() + "\n"


def manifest_of(text: str | bytes, file: str = NAME) -> Manifest:
    """The manifest again. BadInput, with the file's name, for what does not fit or contradicts."""
    try:
        version = msgspec.json.decode(text, type=_Version).format
        if version > FORMAT:
            raise BadInput(
                f"{file} has format {version}; this tool reads up to {FORMAT}",
                "update guarded-rollout, or use the version that made it",
            )
        manifest = msgspec.json.decode(text, type=Manifest)
        unknown = msgspec.json.decode(text) != msgspec.json.decode(text_of(manifest))
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise BadInput(f"{file} is no manifest of premerge: {error}", AGAIN) from error
    if unknown:
        raise BadInput(f"{file} has keys that a manifest of premerge has not", AGAIN)
    for misfit in _misfits(manifest):
        raise BadInput(f"{file} contradicts itself: {misfit}", AGAIN)
    return manifest


def _misfits(manifest: Manifest) -> Iterator[str]:
    """What no run of premerge writes."""
    paths = [file.path for file in manifest.files]
    yield from (
        f"files: {path!r} is not a path inside its folder" for path in paths if not _inside(path)
    )
    yield from _twice("files", paths)
    yield from _twice("steps", [step.name for step in manifest.steps])
    for step in manifest.steps:
        if step.status == "passed" and step.exit not in {0, None}:
            yield f"steps: {step.name} passed with exit code {step.exit}"
        if step.status != "passed" and not step.why:
            yield f"steps: {step.name} {step.status}, and does not say why"
        if step.log is not None and step.log not in paths:
            yield f"steps: the log {step.log!r} of {step.name} is not among the files"
    if manifest.passed != all_passed(manifest.steps):
        yield f"passed is {str(manifest.passed).lower()}, and the steps say otherwise"
    if manifest.ended < manifest.began:
        yield "it ended before it began"


def _twice(what: str, names: list[str]) -> list[str]:
    counts = Counter(names).items()
    return [f"{what}: {name!r} is there {times} times" for name, times in counts if times > 1]


def _inside(path: str) -> bool:
    parts = path.split("/")
    return not any(part in {"", ".", ".."} for part in parts) and not set(path) & {"\\", ":", "\0"}
