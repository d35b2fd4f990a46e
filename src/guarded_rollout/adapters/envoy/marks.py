"""The mark that every route carries inside the proxy: who asked for it, and what it means.

It is the virtual host's metadata, so the live configuration answers what is routed, and identical
routes still differ: Envoy shows a new version only when the content changed.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from guarded_rollout.core.problems import BadInput
from guarded_rollout.ports import Arm, Route

KEY = "guarded_rollout"


@dataclass(frozen=True, slots=True)
class Mark:
    """One generation of the routes. `counter` rises with every change; `clusters` it needs."""

    route: Route
    counter: int
    clusters: tuple[str, ...]

    @property
    def version(self) -> str:
        """The generation's name, e.g. `7.12`: fence 7, change 12."""
        return f"{self.route.fence}.{self.counter}"

    def metadata(self) -> dict[str, Any]:
        """As it stands in the route configuration."""
        return {
            "fence": self.route.fence,
            "counter": self.counter,
            "to": _arm(self.route.to),
            "standby": _arm(self.route.standby),
            "canary": _arm(self.route.canary),
            "percent": self.route.percent,
            "control": _arm(self.route.control),
            "clusters": list(self.clusters),
        }


def mark_of(route_configuration: dict[str, Any]) -> Mark | None:
    """The mark in a route configuration, from a file or from the proxy; None: it has none."""
    try:
        host = route_configuration["virtual_hosts"][0]
        found = host["metadata"]["filter_metadata"][KEY]
        route = Route(
            _read(found["to"]),
            _read(found["standby"]),
            int(found["fence"]),
            # Marks of earlier versions have no canary, or no control.
            _read(found.get("canary")),
            float(found.get("percent", 0.0)),
            _read(found.get("control")),
        )
        return Mark(route, int(found["counter"]), tuple(found["clusters"]))
    except (KeyError, IndexError, TypeError, ValueError, BadInput):
        return None


def _arm(arm: Arm | None) -> dict[str, Any] | None:
    if arm is None:
        return None
    return {"release": arm.release, "sockets": [str(path) for path in arm.sockets]}


def _read(found: dict[str, Any] | None) -> Arm | None:
    if found is None:
        return None
    return Arm(found["release"], tuple(Path(path) for path in found["sockets"]))
