"""The rules that the clusters and routes keep, without a proxy."""

import json
from pathlib import Path

from guarded_rollout.adapters.envoy.marks import Mark, mark_of
from guarded_rollout.adapters.envoy.wires import routes, wiring
from guarded_rollout.ports import Arm, Route

A = Arm("1.0.0-aaa", (Path("/run/a0.sock"), Path("/run/a1.sock")))
B = Arm("2.0.0-bbb", (Path("/run/b0.sock"),))


def test_a_cluster_never_changes_its_meaning():
    """Other sockets or another health path are another cluster; the same are the same."""
    names = [
        wiring(Route(arm, None, 1), path).own
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
    assert accounts[wires.target] == accounts[wires.own] == "2_2e0_2e0-bbb"
    assert set(accounts.values()) == {"2_2e0_2e0-bbb", "1_2e0_2e0-aaa@2_2e0_2e0-bbb"}
    assert alone.clusters[alone.own]["alt_stat_name"] == "2_2e0_2e0-bbb"


def test_a_standby_is_asked_last():
    """Two attempts at the release, then two at the standby."""
    wires = wiring(Route(B, A, 1), "/h")
    members = wires.clusters[wires.target]["cluster_type"]["typed_config"]["clusters"]
    order = [wires.clusters[member["name"]]["alt_stat_name"] for member in members]
    assert [account.partition("@")[1] for account in order] == ["", "", "@", "@"]


def test_only_reading_is_repeated_after_a_lost_connection():
    """A POST that reached the service is never sent twice; no status is ever retried."""
    mark = Mark(Route(B, None, 1), 1, ())
    reading, rest = routes(mark, "x")["virtual_hosts"][0]["routes"]
    assert reading["match"]["headers"][0]["string_match"]["safe_regex"]["regex"] == (
        "GET|HEAD|OPTIONS"
    )
    allowed = {"connect-failure", "refused-stream", "reset-before-request"}
    assert set(rest["route"]["retry_policy"]["retry_on"].split(",")) == allowed
    assert set(reading["route"]["retry_policy"]["retry_on"].split(",")) == allowed | {"reset"}


def test_a_mark_comes_back_as_it_was():
    """Through JSON, as the proxy tells it: numbers may come back as floats."""
    for route in (Route(B, A, 7), Route(A, None, 0), Route(None, None, 3)):
        mark = Mark(route, 12, ("x", "y"))
        said = json.loads(json.dumps(routes(mark, None)).replace(": 12,", ": 12.0,"))
        assert mark_of(said) == mark
    assert mark_of({}) is None
    assert mark_of({"virtual_hosts": [{"metadata": {"filter_metadata": {}}}]}) is None
