"""The part of Envoy's configuration that says nothing about releases. Pure dictionaries."""

from pathlib import Path
from typing import Any

Resource = dict[str, Any]

ROUTES = "service"
LISTENER = "ingress"
TYPE = "type.googleapis.com/envoy."


def bootstrap(folder: Path, admin_socket: Path) -> Resource:
    """The static part. Only these admin pages answer: nobody can end the proxy through it."""
    return {
        "node": {"id": "guarded-rollout", "cluster": "guarded-rollout"},
        "admin": {
            "address": {"pipe": {"path": str(admin_socket), "mode": 0o600}},
            "allow_paths": [
                {"exact": "/drain_listeners"},
                {"exact": "/reopen_logs"},
                {"exact": "/server_info"},
                {"prefix": "/stats"},
                {"prefix": "/clusters"},
                {"prefix": "/config_dump"},
            ],
        },
        "dynamic_resources": {
            "lds_config": _watched(folder / "lds.json"),
            "cds_config": _watched(folder / "cds.json"),
        },
        "stats_flush_on_admin": True,
        "overload_manager": {
            "resource_monitors": [
                {
                    "name": "envoy.resource_monitors.global_downstream_max_connections",
                    "typed_config": {
                        "@type": f"{TYPE}extensions.resource_monitors.downstream_connections.v3"
                        ".DownstreamConnectionsConfig",
                        "max_active_downstream_connections": 10000,
                    },
                }
            ]
        },
    }


# What went well is in the counters; a line for each of it would fill the disk of a busy service
# while no rollout is there to rotate the file.
_FAILED = {
    "status_code_filter": {
        "comparison": {"op": "GE", "value": {"default_value": 400, "runtime_key": "log_from"}}
    }
}


def listener(folder: Path, listen: tuple[str, int]) -> Resource:
    """The public side. `use_remote_address` drops `x-envoy-*` headers that clients send.

    Only without an `internal_address_config`: an empty one makes every client a trusted one.
    """
    host, port = listen
    log_line = {
        "t": "%START_TIME(%s.%6f)%",
        "c": "%UPSTREAM_CLUSTER%",
        "h": "%UPSTREAM_HOST%",
        "s": "%RESPONSE_CODE%",
        "f": "%RESPONSE_FLAGS%",
        "us": "%COMMON_DURATION(DS_RX_BEG:DS_TX_END:us)%",
        "n": "%UPSTREAM_REQUEST_ATTEMPT_COUNT%",
        "m": "%REQ(:METHOD)%",
    }
    manager = {
        "@type": f"{TYPE}extensions.filters.network.http_connection_manager.v3"
        ".HttpConnectionManager",
        "stat_prefix": LISTENER,
        "rds": {"route_config_name": ROUTES, "config_source": _watched(folder / "rds.json")},
        "use_remote_address": True,
        "server_header_transformation": "PASS_THROUGH",
        "normalize_path": True,
        "generate_request_id": False,
        "request_headers_timeout": "10s",
        "stream_idle_timeout": "300s",
        "common_http_protocol_options": {
            "idle_timeout": "60s",
            "headers_with_underscores_action": "REJECT_REQUEST",
        },
        # Health checks of older load balancers.
        "http_protocol_options": {"accept_http_10": True, "default_host_for_http_10": "localhost"},
        "upgrade_configs": [{"upgrade_type": "websocket"}],
        "access_log": [
            {
                "name": "file",
                "filter": {"or_filter": {"filters": [_FAILED, {"response_flag_filter": {}}]}},
                "typed_config": {
                    "@type": f"{TYPE}extensions.access_loggers.file.v3.FileAccessLog",
                    "path": str(folder / "access.jsonl"),
                    "log_format": {"json_format": log_line},
                },
            }
        ],
        "http_filters": [
            {
                "name": "router",
                "typed_config": {
                    "@type": f"{TYPE}extensions.filters.http.router.v3.Router",
                    "suppress_envoy_headers": True,
                },
            }
        ],
    }
    return {
        "@type": f"{TYPE}config.listener.v3.Listener",
        "name": LISTENER,
        "address": {"socket_address": {"address": host, "port_value": port}},
        # With it, a second proxy would take a share of the traffic and nobody would notice.
        "enable_reuse_port": False,
        "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}],
    }


def _watched(file: Path) -> Resource:
    return {"resource_api_version": "V3", "path_config_source": {"path": str(file)}}
