"""What the proxy says about itself now."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from guarded_rollout.adapters.envoy.admin import NoAnswer, Session
from guarded_rollout.adapters.envoy.frame import LISTENER, ROUTES
from guarded_rollout.adapters.envoy.marks import Mark, mark_of
from guarded_rollout.adapters.envoy.names import parts

ROUNDS_TO_SETTLE = 1000
_KINDS = {
    "lds": "listener_manager.lds",
    "cds": "cluster_manager.cds",
    "rds": f"http.{LISTENER}.rds.{ROUTES}",
}


@dataclass(frozen=True, slots=True)
class Host:
    """One replica as one cluster sees it. `stands_by_for`: the release it would answer for."""

    cluster: str
    release: str
    stands_by_for: str | None
    address: str
    healthy: bool
    active: int
    succeeded: int


def live_mark(session: Session) -> Mark | None:
    """The mark of the routes that are live; None when no routes of ours are."""
    for found in _dump(session, "dynamic_route_configs"):
        mark = mark_of(found.get("route_config", {}))
        if mark is not None:
            return mark
    return None


def live_listener(session: Session) -> str | None:
    """The version of the listener that is live."""
    for found in _dump(session, "dynamic_listeners"):
        if found.get("name") == LISTENER:
            version = found.get("active_state", {}).get("version_info")
            return None if version is None else str(version)
    return None


def clusters(session: Session) -> dict[str, tuple[Host, ...]]:
    """The clusters that are ready, by name, with their hosts; a composite has none of its own."""
    said = session.json("/clusters?format=json")
    return {
        cluster["name"]: tuple(
            _host(cluster["name"], cluster["observability_name"], host)
            for host in cluster.get("host_statuses", ())
        )
        for cluster in said.get("cluster_statuses", ())
    }


def refusals(session: Session, kind: str) -> int:
    """How many files of this kind (`lds`, `cds`, `rds`) the proxy refused since it started.

    It tells those it understood and rejected from those it could not read; for us they are one.
    """
    name = _KINDS[kind].replace(".", r"\.")
    return int(sum(counters(session, rf"{name}\.update_(rejected|failure)").values()))


def epoch(session: Session) -> str:
    """When this process of the proxy read its bootstrap: another one for every start."""
    for found in session.json("/config_dump?mask=last_updated").get("configs", ()):
        if "last_updated" in found:
            return str(found["last_updated"])
    raise NoAnswer("/config_dump: no bootstrap")


def settle(session: Session, pause: Callable[[], None]) -> bool:
    """Return True when every worker thread has done what it was asked before this call.

    Each look at the statistics asks all workers to hand in theirs, in the order of arrival after
    earlier requests such as new routes. A look while that goes on is counted as dropped instead.
    So when two looks in a row were not dropped, all workers have answered the first.
    """
    name = "server.dropped_stat_flushes"
    accepted = 0
    before: float | None = None
    for _ in range(ROUNDS_TO_SETTLE):
        dropped = counters(session, rf"server\.{name.rpartition('.')[2]}")[name]
        accepted = accepted + 1 if dropped == before else 0
        before = dropped
        if accepted == 2:
            return True
        pause()
    raise NoAnswer("the proxy's workers do not answer")


def counters(session: Session, pattern: str) -> dict[str, float]:
    """Counters and gauges whose whole name fits the pattern."""
    found = statistics(session, pattern)
    return {name: entry["value"] for name, entry in found if "value" in entry}


def statistics(session: Session, pattern: str) -> list[tuple[str, dict[str, Any]]]:
    """Statistics whose whole name fits the pattern; histograms with their bins."""
    wanted = quote(f"^({pattern})$", safe="")
    said = session.json(f"/stats?format=json&histogram_buckets=detailed&filter={wanted}")
    entries: list[dict[str, Any]] = []
    for entry in said.get("stats", ()):
        entries += (
            entry.get("histograms", {}).get("details", ()) if "histograms" in entry else [entry]
        )
    return [(str(entry["name"]), entry) for entry in entries]


def _dump(session: Session, resource: str) -> list[dict[str, Any]]:
    return list(session.json(f"/config_dump?resource={resource}").get("configs", ()))


def _host(cluster: str, statistics_name: str, said: dict[str, Any]) -> Host:
    release, stands_by_for = parts(statistics_name)
    numbers = {entry["name"]: int(entry.get("value", 0)) for entry in said.get("stats", ())}
    health = said.get("health_status", {})
    return Host(
        cluster=cluster,
        release=release,
        stands_by_for=stands_by_for,
        address=said.get("address", {}).get("pipe", {}).get("path", ""),
        healthy=not any(
            value for flag, value in health.items() if flag.startswith(("failed_", "pending_"))
        ),
        active=numbers.get("rq_active", 0) + numbers.get("rq_pending_active", 0),
        succeeded=numbers.get("rq_success", 0),
    )
