"""Clusters and routes: where Envoy sends requests. Pure: the same arguments give the same files.

A cluster's name ends in a digest of its definition, so a cluster never changes: another set of
replicas is another cluster, and nothing but the route configuration can move traffic. Clusters of
one release share their statistics (`alt_stat_name`).

With a standby the route goes to a composite cluster: attempts one and two go to the release, three
and four to the standby, and a release without a usable replica is passed over at once. The
standby's replicas are a cluster of their own in that role, so that what they answered for the
release can be counted. Envoy calls composite clusters not hardened: they are for trusted upstreams,
which replicas of our own service are.
"""

import hashlib
import json
from dataclasses import dataclass

from guarded_rollout.adapters.envoy.frame import ROUTES, TYPE, Resource
from guarded_rollout.adapters.envoy.marks import KEY, Mark
from guarded_rollout.adapters.envoy.names import encode, standing_by
from guarded_rollout.ports import Arm, Route

ROUTE_SECONDS = 130
ATTEMPTS_AFTER_THE_FIRST = 3
LONGEST_RETRY_PAUSE = 0.05
UPSTREAM_IDLE_SECONDS = 3

# A connection that was never made, or was closed before the request was read, can be tried again
# with any method. A connection lost later may have done its work: only reading is repeated.
_RETRY_ANY = "connect-failure,refused-stream,reset-before-request"
_RETRY_READING = f"{_RETRY_ANY},reset"

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
class Wiring:
    """The clusters a route needs, by name; `target` gets the traffic, `own` has `to`'s replicas."""

    clusters: dict[str, Resource]
    target: str | None
    own: str | None


def wiring(route: Route, health_path: str) -> Wiring:
    """The clusters for a route."""
    to, standby = route.to, route.standby
    if to is None:
        return Wiring({}, None, None)
    name = encode(to.release)
    if standby is None:
        alone = _replicas(to, name, health_path, others=False)
        return Wiring({alone["name"]: alone}, alone["name"], alone["name"])
    own = _replicas(to, name, health_path, others=True)
    rescuer = _replicas(
        standby, standing_by(standby.release, to.release), health_path, others=False
    )
    both = _composite(name, (own["name"], own["name"], rescuer["name"], rescuer["name"]))
    clusters = {cluster["name"]: cluster for cluster in (own, rescuer, both)}
    return Wiring(clusters, both["name"], own["name"])


def routes(mark: Mark, target: str | None) -> Resource:
    """The one file that moves traffic."""
    return {
        "@type": f"{TYPE}config.route.v3.RouteConfiguration",
        "name": ROUTES,
        "validate_clusters": True,
        "virtual_hosts": [
            {
                "name": "all",
                "domains": ["*"],
                "metadata": {"filter_metadata": {KEY: mark.metadata()}},
                "routes": [_nothing()] if target is None else _to(target),
            }
        ],
    }


def _nothing() -> Resource:
    return {
        "match": {"prefix": "/"},
        "direct_response": {
            "status": 503,
            "body": {"inline_string": '{"error":"no release is deployed"}'},
        },
        "response_headers_to_add": [
            {
                "header": {"key": "content-type", "value": "application/json"},
                "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
            }
        ],
    }


def _to(target: str) -> list[Resource]:
    reading = {
        "name": ":method",
        "string_match": {"safe_regex": {"regex": "GET|HEAD|OPTIONS"}},
    }
    return [
        {
            "match": {"prefix": "/", "headers": [reading]},
            "route": _action(target, _RETRY_READING),
        },
        {"match": {"prefix": "/"}, "route": _action(target, _RETRY_ANY)},
    ]


def _action(target: str, retry_on: str) -> Resource:
    return {
        "cluster": target,
        "timeout": f"{ROUTE_SECONDS}s",
        "retry_policy": {
            "retry_on": retry_on,
            "num_retries": ATTEMPTS_AFTER_THE_FIRST,
            "retry_back_off": {
                "base_interval": "0.005s",
                "max_interval": f"{LONGEST_RETRY_PAUSE}s",
            },
        },
    }


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


def _composite(statistics: str, members: tuple[str, ...]) -> Resource:
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
                    "clusters": [{"name": member} for member in members],
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
