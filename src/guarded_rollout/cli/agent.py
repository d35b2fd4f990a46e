"""`rollout agent`: the guard's own process. Started by the other commands; rarely by hand."""

import argparse
import os
import signal
import sys
import threading

from guarded_rollout.adapters.host import user
from guarded_rollout.cli.wiring import Places, open_journal, open_ports
from guarded_rollout.core.problems import NotPossible
from guarded_rollout.core.report import ending_lines
from guarded_rollout.core.rollout import exit_code
from guarded_rollout.engine.agent import drive
from guarded_rollout.engine.record import Log
from guarded_rollout.engine.situation import plan_of


def agent(args: argparse.Namespace) -> int:
    """Drive one rollout until it rests. SIGTERM stops the guard, not the rollout."""
    places = Places(args.root)
    journal = open_journal(places)
    known = next((k for k in journal.known(args.env) if k.rollout == args.rollout), None)
    if known is None:
        raise NotPossible(f"there is no rollout {args.rollout} in {args.env}")
    places.make_run(known.environment)
    ports = open_ports(places, plan_of(journal, known).spec, journal)
    log = Log(places.root, known)
    halt = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: halt.set())
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    state = drive(
        ports,
        known.environment,
        known.rollout,
        f"{user()} pid {os.getpid()}",
        halt=halt,
        show=log.write,
        say=lambda text: log.say(ports.clock.now(), text),
    )
    for line in ending_lines(state, known.rollout):
        log.say(ports.clock.now(), line)
        print(line, file=sys.stderr)
    return exit_code(state)
