"""A premerge run as one page for the pull request."""

from collections.abc import Iterator

from guarded_rollout.core.fact_text import size_text
from guarded_rollout.core.markdown import table
from guarded_rollout.core.premerge_manifest import Manifest

NAME = "summary.md"


def summary(manifest: Manifest, when: str, about: tuple[str, ...]) -> str:
    """Markdown. `when`: the end, for people; `about`: sentences on what was run where."""
    return "\n".join(_lines(manifest, when, about)) + "\n"


def _lines(manifest: Manifest, when: str, about: tuple[str, ...]) -> Iterator[str]:
    yield f"# Premerge: {'passed' if manifest.passed else 'FAILED'}"
    yield ""
    yield from table(
        ("", ""),
        (
            ("commit", manifest.commit or "none: not a Git repository"),
            ("files", "those of the commit" if manifest.clean else "changed since that commit"),
            ("platform", manifest.platform),
            ("environment", manifest.environment),
            ("ended", f"{when}, after {manifest.ended - manifest.began:.0f} s"),
            ("tool", f"guarded-rollout {manifest.tool}"),
        ),
    )
    yield ""
    yield from (f"{sentence}\n" for sentence in about)
    yield "## Steps"
    yield from table(
        ("step", "came of it", "seconds", "command", "log"),
        (
            (step.name, step.status, f"{step.seconds:.1f}", " ".join(step.command), step.log or "")
            for step in manifest.steps
        ),
    )
    for status, title in (("failed", "Failed"), ("skipped", "Skipped")):
        told = [step for step in manifest.steps if step.status == status]
        if told:
            yield f"\n## {title}"
            yield from table(("step", "why"), ((step.name, step.why) for step in told))
    yield "\n## Files"
    yield from table(
        ("file", "size", "SHA-256"),
        ((file.path, size_text(file.bytes), file.sha256) for file in manifest.files),
    )
    yield ""
    yield "`manifest.json` has all of this for programs."
