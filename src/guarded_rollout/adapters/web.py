"""HTTP of the guard itself, standard library only: over unix sockets and TCP, never raising.

Every request has its own connection: a probe must not be judged by how an older one ended.
"""

import contextlib
import http.client
import math
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from guarded_rollout.adapters.prometheus_text import Garbled, Sample, read_samples
from guarded_rollout.core.gates import CustomGate, CustomKind
from guarded_rollout.core.series import Histogram, Reading
from guarded_rollout.core.spec import Check, MetricNames
from guarded_rollout.ports import Address, Answered, Clock

LARGEST_BODY = 64 * 2**20
FULL_PAUSE = 0.01
AGENT = "guarded-rollout"


@dataclass(frozen=True, slots=True)
class _Request:
    method: str
    path: str
    body: bytes | None = None
    headers: tuple[tuple[str, str], ...] = ()


class HttpWeb:
    """Satisfies ports.Web. Time limits hold for the whole exchange, however it trickles."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def get(self, address: Address, path: str, timeout: float) -> Answered:
        """GET."""
        return self._exchange(address, _Request("GET", path), timeout)

    def check(self, address: Address, check: Check, body: bytes | None) -> Answered:
        """Send a smoke check's request. It is given up when it is late: then it has failed."""
        headers = dict(check.request_headers)
        if check.content_type is not None:
            headers["Content-Type"] = check.content_type
        if check.token_env is not None:
            token = os.environ.get(check.token_env)
            if not token:
                return Answered(None, b"", 0.0, f"the variable {check.token_env} is not set")
            headers["Authorization"] = f"Bearer {token}"
        request = _Request(check.method, check.path, body, tuple(headers.items()))
        return self._exchange(address, request, check.within_ms / 1000)

    def metrics(
        self, address: Address, path: str, names: MetricNames, instance: str, timeout: float
    ) -> Reading | str:
        """Scrape Prometheus text. A string says why there is no reading."""
        answered = self.get(address, path, timeout)
        if answered.status is None:
            return f"{path}: {answered.problem}"
        if answered.status != 200:
            return f"{path} answered {answered.status}"
        try:
            return _reading(answered.body.decode("utf-8"), names, instance)
        except UnicodeDecodeError:
            return f"{path}: the metrics are not UTF-8"
        except Garbled as garbled:
            return f"{path}: {garbled}"

    def _exchange(self, address: Address, request: _Request, timeout: float) -> Answered:
        began = self._clock.monotonic()
        status, body, problem = None, b"", None
        seen: tuple[tuple[str, str], ...] = ()
        try:
            connection = _Connection(address, self._clock, began + timeout)
            with contextlib.closing(connection):
                status, body, seen = _send(connection, request)
        except TimeoutError:
            problem = f"no answer within {timeout:g} s"
        except (OSError, http.client.HTTPException, ValueError, OverflowError, _TooLong) as error:
            problem = _sentence(error, address)
        return Answered(status, body, (self._clock.monotonic() - began) * 1000, problem, seen)


class _TooLong(Exception):  # noqa: N818 - it names what was seen
    pass


_CANNOT_SEND = "the request cannot be sent: {error}"
_SENTENCES: tuple[tuple[type[Exception], str], ...] = (  # the first that fits: some are subclasses
    (ConnectionRefusedError, "connection refused"),
    (FileNotFoundError, "there is no socket {address.socket}"),
    (ConnectionResetError, "the connection was closed without an answer"),
    (BrokenPipeError, "the connection was closed without an answer"),
    (http.client.IncompleteRead, "the answer broke off"),
    (http.client.InvalidURL, _CANNOT_SEND),
    (http.client.HTTPException, "the answer is not HTTP ({kind})"),
    (ValueError, _CANNOT_SEND),
    (OverflowError, _CANNOT_SEND),
    (_TooLong, "the answer is longer than {limit} MiB"),
)


def _sentence(error: Exception, address: Address) -> str:
    """What went wrong, for people."""
    for kind, text in _SENTENCES:
        if isinstance(error, kind):
            return text.format(
                error=error,
                address=address,
                kind=type(error).__name__,
                limit=LARGEST_BODY // 2**20,
            )
    return getattr(error, "strerror", None) or str(error)


def _send(
    connection: http.client.HTTPConnection, request: _Request
) -> tuple[int, bytes, tuple[tuple[str, str], ...]]:
    headers = {"User-Agent": AGENT, "Connection": "close", **dict(request.headers)}
    connection.connect()
    # A server may answer and close before it has read a body that it does not take.
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        connection.request(request.method, request.path, request.body, headers)
    with connection.getresponse() as response:
        if response.length is not None and response.length > LARGEST_BODY:
            raise _TooLong
        # Only a read without a limit tells a body that broke off from one that is over.
        body = response.read() if response.length is not None else response.read(LARGEST_BODY + 1)
        if len(body) > LARGEST_BODY:
            raise _TooLong
        found = tuple((name.lower(), value) for name, value in response.getheaders())
        return response.status, body, found


class _Socket(socket.socket):
    """A socket with a deadline: the time limit shrinks with each piece that arrives."""

    def wait_until(self, clock: Clock, until: float) -> None:
        self._clock, self._until = clock, until

    def hurry(self) -> None:
        left = self._until - self._clock.monotonic()
        if left <= 0:
            raise TimeoutError
        self.settimeout(left)

    def recv_into(self, *into: Any) -> int:  # noqa: ANN401 - as the library has it
        self.hurry()
        return super().recv_into(*into)


class _Connection(http.client.HTTPConnection):
    def __init__(self, address: Address, clock: Clock, until: float) -> None:
        host = "localhost" if address.socket is not None else address.host
        super().__init__(host, address.port or None)
        self._address, self._clock, self._until = address, clock, until

    def connect(self) -> None:
        """To the first address that takes us."""
        if self._address.socket is not None:
            self.sock = self._reach(socket.AF_UNIX, str(self._address.socket))
            return
        found = socket.getaddrinfo(self._address.host, self._address.port, type=socket.SOCK_STREAM)
        for number, (family, _, _, _, place) in enumerate(found, 1):
            try:
                self.sock = self._reach(family, place)
            except TimeoutError:
                raise
            except OSError:
                if number == len(found):
                    raise
            else:
                return

    def send(self, data: object) -> None:
        """The time limit holds for sending, too."""
        if isinstance(self.sock, _Socket):
            self.sock.hurry()
        super().send(data)  # type: ignore[arg-type]

    def _reach(self, family: int, place: object) -> _Socket:
        reached = _Socket(family, socket.SOCK_STREAM)
        reached.wait_until(self._clock, self._until)
        try:
            while not self._connected(reached, place):
                self._clock.sleep(FULL_PAUSE)
        except BaseException:
            reached.close()
            raise
        return reached

    @staticmethod
    def _connected(reached: _Socket, place: object) -> bool:
        """A unix socket whose queue is full says "try again" instead of letting us wait."""
        reached.hurry()
        try:
            reached.connect(place)  # type: ignore[arg-type]
        except BlockingIOError:
            return False
        return True


def _reading(text: str, names: MetricNames, instance: str) -> Reading:
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
