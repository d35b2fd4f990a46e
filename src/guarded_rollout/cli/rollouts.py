"""Commands that start or steer a rollout: deploy, migrate, monitor, rollback, promote, resume."""

import argparse
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from guarded_rollout.adapters.configuration import load_spec, minutes, with_duration
from guarded_rollout.adapters.host import user
from guarded_rollout.cli.guard import ensure_guard, find, follow, spawn
from guarded_rollout.cli.screen import Screen
from guarded_rollout.cli.wiring import Places, open_journal, open_ports
from guarded_rollout.core.facts import PromoteAsked, RollbackAsked, Started
from guarded_rollout.core.plan import Kind, Plan, make_plan
from guarded_rollout.core.problems import Busy, NotPossible
from guarded_rollout.core.report import ending_lines, plan_lines, report
from guarded_rollout.core.rollout import ImpossibleFact, State, advance, exit_code, replay
from guarded_rollout.core.spec import Release, Spec
from guarded_rollout.engine.serving import ensure_serving
from guarded_rollout.engine.situation import read_situation
from guarded_rollout.ports import Behind, Journal, Known, Ports

DETACHED = 130


def spec_for(args: argparse.Namespace, places: Places) -> Spec:
    """The configuration with the command line's changes."""
    gates = Path(args.config) if getattr(args, "config", None) else None
    spec = load_spec(places.root, args.env, gates)
    if getattr(args, "source", None):
        source = Path(args.source).absolute()
        spec = replace(spec, service=replace(spec.service, source=str(source)))
    if getattr(args, "duration", None):
        spec = with_duration(spec, minutes(args.duration))
    return spec


def deploy(args: argparse.Namespace) -> int:
    """`rollout deploy`."""
    return _start(args, Kind.DEPLOY)


def migrate(args: argparse.Namespace) -> int:
    """`rollout migrate`."""
    return _start(args, Kind.MIGRATE)


def monitor(args: argparse.Namespace) -> int:
    """`rollout monitor`: watch what serves now."""
    return _start(args, Kind.MONITOR)


def _start(args: argparse.Namespace, kind: Kind) -> int:
    screen = Screen(as_json=args.json)
    places = Places(args.root)
    spec = spec_for(args, places)
    journal = open_journal(places, look_only=args.dry_run)
    refuse_if_active(places, journal, args.env)
    ports = open_ports(places, spec, journal)
    situation = read_situation(journal, args.env, _schema(ports))
    if kind is Kind.MONITOR:
        if situation.serving is None:
            make_plan(kind, spec, Release(spec.service.name, "none", "0" * 64), situation)
        candidate = situation.serving
    else:
        source = ports.root / spec.service.source
        candidate = ports.builder.describe(spec.service, source)
    assert candidate is not None, "make_plan refuses to monitor nothing"
    plan = make_plan(kind, spec, candidate, situation, _backup_to_use(args, ports))
    if kind is Kind.DEPLOY and candidate == situation.serving and not args.again:
        return _already_there(args, screen, ports, plan)
    screen.lines(plan_lines(plan))
    if args.dry_run:
        screen.line("dry run: nothing was changed")
        screen.document({"dry_run": True, **_as_json(plan)})
        return 0
    return begin_and_follow(args, screen, places, journal, plan)


def _schema(ports: Ports) -> str | None:
    return ports.database.revision() if ports.database.exists() else None


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


def _already_there(args: argparse.Namespace, screen: Screen, ports: Ports, plan: Plan) -> int:
    """The same release again: nothing to deploy, but see to it that it runs."""
    name = plan.candidate.name
    screen.line(f"{name} already serves {args.env}: nothing to deploy (--again deploys it anew)")
    if args.dry_run:
        return 0
    Places(args.root).make_run(args.env)
    started = ensure_serving(ports, plan.spec, plan.candidate, user())
    if started:
        screen.line("  it was not running: started, and traffic goes to it")
    screen.document({"phase": "done", "candidate": name, "started": started})
    return 0


def begin_and_follow(
    args: argparse.Namespace, screen: Screen, places: Places, journal: Journal, plan: Plan
) -> int:
    """Write the plan into the journal, start the guard, show what happens."""
    began = datetime.now(UTC)  # noqa: TID251 - the rollout's name is made here
    environment = plan.spec.environment.name
    rollout = f"{environment}-{began:%Y%m%d-%H%M%S}-{plan.digest[:6]}"
    started = Started(plan, user(), getattr(args, "reason", None) or "")
    journal.begin(environment, rollout, started, exclusive=plan.kind is not Kind.BACKUP)
    known = find(journal, environment, rollout)
    assert known is not None, "it was just begun"
    spawn(places, known)
    return follow_to_rest(args, screen, places, journal, known)


def follow_to_rest(  # noqa: PLR0917 - what every command has at hand
    args: argparse.Namespace,
    screen: Screen,
    places: Places,
    journal: Journal,
    known: Known,
    after: int = 0,
) -> int:
    """Show a rollout until it rests; Ctrl-C leaves it to its guard."""
    if getattr(args, "detach", False):
        screen.line(
            f"{known.rollout}: the guard drives it; rollout watch --env {known.environment}"
        )
        screen.document({"rollout": known.rollout, "phase": "running"})
        return 0
    try:
        state = follow(places, journal, known, screen.entry, after=after)
    except KeyboardInterrupt:
        screen.line()
        screen.line(f"detached: the guard of {known.rollout} goes on")
        screen.line(f"  see it:  rollout watch --env {known.environment}")
        screen.line(f"  undo it: rollout rollback --env {known.environment} --reason WHY")
        return DETACHED
    screen.lines(ending_lines(state, known.rollout))
    screen.document(document_of(journal, known))
    return exit_code(state)


def document_of(journal: Journal, known: Known) -> dict[str, object]:
    """The rollout's report."""
    entries = journal.entries(known.rollout)
    return report(known.rollout, [e.at for e in entries], [e.fact for e in entries])


def refuse_if_active(places: Places, journal: Journal, environment: str) -> None:
    """One rollout at a time. One that lost its guard gets a new one first."""
    active = journal.active(environment)
    if active is None:
        return
    resumed = ensure_guard(places, journal, active)
    since = datetime.fromtimestamp(active.began, UTC)
    raise Busy(
        f"{active.kind} {active.rollout} is active in {environment} since {since:%H:%M:%S} UTC"
        + (" (its guard was gone and is back)" if resumed else ""),
        f"see it: rollout watch --env {environment}; "
        f"undo it: rollout rollback --env {environment} --reason WHY",
    )


def rollback(args: argparse.Namespace) -> int:
    """`rollout rollback`: the live rollout, or the release that serves."""
    screen = Screen(as_json=args.json)
    places = Places(args.root)
    journal = open_journal(places, look_only=args.dry_run)
    spec = spec_for(args, places)
    ports = open_ports(places, spec, journal)
    backup = _verified_backup(args, ports, screen)
    active = journal.active(args.env)
    if active is not None:
        if args.dry_run:
            screen.line(f"would roll back {active.rollout}; dry run: nothing was changed")
            return 0
        _confirm(args, f"roll back {active.rollout}")
        after = ask(journal, active, RollbackAsked(user(), args.reason))
        ensure_guard(places, journal, active)
        return _asked_for(follow_to_rest(args, screen, places, journal, active, after))
    situation = read_situation(journal, args.env, _schema(ports))
    serving = situation.serving or Release(spec.service.name, "none", "0" * 64)
    plan = make_plan(Kind.ROLLBACK, spec, serving, situation, backup)
    screen.lines(plan_lines(plan))
    if args.dry_run:
        screen.line("dry run: nothing was changed")
        screen.document({"dry_run": True, **_as_json(plan)})
        return 0
    _confirm(args, f"take {serving.name} out of {args.env}")
    return begin_and_follow(args, screen, places, journal, plan)


def _asked_for(code: int) -> int:
    """A rollback that was asked for and happened is a success."""
    return 0 if code == 2 else code


def _verified_backup(args: argparse.Namespace, ports: Ports, screen: Screen) -> str | None:
    """The named backup must be sound and this environment's, --force or not."""
    if args.backup:
        return ports.archive.verify(ports.root / args.backup, args.env, ports.database).file
    mine = [b for b in ports.archive.backups() if b.environment == args.env and b.verified]
    if not mine:
        screen.line(f"no verified backup of {args.env}: the way back does not need one")
        return None
    return ports.archive.verify(ports.root / mine[0].file, args.env, ports.database).file


def _confirm(args: argparse.Namespace, what: str) -> None:
    if args.force or not sys.stdin.isatty():
        return
    if input(f"{what}? type the environment's name to go on: ").strip() != args.env:
        raise NotPossible("not confirmed, nothing was changed", "--force skips this question")


def promote(args: argparse.Namespace) -> int:
    """`rollout promote`: take the candidate as it is."""
    screen, places = Screen(as_json=args.json), Places(args.root)
    journal = open_journal(places)
    active = _need_active(journal, args.env)
    after = ask(journal, active, PromoteAsked(user(), args.reason))
    ensure_guard(places, journal, active)
    return follow_to_rest(args, screen, places, journal, active, after)


def resume(args: argparse.Namespace) -> int:
    """`rollout resume`: give a live rollout its guard back, and watch it."""
    screen, places = Screen(as_json=args.json), Places(args.root)
    journal = open_journal(places)
    active = journal.active(args.env)
    if active is None:
        screen.line(f"nothing to resume in {args.env}")
        screen.document({"phase": "none"})
        return 0
    ensure_guard(places, journal, active)
    after = journal.entries(active.rollout)[-1].seq
    return follow_to_rest(args, screen, places, journal, active, after)


def _need_active(journal: Journal, environment: str) -> Known:
    active = journal.active(environment)
    if active is None:
        raise NotPossible(
            f"no rollout is active in {environment}", f"rollout status --env {environment}"
        )
    return active


def ask(journal: Journal, known: Known, fact: RollbackAsked | PromoteAsked) -> int:
    """Append what a person asks for, if it can happen now. Returns the entry's number."""
    while True:
        entries = journal.entries(known.rollout)
        state: State = replay(entry.fact for entry in entries)
        try:
            advance(state, fact)
        except ImpossibleFact as error:
            word = "rolled back" if isinstance(fact, RollbackAsked) else "promoted"
            raise NotPossible(
                f"{known.rollout} cannot be {word} while it is {state.phase}",
                f"see it: rollout watch --env {known.environment}",
            ) from error
        try:
            return journal.append(None, known.rollout, fact, after=entries[-1].seq).seq
        except Behind:
            continue


def _as_json(plan: Plan) -> dict[str, object]:
    import msgspec

    return {"plan": msgspec.to_builtins(plan), "digest": plan.digest}
