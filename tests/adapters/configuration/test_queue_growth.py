"""The queue's growth: its counters in rollout.toml, its limit in the gates file."""

import json

import pytest

QUEUE = 'queue = "toy_queue"\n'
COUNTERS = 'queue_arrivals = "toy_came_total"\nqueue_departures = "toy_went_total"\n'


def said(folder, **production):
    folder.gates(json.dumps({"environments": {"production": production}}))


def test_with_its_counters_growth_is_judged_above_half_of_the_queues_limit(folder):
    """Without them it is not."""
    assert folder.load().environment.gates.growth is None
    folder.edit(QUEUE, QUEUE + COUNTERS)
    metrics = folder.load().service.metrics
    assert (metrics.queue_arrivals, metrics.queue_departures) == (
        "toy_came_total",
        "toy_went_total",
    )
    assert folder.load().environment.gates.growth == 500.0
    said(folder, qualityGates={"lowConfidenceQueue": {"threshold": 80}})
    assert folder.load().environment.gates.growth == 40.0
    said(folder, qualityGates={"queueGrowth": {"threshold": 30}})
    assert folder.load().environment.gates.growth == 30.0
    assert folder.load("staging").environment.gates.growth == 750.0


@pytest.mark.parametrize("line", COUNTERS.splitlines())
def test_half_of_the_counters_are_refused(folder, refused, line):
    """Growth is a difference."""
    folder.edit(QUEUE, f"{QUEUE}{line}\n")
    refused("rollout.toml", line.split()[0], "queue_arrivals and queue_departures")


def test_a_limit_without_counters_is_refused(folder, refused):
    """Nobody would look at it."""
    said(folder, qualityGates={"queueGrowth": {"threshold": 30}})
    refused("quality-gates-config.json", "queueGrowth.threshold", "queue_arrivals")


def test_thresholds_do_not_judge_growth(folder, refused):
    """Said, it is refused; unsaid, it is left out."""
    folder.edit(QUEUE, QUEUE + COUNTERS)
    said(folder, judge="thresholds")
    assert folder.load().environment.gates.growth is None
    said(folder, judge="thresholds", qualityGates={"queueGrowth": {"threshold": 30}})
    refused("quality-gates-config.json", "queueGrowth.threshold", "thresholds judge")
