"""Pull requests as GitHub tells of them.

Source: GitHub REST API, https://docs.github.com/rest/pulls, https://docs.github.com/rest/commits.
"""

from dataclasses import dataclass
from datetime import UTC, datetime

from guarded_rollout.core.reviews import Pull, Review
from guarded_rollout.github.repository import Repository

BOT = "web-flow"
"""GitHub itself commits what somebody edits or merges on its site."""


@dataclass(frozen=True, slots=True)
class User:
    """An account. It is null where it was deleted, or where GitHub does not know whose it is."""

    login: str = ""


@dataclass(frozen=True, slots=True)
class _Home:
    default_branch: str


@dataclass(frozen=True, slots=True)
class Head:
    """The last commit of a branch."""

    sha: str


@dataclass(frozen=True, slots=True)
class _Base:
    ref: str
    repo: _Home


@dataclass(frozen=True, slots=True)
class PullAnswer:
    """One pull request."""

    number: int
    html_url: str
    state: str
    head: Head
    base: _Base
    user: User | None = None
    commits: int = 0


@dataclass(frozen=True, slots=True)
class _ReviewAnswer:
    state: str
    html_url: str
    user: User | None
    commit_id: str | None = None
    submitted_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class _CommitAnswer:
    author: User | None = None
    committer: User | None = None


@dataclass(frozen=True, slots=True)
class _GitCommit:
    tree: Head


def tree_of(hub: Repository, commit: str) -> str:
    """The content of a commit: equal trees, equal files."""
    return hub.get(f"/git/commits/{commit}", _GitCommit).tree.sha


def pulls_with(hub: Repository, commit: str) -> tuple[int, ...]:
    """The numbers of the pull requests that it is in, or that brought it."""
    return tuple(one.number for one in hub.every(f"/commits/{commit}/pulls", PullAnswer))


def pull_answer(hub: Repository, number: int) -> PullAnswer:
    """One, as it is now."""
    return hub.get(f"/pulls/{number}", PullAnswer)


def whole_pull(hub: Repository, answer: PullAnswer) -> Pull:
    """With its reviews and with everybody who wrote some of it."""
    path = f"/pulls/{answer.number}"
    commits = hub.every(f"{path}/commits", _CommitAnswer)
    people = [person for one in commits for person in (one.author, one.committer)]
    known = [person.login for person in people if person is not None and person.login]
    return Pull(
        number=answer.number,
        url=answer.html_url,
        base=answer.base.ref,
        trunk=answer.base.repo.default_branch,
        head=answer.head.sha,
        author=_login(answer.user),
        writers=frozenset({_login(answer.user), *known} - {BOT, ""}),
        all_writers=len(commits) == answer.commits and len(known) == len(people),
        reviews=tuple(
            Review(
                login=_login(one.user),
                state=one.state,
                commit=one.commit_id or "",
                at=_seconds(one.submitted_at),
                url=one.html_url,
            )
            for one in hub.every(f"{path}/reviews", _ReviewAnswer)
        ),
    )


def _login(user: User | None) -> str:
    return user.login if user is not None else ""


def _seconds(at: datetime | None) -> float:
    return at.astimezone(UTC).timestamp() if at is not None else 0.0
