"""`rollout rollback`: which way, what it costs, and whether a person wants it."""

import argparse
import contextlib
from dataclasses import replace

from guarded_rollout.adapters.host import user
from guarded_rollout.cli.asking import Ended, ask, confirm, schema_if_it_says
from guarded_rollout.cli.guard import ensure_guard
from guarded_rollout.cli.machines import expect_here
from guarded_rollout.cli.rollouts import begin_and_follow, follow_to_rest, plan_document
from guarded_rollout.cli.screen import OnScreen
from guarded_rollout.cli.spec import check_environment, spec_or_frozen
from guarded_rollout.cli.wiring import Places, open_journal, open_ports
from guarded_rollout.core.changes import counted
from guarded_rollout.core.fact_text import lost_lines
from guarded_rollout.core.facts import RollbackAsked
from guarded_rollout.core.moves import way_of
from guarded_rollout.core.plan import Kind, Situation, Way, Wish, make_plan
from guarded_rollout.core.problems import BadInput, NotPossible
from guarded_rollout.core.report import plan_lines
from guarded_rollout.core.retention import Backup
from guarded_rollout.core.spec import Spec, no_release
from guarded_rollout.core.state import Phase, State, backup_of
from guarded_rollout.engine.restoring import since
from guarded_rollout.engine.situation import (
    backup_to_restore,
    read_situation,
    recorded_plan,
    state_of,
)
from guarded_rollout.ports import Journal, Known, Ports


def rollback(args: argparse.Namespace) -> int:
    """`rollout rollback`: the live rollout, or else the release that serves.

    A live rollout goes back by the configuration it was begun with; the files are not read.
    """
    if args.give_up_rows and not args.restore_data:
        raise BadInput(
            "--give-up-rows goes with --restore-data: no other way back gives up any row",
            f"rollout rollback --env {args.env} --restore-data --give-up-rows WHY, or without both",
        )
    places = Places(args.root)
    journal = open_journal(places, look_only=True)
    check_environment(args, places, journal)
    active = journal.active(args.env)
    if active is not None:
        with contextlib.suppress(Ended):
            return _undo_live(args, places, journal, active)
        args.screen.line(f"{active.rollout} has just ended")
    return _undo_serving(args, places, journal)


def _undo_live(args: argparse.Namespace, places: Places, journal: Journal, active: Known) -> int:
    state = state_of(journal, active)
    spec = recorded_plan(journal, active).spec
    _verify_named_backup(args, places, spec, journal)
    _check_live_way(args, active, state)
    doing = f"roll back {active.kind} {active.rollout}"
    document: dict[str, object] = {"rollout": active.rollout}
    if args.restore_data:
        file = backup_of(state)
        assert file is not None, "checked above"
        document["lost"] = _announce(args, open_ports(places, spec, journal), file)
        doing += f" and put {file} in the database's place"
    if args.dry_run:
        args.screen.line(f"would {doing}")
        args.screen.line("dry run: nothing was changed")
        args.screen.document({"dry_run": True, **document})
        return 0
    confirm(args, doing)
    journal = open_journal(places)
    fact = RollbackAsked(user(), args.reason, _way(args), args.give_up_rows)
    after = ask(journal, active, fact)
    guard = ensure_guard(places, journal, active)
    code = follow_to_rest(args, places, journal, active, after=after, guard=guard)
    # What was asked for has happened, or there was nothing to undo yet.
    return 0 if code in {1, 2} else code


def _check_live_way(args: argparse.Namespace, active: Known, state: State) -> None:
    """What cannot be asked of this rollout now is refused before anything is written."""
    see = f"see it: rollout watch --env {args.env}"
    if args.restore_data and args.backup and args.backup != backup_of(state):
        raise NotPossible(
            f"{active.rollout} is not over, and its own backup is {backup_of(state)}",
            f"roll it back first, then put {args.backup} back",
        )
    if args.restore_data and backup_of(state) is None:
        raise NotPossible(f"{active.rollout} has no backup yet that could be put back", see)
    if _way(args) is not None and state.phase is Phase.RETURNING:
        raise NotPossible(
            f"{active.rollout} is on its way back already",
            f"wait for its end, then ask again; {see}",
        )
    held = state.phase in {Phase.WATCHING, Phase.HOLDING, Phase.FINISHING}
    if _way(args) is None and held and way_of(state) is None:
        raise NotPossible(
            f"no way back from {active.rollout} was proven but the backup",
            f"repair it forwards, or: rollout rollback --env {args.env} --restore-data",
        )


def _way(args: argparse.Namespace) -> Way | None:
    if args.restore_data:
        return Way.RESTORE
    return Way.DOWN if args.schema_down else None


def _announce(args: argparse.Namespace, ports: Ports, file: str) -> dict[str, dict[str, int]]:
    """Say which rows a restore sets aside. It is counted once more when nobody writes any more.

    Given up, they are not counted.
    """
    screen = args.screen
    if args.give_up_rows:
        screen.line(f"not compared with {file}: what was written since is given up")
        screen.line("what is there is kept as it is, and is told when that is done")
        return {}
    with since(ports, args.env, ports.root / file, OnScreen(screen)) as found:
        lost = counted(found)
    screen.line(f"since {file}, and taken out of the database by putting it back:")
    screen.lines([f"  {text}" for text in lost_lines(lost)])
    screen.line("they are set aside in a file before; rollout backup reapply brings them back")
    return lost


def _undo_serving(args: argparse.Namespace, places: Places, journal: Journal) -> int:
    screen = args.screen
    expect_here(places, journal, args.env)
    spec = spec_or_frozen(args, places, journal, screen)
    backup = _verify_named_backup(args, places, spec, journal)
    ports = open_ports(places, spec, journal)
    situation = read_situation(journal, args.env, schema_if_it_says(args, ports))
    serving = situation.serving or situation.previous or no_release(spec.service.name)
    lost: dict[str, dict[str, int]] = {}
    if args.restore_data:
        backup = backup or _newest_to_restore(args, ports, journal)
        if backup is not None:
            situation = _for_restore(args, situation, backup)
            lost = _announce(args, ports, backup.file)
    wish = Wish(backup.file if backup else None, way=_way(args), give_up_rows=args.give_up_rows)
    plan = make_plan(Kind.ROLLBACK, spec, serving, situation, wish)
    screen.lines(plan_lines(plan))
    if args.dry_run:
        screen.line("dry run: nothing was changed")
        screen.document({"dry_run": True, "lost": lost, **plan_document(plan)})
        return 0
    deed = f"take {serving.name} out of" if situation.serving else f"bring {serving.name} back to"
    confirm(args, f"{deed} {args.env}")
    journal = open_journal(places)
    _stop_backups(args, journal)
    return begin_and_follow(args, places, journal, plan)


def _newest_to_restore(args: argparse.Namespace, ports: Ports, journal: Journal) -> Backup | None:
    file = backup_to_restore(journal, args.env)
    if file is None:
        return None
    return ports.archive.verify(ports.root / file, args.env, ports.database)


def _for_restore(args: argparse.Namespace, situation: Situation, backup: Backup) -> Situation:
    """The release to go back to is the one that the backup was made under."""
    for release in (situation.serving, situation.previous):
        if release is not None and release.name == backup.release:
            return replace(situation, previous=release)
    raise NotPossible(
        f"{backup.file} was made under {backup.release or 'no release'}, and that neither serves "
        f"nor served before",
        f"choose another: rollout backup list --env {args.env}",
    )


def _verify_named_backup(
    args: argparse.Namespace, places: Places, spec: Spec, journal: Journal
) -> Backup | None:
    """The named backup must be sound and this environment's, --force or not."""
    if not args.backup:
        return None
    ports = open_ports(places, spec, journal)
    return ports.archive.verify(places.root / args.backup, args.env, ports.database)


def _stop_backups(args: argparse.Namespace, journal: Journal) -> None:
    """A backup at work has the environment's lease. Nobody waits for it in an emergency."""
    for known in journal.known(args.env):
        if known.ended is None and known.kind == Kind.BACKUP:
            with contextlib.suppress(NotPossible):
                ask(journal, known, RollbackAsked(user(), f"a rollback goes first: {args.reason}"))
                args.screen.line(f"{known.rollout} is asked to stop: a rollback goes first")
