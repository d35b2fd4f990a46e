"""The one e-process: capital that grows only as fast as luck allows while the null is true.

    R_k(ψ) = (R_{k−1}(ψ) + w_k) · e_k(ψ)      w_k: what is put on "it began with poll k"
    M_k    = Σ π(ψ) R_k(ψ) + what was not placed yet,   M_0 = 1

Under the null M is a nonnegative supermartingale, so it reaches 1/α with probability at most α
(Ville), whatever the cadence and the horizon. The prior of the beginning: half at once, the rest
over time as scale/(t + scale), so that it needs no horizon and no cadence.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from operator import mul
from typing import NamedTuple

from guarded_rollout.core.evidence_bets import Bets

_MOST = 1e100
_MOST_NATS = 230.0


@dataclass(frozen=True, slots=True)
class Dispersion:
    """How much more the counts vary than independent requests would. `factor` >= 1.

    Noise that shifts a whole arm for a while grows with the traffic, clusters do not. Which of
    both was seen nobody knows, so `factor` never shrinks, and grows when there is more traffic
    than where it was estimated: `per_second` = n·m/(n + m) per second there (0: not known).
    """

    factor: float = 1.0
    per_second: float = 0.0

    def at(self, per_second: float) -> float:
        """The divisor for a poll with this much traffic."""
        if self.factor == 1.0 or self.per_second <= 0.0:
            return self.factor
        return 1.0 + (self.factor - 1.0) * max(1.0, per_second / self.per_second)


EVEN = Dispersion()
"""Independent requests."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What holds for every gate of a rollout. Seconds; odds; nats.

    `alpha`: at most this share of harmless releases is rolled back, all gates together.
    `beta`: at most this share of releases that are `tolerated` times as bad passes early.
    `margin`: odds up to which a release counts as harmless. `cap`: most evidence of one poll.
    `grace`: a cold start; inside it only harm beyond `hard_margin` counts, with `hard_share` of
    the capital. `calibrate`: how long the dispersion is measured before anybody meets the
    candidate. `bake`: no early pass before. `stale`: a pass needs a sample this young.
    """

    alpha: float = 0.01
    beta: float = 0.05
    margin: float = 1.25
    tolerated: float = 2.0
    cap: float | None = 3.0
    grace: float = 60.0
    hard_margin: float = 8.0
    hard_share: float = 0.2
    at_once: float = 0.5
    scale: float = 600.0
    calibrate: float = 120.0
    bake: float = 300.0
    stale: float = 60.0


LIGHT = Rules(margin=1.0, cap=None, grace=0.0, calibrate=0.0)
"""Bare tests: for independent failures, or routing that is randomised for each request."""

ROBUST = Rules()
"""The default. Needs a dispersion that was estimated from an A/A period."""


class Process(NamedTuple):
    """One gate's capital. JSON values only. Empty tuples: that side has not begun.

    `rising`: R per bet. `hard`: the same inside the grace period. `falling`: capital per bet, a
    row for each thing to exclude. `placed`: how much of the prior is placed. `polls` bet on.
    """

    rising: tuple[float, ...] = ()
    hard: tuple[float, ...] = ()
    falling: tuple[tuple[float, ...], ...] = ()
    placed: float = 0.0
    moved: bool = False
    polls: int = 0


UNTOUCHED = Process()
"""Before the first poll."""


def step(process: Process, rules: Rules, bets: Bets, *, began: float, dispersion: float) -> Process:
    """After one poll that began at `began` seconds. Inside the grace `bets` are the hard ones."""
    most = _MOST_NATS if rules.cap is None else min(rules.cap, _MOST_NATS)
    if began < rules.grace:
        hard = process.hard or (rules.hard_share,) * len(bets.rising)
        return Process(
            process.rising,
            _paid(hard, bets.rising, dispersion, most),
            process.falling,
            process.placed,
            process.moved,
            process.polls + 1,
        )
    past = began - rules.grace
    due = rules.at_once + (1.0 - rules.at_once) * past / (past + rules.scale)
    fresh = _normal_share(rules) * max(0.0, due - process.placed)
    if not process.moved:
        fresh += _hard_capital(process, rules)
    rising = process.rising or (0.0,) * len(bets.rising)
    falling = process.falling or tuple([(1.0,) * len(row) for row in bets.falling])
    return Process(
        rising=_paid([r + fresh for r in rising], bets.rising, dispersion, most),
        falling=tuple(
            [
                _paid(row, nats, dispersion, most)
                for row, nats in zip(falling, bets.falling, strict=True)
            ]
        ),
        placed=max(process.placed, due),
        moved=True,
        polls=process.polls + 1,
    )


def _paid(
    capitals: Sequence[float], nats: Sequence[float], dispersion: float, most: float
) -> tuple[float, ...]:
    """Each capital times its bet's payoff; `most` nats in one poll."""
    if not any(nats):
        return tuple(capitals)
    if dispersion != 1.0:
        nats = [bet / dispersion for bet in nats]
    if max(nats) > most:
        nats = [min(bet, most) for bet in nats]
    paid = [r * e for r, e in zip(capitals, map(math.exp, nats), strict=True)]
    if max(paid) > _MOST:
        paid = [min(_MOST, r) for r in paid]
    return tuple(paid)


def capital(process: Process, rules: Rules, shares: tuple[float, ...]) -> float:
    """M: at least 1/α is evidence against "no worse than the margin"."""
    placed: float = sum(map(mul, shares, process.rising))
    waiting = _normal_share(rules) * (1.0 - process.placed)
    return placed + waiting + (0.0 if process.moved else _hard_capital(process, rules))


def excluded(process: Process, shares: tuple[float, ...]) -> float:
    """The least capital against "at least as bad as tolerated"; zero if nothing was asked yet."""
    return min([sum(map(mul, shares, row)) for row in process.falling], default=0.0)


def _normal_share(rules: Rules) -> float:
    return 1.0 - rules.hard_share if rules.grace > 0.0 else 1.0


def _hard_capital(process: Process, rules: Rules) -> float:
    if rules.grace <= 0.0:
        return 0.0
    return sum(process.hard) / len(process.hard) if process.hard else rules.hard_share
