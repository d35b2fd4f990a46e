"""The numbers the documents fix, used where no file says otherwise. Times are seconds."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from guarded_rollout.adapters.configuration.evidence_section import scaled
from guarded_rollout.adapters.configuration.located import Value
from guarded_rollout.core.evidence_process import ROBUST
from guarded_rollout.core.gates import (
    DurationGate,
    FailureRateGate,
    Gates,
    HealthGate,
    QueueGate,
)
from guarded_rollout.core.schedule import Schedule
from guarded_rollout.core.spec import AtTheEnd

PRODUCTION = "production"
_MINUTE = 60.0


@dataclass(frozen=True, slots=True)
class Policy:
    """What the gates file says about one environment. `growth`: of the queue, above so many."""

    gates: Gates
    schedule: Schedule
    auto_rollback: bool
    unknown: AtTheEnd
    extend_seconds: float
    custom: Mapping[str, Value] = field(default_factory=dict)
    growth: Value | None = None


_THRESHOLDS: Mapping[str, Policy] = MappingProxyType(
    {
        PRODUCTION: Policy(
            gates=Gates(
                HealthGate(2),
                FailureRateGate(5.0, 10 * _MINUTE),
                DurationGate(2000.0, 15 * _MINUTE),
                QueueGate(1000.0),
            ),
            schedule=Schedule(60 * _MINUTE, 30.0, 300.0, 120.0),
            auto_rollback=True,
            unknown=AtTheEnd.HOLD,
            extend_seconds=30 * _MINUTE,
        ),
        "staging": Policy(
            gates=Gates(
                HealthGate(3),
                FailureRateGate(8.0, 10 * _MINUTE),
                DurationGate(3000.0, 15 * _MINUTE),
                QueueGate(1500.0),
            ),
            schedule=Schedule(30 * _MINUTE, 30.0, 300.0, 60.0),
            auto_rollback=False,
            unknown=AtTheEnd.HOLD,
            extend_seconds=15 * _MINUTE,
        ),
        "canary": Policy(
            gates=Gates(
                HealthGate(1),
                FailureRateGate(2.0, 5 * _MINUTE),
                DurationGate(1500.0, 10 * _MINUTE),
                QueueGate(500.0),
            ),
            schedule=Schedule(15 * _MINUTE, 15.0, 300.0, 30.0),
            auto_rollback=True,
            unknown=AtTheEnd.HOLD,
            extend_seconds=15 * _MINUTE,
        ),
        "development": Policy(
            gates=Gates(
                HealthGate(5),
                FailureRateGate(15.0, 5 * _MINUTE),
                DurationGate(5000.0, 10 * _MINUTE),
                QueueGate(2000.0),
            ),
            schedule=Schedule(2 * _MINUTE, 5.0, 60.0, 10.0),
            auto_rollback=True,
            unknown=AtTheEnd.HOLD,
            extend_seconds=1 * _MINUTE,
        ),
    }
)

BUILT_IN: Mapping[str, Policy] = MappingProxyType(
    {
        name: replace(policy, gates=replace(policy.gates, evidence=scaled(ROBUST, policy.schedule)))
        for name, policy in _THRESHOLDS.items()
    }
)
"""Evidence judges everywhere, in a time that fits the watch."""


def built_in(environment: str) -> Policy:
    """The environment's numbers; production's for one the documents do not name."""
    return BUILT_IN.get(environment, BUILT_IN[PRODUCTION])
