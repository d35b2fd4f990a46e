"""Gates on the service's own metrics, from rollout.toml and the gates file."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from guarded_rollout.adapters.configuration.located import Value, given, quoted, suggestion
from guarded_rollout.adapters.configuration.metric_names import counter_with_label, metric
from guarded_rollout.core.gates import COMPARED, GATE_NAMES, CustomGate, CustomKind

_UNITS = {
    CustomKind.RATE: (0.001, 99.999, "percent"),
    CustomKind.QUANTILE: (1.0, 3_600_000.0, "milliseconds"),
    CustomKind.EVENT: (0.01, 1_000_000.0, "per replica and hour"),
    CustomKind.LEVEL: (-1e15, 1e15, "in the gauge's unit"),
}


def read_custom(value: Value) -> tuple[CustomGate, ...]:
    """Each with its own name. BadInput names file, line and key."""
    found: dict[str, CustomGate] = {}
    taken = set(GATE_NAMES)
    for member in value.members():
        gate = _gate(member)
        names = {gate.name, f"{gate.name}{COMPARED}"}
        if names & taken:
            raise member.problem(
                f"the name {quoted(gate.name)} is taken", "give every metric its own name"
            )
        taken |= names
        found[gate.name] = gate
    return tuple(found.values())


def _gate(value: Value) -> CustomGate:
    fields = value.table(
        required=("name", "kind", "metric", "threshold"), optional=("compare", "below")
    )
    kind = CustomKind(fields["kind"].choice(CustomKind))
    name, label = metric(fields["metric"]) if kind is not CustomKind.RATE else "", ""
    if kind is CustomKind.RATE:
        name, label = counter_with_label(fields["metric"])
    if "below" in fields and kind is not CustomKind.LEVEL:
        raise fields["below"].problem(f"has no meaning for a {kind}", "leave it out")
    return CustomGate(
        name=fields["name"].text(),
        kind=kind,
        metric=name,
        threshold=fields["threshold"].number(*_UNITS[kind]),
        label=label,
        compare=given(fields.get("compare"), Value.flag, default=True),
        below=given(fields.get("below"), Value.flag, default=False),
    )


def with_thresholds(
    gates: Sequence[CustomGate], said: Mapping[str, Value]
) -> tuple[CustomGate, ...]:
    """The gates with what the environment says instead: `{"name": {"threshold": 3}}`."""
    known = {gate.name: gate for gate in gates}
    for name, value in said.items():
        if name not in known:
            raise value.problem("no such metric in rollout.toml", suggestion(name, known))
        threshold = value.table(required=("threshold",))["threshold"]
        limit = threshold.number(*_UNITS[known[name].kind])
        known[name] = replace(known[name], threshold=limit)
    return tuple(known.values())
