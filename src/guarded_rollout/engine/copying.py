"""Copies of a backup in other places, and what is kept there.

A place that fails is told, and nothing else: the way back of a deploy needs the local backup only.
"""

from dataclasses import replace

from guarded_rollout.core.facts import Outcome
from guarded_rollout.core.problems import Interrupted, Problem
from guarded_rollout.core.retention import Backup, expired
from guarded_rollout.core.spec import CopyPlace, Environment
from guarded_rollout.ports import Control, Place, Ports


def copy_backup(
    ports: Ports, environment: Environment, backup: Backup, control: Control
) -> list[Outcome]:
    """One outcome per place of the environment. Raises Interrupted only."""
    return [_copy(ports, environment.name, to, backup, control) for to in environment.copies]


def _copy(
    ports: Ports, environment: str, to: CopyPlace, backup: Backup, control: Control
) -> Outcome:
    outcome: Outcome = {
        "place": to.name,
        "required": to.required,
        "copied": False,
        "sent": False,
        "removed": [],
        "problem": None,
        "hint": None,
    }
    try:
        place = ports.copies.at(to)
        copy = place.put(backup, control)
        outcome |= {"copied": True, "sent": copy.sent}
        outcome["removed"] = _prune(place, environment, copy.name, to, ports.clock.now())
    except Interrupted:
        raise
    except Problem as problem:
        what = "not copied" if not outcome["copied"] else "copied, but old copies stay"
        outcome["problem"] = f"{what}: {problem.why.what}"
        outcome["hint"] = problem.why.hint
    return outcome


def _prune(place: Place, environment: str, sound: str, to: CopyPlace, now: float) -> list[str]:
    """Remove expired copies. `sound` was just read back: the newest verified one is never older."""
    held = [copy for copy in place.holds() if copy.environment == environment]
    old = expired([_verified(copy, sound) for copy in held], environment, now, to.retention_days)
    for copy in old:
        place.remove(copy.file)
    return [copy.file for copy in old]


def _verified(copy: Backup, sound: str) -> Backup:
    return replace(copy, verified=True) if copy.file == sound else copy
