"""`rollout guard`: the guard's own process. Started by the other commands; rarely by hand."""

import argparse
import contextlib
import os
import signal
import threading
from collections.abc import Callable
from typing import ParamSpec

from guarded_rollout.adapters.host import user
from guarded_rollout.adapters.processes.holder import alone
from guarded_rollout.cli.machines import expect_here
from guarded_rollout.cli.screen import tell
from guarded_rollout.cli.wiring import Places, open_journal, open_ports
from guarded_rollout.core.facts import PromoteAsked, RollbackAsked, Started
from guarded_rollout.core.problems import Busy, NotPossible
from guarded_rollout.core.report import ending_lines
from guarded_rollout.core.state import State, exit_code
from guarded_rollout.engine.agent import drive
from guarded_rollout.engine.outbox import Outbox
from guarded_rollout.engine.papers import Paperwork
from guarded_rollout.engine.record import Log
from guarded_rollout.engine.situation import recorded_plan
from guarded_rollout.ports import Away, Journal, Known, Ports

TURN_SECONDS = 1.0

P = ParamSpec("P")


def guard(args: argparse.Namespace) -> int:
    """Drive one rollout until it rests. SIGTERM stops the guard, not the rollout."""
    places = Places(args.root)
    looking = open_journal(places, look_only=True, patient=True)
    known = next((k for k in looking.known(args.env) if k.rollout == args.rollout), None)
    if known is None:
        raise NotPossible(
            f"there is no rollout {args.rollout} in {args.env}", f"rollout status --env {args.env}"
        )
    expect_here(places, looking, known.environment)
    journal = open_journal(places, patient=True)
    places.make_run(known.environment)
    ports = open_ports(places, recorded_plan(journal, known).spec, journal)
    halt = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: halt.set())
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    log = Log(places.root, known)
    say = _whatever_the_disk(log.say)
    outbox = Outbox(ports, known.environment, known.rollout)
    papers = Paperwork(ports, known.rollout, lambda text: say(ports.clock.now(), text))
    papers.start()
    if known.ended is not None:
        _tell_people(places, known, outbox, halt)
        papers.finish()
        return 0
    outbox.start()
    state = _drive_in_turn(ports, known, log, halt)
    for line in ending_lines(state, known.rollout):
        say(ports.clock.now(), line)
        tell(line)
    outbox.stop()
    _tell_people(places, known, Outbox(ports, known.environment, known.rollout), halt)
    papers.finish()
    args.screen.document({"rollout": known.rollout, "phase": state.phase})
    return exit_code(state)


def _tell_people(places: Places, known: Known, outbox: Outbox, halt: threading.Event) -> None:
    """Until all is told. Another process that is at it already does the same."""
    lock = places.outbox_lock(known.rollout)
    with contextlib.suppress(Busy), alone(lock):
        outbox.start()
        outbox.finish(halt.is_set)
        lock.unlink(missing_ok=True)


def _drive_in_turn(ports: Ports, known: Known, log: Log, halt: threading.Event) -> State:
    """Drive it. One that nobody has touched yet waits while another one, a backup, is at work.

    A journal whose server is away is waited for: what serves goes on serving, nothing is begun
    without it, and the rollout is where it was when it is back.
    """
    say = _whatever_the_disk(log.say)
    while True:
        try:
            return drive(
                ports,
                known.environment,
                known.rollout,
                f"{user()} pid {os.getpid()}",
                halt=halt,
                show=_whatever_the_disk(log.write),
                say=lambda text: say(ports.clock.now(), text),
            )
        except Away as away:
            say(ports.clock.now(), f"waiting for the journal: {away.why.what}")
            if halt.wait(TURN_SECONDS):
                raise
        except Busy:
            if not _untouched(ports.journal, known) or halt.wait(TURN_SECONDS):
                raise


def _untouched(journal: Journal, known: Known) -> bool:
    asked = Started | RollbackAsked | PromoteAsked
    with contextlib.suppress(Away):
        return all(isinstance(entry.fact, asked) for entry in journal.entries(known.rollout))
    return True


def _whatever_the_disk(write: Callable[P, None]) -> Callable[P, None]:
    """A log that cannot be written must not end the guard; the journal has it all."""

    def quietly(*args: P.args, **kwargs: P.kwargs) -> None:
        with contextlib.suppress(OSError):
            write(*args, **kwargs)

    return quietly
