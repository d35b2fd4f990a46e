"""How far a plan's sign-offs are: told, asked for, or gone without."""

import argparse
import os
from dataclasses import dataclass
from datetime import UTC, datetime

from guarded_rollout.adapters.clock import SystemClock
from guarded_rollout.adapters.configuration.gates_file import GATES_FILE
from guarded_rollout.adapters.configuration.spec import ROLLOUT_FILE
from guarded_rollout.adapters.signed_files import SignedFiles
from guarded_rollout.cli.wiring import Places
from guarded_rollout.core.plan import Kind, Plan
from guarded_rollout.core.problems import NotPossible
from guarded_rollout.core.signoff_policy import Reviewed, SignOffPolicy
from guarded_rollout.core.signoffs import Standing, expires, signing_digest, stand
from guarded_rollout.core.statement import SignOff, Statement
from guarded_rollout.ports import SignOffs

ASKED = frozenset({Kind.DEPLOY, Kind.MIGRATE})
"""What goes back, looks or tries is never held up."""


_UNREVIEWED = {
    "--source": "source",
    "--config": "config",
    "--duration": "duration",
    "--forward-only": "forward_only",
    "--skip-backup": "skip_backup",
}
"""What a review cannot have seen: it changes a deploy, and no file has it."""


@dataclass(frozen=True, slots=True)
class Agreed:
    """What the journal gets: the sign-offs that counted, and why it goes without others."""

    signoffs: tuple[SignOff, ...] = ()
    without: str = ""


NOBODY_ASKED = Agreed()


def standing_of(
    args: argparse.Namespace, places: Places, plan: Plan, starter: str | None
) -> Standing | None:
    """None: this plan needs nobody. `starter`: the account that begins it, if that is known."""
    policy = plan.spec.environment.signoffs
    if policy is None or plan.kind not in ASKED:
        return None
    digest = signing_digest(plan)
    found = SignedFiles(places.root, policy.signers).found(digest)
    if policy.reviewed is not None:
        found += _reviews(args, places, plan, policy, policy.reviewed).found(digest)
    return stand(policy, digest, found, SystemClock().now(), starter)


def _reviews(
    args: argparse.Namespace, places: Places, plan: Plan, policy: SignOffPolicy, where: Reviewed
) -> SignOffs:
    from guarded_rollout.adapters.builds.source import read_source
    from guarded_rollout.adapters.checkout import Checkout
    from guarded_rollout.github.repository import Repository
    from guarded_rollout.github.reviews import Reviews

    root, service = places.root.resolve(), plan.spec.service
    options = tuple(
        name for name, key in _UNREVIEWED.items() if getattr(args, key, None) not in {None, False}
    )
    files = {file for file in (root / ROLLOUT_FILE, root / GATES_FILE) if file.exists()}
    if not options:
        source = root / service.source
        files |= {source / name for name in read_source(service.name, source).files}
    files |= {file.resolve() for file in files}
    return Reviews(
        hub=Repository(where, SystemClock()),
        policy=policy,
        checkout=Checkout(root),
        environment=plan.spec.environment.name,
        release=plan.candidate.name,
        files=sorted(os.path.relpath(file, root) for file in files),
        options=options,
    )


def standing_lines(standing: Standing, plan: Plan, without: str | None = None) -> list[str]:
    """As lines of a plan. `without`: why it goes on though some are missing."""
    policy = standing.policy
    lines = [f"  signs    {signing_digest(plan)}", f"  sign-off {standing.summary}"]
    for one in standing.accepted:
        said = one.statement
        why = f": {said.reason}" if said.reason else ""
        lines.append(f"  signed   {said.who}, until {moment(expires(policy, said))}{why}")
    lines += [f"  void     {one.source}: {one.why}" for one in standing.refused]
    if without and standing.missing:
        lines.append(f"  WARNING  GOES ON WITHOUT THE SIGN-OFFS THAT ARE MISSING: {without}")
        lines.append("           the journal keeps that, and people are told")
    return lines


def standing_document(standing: Standing, plan: Plan) -> dict[str, object]:
    """For machines."""
    return {
        "digest": signing_digest(plan),
        "needed": standing.policy.needed,
        "met": not standing.missing,
        "missing": list(standing.missing),
        "signed": [
            {"who": one.statement.who, "until": expires(standing.policy, one.statement)}
            for one in standing.accepted
        ],
        "void": [{"source": one.source, "why": one.why} for one in standing.refused],
    }


def agreed(
    args: argparse.Namespace, places: Places, plan: Plan, standing: Standing | None
) -> Agreed:
    """NotPossible when the policy is not met and nobody goes without it."""
    why = args.without_signoffs if plan.kind in ASKED else None
    if standing is None or not standing.missing:
        if why:
            args.screen.line("--without-signoffs is not needed: none are missing")
        return Agreed(standing.accepted if standing is not None else ())
    if why:
        return Agreed(standing.accepted, why)
    void = "".join(f"; {one.source} does not count: {one.why}" for one in standing.refused)
    others = "".join(f"; {text}" for text in other_plans(places, plan))
    environment = plan.spec.environment.name
    or_reviews = " or approves the pull request" if standing.policy.reviewed else ""
    raise NotPossible(
        f"{environment} has {standing.summary}{void}{others}",
        f"each of them types: rollout approve --env {environment} (with this command's other "
        f"options){or_reviews}; in an emergency: rollout {plan.kind} --env {environment} "
        "--without-signoffs WHY, which people are told of",
    )


def other_plans(places: Places, plan: Plan) -> list[str]:
    """Who signed something else that has not expired: often it should have been this plan."""
    environment = plan.spec.environment
    if environment.signoffs is None:
        return []
    files = SignedFiles(places.root, environment.signoffs.signers)
    said = files.others(signing_digest(plan), environment.name)
    fresh = [one for one in said if expires(environment.signoffs, one) > SystemClock().now()]
    return [f"{one.who} signed another plan: {_difference(one, plan)}" for one in fresh]


def _difference(said: Statement, plan: Plan) -> str:
    if said.release != plan.candidate.name:
        return f"release {said.release}, not {plan.candidate.name}"
    return f"{said.release} with another configuration or other options ({said.digest[:12]})"


def moment(at: float) -> str:
    """`2026-11-21 20:00 UTC`."""
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M} UTC"
