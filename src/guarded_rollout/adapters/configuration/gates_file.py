"""The gates file, `quality-gates-config.json`: limits, the watch, and what happens at its end.

The documents write it in several ways. The canonical shape is
`environments.<name>.qualityGates.<gate>`; gates directly under the environment, `quality_gates`
and snake_case keys are accepted. What a file does not say stays as it is built in.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from guarded_rollout.adapters.configuration.defaults import (
    BUILT_IN,
    PRODUCTION,
    Policy,
    built_in,
)
from guarded_rollout.adapters.configuration.evidence_section import judged
from guarded_rollout.adapters.configuration.json_file import read_json
from guarded_rollout.adapters.configuration.located import Value, given, same, suggestion
from guarded_rollout.adapters.configuration.spelling import camel
from guarded_rollout.core.gates import (
    QUEUE_GROWTH,
    DurationGate,
    FailureRateGate,
    Gates,
    HealthGate,
    QueueGate,
)
from guarded_rollout.core.schedule import Schedule
from guarded_rollout.core.spec import AtTheEnd

GATES_FILE = "quality-gates-config.json"

_GATES = (
    "healthFailures",
    "extractionFailureRate",
    "p95HashTime",
    "lowConfidenceQueue",
    QUEUE_GROWTH,
)
_POLICY = (
    "qualityGates",
    "autoRollback",
    "monitoring",
    "minimumSamples",
    "judge",
    "evidence",
    "custom",
    "unknownAtEnd",
    "extendMinutes",
)
_MONITORING = ("duration", "initialInterval", "initialPeriod", "interval")

Gatherings = dict[str, Value]


def read_policies(path: Path, shown: str, environments: Iterable[str]) -> Mapping[str, Policy]:
    """The policy of each of these environments. BadInput names file, line and key."""
    wanted = tuple(environments)
    file = read_json(path, shown)
    root = file.table(optional=("environments", "qualityGates"), spelling=camel)
    common = _gates_of(root)
    written = root["environments"].any_table() if "environments" in root else {}
    known = tuple(dict.fromkeys((*wanted, *BUILT_IN)))
    for name, value in written.items():
        if name not in known:
            raise value.problem("no such environment", suggestion(name, known))
    nothing = Value(file.place, {})
    policies: dict[str, Policy] = {}
    for name in (PRODUCTION, *known):
        base = built_in(name) if name in BUILT_IN else policies[PRODUCTION]
        policies[name] = _policy(written.get(name, nothing), common, base)
    return {name: policies[name] for name in wanted}


def _gates_of(fields: Mapping[str, Value]) -> Gatherings:
    """The gates that stand in a table: directly, or under `qualityGates`."""
    found = {name: fields[name] for name in _GATES if name in fields}
    if "qualityGates" in fields:
        for name, value in fields["qualityGates"].table(optional=_GATES, spelling=camel).items():
            found[name] = same(found[name], value) if name in found else value
    return found


def _policy(value: Value, common: Gatherings, base: Policy) -> Policy:
    fields = value.table(optional=(*_POLICY, *_GATES), spelling=camel)
    unknown = fields.get("unknownAtEnd")
    found = {**common, **_gates_of(fields)}
    schedule = _schedule(fields.get("monitoring"), base.schedule)
    gates = _gates(found, fields.get("minimumSamples"), base.gates)
    return Policy(
        gates=judged(gates, fields, found, schedule),
        schedule=schedule,
        auto_rollback=given(fields.get("autoRollback"), Value.flag, base.auto_rollback),
        unknown=given(unknown, lambda at: AtTheEnd(at.choice(AtTheEnd)), base.unknown),
        extend_seconds=given(
            fields.get("extendMinutes"), lambda at: at.minutes(zero=True), base.extend_seconds
        ),
        custom={**base.custom, **given(fields.get("custom"), Value.any_table, {})},
        growth=_limit(found.get(QUEUE_GROWTH)).get("threshold", base.growth),
    )


def _gates(found: Gatherings, minimum: Value | None, base: Gates) -> Gates:
    """Limits are strict: a gate breaches above its threshold, not at it."""
    health = _limit(found.get("healthFailures"))
    rate = _limit(found.get("extractionFailureRate"), windowed=True)
    p95 = _limit(found.get("p95HashTime"), windowed=True)
    queue = _limit(found.get("lowConfidenceQueue"))

    def samples(default: int) -> int:
        return given(minimum, lambda at: at.whole(1, 1_000_000, "samples"), default)

    return replace(
        base,
        health=HealthGate(
            given(
                health.get("threshold"),
                lambda at: at.whole(0, 1000, "failed checks in a row"),
                base.health.threshold,
            )
        ),
        failure_rate=FailureRateGate(
            given(
                rate.get("threshold"),
                lambda at: at.number(0, 100, "percent"),
                base.failure_rate.threshold,
            ),
            given(rate.get("timeWindow"), Value.minutes, base.failure_rate.window),
            samples(base.failure_rate.minimum),
        ),
        duration=DurationGate(
            given(
                p95.get("threshold"),
                lambda at: at.number(1, 3_600_000, "milliseconds"),
                base.duration.threshold,
            ),
            given(p95.get("timeWindow"), Value.minutes, base.duration.window),
            samples(base.duration.minimum),
        ),
        queue=QueueGate(
            given(
                queue.get("threshold"),
                lambda at: at.number(0, 1_000_000_000, "items"),
                base.queue.threshold,
            )
        ),
    )


def _limit(value: Value | None, *, windowed: bool = False) -> Mapping[str, Value]:
    if value is None:
        return {}
    known = ("threshold", "timeWindow") if windowed else ("threshold",)
    return value.table(optional=known, spelling=camel)


def _schedule(value: Value | None, base: Schedule) -> Schedule:
    fields = value.table(optional=_MONITORING, spelling=camel) if value is not None else {}

    def every(key: str, default: float) -> float:
        return given(fields.get(key), lambda at: at.seconds(bare=1.0), default)

    return Schedule(
        duration=given(fields.get("duration"), Value.minutes, base.duration),
        first_every=every("initialInterval", base.first_every),
        first_for=given(
            fields.get("initialPeriod"), lambda at: at.seconds(bare=1.0, zero=True), base.first_for
        ),
        then_every=every("interval", base.then_every),
    )
