"""One gate alone, fed with what rose from poll to poll: no scrapes, no other gates."""

import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from scenes import BOUNDS

from guarded_rollout.core.evidence import GateEvidence, update
from guarded_rollout.core.evidence_counters import Rise
from guarded_rollout.core.evidence_gates import Gate, Kind, rising_shares
from guarded_rollout.core.evidence_process import Rules, capital
from guarded_rollout.core.evidence_signals import Signal
from guarded_rollout.core.simulated_traffic import binomial, multinomial

FAILURES = Gate("failures", Kind.FAILURES, Signal.REQUESTS)
LATENCY = Gate("latency", Kind.LATENCY, Signal.DURATIONS)
OUTCOMES = Gate("outcomes", Kind.LATENCY, Signal.OUTCOMES)


@dataclass(frozen=True, slots=True)
class Split:
    """Requests per second of both arms, the candidate's share, and how often they are counted."""

    requests: float
    share: float
    every: float = 5.0
    window: float = 3600.0

    def polls(self, rng: random.Random) -> Iterator[tuple[float, int, int]]:
        """When each poll ends, and how many requests each arm had."""
        due = 0.0
        for poll in range(int(self.window / self.every)):
            due += self.requests * self.every
            total, due = int(due), due - int(due)
            n = binomial(rng, total, self.share)
            yield (poll + 1) * self.every, n, total - n


def fallen(
    rng: random.Random,
    split: Split,
    theirs: Sequence[float],
    ours: Sequence[float],
    onset: float = 0.0,
) -> Iterator[Rise]:
    """Requests as they fall into buckets, the candidate's as `ours` from the onset on."""
    for end, n, m in split.polls(rng):
        own = ours if end - split.every >= onset else theirs
        candidate, baseline = multinomial(rng, n, own), multinomial(rng, m, theirs)
        yield Rise(
            end, split.every, tuple(map(float, candidate)), tuple(map(float, baseline)), BOUNDS
        )


def failed(
    rng: random.Random, split: Split, theirs: float, ours: float, onset: float = 0.0
) -> Iterator[Rise]:
    """Requests and failures, the candidate's rate as `ours` from the onset on."""
    for end, n, m in split.polls(rng):
        x = binomial(rng, n, ours if end - split.every >= onset else theirs)
        y = binomial(rng, m, theirs)
        yield Rise(end, split.every, (float(n), float(x)), (float(m), float(y)))


def until(gate: Gate, rules: Rules, rises: Iterable[Rise]) -> tuple[float | None, int]:
    """When the gate rolls back with all the capital, and the candidate's failures until then."""
    own, shares = GateEvidence(reference=gate.reference), rising_shares(gate)
    for rise in rises:
        own = update(gate, rules, own, rise)
        if capital(own.process, rules, shares) >= 1.0 / rules.alpha:
            return rise.elapsed, own.candidate[0]
    return None, own.candidate[0]
