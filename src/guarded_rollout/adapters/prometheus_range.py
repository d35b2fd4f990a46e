"""A range of time in a Prometheus as observations, by its HTTP API's `query_range`.

The queries stand in a file: `{"candidate": {"total": PROMQL, "bad": PROMQL, "durations": PROMQL,
"queue": PROMQL, "arrived": PROMQL, "left": PROMQL}, "baseline": {...}}`. All but `total` may be
missing. Counters are asked for as they are, not as rates: what rose is counted here. Series are
told apart by their label `instance`, buckets by `le`.
"""

import json
import math
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from guarded_rollout.adapters.configuration.json_file import read_json
from guarded_rollout.core.problems import BadInput, Broken
from guarded_rollout.core.series import ArmSeen, Histogram, Observation, Reading

_NUMBERS = ("total", "bad", "durations", "queue", "arrived", "left")
_TIMEOUT = 30.0
_MOST_BYTES = 64 * 1024 * 1024

Queries = Mapping[str, Mapping[str, str]]
"""PromQL by arm and number."""

Series = dict[str, dict[float, dict[str, float]]]
"""By instance, time and bucket (`le`; empty without one)."""


@dataclass(frozen=True, slots=True)
class Range:
    """From when until when, Unix seconds, and how many seconds lie between two observations."""

    since: float
    until: float
    step: float


def read_queries(path: Path, shown: str) -> Queries:
    """The queries of a file. BadInput names file, line and key."""
    arms = read_json(path, shown).table(required=("candidate",), optional=("baseline",))
    return {
        arm: {
            name: query.text()
            for name, query in value.table(required=("total",), optional=_NUMBERS[1:]).items()
        }
        for arm, value in arms.items()
    }


def observations(url: str, queries: Queries, asked: Range) -> tuple[Observation, ...]:
    """One observation per step at which the candidate was counted. Broken: what went wrong."""
    if urllib.parse.urlsplit(url).scheme not in {"http", "https"}:
        raise BadInput(f"{url} is no address of a Prometheus", "write http://HOST:9090")
    found = {
        arm: {name: _series(url, query, asked) for name, query in own.items()}
        for arm, own in queries.items()
    }
    seen = []
    for number in range(int((asked.until - asked.since) / asked.step + 1e-6) + 1):
        at = asked.since + number * asked.step
        arms = {arm: _arm(own, at) for arm, own in found.items()}
        elapsed = round(number * asked.step, 3)
        seen.append(Observation(elapsed, arms["candidate"], arms.get("baseline")))
    if not any(one.candidate.readings for one in seen):
        raise Broken(
            "Prometheus has no sample of the candidate's total in that time",
            "try the query in its web page; check --from and --to",
        )
    return tuple(seen)


def _arm(own: Mapping[str, Series], at: float) -> ArmSeen:
    names = dict.fromkeys(instance for series in own.values() for instance in series)
    readings = []
    for name in names:
        buckets = {key: own.get(key, {}).get(name, {}).get(_key(at), {}) for key in _NUMBERS}
        if not any(buckets.values()):
            continue  # this replica was not there at that time
        numbers = {key: buckets[key].get("") for key in _NUMBERS if key != "durations"}
        bad = numbers["bad"]
        if bad is None and numbers["total"] is not None and "bad" in own:
            bad = 0.0  # a labelled counter does not exist before the first failure
        readings.append(
            Reading(
                name,
                bad,
                numbers["total"],
                _histogram(buckets["durations"]),
                numbers["queue"],
                arrived=numbers["arrived"],
                left=numbers["left"],
            )
        )
    return ArmSeen(healthy=None, replicas_alive=len(readings), readings=tuple(readings))


def _histogram(buckets: Mapping[str, float]) -> Histogram | None:
    bounds = sorted((float(le), count) for le, count in buckets.items() if le)
    if not bounds or bounds[-1][0] != math.inf:
        return None
    return Histogram(tuple(le for le, _ in bounds[:-1]), tuple(count for _, count in bounds))


def _series(url: str, query: str, asked: Range) -> Series:
    found: Series = {}
    for one in _matrix(url, query, asked):
        labels = one["metric"]
        times = found.setdefault(labels.get("instance", "all"), {})
        for at, value in one["values"]:
            times.setdefault(_key(float(at)), {})[labels.get("le", "")] = float(value)
    return found


def _key(at: float) -> float:
    """Prometheus answers in milliseconds."""
    return round(at, 3)


def _matrix(url: str, query: str, asked: Range) -> list[dict[str, Any]]:
    form = {"query": query, "start": asked.since, "end": asked.until, "step": asked.step}
    address = f"{url.rstrip('/')}/api/v1/query_range"
    request = urllib.request.Request(  # noqa: S310 - http and https only, see `observations`
        address, urllib.parse.urlencode(form).encode(), method="POST"
    )
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT) as answer:  # noqa: S310
            body = answer.read(_MOST_BYTES + 1)
    except urllib.error.HTTPError as error:
        with error:
            raise _refused(query, f"{error.code} {_said(error.read(10_000))}") from None
    except (OSError, ValueError) as error:
        raise Broken(
            f"Prometheus at {url} does not answer: {error}", "check --prometheus"
        ) from None
    if len(body) > _MOST_BYTES:
        raise _refused(query, "more than 64 MB; ask for a shorter time or fewer series")
    try:
        content = json.loads(body)
        result: list[dict[str, Any]] = content["data"]["result"]
        if content["status"] != "success" or content["data"]["resultType"] != "matrix":
            raise _refused(query, _said(body))
        for one in result:
            _ = one["metric"].items(), [(float(at), float(value)) for at, value in one["values"]]
    except (ValueError, KeyError, TypeError, AttributeError):
        raise _refused(query, f"this is no matrix: {body[:80]!r}") from None
    return result


def _said(body: bytes) -> str:
    """Prometheus' own words, if it has some."""
    try:
        return str(json.loads(body)["error"])
    except (ValueError, KeyError, TypeError):
        return repr(body[:80])


def _refused(query: str, why: str) -> Broken:
    return Broken(f"Prometheus refuses {query}: {why}", "mend the query in the file")
