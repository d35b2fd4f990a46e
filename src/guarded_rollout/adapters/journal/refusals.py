"""What a journal does not do, in the same words on SQLite and PostgreSQL."""

from datetime import UTC, datetime

from guarded_rollout.core.facts import AFTERWARDS, BY_ANYBODY, Fact, Started
from guarded_rollout.core.problems import Busy, NotPossible
from guarded_rollout.ports import Lease

_FAULT = "this is a fault of the tool: please report it with the command you ran"


def expect_fitting(environment: str, rollout: str, fact: Started) -> None:
    """A plan begins in its own environment only."""
    own = fact.plan.spec.environment.name
    if own != environment:
        raise NotPossible(f"rollout {rollout} is for {own}, not {environment}", _FAULT)


def expect_allowed(lease: Lease | None, environment: str, fact: Fact) -> None:
    """Who may write what, before anybody looks whether the lease is the newest."""
    if isinstance(fact, Started):
        raise NotPossible("a rollout starts once", "begin another one")
    if lease is None:
        if not isinstance(fact, BY_ANYBODY):
            raise NotPossible(
                f"{type(fact).__name__} can only be written by who has the lease of {environment}",
                f"take it over: rollout resume --env {environment}",
            )
    elif lease.environment != environment:
        raise NotPossible(
            f"the lease of {lease.environment} does not allow writing for {environment}", _FAULT
        )


def unknown(rollout: str) -> NotPossible:
    """It never was."""
    return NotPossible(f"there is no rollout {rollout}", "see what there is: rollout status")


def name_taken(rollout: str) -> NotPossible:
    """A name is used once."""
    return NotPossible(f"there is a rollout {rollout} already", "begin again: it gets a new name")


def expect_open(rollout: str, environment: str, ending: str | None, fact: Fact) -> None:
    """It has not ended, or this may be said afterwards."""
    if ending is None or isinstance(fact, AFTERWARDS):
        return
    raise NotPossible(
        f"rollout {rollout} has ended: {ending}",
        f"nothing is left to do; see it: rollout watch --env {environment}",
    )


def taken(environment: str, rollout: str, kind: str, began: float) -> Busy:
    """Another rollout is active."""
    return Busy(
        f"{environment} is taken: {kind} {rollout} is active since {utc(began)}",
        f"see how far it is: rollout status --env {environment}; "
        f"if nobody drives it: rollout resume --env {environment}",
    )


def lost(lease: Lease, now_with: str | None) -> Busy:
    """The lease is not the newest."""
    return Busy(
        f"{lease.owner} has lost the lease of {lease.environment}; "
        f"now {now_with or 'nobody'} has it",
        "this controller stops here and nothing was written; see who carries on: "
        f"rollout status --env {lease.environment}",
    )


def utc(at: float) -> str:
    """A moment for people."""
    return datetime.fromtimestamp(at, tz=UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
