"""The evidence gates, simulated: `python bench/evidence.py [--runs N] [--seed N] [PART ...]`.

Parts: `speed` (updates per second of one core's time), `alarms` (healthy rollouts that are rolled
back), `light` and `latency` (delay against the information bound), `robust` (noise that breaks
the assumptions). Delay ratios are medians; a rollback before the onset counts as false.
"""

import argparse
import math
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from guarded_rollout.core.evidence import Evidence, GateEvidence, Watch, observe, start, update
from guarded_rollout.core.evidence_bets import Table
from guarded_rollout.core.evidence_counters import Rise
from guarded_rollout.core.evidence_dispersion import from_tables
from guarded_rollout.core.evidence_gates import Gate, Kind, rising_shares
from guarded_rollout.core.evidence_process import LIGHT, ROBUST, Dispersion, Rules, capital
from guarded_rollout.core.evidence_signals import Signal
from guarded_rollout.core.gates import (
    DurationGate,
    FailureRateGate,
    Gates,
    HealthGate,
    QueueGate,
)
from guarded_rollout.core.judging import NOTHING, weigh
from guarded_rollout.core.sample_deploy import sample_deploy
from guarded_rollout.core.schedule import Schedule
from guarded_rollout.core.series import ArmSeen, Histogram, Observation, Reading
from guarded_rollout.core.simulated_traffic import binomial, multinomial
from guarded_rollout.core.spec import EVERYBODY, Stage, WatchPolicy

BOUNDS = tuple(0.005 * 1.5**i for i in range(16))
FAILURES = Gate("failures", Kind.FAILURES, Signal.REQUESTS)
LATENCY = Gate("latency", Kind.LATENCY, Signal.DURATIONS)
OUTCOMES = Gate("outcomes", Kind.LATENCY, Signal.OUTCOMES)


def lognormal(shift: float = 0.0, slow: float = 0.0) -> list[float]:
    """Bucket shares of durations around 50 ms; `slow` of them take eight times as long."""

    def below(bound: float, by: float) -> float:
        return 0.5 * (1.0 + math.erf((math.log(bound) + 3.0 - by) / 0.6 / math.sqrt(2.0)))

    edges = [
        (1.0 - slow) * below(bound, shift) + slow * below(bound, math.log(8.0)) for bound in BOUNDS
    ]
    return [b - a for a, b in zip([0.0, *edges], [*edges, 1.0], strict=True)]


@dataclass(frozen=True)
class Traffic:
    """Requests per second, the candidate's share, failure rates, and when the candidate changes."""

    rps: float
    share: float
    healthy: float
    bad: float
    onset: float = 0.0
    cadence: float = 5.0
    length: float = 3600.0

    def polls(self) -> range:
        return range(int(self.length / self.cadence))

    def bound(self, alpha: float = 0.01, margin: float = 1.0, factor: float = 1.0) -> float:
        """Seconds that any test with this null needs on average, at least."""
        grown = margin * self.healthy / (1.0 + (margin - 1.0) * self.healthy)
        return math.log(1.0 / alpha) * factor / self._information(self.bad, grown) / self.rps

    def _information(self, bad: float, null: float) -> float:
        """The nearest null: baseline odds o, candidate odds o times the margin."""
        ratio = null * (1.0 - self.healthy) / (self.healthy * (1.0 - null))

        def at(odds: float) -> float:
            base, cand = odds / (1 + odds), ratio * odds / (1 + ratio * odds)
            return self.share * kl(bad, cand) + (1 - self.share) * kl(self.healthy, base)

        low, high = math.log(self.healthy / 2), math.log(bad / (1 - bad) + self.healthy)
        for _ in range(80):
            third = (high - low) / 3
            if at(math.exp(low + third)) < at(math.exp(high - third)):
                high -= third
            else:
                low += third
        return at(math.exp(low))


def kl(a: float, b: float) -> float:
    return a * math.log(a / b) + (1.0 - a) * math.log((1.0 - a) / (1.0 - b))


def failures(rng: random.Random, traffic: Traffic) -> Iterator[Rise]:
    for k in traffic.polls():
        end = (k + 1) * traffic.cadence
        total = int(traffic.rps * traffic.cadence)
        n = binomial(rng, total, traffic.share)
        rate = traffic.bad if k * traffic.cadence >= traffic.onset else traffic.healthy
        x, y = binomial(rng, n, rate), binomial(rng, total - n, traffic.healthy)
        yield Rise(end, traffic.cadence, (n, x), (total - n, y))


def durations(
    rng: random.Random, traffic: Traffic, theirs: list[float], ours: list[float]
) -> Iterator[Rise]:
    for k in traffic.polls():
        total = int(traffic.rps * traffic.cadence)
        n = binomial(rng, total, traffic.share)
        shares = ours if k * traffic.cadence >= traffic.onset else theirs
        yield Rise(
            (k + 1) * traffic.cadence,
            traffic.cadence,
            tuple(multinomial(rng, n, shares)),
            tuple(multinomial(rng, total - n, theirs)),
            BOUNDS,
        )


def until(gate: Gate, rules: Rules, rises: Iterator[Rise]) -> tuple[float | None, int]:
    """When the gate rolls back alone, and the candidate's failures until then."""
    own, shares = GateEvidence(reference=gate.reference), rising_shares(gate)
    for rise in rises:
        own = update(gate, rules, own, rise)
        if capital(own.process, rules, shares) >= 1.0 / rules.alpha:
            return rise.elapsed, own.candidate[0]
    return None, own.candidate[0]


def upper(hits: int, runs: int, doubt: float = 0.025) -> float:
    """The Clopper-Pearson upper bound of a share."""
    low, high = hits / runs, 1.0
    for _ in range(60):
        p = (low + high) / 2
        below = math.fsum(
            math.exp(
                math.lgamma(runs + 1)
                - math.lgamma(k + 1)
                - math.lgamma(runs - k + 1)
                + k * math.log(p)
                + (runs - k) * math.log1p(-p)
            )
            for k in range(hits + 1)
        )
        low, high = (p, high) if below > doubt else (low, p)
    return high


def speed(runs: int, seed: int) -> None:
    """One observation of the default pair of gates, from counters to capital."""
    rng, readings, totals = random.Random(seed), [], [[0] * 20, [0] * 20]
    shares = lognormal()
    for k in range(60):
        arms = []
        for own, n in zip(totals, (125, 2375), strict=True):
            for i, count in enumerate(multinomial(rng, n, shares)):
                own[i] += count
            own[18] += n
            own[19] += binomial(rng, n, 0.005)
            cumulative = tuple(float(sum(own[: i + 1])) for i in range(17))
            reading = Reading("a", own[19], own[18], Histogram(BOUNDS, cumulative))
            arms.append(ArmSeen(healthy=True, replicas_alive=1, readings=(reading,)))
        readings.append(Observation(5.0 * k, arms[0], arms[1]))
    for name, gates in (
        ("failures", (FAILURES,)),
        ("failures + latency each 10 s", (FAILURES, replace(LATENCY, every=10.0))),
        ("failures + latency each 5 s", (FAILURES, LATENCY)),
    ):
        watch = Watch(gates)
        best = math.inf
        for _ in range(max(3, runs // 100)):
            state: Evidence = start(watch)
            began = time.process_time()
            for seen in readings:
                state = observe(watch, state, seen)
            best = min(best, (time.process_time() - began) / len(readings))
        print(f"{name:30} {best * 1e6:6.0f} us  {1 / best:7.0f}/s  {5 / best:7.0f} watches at 5 s")
    _rollouts(readings, max(3, runs // 100))


def _rollouts(readings: list[Observation], rounds: int) -> None:
    """All gates of a rollout, as they are folded from its journal. An hour has 720 observations."""
    gates = Gates(
        HealthGate(2),
        FailureRateGate(5.0, 600.0),
        DurationGate(2000.0, 900.0),
        QueueGate(1000.0),
        evidence=ROBUST,
    )
    policy = WatchPolicy(Schedule(3600.0, 30.0, 300.0, 120.0), auto_rollback=True)
    canary = (Stage(5.0, 300.0), EVERYBODY)
    for name, stages in (("rollout, all at once", (EVERYBODY,)), ("rollout, canary", canary)):
        plan = sample_deploy("production", gates, policy, stages)
        best = math.inf
        for _ in range(rounds):
            weighed = NOTHING
            began = time.process_time()
            for seen in readings:
                weighed = weigh(plan, weighed, seen, 0)
            best = min(best, (time.process_time() - began) / len(readings))
        hour = f"{720 * best:5.2f} s for an hour"
        print(f"{name:30} {best * 1e6:6.0f} us  {hour}  {5 / best:7.0f} watches at 5 s")


def alarms(runs: int, seed: int, only: str = "") -> None:
    families: dict[str, tuple[Gate, Rules, Callable[[random.Random], Iterator[Rise]]]] = {}
    for rps, share, rate in ((5, 0.5, 0.01), (50, 0.05, 0.005), (20, 0.5, 0.3)):
        traffic = Traffic(rps, share, rate, rate, cadence=30)
        families[f"failures {rps}/s {share} {rate}"] = (
            FAILURES,
            LIGHT,
            lambda rng, t=traffic: failures(rng, t),
        )
    slow = Traffic(10, 0.2, 0.01, 0.01, cadence=60)
    families["latency 10/s 0.2"] = (
        LATENCY,
        LIGHT,
        lambda rng: durations(rng, slow, lognormal(), lognormal()),
    )
    edge = Traffic(20, 0.3, 0.01, 0.01 * 1.25 / 1.0025, cadence=30)
    even = replace(ROBUST, cap=None)
    families["failures at the margin, grace"] = (FAILURES, even, lambda rng: failures(rng, edge))
    rate = replace(FAILURES, kind=Kind.RATE, limit=0.01, paired=False)
    families["rate at its limit"] = (
        rate,
        LIGHT,
        lambda rng: failures(rng, Traffic(10, 0.5, 0.01, 0.01, cadence=30)),
    )
    quantile = replace(LATENCY, kind=Kind.QUANTILE, limit=BOUNDS[8], paired=False)
    tail = sum(lognormal()[9:])
    families["quantile at its limit"] = (
        replace(quantile, quantile=1.0 - tail),
        LIGHT,
        lambda rng: durations(rng, slow, lognormal(), lognormal()),
    )
    for name, (gate, rules, make) in families.items():
        if only not in name:
            continue
        hits = sum(
            until(gate, rules, make(random.Random(f"{seed} {name} {i}")))[0] is not None
            for i in range(runs)
        )
        print(f"{name:34} {hits:4} of {runs}: {hits / runs:.4f}, at most {upper(hits, runs):.4f}")


def _report(
    name: str, traffic: Traffic, bound: float, ends: list[tuple[float | None, int]]
) -> None:
    delays = sorted(t - traffic.onset if t is not None else math.inf for t, _ in ends)
    found = [d for d in delays if 0 < d < math.inf]
    false = sum(d <= 0 for d in delays)
    middle = delays[len(delays) // 2]
    costs = sorted(cost for _, cost in ends)
    mean = sum(min(d, traffic.length) for d in delays) / len(delays)
    print(
        f"{name:38} found {len(found) / len(ends):4.2f} false {false}  bound {bound:6.1f} s  "
        f"median {middle:6.0f} s = {middle / bound:4.2f}  mean {mean / bound:4.2f}  "
        f"failed {costs[len(costs) // 2]}"
    )


SCENES = (
    (50, 0.05, 0.005, 0.02),
    (50, 0.05, 0.005, 0.1),
    (500, 0.05, 0.005, 0.01),
    (500, 0.5, 0.005, 0.1),
    (50, 0.5, 0.005, 0.01),
    (50, 0.5, 0.005, 0.02),
    (20, 0.1, 0.01, 0.05),
    (100, 0.05, 0.001, 0.02),
    (5, 0.5, 0.01, 0.2),
)


def light(runs: int, seed: int) -> None:
    for onset in (0.0, 600.0):
        for rps, share, healthy, bad in SCENES:
            traffic = Traffic(rps, share, healthy, bad, onset)
            ends = [
                until(FAILURES, LIGHT, failures(random.Random(seed + i), traffic))
                for i in range(runs)
            ]
            name = f"{rps}/s {share} {healthy} -> {bad} at {onset:g} s"
            _report(name, traffic, traffic.bound(), ends)


def latency(runs: int, seed: int) -> None:
    healthy = lognormal()
    for name, worse in (
        ("x 1.2", lognormal(math.log(1.2))),
        ("x 1.5", lognormal(math.log(1.5))),
        ("5 % slow", lognormal(slow=0.05)),
        ("1 % slow", lognormal(slow=0.01)),
    ):
        for rps, share in ((50, 0.05), (20, 0.5)):
            traffic = Traffic(rps, share, 0, 0)
            pooled = [share * b + (1 - share) * a for a, b in zip(healthy, worse, strict=True)]
            information = sum(
                share * b * math.log(b / p) + (1 - share) * a * math.log(a / p)
                for a, b, p in zip(healthy, worse, pooled, strict=True)
                if a > 0 and b > 0
            )
            bound = math.log(100) / information / rps
            known = replace(LATENCY, reference=tuple(2000 * a for a in healthy))
            ends = [
                until(known, LIGHT, durations(random.Random(seed + i), traffic, healthy, worse))
                for i in range(runs)
            ]
            _report(f"{name} {rps}/s {share}", traffic, bound, ends)


NOISES = ("none", "per arm 0.3, 2 min", "per arm 0.5, 30 s", "bursts", "shared", "cold start")


def noisy(rng: random.Random, traffic: Traffic, noise: str) -> Iterator[Rise]:
    """Failures with noise: of each arm (lasting some time), in bursts, of both, at the start."""
    logs, shared = [0.0, 0.0], 0.0
    sigma, lasting = {"per arm 0.3, 2 min": (0.3, 120.0), "per arm 0.5, 30 s": (0.5, 30.0)}.get(
        noise, (0.0, 1.0)
    )
    keep = math.exp(-traffic.cadence / lasting)
    for k in traffic.polls():
        at = k * traffic.cadence
        spread = sigma * math.sqrt(1.0 - keep * keep)
        logs = [keep * v + spread * rng.gauss(0, 1) for v in logs]
        shared = 0.99 * shared + (0.1 * rng.gauss(0, 1) if noise == "shared" else 0.0)
        total = int(traffic.rps * traffic.cadence)
        n = binomial(rng, total, traffic.share)
        counts = []
        for arm, size in enumerate((n, total - n)):
            rate = traffic.bad if arm == 0 and at >= traffic.onset else traffic.healthy
            if noise == "cold start" and arm == 0 and at < 60:
                rate *= 4.0
            rate = min(0.95, rate * math.exp(logs[arm] + shared))
            failed = binomial(rng, size, rate)
            if noise == "bursts" and rng.random() < 0.02 * size / total * 2:
                failed = min(size, failed + rng.randint(3, 8))
            counts.append((size, failed))
        yield Rise(at + traffic.cadence, traffic.cadence, counts[0], counts[1])


def measured(rng: random.Random, traffic: Traffic, noise: str) -> Dispersion:
    """φ from 30 minutes with both arms equal."""
    calm = replace(traffic, bad=traffic.healthy, length=1800.0)
    quiet = noise if noise != "cold start" else "none"
    tables = [
        Table(int(r.candidate[1]), int(r.candidate[0]), int(b[1]), int(b[0]))
        for r in noisy(rng, calm, quiet)
        if (b := r.baseline)
    ]
    return from_tables(tables, 1800.0)


def robust(runs: int, seed: int) -> None:
    for noise in NOISES:
        false = found = blind = 0
        factors, ratios, after = [], [], []
        for i in range(runs):
            rng = random.Random(f"{seed} {noise} {i}")
            rate = rng.choice((0.002, 0.005, 0.01, 0.03))
            traffic = Traffic(
                rng.choice((20, 50, 150)), rng.choice((0.05, 0.2, 0.5)), rate, rate, cadence=10
            )
            gate = replace(FAILURES, dispersion=measured(rng, traffic, noise))
            factors.append(gate.dispersion.factor)
            false += until(gate, ROBUST, noisy(rng, traffic, noise))[0] is not None
            worse = replace(traffic, bad=min(0.9, rate * rng.choice((4, 8, 20))), onset=0.0)
            bound = worse.bound(margin=1.25, factor=gate.dispersion.factor)
            if i % 4 == 0 and 3 * bound < worse.length:
                end = until(gate, ROBUST, noisy(rng, worse, noise))[0]
                found, blind = found + (end is not None), blind + (end is None)
                if end is not None and bound >= 15:
                    ratios.append(end / bound)
                    after.append(max(0.0, end - ROBUST.grace) / bound)
        factors.sort()
        ratios.sort()
        print(
            f"{noise:20} false {false}/{runs} = {false / runs:.4f} (at most "
            f"{upper(false, runs):.4f})  phi {factors[runs // 2]:.2f}, "
            f"{factors[int(runs * 0.9)]:.2f}  missed {blind} of {found + blind}  "
            f"delay/bound mean {sum(ratios) / len(ratios):.2f}, "
            f"nine of ten {ratios[int(len(ratios) * 0.9)]:.2f}, "
            f"after the grace {sum(after) / len(after):.2f}"
        )


def main() -> None:
    parts = {
        "speed": speed,
        "alarms": alarms,
        "light": light,
        "latency": latency,
        "robust": robust,
    }
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(parts))
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--seed", type=int, default=20261121)
    parser.add_argument("--only", default="", help="families of `alarms` whose name has this")
    asked = parser.parse_args()
    for part in asked.parts or parts:
        print(f"== {part}")
        if part == "alarms":
            alarms(asked.runs, asked.seed, asked.only)
        else:
            parts[part](asked.runs, asked.seed)


if __name__ == "__main__":
    main()
