"""A service's metrics page becomes a Reading: which names are asked for is in its spec."""

import math
from collections.abc import Mapping

from guarded_rollout.adapters.prometheus_text import Garbled, Sample, read_samples
from guarded_rollout.core.gates import CustomGate, CustomKind
from guarded_rollout.core.series import Histogram, Reading
from guarded_rollout.core.spec import MetricNames


def read(text: str, names: MetricNames, instance: str) -> Reading:
    """Prometheus text of one replica. Raises Garbled when it cannot be understood."""
    buckets = _buckets(names.duration_histogram)
    custom = {
        _buckets(gate.metric) if gate.kind is CustomKind.QUANTILE else gate.metric
        for gate in names.custom
    }
    found = read_samples(
        text,
        {names.failures_counter, names.duration_histogram, buckets, names.queue_gauge}
        | {names.queue_arrivals, names.queue_departures}
        | custom,
    )
    if names.duration_histogram in found:  # declared under its own name, counted under another
        found.setdefault(buckets, [])
    missing = [
        name
        for name, key in (
            (names.failures_counter, names.failures_counter),
            (names.duration_histogram, buckets),
            (names.queue_gauge, names.queue_gauge),
        )
        if key not in found
    ]
    if missing:
        raise Garbled(f"missing: {', '.join(missing)}")
    label, _, bad = names.failures_label.partition("=")
    counted = found[names.failures_counter]
    failed = [sample for sample in counted if sample.labels.get(label) == bad.strip('"')]
    queue = found[names.queue_gauge]
    return Reading(
        instance=instance,
        bad=_sum(names.failures_counter, failed),
        total=_sum(names.failures_counter, counted),
        durations=_histogram(names.duration_histogram, found[buckets]),
        queue=_sum(names.queue_gauge, queue) if queue else None,
        custom={
            gate.name: own
            for gate in names.custom
            if (own := _custom(gate, found, instance)) is not None
        },
        arrived=_counter(names.queue_arrivals, found),
        left=_counter(names.queue_departures, found),
    )


def _counter(name: str, found: Mapping[str, list[Sample]]) -> float | None:
    """None where the release does not have it."""
    return _sum(name, found[name]) if found.get(name) else None


def _custom(gate: CustomGate, found: Mapping[str, list[Sample]], instance: str) -> Reading | None:
    """None where the release does not have the metric: the gate says so, the others go on."""
    if gate.kind is CustomKind.QUANTILE:
        buckets = found.get(_buckets(gate.metric))
        if not buckets:
            return None
        return Reading(instance, durations=_histogram(gate.metric, buckets))
    samples = found.get(gate.metric)
    if samples is None:
        return None
    if gate.kind is CustomKind.LEVEL:
        # A level may be below zero.
        return Reading(instance, queue=math.fsum(it.value for it in samples)) if samples else None
    if gate.kind is CustomKind.EVENT:
        return Reading(instance, bad=_sum(gate.metric, samples))
    label, _, bad = gate.label.partition("=")
    failed = [sample for sample in samples if sample.labels.get(label) == bad]
    return Reading(instance, bad=_sum(gate.metric, failed), total=_sum(gate.metric, samples))


def _buckets(histogram: str) -> str:
    return f"{histogram}_bucket"


def _sum(name: str, samples: list[Sample]) -> float:
    total = sum(sample.value for sample in samples)
    if not math.isfinite(total):
        raise Garbled(f"{name} is not a number")
    if any(sample.value < 0 for sample in samples):
        raise Garbled(f"{name} is negative")
    return float(total)


def _histogram(name: str, samples: list[Sample]) -> Histogram | None:
    """The buckets, summed over the label sets; None while nothing was counted."""
    series: dict[tuple[tuple[str, str], ...], dict[float, float]] = {}
    for sample in samples:
        others = tuple(sorted(item for item in sample.labels.items() if item[0] != "le"))
        series.setdefault(others, {})[_bound(name, sample)] = sample.value
    if not series:
        return None
    bounds = {tuple(sorted(buckets)) for buckets in series.values()}
    if len(bounds) != 1:
        raise Garbled(f"the buckets of {name} differ between its label sets")
    edges = bounds.pop()
    if edges[-1] != math.inf:
        raise Garbled(f'{name} has no bucket le="+Inf"')
    sums = tuple(sum(buckets[edge] for buckets in series.values()) for edge in edges)
    if not all(math.isfinite(count) for count in sums) or list(sums) != sorted(sums):
        raise Garbled(f"the buckets of {name} are not cumulative")
    return Histogram(edges[:-1], sums)


def _bound(name: str, sample: Sample) -> float:
    try:
        bound = float(sample.labels["le"])
    except (KeyError, ValueError):
        bound = math.nan
    if math.isnan(bound):
        raise Garbled(f"a bucket of {name} has no bound le")
    return bound
