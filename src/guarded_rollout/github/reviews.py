"""Approving reviews as sign-offs of what is checked out."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from guarded_rollout.adapters.checkout import Checkout
from guarded_rollout.core.problems import Problem
from guarded_rollout.core.reviews import agreed_by_review, pull_fault
from guarded_rollout.core.signoff_policy import SignOffPolicy
from guarded_rollout.core.statement import Refused, SignOff, Statement
from guarded_rollout.github.pulls import pull_answer, pulls_with, tree_of, whole_pull
from guarded_rollout.github.repository import Repository


@dataclass(frozen=True, slots=True)
class Reviews:
    """Satisfies ports.SignOffs. A review agrees to the files of a commit, and to nothing else.

    What keeps them from counting is told, never raised: signatures may be enough.

    Fields:
        options: those of the command that no file has, such as --duration.
        files: what goes into the release, as paths.
    """

    hub: Repository
    policy: SignOffPolicy
    checkout: Checkout
    environment: str
    release: str
    files: Sequence[str]
    options: Sequence[str] = ()

    def found(self, digest: str) -> tuple[SignOff | Refused, ...]:
        """Look: every review of a pull request whose content is what is checked out."""
        asked = Statement(digest, self.environment, self.release, "", "", 0.0, 0.0)
        try:
            if self.options:
                names = ", ".join(self.options)
                return (self._none(f"reviewers did not see {names}: sign with rollout approve"),)
            self.checkout.require_clean(self.files)
            return tuple(self._found(asked))
        except Problem as problem:
            hint = f" ({problem.why.hint})" if problem.why.hint else ""
            return (self._none(f"{problem.why.what}{hint}"),)

    def _found(self, asked: Statement) -> Iterator[SignOff | Refused]:
        commit = self.checkout.commit()
        numbers = pulls_with(self.hub, commit)
        if not numbers:
            yield self._none(f"no pull request has the commit {commit[:12]}")
        for number in numbers:
            answer = pull_answer(self.hub, number)
            head = answer.head.sha
            if head != commit and tree_of(self.hub, head) != self.checkout.tree():
                why = f"its head {head[:12]} has other files than {commit[:12]}, which is deployed"
                yield Refused(answer.html_url, why)
                continue
            pull = whole_pull(self.hub, answer)
            fault = pull_fault(pull)
            if fault is not None:
                yield Refused(pull.url, fault)
            else:
                yield from agreed_by_review(self.policy, pull, asked)

    def _none(self, why: str) -> Refused:
        return Refused(f"reviews of {self.hub.where.repository}", why)
