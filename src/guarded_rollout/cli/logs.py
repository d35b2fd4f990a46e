"""`rollout logs validate`: can the logger of the deployed release, and our own, be trusted?"""

import argparse
import os
import sys
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from guarded_rollout.adapters.processes.command import Command, command_of
from guarded_rollout.adapters.processes.log_writer import ProcessLogWriter
from guarded_rollout.cli.check_files import hand_out, moment
from guarded_rollout.cli.spec import spec_for
from guarded_rollout.cli.wiring import Places, open_journal, open_ports
from guarded_rollout.core.check_report import CheckReport, Result, result_line
from guarded_rollout.core.log_judging import json_lines, plain_lines
from guarded_rollout.core.problems import BadInput, NotPossible
from guarded_rollout.core.spec import Release, Spec
from guarded_rollout.engine.launching import built_release, launch
from guarded_rollout.engine.log_validation import Effort, Subject, running, validate
from guarded_rollout.engine.situation import read_situation
from guarded_rollout.ports import Ports


def validate_logs(args: argparse.Namespace) -> int:
    """0: all passed, 3: a person is needed."""
    screen, places = args.screen, Places(args.root)
    spec = spec_for(args, places)
    journal = open_journal(places, look_only=True)
    ports = open_ports(places, spec, journal)
    serving = read_situation(journal, args.env).serving
    if serving is None:
        raise NotPossible(
            f"nothing is deployed in {args.env}, so there is no logger to ask",
            f"deploy first: rollout deploy --env {args.env}",
        )
    service = service_subject(places, spec, ports, serving)
    effort = Effort(args.concurrency, args.lines)
    report = CheckReport(
        title="logging validation",
        environment=args.env,
        began=moment(ports.clock.now()),
        host="localhost",
        results=(),
        about=(
            f"{serving.name}, and this tool's own logs",
            f"{effort.processes} processes x {effort.lines} lines; throughput is no verdict",
        ),
    )
    screen.lines(report.head())
    results: list[Result] = []

    def hear(found: Iterable[Result]) -> None:
        for result in found:
            results.append(result)
            screen.line(result_line(result))

    hear(validate(service, effort, ports.clock))
    hear(running(ports.target.replicas(serving), service))
    hear(validate(own_subject(places, ports), effort, ports.clock))
    return hand_out(args, "test_logging", replace(report, results=tuple(results)))


def service_subject(places: Places, spec: Spec, ports: Ports, release: Release) -> Subject:
    """The release's own logger, as rollout.toml says how to reach it. BadInput: it does not."""
    probe = spec.service.logging
    if probe is None:
        raise BadInput(
            "rollout.toml: [service.logging] is missing: it says how the logger is exercised",
            'add it, for example with probe = ["{python}", "-m", "dhash", "log-probe"]; '
            "docs/reference/logging.md says what the program does",
        )
    ready = replace(launch(ports, spec, built_release(ports, release)), argv=probe.argv)
    folder = places.environment(spec.environment.name) / "trials"
    expected = {
        "service": release.service,
        "version": release.version,
        "environment": spec.environment.name,
    }
    command = command_of(ready, 0, folder)
    writer = ProcessLogWriter(command, folder, ports.clock)
    return Subject("logger", writer, json_lines, expected, probe.level_env)


def own_subject(places: Places, ports: Ports) -> Subject:
    """What this tool writes into logs/ itself. One file per rollout: nothing to rotate."""
    argv = (sys.executable, "-m", "guarded_rollout.cli.log_probe", "{scratch}")
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    command = Command(argv, env, places.root)
    writer = ProcessLogWriter(command, places.state / "trials", ports.clock, "logs/deploy_*.log")
    return Subject("rollout's own log", writer, plain_lines)
