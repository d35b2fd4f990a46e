"""Who judges a rollout, and what they say: the gates of its plan over everything that was seen.

Health and the queue's length have no sampling noise: thresholds judge them. Failures and durations
have: evidence does, unless the environment wants their thresholds too. Candidate and baseline are
compared while both have users; the candidate's own limits decide where there is nobody to compare
it with, and hold the rollout where there is, because what both share may be at fault.
"""

from dataclasses import dataclass, replace
from functools import lru_cache

from guarded_rollout.core import evidence
from guarded_rollout.core.calibration import Noise
from guarded_rollout.core.evidence import Evidence, Watch
from guarded_rollout.core.evidence_gates import Gate, Kind
from guarded_rollout.core.evidence_process import Dispersion
from guarded_rollout.core.evidence_signals import Signal
from guarded_rollout.core.gates import (
    COMPARED,
    QUEUE_GROWTH,
    CustomGate,
    CustomKind,
    Gates,
    Verdict,
    judge,
)
from guarded_rollout.core.plan import Plan
from guarded_rollout.core.series import Observation, Series

HISTOGRAM_SECONDS = 10.0
"""How long durations are counted for one bet, which costs four times one on failures."""

COMPARING = 0.8
"""A canary's part of α for the comparison. The limits blame once everybody is on the candidate."""


@dataclass(frozen=True, slots=True)
class Weighed:
    """The evidence so far. `compared`: with the baseline; `limits`: with what is allowed.

    `noise`: what was measured before anybody met the candidate.
    """

    compared: Evidence | None = None
    limits: Evidence | None = None
    noise: tuple[Noise, ...] = ()

    @property
    def breaches(self) -> int:
        """How many of both have reached their bound."""
        both = (self.compared, self.limits)
        return sum(one is not None and one.breached is not None for one in both)


NOTHING = Weighed()
"""Nothing was seen yet."""


def weigh(plan: Plan, weighed: Weighed, seen: Observation, stage: int) -> Weighed:
    """The evidence after one more observation. The same observations give the same bytes."""
    comparing, limiting = watches(plan, weighed.noise)
    compared, limits = weighed.compared, weighed.limits
    if comparing is not None and plan.compares(stage):
        compared = evidence.observe(comparing, compared or evidence.start(comparing), seen)
    if limiting is not None:
        limits = evidence.observe(limiting, limits or evidence.start(limiting), seen)
    return Weighed(compared, limits, weighed.noise)


def judge_all(
    plan: Plan, weighed: Weighed, series: Series, elapsed: float, stage: int
) -> tuple[Verdict, ...]:
    """Every gate's verdict at `elapsed` seconds of watching."""
    gates = plan.spec.environment.gates
    comparing, limiting = watches(plan, weighed.noise)
    if limiting is None:
        return tuple(judge(gate, series) for gate in (*gates.all(), *gates.levels()))
    found = [judge(gate, series) for gate in (gates.health, gates.queue, *gates.levels())]
    live = plan.compares(stage)
    limits = weighed.limits or evidence.start(limiting)
    alone = evidence.verdicts(limiting, limits, elapsed)
    found += [replace(verdict, blames=not live) for verdict in alone]
    if comparing is not None:
        compared = weighed.compared or evidence.start(comparing)
        # Once nobody is left to compare with, what was found stands and gets no older.
        found += evidence.verdicts(comparing, compared, elapsed if live else None)
    return tuple(found)


def notice(plan: Plan, weighed: Weighed) -> str:
    """What whoever promotes should know; empty: nothing."""
    comparing, _ = watches(plan)
    if comparing is None or weighed.compared is None:
        return ""
    limit = plan.spec.environment.gates.failure_rate.threshold
    failed, asked = weighed.compared.gates[0].baseline
    if asked == 0 or 100.0 * failed / asked <= limit:
        return ""
    share = 100.0 * failed / asked
    return f"; the old version failed {share:.1f} % ({failed} of {asked}, limit {limit:g} %)"


def watches(plan: Plan, noise: tuple[Noise, ...] = ()) -> tuple[Watch | None, Watch | None]:
    """The gates that compare and those with limits. Both together blame with at most α."""
    first = plan.stages[0].bake_seconds if plan.compares(0) else None
    return _watches(plan.spec.environment.gates, first, noise)


@lru_cache(maxsize=64)
def _watches(
    gates: Gates, first_bake: float | None, noise: tuple[Noise, ...]
) -> tuple[Watch | None, Watch | None]:
    """Asked for at every observation. `first_bake`: of a canary's first stage."""
    rules = gates.evidence
    if rules is None:
        return None, None
    if first_bake is None:
        return None, Watch(_in(noise, _limits(gates)), rules)
    compared = replace(rules, alpha=rules.alpha * COMPARING, bake=min(rules.bake, first_bake))
    limits = replace(compared, alpha=rules.alpha * (1.0 - COMPARING))
    return (
        Watch(_in(noise, _comparisons(gates)), compared),
        Watch(_in(noise, _limits(gates)), limits),
    )


def _in(noise: tuple[Noise, ...], gates: tuple[Gate, ...]) -> tuple[Gate, ...]:
    """The gates in this noise: what was measured counts where it is more than what was written."""
    measured = {it.signal: Dispersion(it.factor, it.per_second) for it in noise}
    return tuple(
        replace(gate, dispersion=max(gate.dispersion, found, key=lambda it: it.factor))
        if (found := measured.get(gate.signal)) is not None
        else gate
        for gate in gates
    )


def _limits(gates: Gates) -> tuple[Gate, ...]:
    """The candidate alone, against what is allowed."""
    rate, p95 = gates.failure_rate, gates.duration
    errors = Gate(
        rate.name,
        Kind.RATE,
        Signal.REQUESTS,
        limit=rate.threshold / 100.0,
        paired=False,
        dispersion=Dispersion(gates.dispersion),
        minimum=rate.minimum,
    )
    return (
        errors,
        replace(
            errors,
            name=p95.name,
            kind=Kind.QUANTILE,
            signal=Signal.DURATIONS,
            limit=p95.threshold / 1000.0,
            minimum=p95.minimum,
        ),
        replace(errors, name="userErrors", signal=Signal.PROXY_REQUESTS),
        Gate(
            "restarts",
            Kind.EVENTS,
            Signal.RESTARTS,
            limit=gates.restarts,
            weight=0.5,
            paired=False,
            strict=False,
        ),
        *_growth(gates),
        *(_limit(own, errors) for own in gates.custom if own.kind is not CustomKind.LEVEL),
    )


def _growth(gates: Gates) -> tuple[Gate, ...]:
    """Of the queue that all replicas of both versions share: nobody to compare with."""
    if gates.growth is None:
        return ()
    return (
        Gate(
            QUEUE_GROWTH,
            Kind.QUEUE,
            Signal.QUEUE,
            limit=gates.growth,
            weight=0.5,
            paired=False,
            dispersion=Dispersion(gates.dispersion),
            strict=False,
        ),
    )


_ALONE = {
    CustomKind.RATE: (Kind.RATE, Signal.REQUESTS, 0.01),
    CustomKind.QUANTILE: (Kind.QUANTILE, Signal.DURATIONS, 0.001),
    CustomKind.EVENT: (Kind.EVENTS, Signal.EVENTS, 1.0),
}
_COMPARED = {
    CustomKind.RATE: (Kind.FAILURES, 0.0),
    CustomKind.QUANTILE: (Kind.LATENCY, HISTOGRAM_SECONDS),
    CustomKind.EVENT: (Kind.EVENTS, 0.0),
}


def _limit(own: CustomGate, like: Gate) -> Gate:
    kind, signal, unit = _ALONE[own.kind]
    counted = own.kind is not CustomKind.EVENT
    return replace(
        like,
        name=own.name,
        kind=kind,
        signal=signal,
        limit=own.threshold * unit,
        minimum=like.minimum if counted else 0,
        strict=counted,
        source=own.name,
    )


def _comparison(own: CustomGate, like: Gate) -> Gate:
    kind, every = _COMPARED[own.kind]
    _, signal, unit = _ALONE[own.kind]
    return replace(
        like,
        name=f"{own.name}{COMPARED}",
        kind=kind,
        signal=signal,
        limit=own.threshold * unit,
        every=every,
        minimum=0 if own.kind is CustomKind.EVENT else like.minimum,
        source=own.name,
    )


def _comparisons(gates: Gates) -> tuple[Gate, ...]:
    """The candidate against the baseline, in the same minutes."""
    failures = Gate(
        "failuresCompared",
        Kind.FAILURES,
        Signal.REQUESTS,
        dispersion=Dispersion(gates.dispersion),
        minimum=gates.failure_rate.minimum,
        strict=False,
    )
    return (
        failures,
        replace(failures, name="userErrorsCompared", signal=Signal.PROXY_REQUESTS),
        replace(
            failures,
            name="durationsCompared",
            kind=Kind.LATENCY,
            signal=Signal.DURATIONS,
            every=HISTOGRAM_SECONDS,
            minimum=gates.duration.minimum,
        ),
        Gate(
            "restartsCompared",
            Kind.EVENTS,
            Signal.RESTARTS,
            limit=gates.restarts,
            weight=0.5,
            strict=False,
        ),
        *(
            _comparison(own, failures)
            for own in gates.custom
            if own.compare and own.kind is not CustomKind.LEVEL
        ),
    )
