"""Gates on metrics of the service's own."""

import json

import pytest

from guarded_rollout.core.gates import CustomGate, CustomKind

QUEUE = 'queue = "toy_queue"\n'
FOUR = """
[[service.metrics.custom]]
name = "pages"
kind = "rate"
metric = 'toy_pages{result="failed"}'
threshold = 2

[[service.metrics.custom]]
name = "render"
kind = "quantile"
metric = "toy_render_seconds"
threshold = 500
compare = false

[[service.metrics.custom]]
name = "evictions"
kind = "event"
metric = "toy_evictions_total"
threshold = 6

[[service.metrics.custom]]
name = "free"
kind = "level"
metric = "toy_free_slots"
threshold = 3
below = true
"""
GATES = (
    CustomGate("pages", CustomKind.RATE, "toy_pages", 2.0, "result=failed"),
    CustomGate("render", CustomKind.QUANTILE, "toy_render_seconds", 500.0, compare=False),
    CustomGate("evictions", CustomKind.EVENT, "toy_evictions_total", 6.0),
    CustomGate("free", CustomKind.LEVEL, "toy_free_slots", 3.0, below=True),
)


def write(folder, text):
    folder.edit(QUEUE, QUEUE + text)


def test_four_kinds_of_metrics_can_be_named(folder):
    """They are read with the others, and judged."""
    write(folder, FOUR)
    spec = folder.load()
    assert spec.service.metrics.custom == GATES
    assert spec.environment.gates.custom == GATES


def test_an_environment_has_thresholds_of_its_own(folder):
    """What is scraped stays the same; other environments fall back on production's."""
    write(folder, FOUR)
    ours = {"custom": {"pages": {"threshold": 4}}}
    folder.gates(json.dumps({"environments": {"production": ours}}))
    for name in ("production", "staging"):
        pages = folder.load(name).environment.gates.custom[0]
        assert pages.threshold == (4.0 if name == "production" else 2.0)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('name = "render"', 'name = "pages"', ("pages", "taken")),
        ("threshold = 2", "threshold = 200", ("threshold", "200")),
        ("""'toy_pages{result="failed"}'""", '"toy_pages"', ("metric", "label")),
        ('"toy_render_seconds"', '"toy_render_seconds_bucket"', ("metric", "bucket")),
        ("compare = false", "below = true", ("below", "quantile")),
        ('kind = "event"', 'kind = "gauge"', ("kind", "gauge")),
    ],
)
def test_what_cannot_be_judged_is_refused(folder, refused, old, new, words):
    """File, line and key."""
    assert FOUR.count(old) == 1
    write(folder, FOUR.replace(old, new))
    refused("rollout.toml", *words)


def test_thresholds_of_metrics_that_are_not_there_are_refused(folder, refused):
    """A typing error must not switch a gate off."""
    write(folder, FOUR)
    ours = {"custom": {"page": {"threshold": 4}}}
    folder.gates(json.dumps({"environments": {"production": ours}}))
    refused("quality-gates-config.json", "page", "pages")


def test_thresholds_alone_cannot_judge_noisy_metrics(folder, refused):
    """They would be scraped, and nobody would look at them."""
    write(folder, FOUR)
    folder.gates(json.dumps({"environments": {"production": {"judge": "thresholds"}}}))
    refused("pages, render, evictions", "evidence")
