"""The product's own judge on a stream: its plan, its weighing, its verdicts, nothing copied."""

from dataclasses import dataclass, replace

from streams import Rollout, Seen

from guarded_rollout.adapters.configuration.evidence_section import scaled
from guarded_rollout.core.calibration import Noise, calibrated
from guarded_rollout.core.evidence_process import ROBUST
from guarded_rollout.core.evidence_signals import Signal
from guarded_rollout.core.gate_history import judged_anew
from guarded_rollout.core.gates import DurationGate, FailureRateGate, Gates, HealthGate, QueueGate
from guarded_rollout.core.plan import Plan
from guarded_rollout.core.sample_deploy import sample_deploy
from guarded_rollout.core.schedule import Schedule
from guarded_rollout.core.spec import EVERYBODY, Stage, WatchPolicy
from guarded_rollout.core.suggestion import suggestions

DOCUMENTS = Gates(
    HealthGate(2), FailureRateGate(5.0, 600.0), DurationGate(2000.0, 900.0), QueueGate(1000.0)
)
"""The limits of the documents' production."""


@dataclass(frozen=True, slots=True)
class Said:
    """Seconds of watching, or None: never. `back`: rolled back. `held`: held and paged first."""

    back: float | None
    held: float | None = None


def ours(rollout: Rollout, noise: tuple[Noise, ...]) -> Said:
    """As it is shipped (ROBUST), with φ from the A/A period."""
    plan = _plan(rollout, DOCUMENTS)
    rules = scaled(ROBUST, plan.spec.environment.watch.schedule)
    return _replayed(_plan(rollout, replace(DOCUMENTS, evidence=rules)), rollout.seen, noise)


def documents(rollout: Rollout) -> Said:
    """The documents' thresholds as they are written, after the grace."""
    return _thresholds(rollout, DOCUMENTS)


def suggested(rollout: Rollout) -> Said:
    """The same rule with the limits that `gates suggest` gives for the A/A period."""
    history = ("aa", tuple(seen for seen, _ in rollout.aa))
    found = {one.key: one.value for one in suggestions([history]) if one.value is not None}
    rate, p95 = DOCUMENTS.failure_rate, DOCUMENTS.duration
    gates = replace(
        DOCUMENTS,
        failure_rate=replace(rate, threshold=found.get(rate.name, rate.threshold)),
        duration=replace(p95, threshold=found.get(p95.name, p95.threshold)),
    )
    return _thresholds(rollout, gates)


def noise_of(aa: Seen) -> tuple[Noise, ...]:
    """What the product measures in the A/A period."""
    return calibrated(tuple(seen for seen, _ in aa))


def phi(noise: tuple[Noise, ...], harm: str) -> float:
    """The dispersion that weighs on what this harm is seen by."""
    signal = Signal.DURATIONS if harm == "latency" else Signal.REQUESTS
    return next((one.factor for one in noise if one.signal is signal), 1.0)


def _thresholds(rollout: Rollout, gates: Gates) -> Said:
    warm = tuple(one for one in rollout.seen if one[0].elapsed >= ROBUST.grace)
    return _replayed(_plan(rollout, gates), warm)


def _plan(rollout: Rollout, gates: Gates) -> Plan:
    """A canary whose stages are those of the scene; users are on both arms all the time."""
    scene = rollout.scene
    policy = WatchPolicy(
        Schedule(scene.window, 30.0, 300.0, 120.0), auto_rollback=True, scrape_seconds=scene.scrape
    )
    last = max(stage for _, stage in rollout.seen)
    bake = scene.window / (last + 1)
    stages = tuple(Stage(100.0 * scene.share, bake) for _ in range(last + 1))
    return sample_deploy("simulated", gates, policy, (*stages, EVERYBODY))


def _replayed(plan: Plan, seen: Seen, noise: tuple[Noise, ...] = ()) -> Said:
    """A hold goes on watching, so what blames the candidate later still rolls back."""
    fired = [one for one in judged_anew(plan, seen, noise).fired if one.at is not None]
    back = [one.at for one in fired if one.at is not None and one.verdict.blames]
    held = [one.at for one in fired if one.at is not None and not one.verdict.blames]
    return Said(min(back, default=None), min(held, default=None))
