"""Runs of a workflow. Source: https://docs.github.com/rest/actions/workflow-runs."""

from guarded_rollout.core.problems import NotPossible
from guarded_rollout.core.pull_checklist import Job, Run
from guarded_rollout.github.repository import Repository

PREMERGE = "premerge.yml"


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
