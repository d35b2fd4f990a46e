"""A deploy that stands for any: gates are read off a plan, and some questions come before one."""

from guarded_rollout.core.gates import Gates
from guarded_rollout.core.plan import Kind, Plan, Situation, make_plan
from guarded_rollout.core.spec import (
    EVERYBODY,
    DatabaseAddress,
    Environment,
    MetricNames,
    Release,
    Service,
    Spec,
    Stage,
    Strategy,
    WatchPolicy,
)

_OLD = Release("any", "0", "0" * 64)
_NEW = Release("any", "1", "1" * 64)


def sample_deploy(
    name: str, gates: Gates, watch: WatchPolicy, stages: tuple[Stage, ...] = (EVERYBODY,)
) -> Plan:
    """The plan of a deploy in an environment with these gates. More stages than one: a canary."""
    service = Service(
        name="any",
        source="any",
        start=(),
        health_path="/",
        metrics_path="/",
        metrics=MetricNames("any", "any=any", "any", "any"),
        checks=(),
    )
    environment = Environment(
        name=name,
        listen_host="127.0.0.1",
        listen_port=1,
        replicas=1,
        database=DatabaseAddress("any"),
        gates=gates,
        watch=watch,
        strategy=Strategy.CANARY if len(stages) > 1 else Strategy.BLUE_GREEN,
        stages=stages,
    )
    return make_plan(Kind.DEPLOY, Spec(service, environment), _NEW, Situation(_OLD))
