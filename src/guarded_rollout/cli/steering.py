"""Commands that steer what is there: promote, pause, ack, resume."""

import argparse

from guarded_rollout.adapters.clock import SystemClock
from guarded_rollout.adapters.host import user
from guarded_rollout.cli.asking import ask
from guarded_rollout.cli.guard import ensure_guard, ensure_told, find, guarded, left_alone
from guarded_rollout.cli.machines import expect_here
from guarded_rollout.cli.papers import refresh
from guarded_rollout.cli.rollouts import follow_to_rest
from guarded_rollout.cli.spec import check_environment
from guarded_rollout.cli.wiring import Places, open_journal
from guarded_rollout.core.facts import (
    Acknowledged,
    PauseAsked,
    PromoteAsked,
    ResumeAsked,
)
from guarded_rollout.core.problems import NotPossible, Problem
from guarded_rollout.engine.outbox import calling
from guarded_rollout.engine.situation import state_of
from guarded_rollout.ports import Journal, Known


def _live(args: argparse.Namespace) -> tuple[Places, Known]:
    """The environment's live rollout. NotPossible when there is none; no file is made for it."""
    places = Places(args.root)
    journal = open_journal(places, look_only=True)
    check_environment(args, places, journal)
    active = journal.active(args.env)
    if active is None:
        raise NotPossible(f"no rollout is active in {args.env}", f"rollout status --env {args.env}")
    return places, active


def promote(args: argparse.Namespace) -> int:
    """`rollout promote`: take the candidate as it is."""
    places, active = _live(args)
    journal = open_journal(places)
    after = ask(journal, active, PromoteAsked(user(), args.reason))
    guard = ensure_guard(places, journal, active)
    return follow_to_rest(args, places, journal, active, after=after, guard=guard)


def pause(args: argparse.Namespace) -> int:
    """`rollout pause`: the share stays as it is; what protects goes on."""
    places, active = _live(args)
    journal = open_journal(places)
    ask(journal, active, PauseAsked(user(), args.reason))
    ensure_guard(places, journal, active)
    args.screen.line(f"{active.rollout} is paused: it is watched, and a breach still rolls back")
    args.screen.line(f"  go on: rollout resume --env {args.env}")
    args.screen.document({"rollout": active.rollout, "paused": True})
    return 0


def ack(args: argparse.Namespace) -> int:
    """`rollout ack`: a person is on it; nobody else is called.

    An incident calls on, whatever was begun after it. Where nothing calls, it is the newest.
    """
    places = Places(args.root)
    journal = open_journal(places, look_only=True)
    check_environment(args, places, journal)
    newest = find(journal, args.env)
    if newest is None:
        raise NotPossible(f"nothing happened in {args.env} yet", f"rollout status --env {args.env}")
    journal = open_journal(places)
    fact = Acknowledged(user(), args.reason)
    answered = calling(journal, SystemClock(), args.env) or (newest,)
    for known in answered:
        ask(journal, known, fact)
        args.screen.line(f"{known.rollout} is acknowledged by {fact.by}: nobody else is called")
        _write_down(args, places, journal, known)
    rollouts = [known.rollout for known in answered]
    args.screen.document({"rollout": rollouts[0], "rollouts": rollouts, "acknowledged": fact.by})
    return 0


def _write_down(args: argparse.Namespace, places: Places, journal: Journal, known: Known) -> None:
    """A guard that is at work writes the incident itself; after its end nobody would."""
    try:
        refresh(places, journal, known)
        ensure_told(places, journal, known.environment)
    except Problem as problem:
        args.screen.line(f"warning: the incident is not written anew: {problem.why.what}")


def resume(args: argparse.Namespace) -> int:
    """`rollout resume`: let a paused rollout go on; give it its guard back, and watch it."""
    places = Places(args.root)
    journal = open_journal(places, look_only=True)
    check_environment(args, places, journal)
    active = journal.active(args.env)
    if active is not None and state_of(journal, active).paused:
        journal = open_journal(places)
        after = ask(journal, active, ResumeAsked(user(), args.reason))
        guard = ensure_guard(places, journal, active)
        return follow_to_rest(args, places, journal, active, after=after, guard=guard)
    alone = left_alone(journal, args.env)
    if alone is not None and not guarded(journal, args.env):
        expect_here(places, journal, args.env)
    if alone is None and (told := ensure_told(places, journal, args.env)) is not None:
        ended, _ = told
        args.screen.line(f"{ended.rollout} is over; people are told now what they were not told")
        args.screen.document({"phase": str(ended.ended), "rollout": ended.rollout})
        return 0
    if alone is None:
        args.screen.line(f"nothing to resume in {args.env}")
        args.screen.document({"phase": "none"})
        return 0
    guard = ensure_guard(places, journal, alone)
    after = journal.entries(alone.rollout)[-1].seq
    return follow_to_rest(args, places, journal, alone, after=after, guard=guard)
