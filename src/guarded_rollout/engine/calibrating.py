"""The A/A period: equal arms are watched before anybody meets the candidate.

With a control its processes get their share of the users already, so both arms are what they will
be. Without one the old version's replicas are halved; a single one is compared with itself.
"""

from dataclasses import asdict

from guarded_rollout.core.calibration import calibrated
from guarded_rollout.core.facts import Outcome
from guarded_rollout.core.problems import Interrupted
from guarded_rollout.core.series import ArmSeen, Observation
from guarded_rollout.core.spec import Release
from guarded_rollout.engine.launching import arm_of
from guarded_rollout.engine.order import Order
from guarded_rollout.engine.scraping import scrape_proxy, scrape_replicas
from guarded_rollout.ports import Control, Ports, Route

SCRAPE_SECONDS = 1.0
"""The period is short: more often than in the watch."""


def calibrate(order: Order, ports: Ports, control: Control) -> Outcome:
    """Measure. Sources that say nothing leave nothing to measure, and are no failure."""
    plan = order.plan
    baseline, rules = plan.baseline, plan.spec.environment.gates.evidence
    assert baseline is not None, "a plan without an old version has no such step"
    assert rules is not None, "a plan without evidence has no such step"
    if plan.control is not None:
        share = plan.stages[0].percent
        arms = arm_of(ports, baseline), arm_of(ports, plan.control)
        ports.traffic.route(Route(arms[0], None, order.fence, arms[1], share))
    control.say(f"the old version is watched for {rules.calibrate:g} s")
    every = min(SCRAPE_SECONDS, plan.spec.environment.watch.scrape_seconds)
    began = ports.clock.monotonic()
    series = [_seen(order, ports, baseline, 0.0)]
    while (elapsed := ports.clock.monotonic() - began) < rules.calibrate:
        if control.stopped():
            raise Interrupted("the measurement of the old version's noise was interrupted")
        ports.clock.sleep(min(every, rules.calibrate - elapsed))
        series.append(_seen(order, ports, baseline, ports.clock.monotonic() - began))
    return {
        "seconds": round(series[-1].elapsed, 3),
        "polls": len(series) - 1,
        "between": _between(plan.control, series),
        "noise": [asdict(noise) for noise in calibrated(tuple(series))],
    }


def _seen(order: Order, ports: Ports, baseline: Release, elapsed: float) -> Observation:
    service, control = order.plan.spec.service, order.plan.control
    proxies, _ = scrape_proxy(ports)
    theirs, _ = scrape_replicas(ports, service, baseline)
    if control is not None:
        ours, _ = scrape_replicas(ports, service, control)
        return Observation(
            elapsed,
            ArmSeen(None, readings=ours, proxy=proxies.get(control.name)),
            ArmSeen(None, readings=theirs, proxy=proxies.get(baseline.name)),
        )
    halves = theirs[::2], theirs[1::2]
    return Observation(
        elapsed,
        ArmSeen(None, readings=halves[0], proxy=proxies.get(baseline.name)),
        ArmSeen(None, readings=halves[1]) if halves[1] else None,
    )


def _between(control: Release | None, series: list[Observation]) -> str:
    if control is not None:
        return "the old version and its control"
    if all(seen.baseline is not None for seen in series):
        return "the old version's replicas"
    return "the old version over time"
