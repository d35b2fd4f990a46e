"""Observations of a simulated rollout, as the product records them, and what really happened."""

import hashlib
import math
import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import accumulate
from pathlib import Path
from typing import Any

from parameters import Parameters
from scenes import BOUNDS, Numbers, Scene, World, drawn, probability, shares

from guarded_rollout.core.canonical import canonical
from guarded_rollout.core.series import ArmSeen, Histogram, Observation, ProxyReading, Reading
from guarded_rollout.core.simulated_traffic import binomial, multinomial

Seen = tuple[tuple[Observation, int], ...]
"""Observations, each with the stage of the canary at which it was made."""


@dataclass(frozen=True, slots=True)
class Truth:
    """At `elapsed`: the candidate's failures so far, and its requests that the harm has hurt.

    `harmed`: failures more than a healthy one has, or slow requests, as expected from the rates.
    """

    elapsed: float
    failed: int
    harmed: float


@dataclass(frozen=True, slots=True)
class Rollout:
    """One labelled stream. `aa`: a period before it, in which both arms were the old version."""

    scene: Scene
    aa: Seen
    seen: Seen
    truth: tuple[Truth, ...]


def rollouts(parameters: Parameters) -> Iterator[Scene]:
    """Every scene of the corpus, in its order."""
    for family in parameters.families:
        for regressed, many in ((False, family.healthy), (True, family.regressed)):
            for number in range(many):
                yield drawn(family, number, parameters.seed, regressed=regressed)


def recorded(scene: Scene, seed: str) -> Rollout:
    """The scene's stream. The same arguments give the same bytes."""
    own = f"{seed}/{scene.family}/{scene.label}/{scene.number}"
    calm = replace(scene, harm="", drawn={**scene.drawn, **_CALM, **_times(scene)})
    aa, _ = _stream(calm, random.Random(f"{own}/aa"))
    seen, truth = _stream(scene, random.Random(f"{own}/watch"))
    return Rollout(scene, aa, seen, truth)


def bytes_of(rollout: Rollout) -> bytes:
    """As JSON, always the same."""
    return canonical(rollout)


def described(scene: Scene, *, seed: str, folder: Path | None = None) -> dict[str, Any]:
    """The label and the digest of the stream, which is written into `folder` if there is one."""
    written = bytes_of(recorded(scene, seed))
    if folder is not None:
        (folder / f"{scene.family}-{scene.label}-{scene.number}.json").write_bytes(written)
    return {
        "family": scene.family,
        "number": scene.number,
        "label": scene.label,
        "harm": scene.harm,
        "onset": scene.onset if scene.harm else None,
        "sha256": hashlib.sha256(written).hexdigest(),
    }


_CALM = {
    "cold_seconds": 0.0,
    "drift_times": 1.0,
    "incident_seconds": 0.0,
    "steps": 0.0,
}
"""What an A/A period does not know: whatever comes once."""


def _times(scene: Scene) -> dict[str, float]:
    return {"window": scene.aa, "scrape": scene.aa_scrape}


class _Replica:
    """Counters of one process. `born` makes its name unique."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.reset()

    def reset(self) -> None:
        self.total = self.bad = 0
        self.buckets = [0] * (len(BOUNDS) + 1)

    def count(self, rng: random.Random, n: int, failed: int, parts: tuple[float, ...]) -> None:
        self.total += n
        self.bad += failed
        for bucket, hit in enumerate(multinomial(rng, n, parts)):
            self.buckets[bucket] += hit

    def read(self) -> Reading:
        cumulative = tuple(map(float, accumulate(self.buckets)))
        histogram = Histogram(BOUNDS, cumulative)
        return Reading(self.name, float(self.bad), float(self.total), histogram, 0.0)


class _Arm:
    """One version: its replicas, its noise, the proxy's counters, and what was read of it."""

    def __init__(self, name: str, scene: Scene, rng: random.Random) -> None:
        self.name, self.scene, self.rng = name, scene, rng
        self.replicas: list[_Replica] = []
        self.born = 0
        self.asked = self.failed = 0
        self.log_odds, self.stretch = rng.gauss(0, scene.noise), rng.gauss(0, scene.noise_durations)
        self.read: list[tuple[Reading, ...]] = []

    def scale(self, many: int) -> None:
        """New replicas begin at zero, the newest go first."""
        while len(self.replicas) < many:
            self.born += 1
            self.replicas.append(_Replica(f"{self.name}-{self.born}"))
        del self.replicas[many:]

    def wander(self) -> None:
        """The arm's own noise, which lasts `noise_seconds`."""
        scene = self.scene
        if not scene.noise and not scene.noise_durations:
            return
        keep = math.exp(-scene.scrape / scene.noise_seconds)
        fresh = math.sqrt(1.0 - keep * keep)
        self.log_odds = keep * self.log_odds + fresh * self.rng.gauss(0, scene.noise)
        self.stretch = keep * self.stretch + fresh * self.rng.gauss(0, scene.noise_durations)

    def serve(self, n: int, numbers: Numbers, burst: int) -> int:
        """n requests, evenly over the replicas. How many failed."""
        failing = probability(numbers.failing + self.log_odds)
        parts = shares(self.scene, replace(numbers, stretch=numbers.stretch + self.stretch))
        many, total = len(self.replicas), 0
        dealt = (n,) if many == 1 else multinomial(self.rng, n, (1.0 / many,) * many)
        for replica, own in zip(self.replicas, dealt, strict=True):
            failed = min(own, binomial(self.rng, own, failing) + burst)
            burst = 0
            replica.count(self.rng, own, failed, parts)
            total += failed
        self.asked, self.failed = self.asked + n, self.failed + total
        return total

    def look(self) -> ArmSeen:
        """What a scrape finds, with whatever goes wrong between."""
        scene, rng = self.scene, self.rng
        if rng.random() < scene.resets * scene.scrape / 3600.0:
            for replica in self.replicas:
                replica.reset()
        self.read = [*self.read[-2:], tuple(replica.read() for replica in self.replicas)]
        readings: tuple[Reading, ...] = self.read[-1]
        problems: tuple[str, ...] = ()
        if rng.random() < scene.missing:
            readings, problems = (), ("metrics: timed out",)
        elif rng.random() < scene.late:
            readings = self.read[0]
        counted = ProxyReading(self.name, float(self.asked), float(self.failed), 0.0, 0.0, 0.0)
        proxy = None if rng.random() < scene.missing else counted
        return ArmSeen(
            healthy=True,
            replicas_alive=len(self.replicas),
            readings=readings,
            proxy=proxy,
            problems=problems,
        )


def _stream(scene: Scene, rng: random.Random) -> tuple[Seen, tuple[Truth, ...]]:
    world = World(scene)
    ours, theirs = _Arm("candidate", scene, rng), _Arm("baseline", scene, rng)
    for arm in (ours, theirs):
        arm.scale(world.replicas(0.0))
    theirs.serve(1000, world.both(0.0), 0)
    ours.failed = ours.asked = 0
    seen = [(Observation(0.0, ours.look(), theirs.look()), 0)]
    truth, harmed, due = [], 0.0, 0.0
    for poll in range(int(scene.window / scene.scrape)):
        at, end = poll * scene.scrape, (poll + 1) * scene.scrape
        middle, stage = (at + end) / 2.0, world.stage(at)
        due += world.requests(middle) * scene.scrape
        total, due = int(due), due - int(due)
        n = binomial(rng, total, world.stages[stage])
        usual, own = world.both(middle), world.candidate(middle)
        cold_odds, cold_slow = world.cold(at)
        warm = Numbers(own.failing + cold_odds, own.stretch + cold_slow, own.slow_part)
        for arm, size, numbers in ((ours, n, warm), (theirs, total - n, usual)):
            arm.scale(world.replicas(middle))
            arm.wander()
            arm.serve(size, numbers, _burst(scene, rng, size, total))
        more = probability(warm.failing) - probability(usual.failing + cold_odds)
        harmed += n * (more + own.slow_part)
        truth.append(Truth(end, ours.failed, harmed))
        one = (Observation(end, ours.look(), theirs.look()), stage)
        seen.append(one)
        if rng.random() < scene.duplicated:
            seen.append(one)
    return tuple(seen), tuple(truth)


def _burst(scene: Scene, rng: random.Random, size: int, total: int) -> int:
    """Failures that come together, for one arm as often as it has requests."""
    often = scene.bursts * scene.scrape / 3600.0 * (size / total if total else 0.0)
    return round(scene.burst_size) if rng.random() < often else 0
