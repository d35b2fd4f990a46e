"""Commands for sign-offs: `rollout approve` and `rollout approvals`."""

import argparse
import json
from pathlib import Path

from guarded_rollout.adapters.clock import SystemClock
from guarded_rollout.adapters.configuration import minutes
from guarded_rollout.adapters.host import user
from guarded_rollout.adapters.signed_files import SignedFiles
from guarded_rollout.cli.rollouts import planned
from guarded_rollout.cli.spec import spec_for
from guarded_rollout.cli.standing import (
    moment,
    other_plans,
    standing_document,
    standing_lines,
    standing_of,
)
from guarded_rollout.cli.wiring import Places, open_journal
from guarded_rollout.core.plan import Kind, Plan
from guarded_rollout.core.problems import BadInput, NotPossible
from guarded_rollout.core.report import plan_lines
from guarded_rollout.core.signoff_policy import SignOffPolicy
from guarded_rollout.core.signoffs import signed_text, signing_digest
from guarded_rollout.core.statement import Statement

KEY = "~/.ssh/id_ed25519"


def approve(args: argparse.Namespace) -> int:
    """`rollout approve`: sign what a deploy with the same options would do."""
    screen, places = args.screen, Places(args.root)
    plan = _plan(args, places)
    if args.show:
        screen.line(signed_text(plan).rstrip())
        screen.line(f"SHA-256: {signing_digest(plan)}")
        signed = json.loads(signed_text(plan))
        screen.document({"digest": signing_digest(plan), "signed": signed})
        return 0
    policy = _policy(plan)
    who, lasts = _who(args, policy), _lasts(args, policy)
    screen.lines(plan_lines(plan))
    now = float(round(SystemClock().now()))
    statement = Statement(
        digest=signing_digest(plan),
        environment=args.env,
        release=plan.candidate.name,
        who=who,
        account=user(),
        at=now,
        expires=now + lasts,
        reason=args.reason,
    )
    key = Path(args.key or KEY).expanduser()
    file = SignedFiles(places.root, policy.signers).sign(statement, key)
    screen.line(f"{who} has signed, until {moment(statement.expires)}: {file}, {file}.sig")
    return _tell(args, places, plan, {"file": file})


def approvals(args: argparse.Namespace) -> int:
    """`rollout approvals`: who signed, what is missing, until when."""
    places = Places(args.root)
    plan = _plan(args, places)
    _policy(plan)
    args.screen.line(f"deploy {plan.candidate.name} in {args.env}")
    return _tell(args, places, plan, {})


def _tell(args: argparse.Namespace, places: Places, plan: Plan, more: dict[str, object]) -> int:
    standing = standing_of(args, places, plan, None)
    assert standing is not None, "it has a policy"
    args.screen.lines(standing_lines(standing, plan))
    args.screen.lines([f"  note     {text}" for text in other_plans(places, plan)])
    args.screen.line("  note     who signed cannot start the deploy; somebody else does")
    args.screen.document({**standing_document(standing, plan), **more})
    return 0


def _plan(args: argparse.Namespace, places: Places) -> Plan:
    spec = spec_for(args, places)
    return planned(args, places, spec, open_journal(places, look_only=True), Kind.DEPLOY)[0]


def _policy(plan: Plan) -> SignOffPolicy:
    environment = plan.spec.environment
    if environment.signoffs is None:
        raise NotPossible(
            f"{environment.name} asks for no sign-offs",
            f"to ask for them: [environments.{environment.name}.signoffs] in rollout.toml; "
            "docs/reference/signoffs.md",
        )
    return environment.signoffs


def _who(args: argparse.Namespace, policy: SignOffPolicy) -> str:
    """As named, or the one person whose account this is."""
    names = [person.name for person in policy.people]
    if args.who is not None:
        if args.who not in names:
            raise BadInput(
                f"--as: {args.who} is not in [signoffs.people] of rollout.toml",
                f"known are {', '.join(names)}",
            )
        return str(args.who)
    mine = [person.name for person in policy.people if person.uses(user())]
    if len(mine) != 1:
        raise BadInput(
            f"{user()} is the account of {' and '.join(mine) or 'nobody'} in [signoffs.people]",
            f"say who signs: --as NAME; known are {', '.join(names)}",
        )
    return mine[0]


def _lasts(args: argparse.Namespace, policy: SignOffPolicy) -> float:
    """Seconds."""
    if args.expires is None:
        return policy.valid_seconds
    asked = minutes(args.expires, "--expires")
    if asked > policy.valid_seconds:
        raise BadInput(
            f"--expires: {args.expires} is longer than {args.env} allows",
            f"at most {policy.valid_seconds / 3600:g}h: valid_for in rollout.toml",
        )
    return asked
