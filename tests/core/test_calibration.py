"""The A/A period: equal arms, and what they differ by."""

import random

import pytest

from guarded_rollout.core.calibration import calibrated, noise_of
from guarded_rollout.core.evidence_signals import Signal
from guarded_rollout.core.facts import StepDone, decode, encode
from guarded_rollout.core.judging import watches
from guarded_rollout.core.plan import Step
from guarded_rollout.core.series import ArmSeen, Histogram, Observation, ProxyReading, Reading
from guarded_rollout.core.simulated_traffic import binomial
from guarded_rollout.testing import examples

BOUNDS = (0.1, 1.0)


class Arm:
    """One arm's counters: 5 % fail, half is slow; `swing` of both comes and goes for 8 polls."""

    def __init__(self, rng, swing):
        self.rng, self.swing = rng, swing
        self.total = self.bad = self.slow = self.polls = 0
        self.by = 1.0

    def poll(self):
        if self.polls % 8 == 0:
            self.by = 1.0 + self.swing * self.rng.choice((-1.0, 1.0))
        self.polls += 1
        self.total += 400
        self.bad += binomial(self.rng, 400, 0.05 * self.by)
        self.slow += binomial(self.rng, 400, 0.5 * self.by)

    def seen(self):
        durations = Histogram(BOUNDS, (self.total - self.slow, self.total, self.total))
        reading = Reading("one", self.bad, self.total, durations)
        proxy = ProxyReading("e", self.total, self.bad, 0, 0, 0)
        return ArmSeen(None, readings=(reading,), proxy=proxy)


def period(seed, swing=0.0, *, paired=True, polls=120):
    """One observation a second."""
    rng = random.Random(seed)
    arms = [Arm(rng, swing) for _ in range(2)]
    series = []
    for second in range(polls):
        for arm in arms:
            arm.poll()
        series.append(
            Observation(float(second), arms[0].seen(), arms[1].seen() if paired else None)
        )
    return tuple(series)


def factors(series):
    return {noise.signal: noise.factor for noise in calibrated(series)}


@pytest.mark.parametrize("paired", [True, False], ids=["two arms", "one arm"])
def test_independent_requests_are_no_noise(paired):
    """Mostly exactly one for each signal."""
    found = [factors(period(seed, paired=paired)) for seed in range(15)]
    for signal in (Signal.REQUESTS, Signal.PROXY_REQUESTS, Signal.DURATIONS):
        assert sorted(one[signal] for one in found)[7] < 1.3


@pytest.mark.parametrize("paired", [True, False], ids=["two arms", "one arm"])
def test_what_comes_and_goes_is_noise(paired):
    """In failures and in durations."""
    for seed in range(5):
        found = factors(period(seed, swing=0.6, paired=paired))
        assert min(found.values()) > 2.0


def test_an_arm_without_metrics_leaves_the_proxy():
    """What nobody counted is not measured, and that is no failure."""
    series = tuple(
        Observation(seen.elapsed, ArmSeen(None, proxy=seen.candidate.proxy)) for seen in period(1)
    )
    assert {noise.signal for noise in calibrated(series)} == {Signal.PROXY_REQUESTS}
    assert calibrated(()) == ()
    assert calibrated(period(1, polls=1)) == ()


def test_what_was_measured_is_in_every_gate_of_that_signal():
    """It survives the journal; what was written by hand counts if it is more."""
    plan = examples.controlled(examples.canary(examples.plan()))
    noise = calibrated(period(3, swing=0.6))
    outcome = {"noise": [{"signal": it.signal, "factor": it.factor, "per_second": it.per_second}
                         for it in noise]}  # fmt: skip
    fact = decode(*encode(StepDone(Step.CALIBRATE, outcome)))
    assert noise_of(fact.outcome) == noise
    for watch in watches(plan, noise):
        for gate in watch.gates:
            measured = {it.signal: it.factor for it in noise}.get(gate.signal, 1.0)
            assert gate.dispersion.factor == measured
