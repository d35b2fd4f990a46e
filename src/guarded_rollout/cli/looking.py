"""Commands that look: status, watch."""

import argparse
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from guarded_rollout.cli.guard import agent_pid, ensure_guard, find, left_alone
from guarded_rollout.cli.journal_place import this_machine
from guarded_rollout.cli.machines import home_elsewhere
from guarded_rollout.cli.rollouts import follow_to_rest
from guarded_rollout.cli.screen import Screen
from guarded_rollout.cli.spec import check_environment, spec_or_frozen
from guarded_rollout.cli.wiring import Places, open_journal, open_ports
from guarded_rollout.core.fact_text import minutes
from guarded_rollout.core.gates import Verdict
from guarded_rollout.core.problems import NotPossible
from guarded_rollout.core.report import ending_lines
from guarded_rollout.core.rollout import replay
from guarded_rollout.core.spec import Release
from guarded_rollout.core.state import State
from guarded_rollout.engine.situation import read_situation
from guarded_rollout.ports import Journal, Known, Ports


def status(args: argparse.Namespace) -> int:
    """`rollout status`: what serves, what is going on, who guards it."""
    screen, places = args.screen, Places(args.root)
    journal = open_journal(places, look_only=True)
    spec = spec_or_frozen(args, places, journal, screen)
    ports = open_ports(places, spec, journal)
    alone = left_alone(journal, args.env)
    resumed = ensure_guard(places, journal, alone) is not None if alone else False
    situation = read_situation(journal, args.env)
    active = journal.active(args.env)
    running = ports.traffic.running()
    routed = ports.traffic.routed() if running else None
    replicas = _replicas(ports, spec.service.name)
    listen = f"{spec.environment.listen_host}:{spec.environment.listen_port}"
    screen.line(f"{spec.service.name} in {args.env}")
    home = home_elsewhere(places, journal, args.env)
    if home is not None:
        screen.line(f"  machine   lives on {home}: this is {this_machine()}, which cannot see its")
        screen.line("            replicas, traffic and backups; the journal is the same")
    screen.line(f"  serving   {situation.serving.name if situation.serving else 'nothing'}")
    screen.line(f"  previous  {situation.previous.name if situation.previous else 'none'}")
    if situation.serving is None and situation.previous is not None:
        screen.line(f"  down      again: rollout rollback --env {args.env} --reason WHY")
    to = routed.to.release if routed and routed.to else "nobody"
    warm = f", {routed.standby.release} warm" if routed and routed.standby else ""
    screen.line(
        f"  traffic   {listen} -> {to}{warm}" if running else f"  traffic   {listen} is off"
    )
    for replica in replicas:
        state = "runs" if replica["alive"] else f"down ({replica['last_exit']})"
        screen.line(f"  replica   {replica['name']} {state}, {replica['restarts']} restarts")
    newest = next((b for b in ports.archive.backups() if b.environment == args.env), None)
    screen.line(f"  backup    {newest.file if newest else 'none'}")
    agent = agent_pid(places)
    if agent is not None:
        screen.line(f"  agent     process {agent} looks after {places.root}")
    if active is not None:
        _show_active(screen, journal, active, resumed=resumed)
    else:
        screen.line("  rollout   none is active")
    screen.document(
        {
            "environment": args.env,
            "serving": _release(situation.serving),
            "previous": _release(situation.previous),
            "traffic": {"running": running, "to": to if running else None, "listen": listen},
            "replicas": replicas,
            "backup": newest.file if newest else None,
            "machine": home or this_machine(),
            "agent": agent,
            "active": _active_document(journal, active, resumed=resumed) if active else None,
        }
    )
    return 0


def _release(release: Release | None) -> dict[str, str] | None:
    return None if release is None else {**asdict(release), "name": release.name}


def _replicas(ports: Ports, service: str) -> list[dict[str, Any]]:
    return [
        {
            "release": release.name,
            "name": replica.name,
            "alive": replica.alive,
            "pid": replica.pid,
            "restarts": replica.restarts,
            "last_exit": replica.last_exit,
            "log": str(replica.log),
        }
        for release in ports.target.started(service)
        for replica in ports.target.replicas(release)
    ]


def _show_active(screen: Screen, journal: Journal, active: Known, *, resumed: bool) -> None:
    state = _state(journal, active)
    began = datetime.fromtimestamp(active.began, UTC)
    screen.line(
        f"  rollout   {active.kind} {active.rollout}, {state.phase}, since "
        f"{began:%Y-%m-%d %H:%M:%S} UTC"
    )
    screen.line(f"  guard     {_guard_text(journal, active, resumed=resumed)}")
    if state.running is not None:
        screen.line(f"  step      {state.running} (attempt {state.attempt})")
    if state.elapsed and state.plan is not None:
        whole = state.plan.spec.environment.watch.schedule.duration
        screen.line(f"  watched   {minutes(round(state.elapsed))} of {minutes(whole)}")
    for verdict in state.verdicts:
        screen.line(f"  gate      {verdict.gate}: {verdict.answer}, {verdict.reason}")
    screen.lines([f"  {line}" for line in ending_lines(state, active.rollout)])


def _guard_text(journal: Journal, active: Known, *, resumed: bool) -> str:
    holder = journal.holder(active.environment)
    if resumed:
        return "was gone and is back"
    return f"{holder.owner} is at work" if holder and holder.alive else "none is at work"


def _state(journal: Journal, known: Known) -> State:
    return replay(entry.fact for entry in journal.entries(known.rollout))


def _active_document(journal: Journal, active: Known, *, resumed: bool) -> dict[str, Any]:
    state = _state(journal, active)
    holder = journal.holder(active.environment)
    return {
        "rollout": active.rollout,
        "kind": active.kind,
        "phase": state.phase,
        "step": state.running,
        "watched_seconds": state.elapsed,
        "verdicts": [_verdict(verdict) for verdict in state.verdicts],
        "reason": state.reason,
        "guard": asdict(holder) if holder else None,
        "resumed": resumed,
    }


def _verdict(verdict: Verdict) -> dict[str, Any]:
    return {"gate": verdict.gate, "answer": verdict.answer, "reason": verdict.reason}


def watch(args: argparse.Namespace) -> int:
    """`rollout watch`: show a rollout from its first fact on, until it rests."""
    places = Places(args.root)
    journal = open_journal(places, look_only=True)
    check_environment(args, places, journal)
    known = find(journal, args.env, args.rollout)
    if known is None:
        raise NotPossible(
            f"there is no rollout {args.rollout or 'yet'} in {args.env}",
            f"see what is there: rollout status --env {args.env}",
        )
    guard = ensure_guard(places, journal, known)
    return follow_to_rest(args, places, journal, known, guard=guard)
