"""Sign-offs: what is signed, which of those that were found count, and what is missing.

A sign-off is bound to a digest of what is deployed and how. Change anything, and it is void.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, replace

from guarded_rollout.core.fact_text import minutes
from guarded_rollout.core.plan import Plan
from guarded_rollout.core.signoff_policy import SignOffPolicy
from guarded_rollout.core.spec import Environment, Release, Service
from guarded_rollout.core.statement import Refused, SignOff, Statement, readable

CLOCKS_DIFFER = 300.0
"""Seconds by which the signer's clock may be ahead."""


@dataclass(frozen=True, slots=True)
class Signed:
    """What people agree to. Not in it: what changes by itself, and by which way it would go back.

    `service.source` is empty: the candidate's digest is its content, wherever it lies.
    `new_backup`: the deploy makes one, and does not use an older one.
    """

    candidate: Release
    service: Service
    environment: Environment
    forward_only: str | None
    new_backup: bool


@dataclass(frozen=True, slots=True)
class Standing:
    """How far the sign-offs of a plan are."""

    policy: SignOffPolicy
    accepted: tuple[SignOff, ...] = ()
    refused: tuple[Refused, ...] = ()

    @property
    def missing(self) -> tuple[str, ...]:
        """What is missing, in words; nothing: the policy is met."""
        more = self.policy.needed - len(self.accepted)
        words = [f"{more} more"] if more > 0 else []
        signed = {signoff.statement.who for signoff in self.accepted}
        for group, least in self.policy.from_groups:
            members = self.policy.members(group)
            short = least - len(signed.intersection(members))
            if short > 0:
                could = ", ".join(name for name in members if name not in signed)
                words.append(f"{short} from {group} ({could})")
        return tuple(words)

    @property
    def summary(self) -> str:
        """`1 of 2 sign-offs (ann); missing: 1 more, 1 from ops (bob)`."""
        names = ", ".join(signoff.statement.who for signoff in self.accepted) or "nobody"
        head = f"{len(self.accepted)} of {self.policy.needed} sign-offs ({names})"
        return f"{head}; missing: {', '.join(self.missing)}" if self.missing else head


def signed_text(plan: Plan) -> str:
    """What is signed, as JSON that a person can read."""
    service = replace(plan.spec.service, source="")
    new_backup = plan.use_backup is None
    signed = Signed(plan.candidate, service, plan.spec.environment, plan.forward_only, new_backup)
    return readable(signed)


def signing_digest(plan: Plan) -> str:
    """SHA-256 of that text."""
    return hashlib.sha256(signed_text(plan).encode()).hexdigest()


def expires(policy: SignOffPolicy, statement: Statement) -> float:
    """Unix seconds. The signer may ask for less than the policy, not for more."""
    return min(statement.expires, statement.at + policy.valid_seconds)


def stand(
    policy: SignOffPolicy,
    digest: str,
    found: Iterable[SignOff | Refused],
    now: float,
    starter: str | None = None,
) -> Standing:
    """Which count. `starter`: the account that starts the rollout; None: not known yet."""
    accepted: list[SignOff] = []
    refused: list[Refused] = []
    for one in found:
        if isinstance(one, Refused):
            refused.append(one)
            continue
        why = _fault(policy, digest, one, now, starter) or _again(one, accepted)
        if why is None:
            accepted.append(one)
        else:
            refused.append(Refused(one.source, why))
    return Standing(policy, tuple(accepted), tuple(refused))


def _fault(
    policy: SignOffPolicy, digest: str, signoff: SignOff, now: float, starter: str | None
) -> str | None:
    said = signoff.statement
    person = policy.person(said.who)
    if person is None:
        return f"unknown signer: {said.who} is not in [signoffs.people] of rollout.toml"
    if said.digest != digest:
        return f"it signs another plan: {said.digest[:12]}, and this one is {digest[:12]}"
    if said.at > now + CLOCKS_DIFFER:
        return f"it was signed {minutes(round(said.at - now))} in the future: compare the clocks"
    if now >= expires(policy, said):
        return f"it expired {minutes(round(now - expires(policy, said)))} ago"
    if starter is not None and (starter == said.account or person.uses(starter)):
        return f"self-approved: {said.who} is {starter}, who starts this rollout"
    return None


def _again(signoff: SignOff, accepted: Iterable[SignOff]) -> str | None:
    for other in accepted:
        if other.statement.who == signoff.statement.who:
            return f"{other.statement.who} has signed already: {other.source}"
        if signoff.key and other.key == signoff.key:
            return f"it is signed with the key of {other.statement.who}"
    return None
