"""The guard outlives the terminal: a process of its own, started and followed from here."""

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from guarded_rollout.cli.wiring import Places
from guarded_rollout.core.problems import Busy
from guarded_rollout.core.rollout import Phase, State, advance
from guarded_rollout.ports import Entry, Journal, Known

POLL_SECONDS = 0.2
DEAD_SECONDS = 3.0
RESTARTS = 5


def spawn(places: Places, known: Known) -> None:
    """Start the guard of a rollout, in a session of its own, its output in a log."""
    folder = places.environment(known.environment) / "logs"
    folder.mkdir(parents=True, exist_ok=True)
    argv = [sys.executable, "-m", "guarded_rollout", "agent", "--root", str(places.root)]
    with (folder / "agent.log").open("ab") as log:
        subprocess.Popen(
            [*argv, "--env", known.environment, "--rollout", known.rollout],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=places.root,
            start_new_session=True,
        )


def agent_log(places: Places, known: Known) -> Path:
    """Where the guard's own words are."""
    return places.environment(known.environment) / "logs" / "agent.log"


def guarded(journal: Journal, environment: str) -> bool:
    """Somebody drives this environment now."""
    holder = journal.holder(environment)
    return holder is not None and holder.alive


def ensure_guard(places: Places, journal: Journal, known: Known) -> bool:
    """Start a guard when a live rollout has none. True: it was started now."""
    if known.ended is not None or guarded(journal, known.environment):
        return False
    spawn(places, known)
    return True


def find(journal: Journal, environment: str, rollout: str | None = None) -> Known | None:
    """The named rollout, or the environment's active one, or its newest."""
    if rollout is None:
        active = journal.active(environment)
        if active is not None:
            return active
    return next(
        (k for k in journal.known(environment) if rollout is None or k.rollout == rollout), None
    )


def follow(
    places: Places,
    journal: Journal,
    known: Known,
    show: Callable[[Entry], None],
    *,
    after: int = 0,
) -> State:
    """Show what happens until the rollout rests. A guard that died is started again.

    Returns the state at rest: an ending, or one that needs a person.
    Raises Busy when the guard dies again and again.
    """
    state, seq, starts = State(), 0, 0
    quiet_since = time.monotonic()  # noqa: TID251 - a person's patience, not the rollout's time
    while True:
        entries = journal.entries(known.rollout, seq)
        for entry in entries:
            state, seq = advance(state, entry.fact), entry.seq
            if seq > after:
                show(entry)
        now = time.monotonic()  # noqa: TID251 - as above
        if entries or guarded(journal, known.environment):
            quiet_since = now
        if state.ended or state.phase in {Phase.HOLDING, Phase.STUCK}:
            if not (state.phase is Phase.STUCK and guarded(journal, known.environment)):
                return state
        elif now - quiet_since > DEAD_SECONDS:
            if starts == RESTARTS:
                raise Busy(
                    f"the guard of {known.rollout} died {starts} times",
                    f"read {agent_log(places, known)}, then: "
                    f"rollout resume --env {known.environment}",
                )
            starts += 1
            spawn(places, known)
            quiet_since = now
        time.sleep(POLL_SECONDS)  # noqa: TID251 - as above
