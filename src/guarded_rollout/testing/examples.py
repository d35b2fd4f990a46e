"""Small, complete values to test with: a service, an environment, releases, plans, observations."""

from dataclasses import replace

from guarded_rollout.core.evidence_process import ROBUST
from guarded_rollout.core.gates import (
    DurationGate,
    FailureRateGate,
    Gates,
    HealthGate,
    QueueGate,
)
from guarded_rollout.core.plan import Kind, Plan, Situation, Step, make_plan
from guarded_rollout.core.schedule import Schedule
from guarded_rollout.core.series import ArmSeen, Histogram, Observation, Reading
from guarded_rollout.core.spec import (
    EVERYBODY,
    Check,
    DatabaseAddress,
    Environment,
    MetricNames,
    Migrations,
    Release,
    Service,
    Spec,
    Stage,
    Strategy,
    WatchPolicy,
)

OLD = Release("toy", "1.0.0", "a" * 64)
NEW = Release("toy", "1.1.0", "b" * 64)

PRODUCTION = Schedule(duration=3600, first_every=30, first_for=300, then_every=120)
SHORT = Schedule(duration=60, first_every=10, first_for=20, then_every=20)
BOUNDS = (0.1, 1.0, 2.0, 5.0)


def gates() -> Gates:
    """The documents' production gates."""
    return Gates(
        HealthGate(2), FailureRateGate(5.0, 600.0), DurationGate(2000.0, 900.0), QueueGate(1000.0)
    )


def watch(schedule: Schedule = SHORT, *, auto_rollback: bool = True) -> WatchPolicy:
    """A short watch."""
    return WatchPolicy(schedule=schedule, auto_rollback=auto_rollback)


def service() -> Service:
    """A toy service with a database."""
    return Service(
        name="toy",
        source="toy",
        start=("{python}", "-m", "toy", "--uds", "{socket}"),
        health_path="/health",
        metrics_path="/metrics",
        metrics=MetricNames("toy_total", "result=failed", "toy_seconds", "toy_queue"),
        checks=(Check("health", "/health"),),
        migrations=Migrations("{site_packages}/toy/alembic.ini"),
        env=(("TOY_DATABASE_URL", "{database_url}"),),
    )


def spec(environment: str = "production", policy: WatchPolicy | None = None) -> Spec:
    """The toy in an environment."""
    return Spec(
        service(),
        Environment(
            name=environment,
            listen_host="127.0.0.1",
            listen_port=18080,
            replicas=2,
            database=DatabaseAddress("sqlite", path=f"data/{environment}/toy.db"),
            gates=gates(),
            watch=policy or watch(),
        ),
    )


def plan(
    kind: Kind = Kind.DEPLOY, policy: WatchPolicy | None = None, *, first: bool = False
) -> Plan:
    """NEW beside OLD; `first`: nothing was deployed before."""
    if kind in {Kind.ROLLBACK, Kind.MONITOR, Kind.DOWN}:
        situation = Situation(serving=NEW, previous=None if first else OLD)
    else:
        situation = Situation(serving=None if first else OLD)
    return make_plan(kind, spec(policy=policy), NEW, situation)


def canary(plan: Plan, *stages: Stage) -> Plan:
    """The same plan as a canary; default: 5, 50, 100 %."""
    shares = stages or (Stage(5.0, 10.0), Stage(50.0, 10.0))
    environment = replace(
        plan.spec.environment, strategy=Strategy.CANARY, stages=(*shares, EVERYBODY)
    )
    return replace(plan, spec=replace(plan.spec, environment=environment))


def controlled(plan: Plan) -> Plan:
    """The same canary with a control and an A/A period of 20 s; evidence judges."""
    rules = replace(ROBUST, calibrate=20.0, grace=2.0, bake=5.0)
    environment = plan.spec.environment
    environment = replace(
        environment, control=True, gates=replace(environment.gates, evidence=rules)
    )
    at = plan.forward.index(Step.SHIFT)
    forward = (*plan.forward[:at], Step.CALIBRATE, *plan.forward[at:])
    return replace(plan, spec=replace(plan.spec, environment=environment), forward=forward)


def seen(
    elapsed: float,
    *,
    look: int | None = None,
    healthy: bool | None = True,
    baseline_healthy: bool | None = True,
    requests: float = 100.0,
    failed: float = 0.0,
    slow: float = 0.0,
    queue: float | None = 0.0,
) -> Observation:
    """One observation; `requests`, `failed`, `slow` are counter values (slow: above 2 s)."""
    quick = requests - slow
    reading = Reading(
        "new-0",
        bad=failed,
        total=requests,
        durations=Histogram(BOUNDS, (quick, quick, quick, requests, requests)),
        queue=queue,
    )
    return Observation(
        elapsed=elapsed,
        candidate=ArmSeen(healthy=healthy, replicas_alive=2, readings=(reading,)),
        baseline=ArmSeen(healthy=baseline_healthy, replicas_alive=2),
        look=look,
    )
