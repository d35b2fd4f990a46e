"""Routes: which request goes to which cluster. The one file that moves traffic. Pure.

During a canary all users stand on a ring of a thousand places: a user with a sticky key always on
the same one, everybody else on any. The canary has an arc of it that begins at a place of its own
and only grows at its end, so a growing share never sends anybody back, and the first users are
others for each release. A control has the arc just before: its users meet the same version there
as elsewhere.
"""

import hashlib
from enum import Enum
from typing import Any

from guarded_rollout.adapters.envoy.frame import ROUTES, TYPE, Resource
from guarded_rollout.adapters.envoy.marks import KEY, Mark
from guarded_rollout.adapters.envoy.visitors import Visitors
from guarded_rollout.adapters.envoy.wires import ATTEMPTS_AFTER_THE_FIRST, Lane, Wiring
from guarded_rollout.core.series import BASELINE, CANDIDATE
from guarded_rollout.ports import Route

ROUTE_SECONDS = 130
LONGEST_RETRY_PAUSE = 0.05
PLACES = 1000
"""Places on the ring: shares have steps of 0.1 %."""

# A connection that was never made, or was closed before the request was read, can be tried again
# with any method. A connection lost later may have done its work: only reading is repeated.
_RETRY_ANY = "connect-failure,refused-stream,reset-before-request"
_RETRY_READING = f"{_RETRY_ANY},reset"


def routes(mark: Mark, wires: Wiring, visitors: Visitors) -> Resource:
    """The whole route configuration. `wires` are those of the mark's route."""
    return {
        "@type": f"{TYPE}config.route.v3.RouteConfiguration",
        "name": ROUTES,
        "validate_clusters": True,
        "virtual_hosts": [
            {
                "name": "all",
                "domains": ["*"],
                "metadata": {"filter_metadata": {KEY: mark.metadata()}},
                "routes": _routes(mark, wires, visitors),
            }
        ],
    }


class Role(Enum):
    """Whose an arc of the ring is."""

    MAIN = "main"
    CANARY = "canary"
    CONTROL = "control"


def ring(route: Route) -> tuple[tuple[Role, int], ...]:
    """Arcs of the ring of a route with a canary, in order, as (whose, places)."""
    assert route.canary is not None, "only a canary divides the users"
    name = route.canary.release
    width = round(route.percent * PLACES / 100)
    fresh = round(route.control_percent * PLACES / 100)
    begin = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8]) % PLACES
    around = ((Role.CANARY, width), (Role.MAIN, PLACES - width - fresh), (Role.CONTROL, fresh))
    return _from_zero(begin, around)


def _from_zero(begin: int, around: tuple[tuple[Role, int], ...]) -> tuple[tuple[Role, int], ...]:
    """Arcs that begin at one place, as they lie from place 0 on; one that lies across is cut."""
    before: list[tuple[Role, int]] = []
    after: list[tuple[Role, int]] = []
    at = begin
    for role, width in around:
        until_zero = max(0, min(width, PLACES - at))
        after.append((role, until_zero))
        before.append((role, width - until_zero))
        at += width
    return tuple(arc for arc in (*before, *after) if arc[1])


def _routes(mark: Mark, wires: Wiring, visitors: Visitors) -> list[Resource]:
    main, canary = wires.main, wires.canary
    if main is None:
        return [_nothing()]
    if canary is None:
        return _both_kinds({}, {"cluster": main.target})
    lanes = {Role.MAIN: main, Role.CANARY: canary, Role.CONTROL: wires.control or main}
    split: Resource = {
        "weighted_clusters": {
            "clusters": [
                {"name": lanes[role].target, "weight": places} for role, places in ring(mark.route)
            ]
        }
    }
    if visitors.keys:
        split["weighted_clusters"]["use_hash_policy"] = True
        split["hash_policy"] = [{**key.policy(), "terminal": True} for key in visitors.keys]
    return [*_pinned(main, canary, visitors.pin), *_both_kinds({}, split)]


def _pinned(main: Lane, canary: Lane, pin: str | None) -> list[Resource]:
    """What testers chose: first by the header, then by the cookie."""
    if pin is None:
        return []
    return [
        route
        for place in ("headers", "cookies")
        for value, lane in ((CANDIDATE, canary), (BASELINE, main))
        for route in _both_kinds(
            {place: [{"name": pin, "string_match": {"exact": value}}]}, {"cluster": lane.pinned}
        )
    ]


def _both_kinds(match: dict[str, list[Any]], where: Resource) -> list[Resource]:
    """Requests that read, which may be repeated, and the others."""
    reading = {
        "name": ":method",
        "string_match": {"safe_regex": {"regex": "GET|HEAD|OPTIONS"}},
    }
    headers = [*match.get("headers", ()), reading]
    return [
        {
            "match": {"prefix": "/", **match, "headers": headers},
            "route": _action(where, _RETRY_READING),
        },
        {"match": {"prefix": "/", **match}, "route": _action(where, _RETRY_ANY)},
    ]


def _action(where: Resource, retry_on: str) -> Resource:
    return {
        **where,
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
