"""Small plots of a watch."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from guarded_rollout.core.plots import COLUMNS, GAP, plots, sparkline
from guarded_rollout.core.series import ProxyReading
from guarded_rollout.testing import examples

FINITE = st.floats(0, 1e9, allow_nan=False)


@given(st.lists(st.none() | FINITE), FINITE)
def test_a_sparkline_has_a_letter_for_each_value(values, most):
    """A gap where there is none; the highest bar for the most."""
    line = sparkline(values, most)
    assert len(line) == len(values)
    assert all(
        (letter == GAP) is (value is None) for letter, value in zip(line, values, strict=True)
    )
    assert sparkline([0.0, 1.0], 1.0) == "▁█"


def observed(count, *, baseline=False):
    for n in range(count):
        seen = examples.seen(n * 5.0, requests=n * 50.0, failed=n * 10.0)
        proxy = ProxyReading("e", n * 100.0, n * 1.0, 0, 0, 0)
        candidate = replace(seen.candidate, proxy=proxy)
        other = candidate if baseline else seen.baseline
        yield replace(seen, candidate=candidate, baseline=other)


def test_the_numbers_are_the_counters_rises():
    """Requests per second, shares in percent, the bucket of the p95 in milliseconds."""
    found = {plot.what: plot for plot in plots(tuple(observed(10)))}
    assert set(found["requests of users"].values) == {20.0}
    assert set(found["errors that users saw"].values) == {1.0}
    assert set(found["work that failed"].values) == {20.0}
    assert set(found["p95 of the work, its bucket"].values) == {100.0}
    assert all(len(plot.line) == 9 for plot in found.values())


def test_a_long_watch_is_put_together():
    """No more columns than fit; nothing is counted twice or left out."""
    for count in (2, 49, 50, 97, 1000):
        found = plots(tuple(observed(count, baseline=True)))
        assert {len(plot.line) for plot in found} == {min(COLUMNS, count - 1)}
        assert len(found) == 8
        for plot in found:
            if plot.what == "requests of users":
                assert {round(value, 6) for value in plot.values} == {20.0}


def test_nothing_seen_has_no_plot():
    """Nor has one look alone: counters need a start."""
    assert plots(()) == ()
    assert plots((examples.seen(1.0),)) == ()
