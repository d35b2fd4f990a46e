"""Limits of the gates on the service's own metrics, from releases that ended well."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from guarded_rollout.core.evidence_signals import Signal
from guarded_rollout.core.gates import CustomGate, CustomKind, Gates
from guarded_rollout.core.recorded_traffic import counted
from guarded_rollout.core.series import Observation, focused
from guarded_rollout.core.suggestion import (
    FEWEST_POLLS,
    History,
    Suggestion,
    document,
    failure_rate,
    levels,
    p95,
    rounded_up,
    suggestions,
)

_HOUR = 3600.0
_SQUARED = 1.96**2


def custom_suggestions(
    histories: Sequence[History], custom: Sequence[CustomGate]
) -> tuple[Suggestion, ...]:
    """One for each gate, by its name."""
    return tuple(
        _of(gate, [[focused(one, gate.name) for one in seen] for _, seen in histories])
        for gate in custom
    )


def _of(gate: CustomGate, histories: Sequence[Sequence[Observation]]) -> Suggestion:
    match gate.kind:
        case CustomKind.RATE:
            return failure_rate(histories, gate.name)
        case CustomKind.QUANTILE:
            return p95(histories, gate.name)
        case CustomKind.EVENT:
            return _events(histories, gate.name)
        case CustomKind.LEVEL:
            return _level(histories, gate)


def _events(histories: Sequence[Sequence[Observation]], key: str) -> Suggestion:
    """All rollouts together: what comes rarely comes in few of them."""
    counts = [counted(seen, Signal.EVENTS) for seen in histories]
    enough = [one for one in counts if len(one.polls) >= FEWEST_POLLS]
    hours = sum(
        one.seconds * sum(alive for _, alive in one.polls) / len(one.polls) / _HOUR
        for one in enough
    )
    unit = "per replica and hour"
    if hours < 1.0:
        return Suggestion(key, None, unit, f"it was watched for {hours:.2g} hours, 1 is needed")
    came = sum(int(one.sums[0]) for one in enough)
    # The upper end of the score interval of a Poisson mean, 97.5 %.
    most = came + _SQUARED / 2 + math.sqrt(_SQUARED * (came + _SQUARED / 4))
    return Suggestion(
        key,
        rounded_up(2.0 * most / hours),
        unit,
        f"twice {most / hours:.3g}, at most the rate of {came} in {hours:.3g} hours (97.5 % sure)",
        len(enough),
        came,
    )


def _level(histories: Sequence[Sequence[Observation]], gate: CustomGate) -> Suggestion:
    read = levels(histories)
    if not read:
        why = f"no rollout has {FEWEST_POLLS} readings of it"
        return Suggestion(gate.name, None, "in its unit", why)
    every_one = [level for own in read for level in own]
    extreme = min(every_one) if gate.below else max(every_one)
    said = f"the {'lowest' if gate.below else 'highest'}, {extreme:g}"
    if extreme <= 0.0:
        why = f"{said}, is no measure for a limit"
        return Suggestion(gate.name, None, "in its unit", why, len(read), len(every_one))
    value = rounded_up(extreme / 2.0) if gate.below else rounded_up(2.0 * extreme)
    part = "half" if gate.below else "twice"
    return Suggestion(gate.name, value, "in its unit", f"{part} {said}", len(read), len(every_one))


@dataclass(frozen=True, slots=True)
class Proposal:
    """`suggestions`: in the order of the gates file; `paste`: JSON for it."""

    suggestions: tuple[Suggestion, ...]
    paste: dict[str, Any]


def proposal(environment: str, histories: Sequence[History], gates: Gates) -> Proposal:
    """What the history says about the environment's gates and about those on its own metrics."""
    usual = suggestions(histories)
    custom = custom_suggestions(histories, gates.custom)
    paste = document(environment, usual, custom, evidence=gates.evidence is not None)
    return Proposal((*usual, *custom), paste)
