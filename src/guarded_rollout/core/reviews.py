"""Reviews of a pull request: which one of a person decides, and why one is no sign-off."""

from collections.abc import Iterable
from dataclasses import dataclass

from guarded_rollout.core.signoff_policy import SignOffPolicy
from guarded_rollout.core.statement import Refused, SignOff, Statement

APPROVED = "APPROVED"
DECIDING = frozenset({APPROVED, "CHANGES_REQUESTED", "DISMISSED"})
"""A comment leaves an approval as it is, as on GitHub."""


@dataclass(frozen=True, slots=True)
class Review:
    """One review. `commit`: what was looked at. `at`: Unix seconds. `url`: of the review."""

    login: str
    state: str
    commit: str
    at: float
    url: str


@dataclass(frozen=True, slots=True)
class Pull:
    """A pull request.

    Fields:
        base, trunk: the branch that it goes into, and the repository's default branch.
        head: its last commit.
        writers: the logins of who opened it and of who wrote or committed one of its commits.
        all_writers: whether every commit was listed, and GitHub knows whose it is.
    """

    number: int
    url: str
    base: str
    trunk: str
    head: str
    author: str
    writers: frozenset[str] = frozenset()
    all_writers: bool = True
    reviews: tuple[Review, ...] = ()


def deciding(reviews: Iterable[Review]) -> tuple[Review, ...]:
    """The last one of each person that approves, asks for changes or was dismissed."""
    last = {one.login.lower(): one for one in reviews if one.state in DECIDING}
    return tuple(last.values())


def pull_fault(pull: Pull) -> str | None:
    """Why no review of it counts."""
    if pull.base != pull.trunk:
        return f"it goes into {pull.base}, not into {pull.trunk}: less than the whole was reviewed"
    if not pull.all_writers:
        return "not every commit is known to be of somebody on GitHub: who wrote it is not known"
    return None


def review_fault(pull: Pull, review: Review) -> str | None:
    """Why it is no approval of what the pull request is now, by somebody who did not write it."""
    if review.state != APPROVED:
        why = {"DISMISSED": "was dismissed"}.get(review.state, "asks for changes")
        return f"the last review of {review.login} {why}"
    if review.commit != pull.head:
        return (
            f"stale: it is for {review.commit[:12] or 'nothing'}, and the head is {pull.head[:12]}"
        )
    if review.login.lower() in {writer.lower() for writer in pull.writers}:
        return f"self-approved: {review.login} wrote some of it"
    return None


def agreed_by_review(
    policy: SignOffPolicy, pull: Pull, asked: Statement
) -> Iterable[SignOff | Refused]:
    """Every deciding review, as a sign-off or as what it is instead.

    `asked`: what a sign-off of now would say, whoever gives it.
    """
    for review in deciding(pull.reviews):
        person = policy.reviewer(review.login)
        why = review_fault(pull, review)
        if person is None:
            why = f"unknown reviewer: nobody in [signoffs.people] has github = {review.login!r}"
        if why is not None or person is None:
            yield Refused(review.url, why or "")
            continue
        said = Statement(
            digest=asked.digest,
            environment=asked.environment,
            release=asked.release,
            who=person.name,
            account=f"{review.login} on GitHub",
            at=review.at,
            expires=review.at + policy.valid_seconds,
            reason=f"reviewed #{pull.number}",
        )
        yield SignOff(said, review.url, commit=review.commit)
