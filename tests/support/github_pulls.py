"""A local GitHub with pull requests, reviews, workflow runs and branch protection.

It answers as GitHub does: reviews in the order they were given, 422 for a commit that it does not
have, 404 "Branch not protected", protection in the shape that it is read in, not set in.
"""

import hashlib
import json
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from github_server import GitHub

ACTIONS = 15368
"""The app that GitHub's workflows report as. A context that it has set is pinned to it."""
NOT_FOUND = (404, {}, {"message": "Not Found"})


@dataclass
class Hub(GitHub):
    """`trees`: commit to tree. `protection`: as it was set, by branch. `runs`: of workflows."""

    trees: dict = field(default_factory=dict)
    pulls: dict = field(default_factory=dict)
    commits: dict = field(default_factory=dict)
    reviews: dict = field(default_factory=dict)
    runs: list = field(default_factory=list)
    jobs: dict = field(default_factory=dict)
    protection: dict = field(default_factory=dict)
    owner_errors: list | None = field(default_factory=list)
    trunk: str = "main"

    def open(self, author, *commits, base=None, number=12):
        """A pull request with these (commit, author, committer)s; a commit alone is `author`'s."""
        listed = [one if isinstance(one, tuple) else (one, author, author) for one in commits]
        self.commits[number] = [
            {"sha": sha, "author": user(wrote), "committer": user(committed)}
            for sha, wrote, committed in listed
        ]
        self.reviews[number] = []
        self.pulls[number] = {
            "number": number,
            "html_url": f"https://github.example/{self.repository}/pull/{number}",
            "state": "open",
            "user": user(author),
            "head": {"sha": listed[-1][0], "ref": "work"},
            "base": {
                "ref": base or self.trunk,
                "sha": "0" * 40,
                "repo": {"default_branch": self.trunk},
            },
            "commits": len(listed),
            "requested_reviewers": [],
            "requested_teams": [],
            "merged_as": [],
        }
        for sha, _, _ in listed:
            self.trees.setdefault(sha, hashlib.sha1(sha.encode()).hexdigest())
        return self.pulls[number]

    def review(self, login, state="APPROVED", commit=None, number=12, hours_ago=0):
        """One more."""
        at = datetime.now(UTC) - timedelta(hours=hours_ago)
        given = self.reviews[number]
        given.append(
            {
                "id": len(given) + 1,
                "state": state,
                "user": user(login),
                "commit_id": commit or self.pulls[number]["head"]["sha"],
                "submitted_at": at.strftime("%Y-%m-%dT%H:%M:%SZ"),
                "html_url": f"https://github.example/pull/{number}#review-{len(given) + 1}",
            }
        )
        return given[-1]

    def run(self, commit, conclusion="success", status="completed", workflow="premerge.yml"):
        """One of a workflow, with a job on each platform."""
        number = len(self.runs) + 1
        self.runs.insert(
            0,
            {
                "id": number,
                "name": workflow,
                "path": f".github/workflows/{workflow}",
                "head_sha": commit,
                "status": status,
                "conclusion": conclusion,
                "html_url": f"https://github.example/runs/{number}",
            },
        )
        self.jobs[number] = [
            {
                "name": f"premerge ({platform}-latest)",
                "status": status,
                "conclusion": conclusion,
                "head_sha": commit,
                "html_url": f"https://github.example/runs/{number}/job/{platform}",
            }
            for platform in ("ubuntu", "macos", "windows")
        ]

    def other(self, method, path, query, body):
        """The rest of the API."""
        routes = (
            (r"", lambda: (200, {}, {"default_branch": self.trunk})),
            (r"/commits/(\w+)/pulls", lambda sha: self._with(sha, query)),
            (r"/git/commits/(\w+)", self._commit),
            (r"/pulls/(\d+)", lambda number: self._of(self.pulls, number)),
            (r"/pulls/(\d+)/reviews", lambda number: self._of(self.reviews, number, query)),
            (r"/pulls/(\d+)/commits", lambda number: self._of(self.commits, number, query)),
            (r"/actions/workflows/([\w.]+)/runs", lambda name: self._runs(name, query)),
            (r"/actions/runs/(\d+)/jobs", self._jobs),
            (
                r"/branches/([^/]+)/protection",
                lambda name: self._protection(name) if method == "GET" else self._set(name, body),
            ),
            (
                r"/branches/([^/]+)/protection/required_status_checks",
                lambda name: self._set_checks(name, body),
            ),
            (r"/codeowners/errors", self._owners),
        )
        for pattern, answer in routes:
            found = re.fullmatch(pattern, path)
            if found:
                return answer(*found.groups())
        return None

    def _of(self, kept, number, query=None):
        if int(number) not in kept:
            return NOT_FOUND
        found = kept[int(number)]
        return (found, query) if query is not None else (200, {}, found)

    def _with(self, sha, query):
        if sha not in self.trees:
            return 422, {}, {"message": f"No commit found for SHA: {sha}"}
        found = [
            pull
            for number, pull in self.pulls.items()
            if sha in pull["merged_as"] or any(one["sha"] == sha for one in self.commits[number])
        ]
        return found, query

    def _commit(self, sha):
        if sha not in self.trees:
            return NOT_FOUND
        tree = {"sha": self.trees[sha], "url": f"https://github.example/trees/{sha}"}
        return 200, {}, {"sha": sha, "tree": tree}

    def _runs(self, name, query):
        known = [run for run in self.runs if run["path"].endswith(f"/{name}")]
        if not known:
            return NOT_FOUND
        found = [run for run in known if query.get("head_sha", run["head_sha"]) == run["head_sha"]]
        return 200, {}, {"total_count": len(found), "workflow_runs": found}

    def _jobs(self, number):
        if int(number) not in self.jobs:
            return NOT_FOUND
        listed = self.jobs[int(number)]
        return 200, {}, {"total_count": len(listed), "jobs": listed}

    def _protection(self, branch):
        if branch != self.trunk:
            return 404, {}, {"message": "Branch not found"}
        if branch not in self.protection:
            return 404, {}, {"message": "Branch not protected"}
        return 200, {}, shown(self.protection[branch])

    def _set(self, branch, body):
        if branch != self.trunk:
            return 404, {}, {"message": "Branch not found"}
        content = json.loads(body)
        checks = content["required_status_checks"]
        if checks and "checks" in checks and "contexts" in checks:
            return 422, {}, {"message": "Invalid request.\n\nOnly one of checks and contexts"}
        if checks:
            app = {"app_id": ACTIONS}
            checks["checks"] = [{"context": name, **app} for name in checks["contexts"]]
        self.protection[branch] = content
        return self._protection(branch)

    def _set_checks(self, branch, body):
        content = json.loads(body)
        content["contexts"] = [one["context"] for one in content["checks"]]
        for one in content["checks"]:
            one["app_id"] = None if one.get("app_id", ACTIONS) == -1 else one.get("app_id", ACTIONS)
        self.protection[branch]["required_status_checks"] = content
        return 200, {}, shown(self.protection[branch])["required_status_checks"]

    def _owners(self):
        if self.owner_errors is None:
            return NOT_FOUND
        return 200, {}, {"errors": self.owner_errors}


def user(login):
    return {"login": login} if login else None


def shown(setting):
    """Protection as GitHub answers it, of what it was set to."""
    switches = (
        "enforce_admins",
        "required_linear_history",
        "allow_force_pushes",
        "allow_deletions",
        "block_creations",
        "required_conversation_resolution",
        "lock_branch",
        "allow_fork_syncing",
    )
    answer = {name: {"enabled": bool(setting.get(name))} for name in switches}
    answer["enforce_admins"]["url"] = "https://github.example/x"
    checks = setting["required_status_checks"]
    if checks is not None:
        listed = checks.get("checks") or [{"context": name} for name in checks["contexts"]]
        answer["required_status_checks"] = {
            "strict": checks["strict"],
            "contexts": [one["context"] for one in listed],
            "checks": [{"app_id": None, **one} for one in listed],
        }
    reviews = setting["required_pull_request_reviews"]
    if reviews is not None:
        answer["required_pull_request_reviews"] = {
            "dismiss_stale_reviews": False,
            "require_code_owner_reviews": False,
            "required_approving_review_count": 1,
            "require_last_push_approval": False,
            **reviews,
            **{
                name: named(reviews[name])
                for name in ("dismissal_restrictions", "bypass_pull_request_allowances")
                if name in reviews
            },
        }
    if setting["restrictions"] is not None:
        answer["restrictions"] = named(setting["restrictions"])
    return answer


def named(who):
    return {
        "users": [user(login) for login in who.get("users", ())],
        "teams": [{"slug": slug} for slug in who.get("teams", ())],
        "apps": [{"slug": slug} for slug in who.get("apps", ())],
    }
