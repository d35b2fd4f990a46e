"""What the service counts. With several workers the counts live in files that all of them map."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from dhash import __version__
from dhash.processes import ProcessFacts
from dhash.reviews import QueueCounts

# One more series for each series, which says nothing that process_start_time does not.
disable_created_metrics()  # type: ignore[no-untyped-call]

MULTIPROCESS_DIR = "PROMETHEUS_MULTIPROC_DIR"
HASH_BUCKETS = (
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 0.75, 1, 1.5, 2, 3, 5, 10, 30,
)  # fmt: skip
REQUEST_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 30, 120)


@dataclass(frozen=True, slots=True)
class Totals:
    """Counts since the service started, over all its workers.

    `hash_buckets` maps an upper bound in seconds to how many hashes took at most that long.
    """

    ok: int = 0
    failed: int = 0
    hashes: int = 0
    hash_seconds: float = 0.0
    hash_buckets: Mapping[float, int] = field(default_factory=dict)
    matches: int = 0
    match_confidence: float = 0.0
    stable_fraction: float = 0.0


class Metrics:
    """The service's counters and how they are read."""

    def __init__(self) -> None:
        own = CollectorRegistry()
        self._extractions = Counter(
            "dhash_extractions_total",
            "Uploads by result; any error in validation, PDF reading or hashing is a failure.",
            ["result"],
            registry=own,
        )
        for result in ("ok", "failed"):
            # A series that is not there cannot be told from a service that is not there.
            self._extractions.labels(result)
        self._hash_seconds = Histogram(
            "dhash_hash_seconds",
            "Time to decode and hash one picture.",
            buckets=HASH_BUCKETS,
            registry=own,
        )
        self._request_seconds = Histogram(
            "dhash_request_seconds",
            "Time to answer one request.",
            ["method", "path", "status"],
            buckets=REQUEST_BUCKETS,
            registry=own,
        )
        self._match_confidence = Histogram(
            "dhash_match_confidence_fraction",
            "Confidence of matches found for uploads: 1 - distance / 64.",
            buckets=(0.90, 0.91, 0.93, 0.94, 0.96, 0.97, 0.99, 1.0),
            registry=own,
        )
        self._stable_fraction = Histogram(
            "dhash_stable_bits_fraction",
            "Share of a hash's bits that no rounding can turn.",
            buckets=(0.125, 0.25, 0.375, 0.5, 0.625, 0.75, 0.875, 1.0),
            registry=own,
        )
        self._counts = own
        if os.environ.get(MULTIPROCESS_DIR):
            self._counts = CollectorRegistry()
            MultiProcessCollector(self._counts)  # type: ignore[no-untyped-call]

    def count_extraction(self, *, ok: bool) -> None:
        self._extractions.labels("ok" if ok else "failed").inc()

    def observe_hash(self, seconds: float, stable_bits: int) -> None:
        """One hash computed; `seconds` includes decoding."""
        self._hash_seconds.observe(seconds)
        self._stable_fraction.observe(stable_bits / 64)

    def observe_match(self, confidence: float) -> None:
        """One match found, with its confidence as a fraction."""
        self._match_confidence.observe(confidence)

    def observe_request(self, method: str, path: str, status: int, seconds: float) -> None:
        self._request_seconds.labels(method, path, str(status)).observe(seconds)

    def totals(self) -> Totals:
        """The counts now."""
        found: dict[str, float] = {}
        buckets: dict[float, int] = {}
        for metric in self._counts.collect():
            for sample in metric.samples:
                if sample.name == "dhash_hash_seconds_bucket":
                    buckets[float(sample.labels["le"])] = int(sample.value)
                elif sample.name == "dhash_extractions_total":
                    found[sample.labels["result"]] = sample.value
                elif not sample.labels:
                    found[sample.name] = sample.value
        return Totals(
            ok=int(found.get("ok", 0)),
            failed=int(found.get("failed", 0)),
            hashes=int(found.get("dhash_hash_seconds_count", 0)),
            hash_seconds=found.get("dhash_hash_seconds_sum", 0.0),
            hash_buckets=buckets,
            matches=int(found.get("dhash_match_confidence_fraction_count", 0)),
            match_confidence=found.get("dhash_match_confidence_fraction_sum", 0.0),
            stable_fraction=found.get("dhash_stable_bits_fraction_sum", 0.0),
        )

    def render(self, release: str, queue: QueueCounts | None, process: ProcessFacts) -> bytes:
        """Prometheus' text format. A queue that is unknown is left out, never zero."""
        present = CollectorRegistry()
        present.register(_Present(release, queue, process))
        return generate_latest(self._counts) + generate_latest(present)


class _Present(Collector):
    """What is true at the moment of the scrape, whichever worker answers it."""

    def __init__(self, release: str, queue: QueueCounts | None, process: ProcessFacts) -> None:
        self._release = release
        self._queue = queue
        self._process = process

    def collect(self) -> Iterator[Metric]:
        build = GaugeMetricFamily(
            "dhash_build_info", "Always 1; the labels say what runs.", labels=["version", "release"]
        )
        build.add_metric([__version__, self._release], 1)
        yield build
        if self._queue is not None:
            yield GaugeMetricFamily(
                "dhash_low_confidence_queue_length",
                "Matches that wait for a person.",
                value=self._queue.length,
            )
            yield CounterMetricFamily(
                "dhash_low_confidence_queued",
                "Matches that ever came to the queue, whichever process put them there.",
                value=self._queue.queued,
            )
            yield CounterMetricFamily(
                "dhash_low_confidence_decided",
                "Matches of the queue that a person has decided.",
                value=self._queue.decided,
            )
        yield GaugeMetricFamily(
            "process_resident_memory_bytes",
            "Memory of the server, its workers and PDF readers; shared pages count in each.",
            value=self._process.resident_bytes,
        )
        yield CounterMetricFamily(
            "process_cpu_seconds",
            "Processor time of the server, its workers and PDF readers.",
            value=self._process.cpu_seconds,
        )
        yield GaugeMetricFamily(
            "process_start_time_seconds",
            "When the server started, in seconds since 1970.",
            value=self._process.start_time,
        )
