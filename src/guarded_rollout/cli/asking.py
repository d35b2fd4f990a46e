"""What a person asks for: meant so, and written down as a fact if it can happen now."""

import argparse
import sys
from collections.abc import Mapping

from guarded_rollout.cli.guard import find
from guarded_rollout.cli.screen import tell
from guarded_rollout.core.facts import (
    AFTERWARDS,
    Acknowledged,
    Fact,
    PauseAsked,
    PromoteAsked,
    ResumeAsked,
    RollbackAsked,
)
from guarded_rollout.core.problems import NotPossible, Problem
from guarded_rollout.core.rollout import ImpossibleFact, advance, replay
from guarded_rollout.engine.situation import schema_of
from guarded_rollout.ports import Behind, Journal, Known, Ports


class Ended(NotPossible):
    """The rollout came to its end before it could be asked for anything."""


_WORDS: Mapping[type[Fact], str] = {
    RollbackAsked: "rolled back",
    PromoteAsked: "promoted",
    PauseAsked: "paused",
    ResumeAsked: "resumed",
    Acknowledged: "acknowledged",
}


def ask(journal: Journal, known: Known, fact: Fact) -> int:
    """Append what a person asks for or says, if it can happen now. Returns the entry's number.

    Raises Ended when it is over, NotPossible when this cannot be asked for now.
    """
    word = _WORDS[type(fact)]
    while True:
        entries = journal.entries(known.rollout)
        state = replay(entry.fact for entry in entries)
        if state.ended and type(fact) not in AFTERWARDS:
            raise Ended(
                f"{known.rollout} cannot be {word}: it has ended, {state.phase}",
                f"see it: rollout status --env {known.environment}",
            )
        try:
            after = advance(state, fact)
        except ImpossibleFact as error:
            raise NotPossible(
                f"{known.rollout} cannot be {word} while it is {state.phase}",
                f"see it: rollout watch --env {known.environment}",
            ) from error
        # Before its first step a rollback is the end of it, and there is no guard to write that.
        ended = str(after.phase) if after.ended and not state.ended else None
        try:
            last = entries[-1].seq
            return journal.append(None, known.rollout, fact, after=last, ended=ended).seq
        except Behind:
            continue
        except NotPossible:
            if find(journal, known.environment, known.rollout) == known:
                raise


def confirm(args: argparse.Namespace, what: str) -> None:
    """At a terminal the environment's name is typed first. Raises NotPossible otherwise."""
    if args.force or sys.stdin is None or not sys.stdin.isatty():
        return
    tell(f"{what}? type the environment's name to go on:")
    if sys.stdin.readline().strip() != args.env:
        raise NotPossible("not confirmed, nothing was changed", "--force skips this question")


def schema_if_it_says(args: argparse.Namespace, ports: Ports) -> str | None:
    """None: it does not say. A locked or broken database may be the very reason for this."""
    try:
        return schema_of(ports)
    except Problem as problem:
        args.screen.line(f"warning: {problem.why.what}; traffic moves all the same")
        return None
