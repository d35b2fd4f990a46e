"""The rules that the clusters and routes keep, without a proxy."""

import json
from collections import Counter
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from guarded_rollout.adapters.envoy.marks import KEY, Mark, mark_of
from guarded_rollout.adapters.envoy.routes import PLACES, Role, ring, routes
from guarded_rollout.adapters.envoy.visitors import Visitors, visitors
from guarded_rollout.adapters.envoy.wires import Wiring, wiring
from guarded_rollout.ports import Arm, Route

NOBODY = Visitors()

A = Arm("1.0.0-aaa", (Path("/run/a0.sock"), Path("/run/a1.sock")))
B = Arm("2.0.0-bbb", (Path("/run/b0.sock"),))


def test_a_cluster_never_changes_its_meaning():
    """Other sockets or another health path are another cluster; the same are the same."""
    names = [
        wiring(Route(arm, None, 1), path).main.own
        for arm, path in (
            (A, "/h"),
            (Arm(A.release, A.sockets[:1]), "/h"),
            (A, "/other"),
            (A, "/h"),
        )
    ]
    assert len(set(names)) == 3
    assert names[0] == names[3]


def test_a_release_has_one_account_wherever_it_is_named():
    """Its clusters share their statistics; the standby's help has an account of its own."""
    wires = wiring(Route(B, A, 1), "/h")
    alone = wiring(Route(B, None, 1), "/h")
    accounts = {name: cluster["alt_stat_name"] for name, cluster in wires.clusters.items()}
    assert len(accounts) == 3
    assert accounts[wires.main.target] == accounts[wires.main.own] == "2_2e0_2e0-bbb"
    assert set(accounts.values()) == {"2_2e0_2e0-bbb", "1_2e0_2e0-aaa@2_2e0_2e0-bbb"}
    assert alone.clusters[alone.main.own]["alt_stat_name"] == "2_2e0_2e0-bbb"


def test_a_standby_is_asked_last():
    """Two attempts at the release, then two at the standby."""
    wires = wiring(Route(B, A, 1), "/h")
    members = wires.clusters[wires.main.target]["cluster_type"]["typed_config"]["clusters"]
    order = [wires.clusters[member["name"]]["alt_stat_name"] for member in members]
    assert [account.partition("@")[1] for account in order] == ["", "", "@", "@"]


def test_only_reading_is_repeated_after_a_lost_connection():
    """A POST that reached the service is never sent twice; no status is ever retried."""
    route = Route(B, None, 1)
    found = routes(Mark(route, 1, ()), wiring(route, "/h"), NOBODY)
    reading, rest = found["virtual_hosts"][0]["routes"]
    assert reading["match"]["headers"][0]["string_match"]["safe_regex"]["regex"] == (
        "GET|HEAD|OPTIONS"
    )
    allowed = {"connect-failure", "refused-stream", "reset-before-request"}
    assert set(rest["route"]["retry_policy"]["retry_on"].split(",")) == allowed
    assert set(reading["route"]["retry_policy"]["retry_on"].split(",")) == allowed | {"reset"}


def test_a_mark_comes_back_as_it_was():
    """Through JSON, as the proxy tells it: numbers may come back as floats."""
    for route in (Route(B, A, 7), Route(A, None, 0), Route(None, None, 3), Route(A, B, 3, B, 0.3)):
        mark = Mark(route, 12, ("x", "y"))
        whole = routes(mark, wiring(route, "/h"), NOBODY)
        said = json.loads(json.dumps(whole).replace(": 12,", ": 12.0,"))
        assert mark_of(said) == mark
    assert mark_of({}) is None
    assert mark_of({"virtual_hosts": [{"metadata": {"filter_metadata": {}}}]}) is None


def test_a_mark_of_an_earlier_version_has_no_canary():
    """Its proxy still runs while this tool is upgraded. A share that cannot be is no mark."""
    mark = Mark(Route(B, A, 7), 12, ("x",))
    said = routes(mark, Wiring({}), NOBODY)
    metadata = said["virtual_hosts"][0]["metadata"]["filter_metadata"][KEY]
    del metadata["canary"], metadata["percent"]
    assert mark_of(said) == mark
    metadata["percent"] = 5
    assert mark_of(said) is None


tenths = st.integers(min_value=1, max_value=999)


@given(st.text(min_size=1).filter(lambda name: name != A.release), tenths, tenths, st.booleans())
def test_a_canarys_places_only_grow(release, one, other, controlled):
    """All thousand are given, none twice; those of a share are among those of a larger one."""
    shares = []
    for tenth in sorted((one, other)):
        control = Arm("control", ()) if controlled else None
        arcs = ring(Route(A, None, 1, Arm(release, ()), tenth / 10, control))
        assert all(places > 0 for _, places in arcs)
        owners = [role for role, places in arcs for _ in range(places)]
        assert len(owners) == PLACES
        shares.append({place for place, role in enumerate(owners) if role is Role.CANARY})
        assert len(shares[-1]) == tenth
        assert owners.count(Role.CONTROL) == (min(tenth, PLACES - tenth) if controlled else 0)
    assert shares[0] <= shares[1]


def test_a_control_meets_the_users_of_its_neighbours():
    """As many as the canary has; what it cannot answer the old version does."""
    control = Arm("A-control", (Path("/c"),))
    route = Route(A, None, 1, B, 5, control)
    wires = wiring(route, "/h")
    split = routes(Mark(route, 1, ()), wires, NOBODY)["virtual_hosts"][0]["routes"][0]["route"]
    weights = {part["name"]: 0 for part in split["weighted_clusters"]["clusters"]}
    for part in split["weighted_clusters"]["clusters"]:
        weights[part["name"]] += part["weight"]
    assert wires.main is not None
    assert wires.canary is not None
    assert wires.control is not None
    assert weights == {
        wires.main.target: 900,
        wires.canary.target: 50,
        wires.control.target: 50,
    }


def test_a_canary_route_is_a_split_between_two_lanes():
    """The canary's lane leads on to the baseline; the baseline's leads to nobody."""
    route = Route(A, None, 1, B, 5)
    wires = wiring(route, "/h")
    alone = wiring(Route(A, None, 1), "/h")
    assert wires.main == alone.main
    assert wires.canary.target == wiring(Route(B, A, 1), "/h").main.target
    split = routes(Mark(route, 1, ()), wires, NOBODY)["virtual_hosts"][0]["routes"]
    for action in (found["route"] for found in split):
        weights = Counter()
        for found in action["weighted_clusters"]["clusters"]:
            weights[found["name"]] += found["weight"]
        assert weights == {wires.main.target: 950, wires.canary.target: 50}
        assert "hash_policy" not in action


def test_sticky_keys_and_pins_stand_in_the_routes_of_a_canary_only():
    """Reading and writing requests alike."""
    known = visitors(("header:x-user-id", "cookie:session"), "x-arm")
    route = Route(A, None, 1, B, 5)
    wires = wiring(route, "/h", pins=True)
    found = routes(Mark(route, 1, ()), wires, known)["virtual_hosts"][0]["routes"]
    assert len(found) == 10
    assert [f["route"].get("cluster") for f in found[:8:2]] == [
        wires.canary.pinned,
        wires.main.pinned,
    ] * 2
    for last in found[-2:]:
        assert last["route"]["weighted_clusters"]["use_hash_policy"] is True
        assert last["route"]["hash_policy"] == [
            {"header": {"header_name": "x-user-id"}, "terminal": True},
            {"cookie": {"name": "session"}, "terminal": True},
        ]
    alone = Route(A, B, 1)
    assert wiring(alone, "/h", pins=True) == wiring(alone, "/h")
    plain = routes(Mark(alone, 1, ()), wiring(alone, "/h"), known)
    assert plain == routes(Mark(alone, 1, ()), wiring(alone, "/h"), NOBODY)
