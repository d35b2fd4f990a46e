"""The queue's growth as a gate, on the counters that dhash really publishes."""

import pytest
from load import Load
from site_of_ours import GATES, Site

pytestmark = pytest.mark.slow

COUNTERS = (
    'queue_arrivals = "dhash_low_confidence_queued_total"\n'
    'queue_departures = "dhash_low_confidence_decided_total"\n'
)


def test_a_queue_that_grows_brings_a_release_back_long_before_it_is_too_long(releases):
    """Every match is queued forty times: found far below the limit of a million items.

    The good release before it is promoted, and its queue was followed.
    """
    gates = GATES | {
        "lowConfidenceQueue": {"threshold": 1_000_000},
        "queueGrowth": {"threshold": 100},
    }
    with Site(gates=gates, replicas=1) as site:
        file = site.root / "rollout.toml"
        head = "[service.metrics]\n"
        file.write_text(file.read_text().replace(head, head + COUNTERS))
        with Load(site.port, pause=0.05) as load:
            code, report = site.deploy(releases("good"))
            assert (code, report["phase"]) == (0, "done"), report["reason"]
            followed = {v["gate"]: v for v in report["verdicts"]}["queueGrowth"]
            assert followed["answer"] == "pass", followed
            code, report = site.deploy(releases("growing-queue"))
            tally = load.stop()
        assert (code, report["phase"]) == (2, "rolled-back"), report
        assert "queueGrowth: evidence of harm" in report["reason"]
        assert "came and 0 left" in report["reason"]
        assert site.serving() == "1.0.1"
        assert tally.statuses[200]
