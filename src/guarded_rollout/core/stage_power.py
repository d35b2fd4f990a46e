"""What each stage of a canary can find by itself, at the traffic that was seen."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from guarded_rollout.core.plan import Plan
from guarded_rollout.core.power import SURE, Seeds, power
from guarded_rollout.core.regressions import TIMES, Traffic
from guarded_rollout.core.sample_deploy import sample_deploy
from guarded_rollout.core.spec import EVERYBODY, Stage


@dataclass(frozen=True, slots=True)
class StageFinds:
    """`times`: the least of `power.TIMES` usual failure rates that nine of ten runs find.

    None: not even the largest. `rate`: that failure rate, 0 to 1.
    """

    percent: float
    times: float | None
    rate: float | None


def stages_find(plan: Plan, traffic: Traffic, seeds: Seeds) -> tuple[StageFinds, ...]:
    """Stage by stage while both versions serve. `traffic.share` and its durations do not matter."""
    if plan.spec.environment.gates.evidence is None:
        return ()
    compared = [stage for number, stage in enumerate(plan.stages) if plan.compares(number)]
    return tuple(_finds(plan, stage, traffic, seeds) for stage in compared)


def finds_lines(found: Sequence[StageFinds]) -> list[str]:
    """For the plan, below its stages."""
    lines = []
    for one in found:
        told = f"{one.percent:g} % finds "
        if one.times is None or one.rate is None:
            told += f"not even {TIMES[-1]:g} times as many failures as usual: too few requests"
        else:
            told += f"{one.times:g} times as many failures as usual ({100 * one.rate:.3g} %)"
        lines.append(f"{told}, 9 of 10 times")
    return lines


def _finds(plan: Plan, stage: Stage, traffic: Traffic, seeds: Seeds) -> StageFinds:
    """As if its bake were the whole watch. Evidence of earlier stages is left out."""
    environment = plan.spec.environment
    schedule = replace(environment.watch.schedule, duration=stage.bake_seconds)
    alone = sample_deploy(
        environment.name,
        environment.gates,
        replace(environment.watch, schedule=schedule),
        (stage, EVERYBODY),
    )
    share = replace(traffic, share=stage.percent / 100.0, durations=(), bounds=())
    sure = (
        StageFinds(stage.percent, times, one.rate)
        for times, one in zip(TIMES, power(alone, share, seeds), strict=False)
        if one.share >= SURE
    )
    return next(sure, StageFinds(stage.percent, None, None))
