"""Each judge of the benchmark rolls back what is plainly broken and leaves alone what is not."""

import math

import bounds
import intervals
import pytest
from alarms import CASES, alarm
from counts import measured
from parameters import KINDS, PUBLIC, Family, PeerRules, read
from peers import mann_whitney
from product import noise_of, phi
from ranges import FIELDS, Range
from scenes import drawn
from scores import JUDGES, Row, added, keep, kept, rows
from streams import recorded

from guarded_rollout.core.information import compared, seconds_at_least

RULES = PeerRules()


def scene(*, regressed, harm="failures", **fixed):
    """A calm service with much traffic; the onset is at 300 s."""
    values = {
        "window": 1800.0,
        "aa": 1200.0,
        "requests": 100.0,
        "share": 0.5,
        "failures": 0.005,
        "median": 0.05,
        "spread": 0.5,
        "onset": 300.0,
        "times": 100.0,
        "slow_part": 0.5,
        "slow_times": 50.0,
        **fixed,
    }
    ranges = {name: field.usual for name, field in FIELDS.items()}
    ranges |= {name: Range(value, value) for name, value in values.items()}
    return drawn(Family("calm", 1, 1, (harm,), ranges), 0, "3", regressed=regressed)


@pytest.fixture(scope="module")
def streams():
    """One quiet rollout, and two that are broken."""
    scenes = {
        "quiet": scene(regressed=False),
        "failing": scene(regressed=True),
        "slow": scene(regressed=True, harm="latency"),
    }
    return {name: recorded(one, "3") for name, one in scenes.items()}


@pytest.mark.parametrize("judge", JUDGES)
def test_every_judge_finds_gross_harm_and_is_silent_without_any(streams, judge):
    """After the onset, not before; the slowest of them within 20 minutes."""
    said = {name: JUDGES[judge](one, measured(one), RULES) for name, one in streams.items()}
    assert said["quiet"].back is None
    assert 300 < said["failing"].back <= 1500
    assert 300 < said["slow"].back <= 1500


def test_one_rollout_gives_a_row_for_each_judge():
    """Harm counts from the onset until the rollback, so whoever is later has paid more."""
    found = {row.judge: row for row in rows(scene(regressed=True), "3", RULES)}
    assert set(found) == set(JUDGES)
    assert found["ours"].back < found["Flagger"].back
    assert 0 < found["ours"].harmed < found["Flagger"].harmed
    assert all(row.found and not row.false and not row.missed for row in found.values())


def test_rows_are_kept_and_read_back(tmp_path):
    """So a run that was cut off goes on; a rollout that was cut off is judged anew."""
    file = tmp_path / "rows"
    assert kept(file) == []
    found = rows(scene(regressed=False, window=120.0, aa=120.0), "3", RULES)
    keep(file, found)
    keep(file, found[:2])
    assert kept(file) == found


def test_a_rollback_before_the_onset_is_a_false_one():
    """And is neither found nor missed, and has no delay."""
    row = Row("f", 0, "failures", "ours", 1500.0, 100.0, 300.0, 290.0, None, 0.0)
    assert (row.false, row.found, row.missed, row.ratio) == (True, False, False, None)
    late = Row("f", 0, "failures", "ours", 1500.0, 100.0, 300.0, 500.0, None, 7.0)
    assert (late.false, late.found, late.ratio, late.ample) == (False, True, 2.0, True)
    never = Row("f", 0, "failures", "ours", 1500.0, 600.0, 300.0, None, None, 9.0)
    assert (never.missed, never.ample) == (True, False)
    healthy = Row("f", 0, "", "ours", 1800.0, math.inf, 0.0, 400.0, None, 0.0)
    sums = added([row, late, never, healthy])
    assert (sums["false"], sums["healthy"], sums["too_early"], sums["missed"]) == (1, 1, 1, 1)
    assert (sums["ratio_mean"], sums["missed_ample"], sums["excess_failed"]) == (2.0, 0, 8.0)


def test_the_bound_of_a_step_is_the_formula():
    """log(1/α)/I, and φ times as long where counts vary φ times as much."""
    step = scene(regressed=True, times=4.0, requests=20.0, share=0.1)
    p = 4 * 0.005 / (4 * 0.005 + 0.995)
    known = seconds_at_least(0.01, compared(p, 0.005, 0.1, 1.25), 20.0)
    assert bounds.seconds(step, 1.25, 1.0) == pytest.approx(known, rel=1e-3)
    assert bounds.seconds(step, 1.25, 2.0) == pytest.approx(2.0 * known, rel=1e-3)
    assert bounds.seconds(scene(regressed=False), 1.25, 1.0) == math.inf


def test_phi_is_one_without_noise_and_more_with_it():
    """It is what all judges know of the A/A period."""
    quiet = noise_of(recorded(scene(regressed=False), "3").aa)
    assert phi(quiet, "failures") == phi(quiet, "latency") == 1.0
    noisy = scene(regressed=False, noise=0.5, noise_seconds=60.0, failures=0.02)
    found = noise_of(recorded(noisy, "3").aa)
    assert phi(found, "failures") > 2.0
    assert phi(found, "latency") == 1.0


def test_mann_whitney_is_the_normal_approximation_with_ties():
    """By hand: 3 against 3 without ties, all above: U = 9, z = 4.5/sqrt(9·7/12)."""
    assert mann_whitney([4, 5, 6], [1, 2, 3]) == pytest.approx(4.5 / math.sqrt(5.25))
    assert mann_whitney([1, 2, 3], [4, 5, 6]) == pytest.approx(-4.5 / math.sqrt(5.25))
    assert mann_whitney([1, 1], [1, 1]) == 0.0
    assert mann_whitney([], [1.0]) == 0.0


def test_the_interval_is_that_of_clopper_and_pearson():
    """Closed forms: none of n, all of n; and 28 of 10,000 from published tables' formula."""
    assert intervals.at_most(0, 100) == pytest.approx(1 - 0.025 ** (1 / 100), rel=1e-6)
    assert intervals.at_least(100, 100) == pytest.approx(0.025 ** (1 / 100), rel=1e-6)
    assert intervals.at_most(5, 5) == 1.0
    assert intervals.at_least(0, 5) == pytest.approx(0.0, abs=1e-9)
    assert intervals.at_least(28, 10_000) < 0.0028 < intervals.at_most(28, 10_000) < 0.0041


@pytest.mark.parametrize("kind", KINDS)
def test_a_gate_alone_is_seldom_wrong_at_the_edge_of_its_null(kind):
    """Few of 20 harmless runs; every kind's case is at the edge of its own null."""
    ranges = dict(read(PUBLIC).alarms[kind])
    ranges["window"] = Range(900, 900)
    assert sum(alarm(kind, ranges, "1", number) for number in range(20)) <= 2
    assert kind in CASES
