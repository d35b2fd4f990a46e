"""What no test can beat on a scene: when log(1/α) nats could be known on average, at the soonest.

Summed poll by poll from the onset, because traffic, split and harm change. The null is "the odds
of failure are at most `margin` times the baseline's"; for durations it is "both arms have one
distribution", without a margin, which is sooner. φ divides, as it does in the product.
"""

import math
from functools import lru_cache

from scenes import Scene, World, probability, shares

from guarded_rollout.core import information

ALPHA = 0.01


def seconds(scene: Scene, margin: float, dispersion: float) -> float:
    """Seconds from the onset; infinite for a healthy scene, or where the window is too short."""
    if not scene.harm:
        return math.inf
    world, missing = World(scene), math.log(1.0 / ALPHA) * dispersion
    for poll in range(int(scene.window / scene.scrape)):
        at = poll * scene.scrape
        middle = at + scene.scrape / 2.0
        told = _per_request(scene, world, middle, margin) * world.requests(middle) * scene.scrape
        if told >= missing:
            return max(1e-9, at + scene.scrape * missing / told - scene.onset)
        missing -= told
    return math.inf


def _per_request(scene: Scene, world: World, at: float, margin: float) -> float:
    share = world.stages[world.stage(at)]
    ours, theirs = world.candidate(at), world.both(at)
    if ours == theirs:
        return 0.0
    if scene.harm == "latency":
        return information.mixed(shares(scene, ours), shares(scene, theirs), share)
    return _compared(
        round(probability(ours.failing), 5), round(probability(theirs.failing), 5), share, margin
    )


@lru_cache(maxsize=4096)
def _compared(ours: float, theirs: float, share: float, margin: float) -> float:
    return information.compared(ours, theirs, share, margin)
