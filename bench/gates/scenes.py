"""One simulated rollout before anything is counted: which numbers were drawn, what they mean."""

import math
import random
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

from parameters import Family
from ranges import FIELDS

BOUNDS = tuple(2.0 * 1.5 ** (k - 14) for k in range(17))
"""Of the buckets, seconds. 2 s, the documents' limit, is one of them."""


@dataclass(frozen=True, slots=True)
class Scene:
    """The numbers of `ranges.FIELDS`, and the harm: `failures`, `latency`, or none."""

    family: str
    number: int
    harm: str
    drawn: Mapping[str, float]

    def __getattr__(self, name: str) -> float:
        """A drawn number by its name."""
        if name not in FIELDS:
            raise AttributeError(name)
        return self.drawn[name]

    @property
    def label(self) -> str:
        """Healthy or regressed."""
        return "regressed" if self.harm else "healthy"


def drawn(family: Family, number: int, seed: str, *, regressed: bool) -> Scene:
    """The scene with this number. The same arguments give the same scene."""
    rng = random.Random(f"{seed}/{family.name}/{'regressed' if regressed else 'healthy'}/{number}")
    harm = rng.choice(family.harms)
    values = {
        name: family.ranges[name].draw(rng, even=field.even) for name, field in FIELDS.items()
    }
    return Scene(family.name, number, harm if regressed else "", values)


@dataclass(frozen=True, slots=True)
class Numbers:
    """What holds for one arm at one moment: P(failure), and how long requests take."""

    failing: float
    stretch: float = 0.0
    slow_part: float = 0.0


class World:
    """A scene's numbers at any moment of its watch, without noise. Plain attributes: it is hot."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.base = math.log(scene.failures / (1.0 - scene.failures))
        self.stages = [scene.share]
        steps = round(scene.steps)
        for step in range(1, steps + 1):
            grown = (scene.share_end / scene.share) ** (step / steps)
            self.stages.append(scene.share * grown)

    def stage(self, at: float) -> int:
        """Which share holds, counted from 0. All last equally long."""
        return min(len(self.stages) - 1, int(len(self.stages) * at / self.scene.window))

    def requests(self, at: float) -> float:
        """Of both arms, per second."""
        scene = self.scene
        wave = math.sin(2.0 * math.pi * at / scene.swing_seconds)
        return scene.requests * (1.0 + scene.swing * wave)

    def replicas(self, at: float) -> int:
        """Of each arm: as many as the traffic needs."""
        busiest = self.scene.requests * (1.0 + self.scene.swing)
        return max(1, math.ceil(round(self.scene.replicas) * self.requests(at) / busiest - 1e-9))

    def both(self, at: float) -> Numbers:
        """What the baseline does, and a healthy candidate that is warm."""
        scene = self.scene
        log_odds = self.base + math.log(scene.drift_times) * at / scene.window
        stretch = 0.0
        if scene.incident_at <= at < scene.incident_at + scene.incident_seconds:
            log_odds += math.log(scene.incident_times)
            stretch = math.log(scene.incident_slow)
        return Numbers(log_odds, stretch)

    def candidate(self, at: float) -> Numbers:
        """With the harm and without the cold start, which is no harm."""
        scene, own = self.scene, self.both(at)
        grown = self.grown(at)
        if not grown:
            return own
        if scene.harm == "failures":
            return Numbers(own.failing + math.log(scene.times) * grown, own.stretch)
        return Numbers(own.failing, own.stretch, scene.slow_part * grown)

    def cold(self, at: float) -> tuple[float, float]:
        """What a cold start adds: to the log odds of failure, to log(seconds)."""
        scene = self.scene
        if at >= scene.cold_seconds:
            return 0.0, 0.0
        return math.log(scene.cold_times), math.log(scene.cold_slow)

    def grown(self, at: float) -> float:
        """How much of the harm is there: 0 before the onset, 1 when it is complete."""
        scene = self.scene
        if not scene.harm or at < scene.onset:
            return 0.0
        past = at - scene.onset
        return 1.0 if past >= scene.leak_seconds else past / scene.leak_seconds


def probability(log_odds: float) -> float:
    """From log odds."""
    return 1.0 / (1.0 + math.exp(-log_odds))


@lru_cache(maxsize=4096)
def durations(
    median: float, spread: float, slow_part: float = 0.0, slow_times: float = 1.0
) -> tuple[float, ...]:
    """Which shares of lognormal durations fall into the buckets."""

    def below(bound: float, middle: float) -> float:
        return 0.5 * math.erfc((math.log(middle) - math.log(bound)) / spread / math.sqrt(2.0))

    edges = [
        (1.0 - slow_part) * below(bound, median) + slow_part * below(bound, median * slow_times)
        for bound in BOUNDS
    ]
    return tuple(b - a for a, b in pairwise((0.0, *edges, 1.0)))


def shares(scene: Scene, numbers: Numbers) -> tuple[float, ...]:
    """How one arm's requests fall into the buckets."""
    median = scene.median * math.exp(numbers.stretch)
    return durations(median, scene.spread, numbers.slow_part, scene.slow_times)
