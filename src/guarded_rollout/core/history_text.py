"""A watch that was judged again, told to people."""

from collections.abc import Sequence

from guarded_rollout.core.gate_history import Fired, Otherwise, Replayed


def replayed_lines(again: Replayed) -> list[str]:
    """By the gates it ran with."""
    lines = [_watched(again)]
    difference = again.difference
    if difference is None:
        same = "replayed: every verdict is the same, byte for byte"
        lines.append(f"  {again.judged} recorded judgements, {same}")
    if again.probed:
        lines.append(f"  {again.probed} of the probes' judgements, which are not replayed")
    lines += _fired_lines(again.fired)
    if difference is not None:
        lines += [
            f"judgement {difference.number}, at {difference.elapsed:g} s, is not the same",
            f"  recorded {difference.recorded}",
            f"  replayed {difference.replayed}",
        ]
    return lines


def otherwise_lines(again: Otherwise, gates: str) -> list[str]:
    """By other gates; `gates` says whose."""
    ending = again.ending
    said = f"  under {gates} no gate breaches in what was recorded"
    if ending is not None:
        does = "rolls back" if ending.rolls_back else "holds, and a person is asked"
        said = f"  under {gates} it {does} at {ending.at:g} s: {ending.reason}"
    return [_watched(again), said, *_fired_lines(again.fired)]


def _watched(again: Replayed | Otherwise) -> str:
    return f"  {again.seconds:g} s were watched, {again.observations} observations"


def _fired_lines(fired: Sequence[Fired]) -> list[str]:
    lines = [f"  {'gate':<24}{'fires at':>10}  numbers"]
    for one in fired:
        at = f"{one.at:g} s" if one.at is not None else "never"
        lines.append(f"  {one.gate:<24}{at:>10}  {one.verdict.answer}: {one.verdict.reason}")
    return lines
