"""`rollout agent`: looks after a project for as long as it runs.

It drives nothing itself. Each rollout has a guard, a process of its own, and what people want goes
through the journal: so whatever the agent does can be done without it, and a hung agent is in
nobody's way. It gives rollouts that lost their guard a new one, and starts what should serve.
"""

import argparse
import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace

from guarded_rollout.adapters.host import user
from guarded_rollout.adapters.processes.holder import alone
from guarded_rollout.cli.guard import (
    Guard,
    agent_pid,
    ensure_guard,
    ensure_told,
    left_alone,
)
from guarded_rollout.cli.machines import home_elsewhere
from guarded_rollout.cli.screen import Screen
from guarded_rollout.cli.wiring import Places, open_journal, open_ports
from guarded_rollout.core.problems import Busy, Problem
from guarded_rollout.core.spec import Release, Spec
from guarded_rollout.engine.serving import ensure_serving, serves
from guarded_rollout.engine.situation import read_situation, recorded_plan
from guarded_rollout.ports import Journal, Known, Ports

ROUND_SECONDS = 1.0
ROUNDS_PER_LOOK = 5
"""What serves is looked at less often than the journal."""

LOOKS_UNTIL_STARTED = 2
"""Replicas that died are started again by their keepers; when these are gone, by the agent."""

PATIENCE_SECONDS = 60.0
"""After what went wrong in an environment, before it is tried there again."""


def agent(args: argparse.Namespace) -> int:
    """Until SIGTERM. Guards, replicas and the proxy go on without it."""
    places, screen = Places(args.root), args.screen
    halt = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: halt.set())
    with _only_one(places):
        screen.line(f"process {os.getpid()} looks after {places.root}")
        caretaker = Caretaker(places, args.env, screen)
        while not halt.is_set():
            caretaker.round()
            halt.wait(ROUND_SECONDS)
    screen.line("it stops; guards and what serves go on")
    screen.document({"stopped": True})
    return 0


@contextlib.contextmanager
def _only_one(places: Places) -> Iterator[None]:
    """Be the project's only agent; or one of several, where they share a journal: the leases see
    to it that each environment has one guard.
    """
    with contextlib.ExitStack() as held:
        try:
            held.enter_context(alone(places.agent_lock))
        except Busy:
            if not places.journal.shared:
                raise Busy(
                    f"process {agent_pid(places)} looks after {places.root} already",
                    "one is enough; a second one, in case the first hangs, needs the journal on "
                    "PostgreSQL",
                ) from None
        yield


class Caretaker:
    """One round after the other. What goes wrong in one environment is told and tried again."""

    def __init__(self, places: Places, only: str | None, screen: Screen) -> None:
        self._places, self._only, self._screen = places, only, screen
        self._journal: Journal | None = None
        self._rounds = 0
        self._quiet_until: dict[str, int] = {}
        self._not_well: dict[str, int] = {}
        self._guards: list[Guard] = []
        self._wanted: dict[str, _Wanted] = {}
        self._told: set[str] = set()

    def round(self) -> None:
        """Look at every environment once."""
        self._rounds += 1
        self._guards = [guard for guard in self._guards if guard.poll() is None]
        try:
            journal = self._open()
            environments = {known.environment for known in journal.known()}
        except Problem as problem:
            self._tell("the journal", problem)
            return
        for environment in sorted(environments):
            if self._only in {None, environment} and self._due(environment):
                try:
                    self._look_after(journal, environment)
                except Problem as problem:
                    self._tell(environment, problem)

    def _open(self) -> Journal:
        if self._journal is None:
            self._journal = open_journal(self._places, look_only=True)
        return self._journal

    def _due(self, where: str) -> bool:
        return self._rounds >= self._quiet_until.get(where, 0)

    def _tell(self, where: str, problem: Problem) -> None:
        if self._due(where):
            self._screen.line(f"{where}: {problem.why.what}")
            if problem.why.hint:
                self._screen.line(f"  -> {problem.why.hint}")
        self._quiet_until[where] = self._rounds + int(PATIENCE_SECONDS / ROUND_SECONDS)

    def _look_after(self, journal: Journal, environment: str) -> None:
        if home_elsewhere(self._places, journal, environment) is not None:
            return
        alone = left_alone(journal, environment)
        if alone is not None:
            self._guard(alone, ensure_guard(self._places, journal, alone))
        if self._rounds % ROUNDS_PER_LOOK != 1:
            return
        if alone is None:
            self._keep_serving(journal, journal.known(environment)[0])
        if found := ensure_told(self._places, journal, environment, self._told):
            self._guard(*found)

    def _guard(self, known: Known, guard: Guard | None) -> None:
        if guard is None:
            return
        self._guards.append(guard)
        self._screen.line(f"{known.rollout} had no guard: process {guard.pid} is its guard now")
        # It needs a moment to take the lease; one that dies at once is not asked for again.
        self._quiet_until[known.environment] = self._rounds + 5

    def _keep_serving(self, journal: Journal, newest: Known) -> None:
        environment = newest.environment
        wanted = self._wanted.get(environment)
        if wanted is None or wanted.newest != newest:
            serving = read_situation(journal, environment).serving
            wanted = _Wanted(newest, recorded_plan(journal, newest).spec, serving)
            self._wanted[environment] = wanted
        if wanted.serving is None:
            return
        ports = open_ports(self._places, wanted.spec, journal)
        if serves(ports, wanted.spec, wanted.serving):
            self._not_well.pop(environment, None)
            return
        self._not_well[environment] = self._not_well.get(environment, 0) + 1
        if self._not_well[environment] >= LOOKS_UNTIL_STARTED:
            self._start(ports, wanted.spec, wanted.serving)

    def _start(self, ports: Ports, spec: Spec, serving: Release) -> None:
        environment = spec.environment.name
        self._screen.line(f"{serving.name} should serve {environment} and does not: it is started")
        self._places.make_run(environment)
        writable = replace(ports, journal=open_journal(self._places))
        ensure_serving(writable, spec, serving, f"{user()} pid {os.getpid()}")
        self._screen.line(f"{serving.name} serves {environment} again")


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What should serve after the newest rollout. It is read once for each."""

    newest: Known
    spec: Spec
    serving: Release | None
