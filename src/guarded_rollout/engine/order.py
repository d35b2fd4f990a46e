"""What a step is told, and where it finds what earlier steps left."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from guarded_rollout.core.facts import Outcome
from guarded_rollout.core.plan import Kind, Plan, Step
from guarded_rollout.core.problems import Broken
from guarded_rollout.ports import Ports


@dataclass(frozen=True, slots=True)
class Order:
    """One step to do. `since`: when its first attempt began (Unix seconds).

    `percent`: the share of the users that the candidate gets next.
    """

    step: Step
    plan: Plan
    rollout: str
    by: str
    fence: int
    since: float
    look_first: bool
    outcomes: Mapping[Step, Outcome] = field(default_factory=dict)
    percent: float = 100.0


def backup_file(order: Order, ports: Ports) -> Path:
    """The backup that this rollout made, or that its plan names. Broken when there is none."""
    named = order.plan.use_backup if order.plan.kind is Kind.ROLLBACK else None
    file = named or order.outcomes.get(Step.BACKUP, {}).get("file")
    if file is None:
        raise Broken(
            f"{order.rollout} has no backup", f"rollout status --env {_environment(order)}"
        )
    return ports.root / str(file)


def _environment(order: Order) -> str:
    return order.plan.spec.environment.name
