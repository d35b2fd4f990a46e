"""From cumulative counters to what rose between two observations, arm by arm.

What cannot be trusted gives a reason instead of numbers: nothing read, not a number, a counter
that fell, an arm that stands still while the other moves. A reason is never evidence.
Replicas are followed each by itself. Both arms always cover the same span of time: as long as one
arm cannot be read, the other's marks wait too, and nothing is lost when it comes back.
"""

from typing import NamedTuple

from guarded_rollout.core.evidence_signals import COUNTED, Mark, Signal, difference, marks
from guarded_rollout.core.series import Observation

_PATIENCE = 60.0
"""Seconds for which one arm's rise waits for an arm that stands still."""

_REMEMBERED = 200
"""Replicas per arm, beyond which those that are gone are forgotten."""


class Track(NamedTuple):
    """Where one signal's counters stood when they were last counted. JSON values only."""

    elapsed: float | None = None
    candidate: tuple[Mark, ...] = ()
    baseline: tuple[Mark, ...] = ()


UNSEEN = Track()
"""No counter was read yet."""


class Rise(NamedTuple):
    """What rose in `seconds` of watching, per arm, up to `elapsed`. `bounds`: of the buckets."""

    elapsed: float
    seconds: float
    candidate: tuple[float, ...]
    baseline: tuple[float, ...] | None = None
    bounds: tuple[float, ...] = ()


def follow(
    track: Track, seen: Observation, signal: Signal, *, paired: bool
) -> tuple[Track, Rise | str]:
    """The next track, and what rose, or why nothing can be said. `paired`: both arms are needed."""
    candidate = marks(seen.candidate, signal)
    baseline = marks(seen.baseline, signal) if paired and seen.baseline else ()
    if reason := _unreadable(track, seen, signal, candidate, baseline if paired else None):
        return track, reason
    if track.elapsed is None:
        return Track(seen.elapsed, candidate, baseline), "a counter needs a start"
    seconds = seen.elapsed - track.elapsed
    patient = seconds < _PATIENCE and signal in COUNTED
    our_marks, ours = _arm(track.candidate, candidate, signal, patient=patient)
    their_marks, theirs = track.baseline, None
    if paired:
        their_marks, theirs = _arm(track.baseline, baseline, signal, patient=patient)
    merged = Track(seen.elapsed, our_marks, their_marks)
    if ours is None or (paired and theirs is None):
        kept = (ours is None and our_marks == track.candidate) or (
            paired and theirs is None and their_marks == track.baseline
        )
        return (track if kept else merged), "the counters fell: a restart, or a late reading"
    if patient and theirs is not None and any(ours) != any(theirs):
        return track, "one arm stands still while the other moves"
    return merged, Rise(seen.elapsed, seconds, ours, theirs, candidate[0].bounds)


def _unreadable(
    track: Track,
    seen: Observation,
    signal: Signal,
    candidate: tuple[Mark, ...],
    baseline: tuple[Mark, ...] | None,
) -> str:
    """Why this observation cannot be compared with the track; empty if it can."""
    if track.elapsed is not None and seen.elapsed <= track.elapsed:
        return "an observation that came late or twice"
    if not candidate:
        return f"the candidate's {signal} were not read"
    if baseline is not None and not baseline:
        return f"the baseline's {signal} were not read"
    if len({mark.bounds for mark in (*candidate, *(baseline or ()))}) > 1:
        return "the replicas' buckets differ"
    return ""


def _arm(
    old: tuple[Mark, ...], new: tuple[Mark, ...], signal: Signal, *, patient: bool
) -> tuple[tuple[Mark, ...], tuple[float, ...] | None]:
    """One arm's next marks, and what rose, summed over the replicas that can be compared; None if
    there is none.

    New marks replace old ones; a replica that was not read keeps its own, while there is room.
    A reading that is a little lower in every number came late: for a while it does not move its
    mark back, or what was counted already would count twice. One below half began again.
    """
    before = {mark.instance: mark for mark in old}
    kept = dict(before) if len(before) < _REMEMBERED else {}
    rises = []
    for mark in new:
        known = before.get(mark.instance)
        kept[mark.instance] = mark
        if known is None or known.bounds != mark.bounds:
            continue
        rise = difference(known.counts, mark.counts, signal)
        if rise is not None:
            rises.append(rise)
        elif patient and _came_late(known, mark):
            kept[mark.instance] = known
    merged = tuple([kept[name] for name in sorted(kept)])
    if len(rises) < 2:
        return merged, rises[0] if rises else None
    return merged, tuple(map(sum, zip(*rises, strict=True)))


def _came_late(known: Mark, mark: Mark) -> bool:
    lower = all(new <= old for old, new in zip(known.counts, mark.counts, strict=True))
    return lower and max(mark.counts) >= max(known.counts) / 2
