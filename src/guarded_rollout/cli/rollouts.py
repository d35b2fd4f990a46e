"""Commands that start a rollout, and how any rollout is followed."""

import argparse
import random
from dataclasses import asdict, replace
from datetime import UTC, datetime

from guarded_rollout.adapters.host import user
from guarded_rollout.cli.guard import Follower, Guard, ensure_guard, start_guard
from guarded_rollout.cli.journal_place import this_machine
from guarded_rollout.cli.machines import expect_here
from guarded_rollout.cli.parser import CLOSED, INTERRUPTED
from guarded_rollout.cli.screen import Gone, Screen, tell
from guarded_rollout.cli.spec import spec_for
from guarded_rollout.cli.standing import (
    NOBODY_ASKED,
    Agreed,
    agreed,
    standing_document,
    standing_lines,
    standing_of,
)
from guarded_rollout.cli.wiring import Places, open_journal, open_ports
from guarded_rollout.core.facts import Started
from guarded_rollout.core.plan import Kind, Plan, Situation, Wish, make_plan
from guarded_rollout.core.problems import Busy, NeedsPerson, NotPossible, Problem
from guarded_rollout.core.report import ending_lines, plan_lines, report
from guarded_rollout.core.spec import Spec, no_release
from guarded_rollout.core.stage_power import StageFinds, stages_find
from guarded_rollout.core.state import exit_code
from guarded_rollout.engine.serving import ensure_serving
from guarded_rollout.engine.situation import read_situation, schema_of
from guarded_rollout.engine.watched_rollouts import traffic
from guarded_rollout.ports import Journal, Known, Ports


def deploy(args: argparse.Namespace) -> int:
    """`rollout deploy`."""
    return _start(args, Kind.DEPLOY)


def migrate(args: argparse.Namespace) -> int:
    """`rollout migrate`."""
    return _start(args, Kind.MIGRATE)


def rehearse(args: argparse.Namespace) -> int:
    """`rollout rehearse`: what a deploy would prove, without deploying."""
    return _start(args, Kind.REHEARSE)


def monitor(args: argparse.Namespace) -> int:
    """`rollout monitor`: watch what serves now."""
    return _start(args, Kind.MONITOR)


def _start(args: argparse.Namespace, kind: Kind) -> int:
    """Until the plan is made nothing is opened for writing: what is refused leaves nothing."""
    screen, places = args.screen, Places(args.root)
    spec = spec_for(args, places)
    journal = open_journal(places, look_only=True)
    refuse_if_active(args, places, journal)
    plan, ports, situation = planned(args, places, spec, journal, kind)
    if kind is Kind.DEPLOY and plan.candidate == situation.serving and not args.again:
        return _already_there(args, places, ports, plan)
    finds = _finds(journal, plan)
    screen.lines(plan_lines(plan, finds))
    standing = standing_of(args, places, plan, user())
    if standing is not None:
        screen.lines(standing_lines(standing, plan, args.without_signoffs))
    if args.dry_run:
        screen.line("dry run: nothing was changed")
        power = {"power": [asdict(one) for one in finds]} if finds else {}
        signoffs = {"signoffs": standing_document(standing, plan)} if standing else {}
        screen.document({"dry_run": True, **plan_document(plan), **power, **signoffs})
        return 0
    with_whom = agreed(args, places, plan, standing)
    return begin_and_follow(args, places, open_journal(places), plan, with_whom)


def planned(
    args: argparse.Namespace, places: Places, spec: Spec, journal: Journal, kind: Kind
) -> tuple[Plan, Ports, Situation]:
    """What these words would do now. Looks only."""
    ports = open_ports(places, spec, journal)
    situation = read_situation(journal, args.env, schema_of(ports))
    if kind is Kind.MONITOR:
        candidate = situation.serving or no_release(spec.service.name)
    else:
        candidate = ports.builder.describe(spec.service, ports.root / spec.service.source)
    wish = Wish(_backup_to_use(args, ports), getattr(args, "forward_only", None))
    return make_plan(kind, spec, candidate, situation, wish), ports, situation


def _finds(journal: Journal, plan: Plan) -> tuple[StageFinds, ...]:
    """What each stage can find, where an earlier watch tells the traffic."""
    seen = traffic(journal, plan.spec.environment.name) if len(plan.stages) > 1 else None
    return stages_find(plan, seen, random.Random) if seen is not None else ()


def _backup_to_use(args: argparse.Namespace, ports: Ports) -> str | None:
    """--skip-backup uses the newest verified backup; the step verifies it again."""
    if not getattr(args, "skip_backup", False):
        return None
    usable = [b for b in ports.archive.backups() if b.environment == args.env and b.verified]
    if not usable:
        raise NotPossible(
            f"--skip-backup needs a verified backup of {args.env}, and there is none",
            f"rollout backup create --env {args.env}",
        )
    return usable[0].file


def _already_there(args: argparse.Namespace, places: Places, ports: Ports, plan: Plan) -> int:
    """The same release again: nothing to deploy, but see to it that it runs."""
    name = plan.candidate.name
    screen: Screen = args.screen
    screen.line(f"{name} already serves {args.env}: nothing to deploy (--again deploys it anew)")
    answer = {"phase": "done", "candidate": name}
    if args.dry_run:
        screen.line("dry run: nothing was changed")
        screen.document({"dry_run": True, **answer})
        return 0
    places.make_run(args.env)
    writable = replace(ports, journal=open_journal(places))
    started = ensure_serving(writable, plan.spec, plan.candidate, user())
    if started:
        screen.line("  it was not running: started, and traffic goes to it")
    screen.document({"started": started, **answer})
    return 0


def begin_and_follow(
    args: argparse.Namespace,
    places: Places,
    journal: Journal,
    plan: Plan,
    with_whom: Agreed = NOBODY_ASKED,
) -> int:
    """Write the plan into the journal, start the guard, show what happens."""
    began = datetime.now(UTC)  # noqa: TID251 - the rollout's name is made here
    environment = plan.spec.environment.name
    rollout = f"{environment}-{began:%Y%m%d-%H%M%S}-{plan.digest[:6]}"
    started = Started(
        plan, user(), args.reason, this_machine(), with_whom.signoffs, with_whom.without
    )
    exclusive = plan.kind is not Kind.BACKUP
    first = journal.begin(environment, rollout, started, exclusive=exclusive)
    known = Known(rollout, environment, plan.kind, first.at, None)
    return follow_to_rest(args, places, journal, known, begun=True)


def follow_to_rest(
    args: argparse.Namespace,
    places: Places,
    journal: Journal,
    known: Known,
    *,
    after: int = 0,
    guard: Guard | None = None,
    begun: bool = False,
) -> int:
    """Show a rollout until it rests. Whoever stops looking leaves it to its guard.

    `begun`: it was begun right now and has no guard yet.
    """
    screen: Screen = args.screen
    try:
        guard = start_guard(places, journal, known) if begun else guard
        if getattr(args, "detach", False):
            return _detached(screen, known)
        follower = Follower(
            places, journal, known, screen.entry, screen.line, after=after, guard=guard
        )
        state = follower.run()
        screen.lines(ending_lines(state, known.rollout))
        screen.document(document_of(journal, known))
    except KeyboardInterrupt:
        return _stopped_looking(screen, places, journal, known, INTERRUPTED)
    except Gone as gone:
        tell(f"standard output cannot be written: {gone}")
        return _stopped_looking(screen, places, journal, known, CLOSED)
    except NeedsPerson:
        raise
    except Problem as problem:
        # 1 would say that nothing was changed.
        raise NeedsPerson(
            f"lost sight of {known.rollout}, which goes on: {problem.why.what}",
            problem.why.hint or f"rollout watch --env {known.environment}",
        ) from problem
    return exit_code(state)


def _detached(screen: Screen, known: Known) -> int:
    screen.line(f"{known.rollout}: the guard drives it; rollout watch --env {known.environment}")
    screen.document({"rollout": known.rollout, "phase": "running"})
    return 0


def _stopped_looking(
    screen: Screen, places: Places, journal: Journal, known: Known, code: int
) -> int:
    """Leave it to its guard, and see to it that there is one."""
    try:
        ensure_guard(places, journal, known)
    except Problem as problem:
        raise NeedsPerson(
            f"nobody may guard {known.rollout}: {problem.why.what}",
            f"rollout resume --env {known.environment}",
        ) from problem
    tell(f"detached: the guard of {known.rollout} goes on")
    tell(f"  see it:  rollout watch --env {known.environment}")
    tell(f"  undo it: rollout rollback --env {known.environment} --reason WHY")
    if code == INTERRUPTED:
        screen.document({"rollout": known.rollout, "phase": "running", "exit_code": code})
    return code


def document_of(journal: Journal, known: Known) -> dict[str, object]:
    """The rollout's report."""
    entries = journal.entries(known.rollout)
    return report(known.rollout, [e.at for e in entries], [e.fact for e in entries])


def refuse_if_active(args: argparse.Namespace, places: Places, journal: Journal) -> None:
    """One rollout at a time. One that lost its guard gets a new one, but not from a dry run."""
    expect_here(places, journal, args.env)
    active = journal.active(args.env)
    if active is None:
        return
    resumed = None if args.dry_run else ensure_guard(places, journal, active)
    since = datetime.fromtimestamp(active.began, UTC)
    raise Busy(
        f"{active.kind} {active.rollout} is active in {args.env} since {since:%H:%M:%S} UTC"
        + (" (its guard was gone and is back)" if resumed else ""),
        f"see it: rollout watch --env {args.env}; "
        f"undo it: rollout rollback --env {args.env} --reason WHY",
    )


def plan_document(plan: Plan) -> dict[str, object]:
    """The plan for machines."""
    import msgspec

    return {"plan": msgspec.to_builtins(plan), "digest": plan.digest}
