"""The guard outlives the terminal: a process of its own, started and followed from here."""

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

from guarded_rollout.adapters.clock import SystemClock
from guarded_rollout.adapters.processes.holder import lock_holder
from guarded_rollout.cli.machines import expect_here, home_elsewhere
from guarded_rollout.cli.wiring import Places
from guarded_rollout.core.problems import NeedsPerson
from guarded_rollout.core.rollout import advance, replay
from guarded_rollout.core.state import Phase, State
from guarded_rollout.engine.outbox import owed, recent
from guarded_rollout.notify.github import IssueTracker
from guarded_rollout.notify.port import Notifier
from guarded_rollout.ports import Away, Entry, Holder, Journal, Known

POLL_SECONDS = 0.2
DEAD_SECONDS = 3.0
RESTARTS = 5

Guard: TypeAlias = subprocess.Popen[bytes]

_started: list[Guard] = []
"""Kept, so that Python does not complain about children that live on."""


def spawn(places: Places, known: Known) -> Guard:
    """Start the guard of a rollout, in a session of its own, its output in a log.

    NeedsPerson when it cannot be started: the rollout is in the journal already.
    """
    # -P: a module of the project's folder must not stand in for one of Python's.
    argv = [sys.executable, "-P", "-m", "guarded_rollout", "guard", "--root", str(places.root)]
    path = guard_log(places, known)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab") as log:
            guard = subprocess.Popen(
                [*argv, "--env", known.environment, "--rollout", known.rollout],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=places.root,
                start_new_session=True,
            )
    except OSError as error:
        raise NeedsPerson(
            f"the guard of {known.rollout} cannot be started: {error}",
            f"mend that, then: rollout resume --env {known.environment}",
        ) from error
    _started.append(guard)
    return guard


def agent_pid(places: Places) -> int | None:
    """Look: the project's agent; None: none runs."""
    return lock_holder(places.agent_lock)


def start_guard(places: Places, journal: Journal, known: Known) -> Guard | None:
    """See to it that a rollout that was just begun gets its guard.

    A living agent starts it, so that it is not a child of this terminal's session; one that does
    not within DEAD_SECONDS hangs, and nobody waits for it. None: the agent has started it.
    """
    until = _patience() + DEAD_SECONDS
    while agent_pid(places) is not None and _patience() < until:
        if guarded(journal, known.environment):
            return None
        time.sleep(POLL_SECONDS)  # noqa: TID251 - a person's patience, not the rollout's time
    return spawn(places, known)


def guard_log(places: Places, known: Known) -> Path:
    """Where the guard's own words are."""
    return places.environment(known.environment) / "logs" / "guard.log"


def guarded(journal: Journal, environment: str) -> bool:
    """Somebody drives this environment now."""
    holder = journal.holder(environment)
    return holder is not None and holder.alive


def ensure_guard(places: Places, journal: Journal, known: Known) -> Guard | None:
    """Start a guard when a live rollout has none. None: it has one, or nothing to do for it.

    Nor is there anything to do here for a rollout that lives on another machine.
    """
    if known.ended is not None or guarded(journal, known.environment):
        return None
    state = replay(entry.fact for entry in journal.entries(known.rollout))
    if state.ended or state.phase is Phase.STUCK:
        return None
    if home_elsewhere(places, journal, known.environment) is not None:
        return None
    return spawn(places, known)


def left_alone(journal: Journal, environment: str) -> Known | None:
    """The rollout that a guard is needed for: the active one, or a backup that was cut short."""
    active = journal.active(environment)
    if active is not None:
        return active
    return next((known for known in journal.known(environment) if known.ended is None), None)


def ensure_told(
    places: Places, journal: Journal, environment: str, told: set[str] | None = None
) -> tuple[Known, Guard] | None:
    """Start a guard for a rollout that is over and of which people were not told all.

    The oldest first: an incident is not forgotten because something was begun after it. None: all
    was told, or somebody is at it. `told` remembers what needs no second look.
    """
    told = set() if told is None else told
    found = recent(journal, SystemClock(), environment)
    for known in reversed(found):
        if known.ended is None or known.rollout in told:
            continue
        if not _untold(places, journal, known, only_heard=known != found[0]):
            told.add(known.rollout)
        elif lock_holder(places.outbox_lock(known.rollout)) is None:
            return known, spawn(places, known)
    return None


def _untold(places: Places, journal: Journal, known: Known, *, only_heard: bool) -> bool:
    """Look: there is something to tell, now or when nobody acknowledges."""
    clock = SystemClock()
    tracker = IssueTracker(places.root, clock).name(known.environment)
    notifier = Notifier(places.root, clock)
    return owed(journal, notifier, clock, known, tracker, only_heard=only_heard)


def find(journal: Journal, environment: str, rollout: str | None = None) -> Known | None:
    """The named rollout, or the environment's active one, or its newest."""
    if rollout is None:
        active = journal.active(environment)
        if active is not None:
            return active
    return next(
        (k for k in journal.known(environment) if rollout is None or k.rollout == rollout), None
    )


class Follower:
    """Shows a rollout until it rests. A guard that died is started again.

    `guard`: the one that was just started. `after`: the last entry that is not shown.
    """

    def __init__(
        self,
        places: Places,
        journal: Journal,
        known: Known,
        show: Callable[[Entry], None],
        say: Callable[[str], None],
        *,
        after: int = 0,
        guard: Guard | None = None,
    ) -> None:
        self._places = places
        self._journal = journal
        self._known = known
        self._show = show
        self._say = say
        self._after = after
        self._guard = guard
        self._state = State()
        self._seq = 0
        self._starts = 0
        self._waits_for: str | None = None
        self._away = False

    def run(self) -> State:
        """The state at rest: an ending, or one that needs a person.

        Raises NeedsPerson when the guard dies again and again.
        """
        quiet_since = _patience()
        while True:
            try:
                news = self._read()
                holder = self._journal.holder(self._known.environment)
            except Away as away:
                self._wait_for_the_journal(away)
                quiet_since = _patience()
                continue
            self._away = False
            driven = holder is not None and holder.alive
            if news or driven or self._starting():
                quiet_since = _patience()
            if self._rests(driven=driven):
                return self._state
            if driven:
                self._say_who_is_before_us(holder)
            if _patience() - quiet_since > DEAD_SECONDS:
                self._start_again()
                quiet_since = _patience()
            time.sleep(POLL_SECONDS)  # noqa: TID251 - a person's patience, not the rollout's time

    def _wait_for_the_journal(self, away: Away) -> None:
        """Its guard waits too; whoever only looks on has nothing to decide."""
        if not self._away:
            self._say(f"waiting for the journal: {away.why.what}")
        self._away = True
        time.sleep(POLL_SECONDS)  # noqa: TID251 - a person's patience, not the rollout's time

    def _read(self) -> bool:
        entries = self._journal.entries(self._known.rollout, self._seq)
        for entry in entries:
            self._state, self._seq = advance(self._state, entry.fact), entry.seq
            if entry.seq > self._after:
                self._show(entry)
        return bool(entries)

    def _starting(self) -> bool:
        """Our own guard lives; a busy machine may take long to let it begin."""
        return self._guard is not None and self._guard.poll() is None

    def _rests(self, *, driven: bool) -> bool:
        if self._state.phase is Phase.STUCK:
            return not driven
        return self._state.ended or self._state.phase is Phase.HOLDING

    def _say_who_is_before_us(self, holder: Holder | None) -> None:
        """Our guard waits for its turn, e.g. behind a backup."""
        if holder is None or not self._starting() or self._guard is None:
            return
        if holder.pid != self._guard.pid and holder.owner != self._waits_for:
            self._waits_for = holder.owner
            self._say(f"waiting for {holder.owner}, who is at work in {self._known.environment}")

    def _start_again(self) -> None:
        environment = self._known.environment
        expect_here(self._places, self._journal, environment)
        if self._starts == RESTARTS:
            raise NeedsPerson(
                f"the guard of {self._known.rollout} died {self._starts} times",
                f"read {guard_log(self._places, self._known)}, then: "
                f"rollout resume --env {environment}",
            )
        self._starts += 1
        self._guard = spawn(self._places, self._known)


def _patience() -> float:
    return time.monotonic()  # noqa: TID251 - a person's patience, not the rollout's time
