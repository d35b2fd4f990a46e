"""Clusters: whom Envoy can send requests to. Pure: the same arguments give the same files.

A cluster's name ends in a digest of its definition, so a cluster never changes: another set of
replicas is another cluster, and nothing but the route configuration can move traffic. Clusters of
one release share their statistics (`alt_stat_name`).

With a standby the route goes to a composite cluster: attempts one and two go to the release, three
and four to the standby, and a release without a usable replica is passed over at once. The
standby's replicas are a cluster of their own in that role, so that what they answered for the
release can be counted. Envoy calls composite clusters not hardened: they are for trusted upstreams,
which replicas of our own service are.

With a canary each arm has a lane of its own, and the canary's standby is the baseline; so is a
control's.
"""

import hashlib
import json
from dataclasses import dataclass, replace

from guarded_rollout.adapters.envoy.frame import TYPE, Resource
from guarded_rollout.adapters.envoy.names import encode, pinned, standing_by
from guarded_rollout.ports import Arm, Route

ATTEMPTS_AFTER_THE_FIRST = 3
UPSTREAM_IDLE_SECONDS = 3

_LIMITS = {
    "thresholds": [
        {
            "max_connections": 4096,
            "max_pending_requests": 4096,
            "max_requests": 4096,
            "retry_budget": {"budget_percent": {"value": 100}, "min_retry_concurrency": 64},
        }
    ]
}


@dataclass(frozen=True, slots=True)
class Lane:
    """The clusters by which requests reach one arm, by name.

    Users go to `target`, where another arm may answer for this one; `own` has its replicas.
    Testers go to `pinned`: to the same replicas or to none, on an account of their own.
    """

    arm: Arm
    target: str
    own: str
    pinned: str | None = None


@dataclass(frozen=True, slots=True)
class Wiring:
    """The clusters that a route needs, by name, and what they are for."""

    clusters: dict[str, Resource]
    main: Lane | None = None
    canary: Lane | None = None
    control: Lane | None = None

    @property
    def lanes(self) -> tuple[Lane, ...]:
        """Those that there are."""
        return tuple(lane for lane in (self.main, self.canary, self.control) if lane)


def wiring(route: Route, health_path: str, *, pins: bool = False) -> Wiring:
    """The clusters for a route. `pins`: testers may choose the arm while there are two."""
    if route.to is None:
        return Wiring({})
    pins = pins and route.canary is not None
    main, clusters = _lane(route.to, route.standby, health_path, pins=pins)
    if route.canary is None:
        return Wiring(clusters, main)
    canary, more = _lane(route.canary, route.to, health_path, pins=pins)
    if route.control is None:
        return Wiring({**clusters, **more}, main, canary)
    control, fresh = _lane(route.control, route.to, health_path, pins=False)
    return Wiring({**clusters, **more, **fresh}, main, canary, control)


def _lane(
    arm: Arm, other: Arm | None, health_path: str, *, pins: bool
) -> tuple[Lane, dict[str, Resource]]:
    """An arm's lane and its clusters. `other` answers when the arm is gone."""
    name = encode(arm.release)
    own = target = _replicas(arm, name, health_path, others=other is not None)
    made = [own]
    if other is not None:
        role = standing_by(other.release, arm.release)
        rescuer = _replicas(other, role, health_path, others=False)
        target = _composite(name, (own, own, rescuer, rescuer))
        made += [rescuer, target]
    lane = Lane(arm, target["name"], own["name"])
    if pins:
        tested = _composite(pinned(arm.release), (own,) * (1 + ATTEMPTS_AFTER_THE_FIRST))
        made.append(tested)
        lane = replace(lane, pinned=tested["name"])
    return lane, {cluster["name"]: cluster for cluster in made}


def _replicas(arm: Arm, statistics: str, health_path: str, *, others: bool) -> Resource:
    """One arm's replicas. `others`: somebody else can answer when none of these is healthy.

    Without others an arm whose replicas all look sick still gets its traffic: answering nothing
    for it would turn a failing health check into an outage.
    """
    return _named(
        statistics,
        {
            "type": "STATIC",
            "connect_timeout": "0.5s",
            "lb_policy": "LEAST_REQUEST",
            "ignore_health_on_host_removal": True,
            "load_assignment": {
                "cluster_name": statistics,
                "endpoints": [
                    {
                        "lb_endpoints": [
                            {"endpoint": {"address": {"pipe": {"path": str(path)}}}}
                            for path in arm.sockets
                        ]
                    }
                ],
            },
            "common_lb_config": {
                "healthy_panic_threshold": {"value": 0 if others else 1},
                "update_merge_window": "0s",
            },
            "circuit_breakers": _LIMITS,
            "track_cluster_stats": {"per_endpoint_stats": True},
            "typed_extension_protocol_options": {
                "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                    "@type": f"{TYPE}extensions.upstreams.http.v3.HttpProtocolOptions",
                    "explicit_http_config": {"http_protocol_options": {}},
                    # Less than the servers' keep-alive (5 s), or a request meets a closing one.
                    "common_http_protocol_options": {"idle_timeout": f"{UPSTREAM_IDLE_SECONDS}s"},
                }
            },
            "health_checks": [
                {
                    "timeout": "1s",
                    "interval": "1s",
                    "no_traffic_interval": "1s",
                    "unhealthy_threshold": 3,
                    "healthy_threshold": 1,
                    "http_health_check": {
                        "path": health_path,
                        "host": "health.local",
                        # Without this one wrong answer is enough, whatever the threshold says.
                        "retriable_statuses": [{"start": 201, "end": 600}],
                    },
                }
            ],
            # Replicas that cannot be reached are left out at once. Answers such as 503 are the
            # service's own word: a service that says "busy" must not be taken out for it.
            "outlier_detection": {
                "split_external_local_origin_errors": True,
                "consecutive_local_origin_failure": 3,
                "enforcing_consecutive_local_origin_failure": 100,
                "enforcing_local_origin_success_rate": 0,
                "enforcing_consecutive_5xx": 0,
                "enforcing_consecutive_gateway_failure": 0,
                "enforcing_success_rate": 0,
                "interval": "1s",
                "base_ejection_time": "2s",
                "max_ejection_time": "2s",
                "max_ejection_percent": 100,
            },
        },
    )


def _composite(statistics: str, members: tuple[Resource, ...]) -> Resource:
    return _named(
        statistics,
        {
            "connect_timeout": "0.5s",
            "lb_policy": "CLUSTER_PROVIDED",
            "circuit_breakers": _LIMITS,
            "cluster_type": {
                "name": "envoy.clusters.composite",
                "typed_config": {
                    "@type": f"{TYPE}extensions.clusters.composite.v3.ClusterConfig",
                    "clusters": [{"name": member["name"]} for member in members],
                },
            },
        },
    )


def _named(statistics: str, definition: Resource) -> Resource:
    text = json.dumps([statistics, definition], sort_keys=True)
    digest = hashlib.sha256(text.encode()).hexdigest()[:12]
    return {
        "@type": f"{TYPE}config.cluster.v3.Cluster",
        "name": f"{statistics}.{digest}",
        "alt_stat_name": statistics,
        **definition,
    }
