"""`rollout incident` and `rollout report`: what the journal says, written down for people."""

import argparse
import json
from dataclasses import asdict

from guarded_rollout.adapters.clock import SystemClock
from guarded_rollout.adapters.configuration.gate_plans import read_gate_plans
from guarded_rollout.cli.guard import find
from guarded_rollout.cli.journal_place import elsewhere
from guarded_rollout.cli.rollouts import document_of
from guarded_rollout.cli.spec import check_environment
from guarded_rollout.cli.wiring import Places, open_journal, open_ports
from guarded_rollout.core.custom_suggestion import proposal
from guarded_rollout.core.facts import Started
from guarded_rollout.core.incident import cleaned
from guarded_rollout.core.problems import BadInput, NotPossible
from guarded_rollout.core.shown_text import visible
from guarded_rollout.core.tuning import Tuning, tuning_page, watched_in
from guarded_rollout.engine.incidents import keep_incident, read_incident, utc
from guarded_rollout.engine.outbox import tell_tracker
from guarded_rollout.engine.papers import account_of, deployment_report
from guarded_rollout.engine.situation import recorded_plan
from guarded_rollout.engine.watched_rollouts import healthy
from guarded_rollout.notify.ledger import Status
from guarded_rollout.ports import Journal, Known

HOUR = 3600.0
USUAL_HOURS = 72.0
"""The documents ask for 24 to 72."""


def incident(args: argparse.Namespace) -> int:
    """`rollout incident`: print an incident, and write its files anew from the journal."""
    places, screen = Places(args.root), args.screen
    journal = open_journal(places, look_only=True)
    check_environment(args, places, journal)
    known = _newest_incident(journal, args.env, args.rollout)
    files = refresh(places, journal, known)
    ports = open_ports(places, recorded_plan(journal, known).spec, journal)
    told = tell_tracker(ports, known.rollout) if args.issue else None
    screen.lines(visible(ports.papers.written(files[0]) or "").splitlines())
    for file in files:
        screen.line(f"written: {file}")
    if told is not None:
        screen.line(f"issue: {told.status}{f', {told.reason}' if told.reason else ''}")
    text = ports.papers.written(files[1])
    screen.document({**json.loads(text or "{}"), "files": list(files)})
    return 0 if told is None or told.status == Status.DELIVERED else 3


def refresh(places: Places, journal: Journal, known: Known) -> tuple[str, ...]:
    """Write an incident's files. Logs are attached on the machine that has them."""
    first = journal.entries(known.rollout)[0].fact
    machine = first.machine if isinstance(first, Started) else ""
    here = not (places.journal.shared and elsewhere(places.journal, machine))
    ports = open_ports(places, recorded_plan(journal, known).spec, journal)
    return keep_incident(ports, known.rollout, logs=here)


def _newest_incident(journal: Journal, environment: str, rollout: str | None) -> Known:
    """NotPossible when nothing went wrong, or there is no such rollout."""
    see = f"see what is there: rollout status --env {environment}"
    known = [k for k in journal.known(environment) if rollout in {None, k.rollout}]
    if rollout is not None and not known:
        raise NotPossible(f"there is no rollout {rollout} in {environment}", see)
    for one in known:
        if read_incident(journal, one.rollout) is not None:
            return one
    what = rollout or f"no rollout in {environment}"
    raise NotPossible(f"{what} went back by itself, held or got stuck: there is no incident", see)


def report(args: argparse.Namespace) -> int:
    """`rollout report [deployment | tuning]`."""
    places, screen = Places(args.root), args.screen
    journal = open_journal(places, look_only=True)
    check_environment(args, places, journal)
    if args.what == "tuning":
        if args.rollout is not None:
            raise BadInput("--rollout goes with the report of a deployment", "take one of them out")
        return _tuning(args, journal)
    if args.hours is not None:
        raise BadInput("--hours goes with tuning", "rollout report tuning --hours 72")
    known = find(journal, args.env, args.rollout)
    if known is None:
        raise NotPossible(
            f"there is no rollout {args.rollout or 'yet'} in {args.env}",
            f"see what is there: rollout status --env {args.env}",
        )
    screen.lines(deployment_report(journal, known.rollout).splitlines())
    screen.document(document_of(journal, known))
    return 0


def _tuning(args: argparse.Namespace, journal: Journal) -> int:
    until = SystemClock().now()
    since = until - (args.hours or USUAL_HOURS) * HOUR
    gates = read_gate_plans(args.root, None, {known.environment for known in journal.known()})
    plan = gates.plans.get(args.env)
    if plan is None:
        raise BadInput(f"there is no environment {args.env}", f"allowed: {', '.join(gates.plans)}")
    recent = [known for known in journal.known(args.env) if known.began >= since]
    accounts = [account_of(journal, known.rollout) for known in reversed(recent)]
    offered = proposal(args.env, healthy(journal, args.env), plan.spec.environment.gates)
    tuning = Tuning(
        environment=args.env,
        since=since,
        until=until,
        watched=watched_in(accounts),
        suggestions=offered.suggestions,
        paste=offered.paste,
    )
    args.screen.lines(tuning_page(tuning, utc).splitlines())
    args.screen.document(cleaned({**asdict(tuning), "gaps": tuning.gaps}))
    return 0
