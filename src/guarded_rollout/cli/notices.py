"""`rollout notify` and `rollout notify-deploy`. They need no package, and so no set-up."""

import argparse
import os
from collections.abc import Sequence
from dataclasses import asdict, replace

from guarded_rollout.adapters.clock import SystemClock
from guarded_rollout.cli.screen import Screen, tell
from guarded_rollout.core.notice import Channel, Notice, NoticePolicy, read_notice
from guarded_rollout.core.problems import BadInput, Broken
from guarded_rollout.notify import Delivery, Desk, Patience, Status, deliver, load_templates
from guarded_rollout.notify.ledger import OPEN, Entry
from guarded_rollout.notify.settings import chosen, load_policy, usual_policy
from guarded_rollout.notify.templates import lint

UNREACHED = 3
_WORDS = {
    Status.DELIVERED: "delivered",
    Status.KEPT: "not delivered",
    Status.SKIPPED: "skipped",
    Status.DRY_RUN: "dry run",
}
_PHASES = {
    "deploy-start": "The deployment has started.",
    "deploy-success": "The deployment succeeded.",
    "deploy-failure": "The deployment failed.",
}


def notify(args: argparse.Namespace) -> int:
    """`rollout notify [send | check | retry]`."""
    if args.action == "check":
        return _check(args)
    if args.action == "retry":
        return _retry(args)
    for name in ("type", "message"):
        if getattr(args, name) is None:
            raise BadInput(
                f"--{name} is missing",
                "rollout notify --type deploy --message 'Deployment complete'",
            )
    return _send(args, _notice(args, args.type, args.message))


def notify_deploy(args: argparse.Namespace) -> int:
    """`rollout notify-deploy`: both ways to name the phase."""
    phases = {args.phase, args.phase_word} - {None}
    if len(phases) != 1:
        what = "the two phases differ" if phases else "the phase is missing"
        raise BadInput(what, "rollout notify-deploy --phase start --env staging")
    (phase,) = phases
    return _send(args, _notice(args, phase, args.message or _PHASES[phase]))


def _notice(args: argparse.Namespace, kind: str, message: str) -> Notice:
    return Notice(
        type=kind,
        environment=args.env,
        message=message,
        at=SystemClock().now(),
        service=args.service,
        version=args.version,
        initiator=args.initiator,
        duration=args.duration,
        evidence=tuple(args.evidence),
        done=args.done,
        now=args.now,
        look=tuple(args.look),
        rollout=args.rollout,
        key=args.key,
    )


def _send(args: argparse.Namespace, notice: Notice) -> int:
    policy = _policy(args)
    channels = chosen(policy, args.channels, os.environ)
    desk = _desk(args, policy)
    return _told(args, deliver(notice, channels, desk, dry_run=args.dry_run))


def _policy(args: argparse.Namespace) -> NoticePolicy:
    """rollout.toml's. A broken file must not keep a failure secret: then the variables decide."""
    try:
        return load_policy(args.root, args.env)
    except BadInput as problem:
        if "there is no environment" in problem.why.what:
            raise
        tell(f"warning: {problem.why.what}")
        tell("  -> goes on with the channels whose variables are set")
        return usual_policy()


def _desk(args: argparse.Namespace, policy: NoticePolicy) -> Desk:
    screen: Screen = args.screen
    return Desk(
        root=args.root,
        clock=SystemClock(),
        environ=os.environ,
        templates=load_templates(args.root / policy.templates),
        say=screen.line,
        patience=replace(Patience(), deadline=policy.deadline),
    )


def _told(args: argparse.Namespace, deliveries: Sequence[Delivery]) -> int:
    """Say what came of it. A notice that was kept is no failure of the pipeline that sent it."""
    for one in deliveries:
        words = "delivered before, not sent again" if one.again else _WORDS[one.status]
        reason = f": {one.reason}" if one.reason else ""
        line = f"{one.channel}: {words}{reason}{f' ({one.file})' if one.file else ''}"
        if one.status is Status.KEPT or not one.recorded:
            tell(f"warning: {line}")
        else:
            args.screen.line(line)
    args.screen.document({"deliveries": [asdict(one) for one in deliveries]})
    kept = [one for one in deliveries if one.status is Status.KEPT]
    lost = [one.channel for one in kept if not one.file]
    if lost:
        raise Broken(
            f"neither delivered nor kept: {', '.join(lost)}",
            "make room in the project's folder, or let this user write there; then send it again",
        )
    return UNREACHED if kept and args.strict else 0


def _retry(args: argparse.Namespace) -> int:
    """What was kept or cut off, as it was, oldest first."""
    policy = _policy(args)
    desk = _desk(args, policy)
    deliveries: list[Delivery] = []
    for entry in _unfinished(desk):
        if entry.notice is None or entry.channel not in policy.known:
            tell(f"warning: {entry.channel}: there is no such channel any more: {entry.file}")
            continue
        channel: Channel = policy.known[entry.channel]
        deliveries += deliver(read_notice(entry.notice), [channel], desk, insist=True)
    if not deliveries:
        args.screen.line("nothing was kept or cut off")
    return _told(args, deliveries)


def _unfinished(desk: Desk) -> list[Entry]:
    newest = {
        (entry.key, entry.channel): entry
        for entry in desk.ledger().entries()
        if entry.status is not Status.DRY_RUN
    }
    return [entry for entry in newest.values() if entry.status in {*OPEN, Status.KEPT}]


def _check(args: argparse.Namespace) -> int:
    """The templates and the sections of rollout.toml."""
    policy = load_policy(args.root, args.env)
    found = lint(args.root / policy.templates, policy.templates)
    for one in found:
        args.screen.line(f"{one.file}:{one.line}: {one.what}")
        args.screen.line(f"  -> {one.hint}")
    args.screen.line(f"{policy.templates}: {len(found)} finding{'' if len(found) == 1 else 's'}")
    args.screen.document(
        {"templates": policy.templates, "findings": [asdict(one) for one in found]}
    )
    return 1 if found else 0
