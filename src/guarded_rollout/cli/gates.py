"""Commands about gates: check, replay, power, suggest. All of them only look."""

import argparse
import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from guarded_rollout.adapters.configuration.gate_plans import GatePlans, read_gate_plans
from guarded_rollout.cli.screen import Screen, tell
from guarded_rollout.cli.spec import check_environment
from guarded_rollout.cli.wiring import Places, open_journal
from guarded_rollout.core.custom_suggestion import proposal
from guarded_rollout.core.evidence_signals import Signal
from guarded_rollout.core.facts import Fact
from guarded_rollout.core.gate_history import judged_anew, otherwise, replayed, watched
from guarded_rollout.core.gate_lint import Finding, lint
from guarded_rollout.core.gates import CustomGate, CustomKind
from guarded_rollout.core.history_text import otherwise_lines, replayed_lines
from guarded_rollout.core.plan import Plan
from guarded_rollout.core.power import BAKE, proposed
from guarded_rollout.core.power import power as simulated
from guarded_rollout.core.power_text import (
    plot_lines,
    regression,
    stage_lines,
    table_lines,
    traffic_line,
)
from guarded_rollout.core.problems import BadInput, NeedsPerson, NotPossible
from guarded_rollout.core.recorded_traffic import per_second
from guarded_rollout.core.regressions import Traffic
from guarded_rollout.core.rollout import ImpossibleFact
from guarded_rollout.core.sample_deploy import sample_deploy
from guarded_rollout.core.spec import EVERYBODY, Stage
from guarded_rollout.core.suggestion import FEWEST_REQUESTS
from guarded_rollout.engine.watched_rollouts import (
    healthy,
    newest_watched,
    own_traffic,
    recorded,
    usual,
)
from guarded_rollout.ports import Journal, Known

EVERY = "all"
"""The word for every environment."""


def check(args: argparse.Namespace) -> int:
    """`rollout gates check`: the loader's errors, or what the lint finds."""
    screen, places = args.screen, Places(args.root)
    journal = open_journal(places, look_only=True)
    files = _files(args, journal, Path(args.file) if args.file else None)
    names = list(files.plans) if args.env == EVERY else [args.env]
    found: list[dict[str, Any]] = []
    notes: list[dict[str, str]] = []
    for name in names:
        plan = _plan(files, name)
        known = recorded(journal, name, plan.spec.environment.gates.custom)
        linted = lint(plan, known, files.alphas(name))
        found += [_located(files, name, finding) for finding in linted.findings]
        notes += [{"environment": name, "what": note} for note in linted.notes]
    if files.written is None:
        screen.line(f"{files.shown} does not exist: the built-in limits are checked")
    for one in found:
        screen.line(f"{one['file']}{one['at']}: {one['key']}: {one['what']}")
        screen.line(f"  -> {one['hint']}")
    for what in dict.fromkeys(note["what"] for note in notes):
        where = ", ".join(note["environment"] for note in notes if note["what"] == what)
        screen.line(f"note: {where}: {what}")
    screen.line(f"{files.shown}: {_number(names, 'environment')}, {_number(found, 'finding')}")
    document = [{key: one[key] for key in one if key != "at"} for one in found]
    screen.document(
        {"file": files.shown, "environments": names, "findings": document, "notes": notes}
    )
    return 1 if found else 0


def _number(things: Sequence[object], word: str) -> str:
    return f"{len(things) or 'no'} {word}{'' if len(things) == 1 else 's'}"


def _located(files: GatePlans, environment: str, finding: Finding) -> dict[str, Any]:
    place = files.place(environment, finding.key)
    line = place.line or None
    at = f":{line}" if line else " (built in)"
    return {
        **asdict(finding),
        "environment": environment,
        "file": place.file,
        "line": line,
        "key": place.key if environment in place.key else f"{place.key} ({environment})",
        "at": at,
    }


def replay(args: argparse.Namespace) -> int:
    """`rollout gates replay`: a recorded watch, judged again."""
    screen, places = args.screen, Places(args.root)
    journal = open_journal(places, look_only=True)
    if args.prometheus:
        return _replay_range(args, journal)
    check_environment(args, places, journal)
    known, facts = _watched(journal, args.env, args.rollout)
    screen.line(
        f"{known.rollout}: {known.kind} in {known.environment}, {known.ended or 'going on'}"
    )
    try:
        if args.gates:
            return _replay_otherwise(args, journal, known, facts)
        return _replay_own(screen, known, facts)
    except ImpossibleFact as impossible:
        raise NeedsPerson(
            f"the facts of {known.rollout} do not follow each other: {impossible}",
            "see whether the journal is sound: rollout audit verify",
        ) from impossible


def _replay_own(screen: Screen, known: Known, facts: Sequence[Fact]) -> int:
    again = replayed(facts)
    difference = again.difference
    screen.lines(replayed_lines(again))
    screen.document({"rollout": known.rollout, "same": difference is None, **asdict(again)})
    if difference is None:
        return 0
    tell("  -> another version of the tool judged it, or its core is wrong")
    return 1


def _replay_otherwise(
    args: argparse.Namespace, journal: Journal, known: Known, facts: Sequence[Fact]
) -> int:
    plan = _plan(_files(args, journal, Path(args.gates)), args.env)
    environment = plan.spec.environment
    again = otherwise(facts, environment.gates, environment.watch)
    args.screen.lines(otherwise_lines(again, args.gates))
    args.screen.document({"rollout": known.rollout, "gates": args.gates, **asdict(again)})
    return 0


def _replay_range(args: argparse.Namespace, journal: Journal) -> int:
    """What a Prometheus remembers of a time, under the environment's gates or another file's."""
    from guarded_rollout.adapters.prometheus_range import Range, observations, read_queries

    since, until = getattr(args, "from"), args.to
    if args.rollout or since is None or until is None or args.queries is None:
        raise BadInput(
            "a range of a Prometheus needs a time and queries, and no ROLLOUT",
            "give --prometheus URL --from TIME --to TIME --queries FILE",
        )
    if until <= since:
        raise BadInput("--to is not after --from", "write the earlier time first")
    plan = _plan(_files(args, journal, Path(args.gates) if args.gates else None), args.env)
    environment = plan.spec.environment
    queries = read_queries(Path(args.queries).absolute(), args.queries)
    asked = Range(since, until, environment.watch.scrape_seconds)
    seen = observations(args.prometheus, queries, asked)
    stages = (Stage(50.0, BAKE), EVERYBODY) if "baseline" in queries else (EVERYBODY,)
    plan = sample_deploy(args.env, environment.gates, environment.watch, stages)
    again = judged_anew(plan, [(one, 0) for one in seen])
    gates = args.gates or f"the gates of {args.env}"
    args.screen.line(f"{args.prometheus}: {' and '.join(queries)}")
    args.screen.lines(otherwise_lines(again, gates))
    args.screen.document({"prometheus": args.prometheus, "gates": gates, **asdict(again)})
    return 0


def _watched(
    journal: Journal, environment: str, rollout: str | None
) -> tuple[Known, tuple[Fact, ...]]:
    """NotPossible when there is no such rollout, or nobody watched it."""
    found = newest_watched(journal, environment, rollout)
    if found is not None and watched(found[1]):
        return found
    what = f"no rollout in {environment} was watched yet"
    if rollout is not None:
        what = f"there is no rollout {rollout} in {environment}"
    if found is not None:
        what = f"{rollout} was never watched"
    raise NotPossible(what, f"see what is there: rollout status --env {environment}")


def power(args: argparse.Namespace) -> int:
    """`rollout gates power`: what is found at this traffic, how soon, at what price."""
    screen = args.screen
    journal = open_journal(Places(args.root), look_only=True)
    plan = _plan(_files(args, journal, None), args.env)
    traffic, source = _traffic(args, journal, plan)
    environment = plan.spec.environment
    custom = environment.gates.custom
    own = own_traffic(journal, args.env, custom, traffic.share)
    if traffic.share < 1.0 and not plan.compares(0):
        stage = Stage(100.0 * traffic.share, BAKE)
        plan = sample_deploy(args.env, environment.gates, environment.watch, (stage, EVERYBODY))
    elif traffic.share >= 1.0:
        plan = sample_deploy(args.env, environment.gates, environment.watch)
    found = simulated(plan, traffic, random.Random, own)
    window = environment.watch.schedule.duration
    screen.line(f"{args.env}: {traffic_line(traffic, source)}")
    screen.line(f"found within the watch of {window / 60:g} min, simulated:")
    screen.lines([*table_lines(found), "", *plot_lines(found, window), ""])
    if not traffic.durations:
        screen.line("durations: no watched rollout tells how long requests take")
    for gate in custom:
        if why := _not_asked(plan, gate, own):
            screen.line(f"{gate.name}: {why}")
    stages = proposed(plan, traffic, random.Random)
    _show_stages(screen, args.env, stages)
    screen.document(
        {
            "environment": args.env,
            "traffic": asdict(traffic),
            "source": source,
            "window_seconds": window,
            "found": [regression(one) for one in found],
            "stages": [asdict(stage) for stage in stages],
        }
    )
    return 0


def _not_asked(plan: Plan, gate: CustomGate, own: Mapping[str, Traffic]) -> str:
    """Why the table says nothing about a metric of the service's own; empty: it does."""
    if gate.kind is CustomKind.LEVEL:
        return "a level: its threshold decides at once"
    if plan.compares(0) and not gate.compare:
        return "not compared: while both versions serve it holds, and never rolls back"
    return "" if gate.name in own else "no watched rollout tells how much of it is usual"


def _show_stages(screen: Screen, environment: str, stages: Sequence[Stage]) -> None:
    if not stages:
        screen.line("no share finds ten-fold failures within 5 min: as a canary, bake longer")
        return
    screen.line(
        f"{stages[0].percent:g} % is the least share that finds ten-fold failures within "
        f"{stages[0].bake_seconds / 60:g} min; for rollout.toml, with"
    )
    screen.line('strategy = "canary":')
    screen.line()
    screen.lines(stage_lines(environment, stages))


def _traffic(args: argparse.Namespace, journal: Journal, plan: Plan) -> tuple[Traffic, str]:
    """From the flags, the rest from the journal. BadInput names what is missing."""
    share = args.share if args.share is not None else plan.stages[0].percent
    newest = newest_watched(journal, args.env)
    seen = watched(newest[1]) if newest is not None else ()
    whose, failed, durations = usual(journal, args.env, seen)
    rate, failures = args.requests_per_second, args.failures
    sources = [f"requests of {newest[0].rollout}"] if newest is not None and rate is None else []
    sources += [f"failures {whose}"] if failures is None else []
    rate = rate if rate is not None else per_second(seen, Signal.REQUESTS)
    failed = failures / 100.0 if failures is not None else failed
    missing = [
        flag
        for flag, value in (("--requests-per-second N", rate), ("--failures PERCENT", failed))
        if not value
    ]
    if missing or not rate or not failed:
        raise BadInput(
            f"no watched rollout in {args.env} tells the traffic",
            f"give {' and '.join(missing)}",
        )
    sums = durations.sums
    shares = tuple(count / sum(sums) for count in sums) if sum(sums) >= FEWEST_REQUESTS else ()
    bounds = durations.bounds if shares else ()
    source = ", ".join(sources) or "as given"
    return Traffic(rate, share / 100.0, failed, shares, bounds), source


def suggest(args: argparse.Namespace) -> int:
    """`rollout gates suggest`: numbers from rollouts that ended done, as JSON to paste."""
    screen = args.screen
    journal = open_journal(Places(args.root), look_only=True)
    plan = _plan(_files(args, journal, None), args.env)
    histories = healthy(journal, args.env)
    if not histories:
        raise NotPossible(
            f"no watched rollout in {args.env} has ended done: there is no history to learn from",
            f"deploy first: rollout deploy --env {args.env}",
        )
    offered = proposal(args.env, histories, plan.spec.environment.gates)
    found, paste = offered.suggestions, offered.paste
    for one in found:
        value = f"{one.value:g} {one.unit}" if one.value is not None else "too little history"
        screen.line(f"{one.key:<24} {value}")
        based = f" ({one.rollouts} rollouts, {one.requests} samples)" if one.rollouts else ""
        screen.line(f"  {one.why}{based}")
    if paste["environments"][args.env]:
        screen.line()
        screen.lines(json.dumps(paste, indent=2).splitlines())
    screen.document(
        {
            "environment": args.env,
            "rollouts": [name for name, _ in histories],
            "suggestions": [asdict(one) for one in found],
            "paste": paste,
        }
    )
    return 0


def _files(args: argparse.Namespace, journal: Journal, named: Path | None) -> GatePlans:
    return read_gate_plans(args.root, named, {known.environment for known in journal.known()})


def _plan(files: GatePlans, environment: str) -> Plan:
    """BadInput for a name that the files do not know."""
    if environment not in files.plans:
        raise BadInput(
            f"there is no environment {environment}", f"allowed: {', '.join(files.plans)}"
        )
    return files.plans[environment]
