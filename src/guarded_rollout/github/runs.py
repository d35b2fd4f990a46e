"""Runs of a workflow. Source: https://docs.github.com/rest/actions/workflow-runs."""

from dataclasses import dataclass

from guarded_rollout.core.problems import NotPossible
from guarded_rollout.github.repository import Repository

PREMERGE = "premerge.yml"


@dataclass(frozen=True, slots=True)
class Job:
    """One job; its name is the check that a branch can require."""

    name: str
    status: str
    html_url: str | None
    conclusion: str | None = None


@dataclass(frozen=True, slots=True)
class Run:
    """One run. `conclusion`: None until it is over."""

    id: int
    status: str | None
    conclusion: str | None
    html_url: str
    head_sha: str


def newest_run(hub: Repository, workflow: str, commit: str | None = None) -> Run | None:
    """Look: the newest run, of this commit if one is named. None: there is none."""
    of = f"?head_sha={commit}" if commit is not None else ""
    try:
        found = hub.every(f"/actions/workflows/{workflow}/runs{of}", Run, "workflow_runs", 1)
    except NotPossible as problem:
        if "404" in problem.why.what:
            return None
        raise
    return found[0] if found else None


def jobs(hub: Repository, run: Run) -> tuple[Job, ...]:
    """Look: its jobs, of the last attempt."""
    return hub.every(f"/actions/runs/{run.id}/jobs", Job, "jobs")
