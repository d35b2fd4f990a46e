"""Each finding of `rollout gates check`, and what is only a note."""

from dataclasses import replace

import pytest

from guarded_rollout.core.evidence_gates import Gate, Kind
from guarded_rollout.core.evidence_process import ROBUST, Dispersion
from guarded_rollout.core.evidence_signals import Signal
from guarded_rollout.core.gate_lint import Recorded, lint, requests_needed
from guarded_rollout.core.sample_deploy import sample_deploy
from guarded_rollout.core.schedule import Schedule
from guarded_rollout.core.spec import EVERYBODY, Stage, WatchPolicy
from guarded_rollout.core.suggestion import Suggestion
from guarded_rollout.testing import examples

BOUNDS = (0.5, 1.0, 2.0, 5.0)
BUSY = {Signal.REQUESTS: 50.0, Signal.DURATIONS: 50.0, Signal.PROXY_REQUESTS: 50.0}
ENOUGH = Suggestion("dispersion", 1.0, "times", "as independent ones", 3, 9000)
SOUND = Recorded(BOUNDS, BUSY, ENOUGH)


def deploy(*stages, duration=3600.0, rules=ROBUST, **gates):
    """What is linted."""
    watch = WatchPolicy(Schedule(duration, 30.0, 300.0, 60.0), auto_rollback=True)
    limits = replace(examples.gates(), evidence=rules, **gates)
    return sample_deploy("production", limits, watch, (*stages, EVERYBODY))


def with_p95(limit, **options):
    """Another limit, in milliseconds."""
    plan = deploy(**options)
    environment = plan.spec.environment
    gates = environment.gates
    gates = replace(gates, duration=replace(gates.duration, threshold=limit))
    return sample_deploy("production", gates, environment.watch, environment.stages)


def keys(plan, recorded=SOUND, alphas=("gates.json:5",)):
    return [finding.key for finding in lint(plan, recorded, alphas).findings]


@pytest.mark.parametrize(
    "plan", [deploy(), deploy(rules=None), deploy(Stage(5.0, 300.0))], ids=["e", "t", "canary"]
)
def test_sound_gates_have_no_finding_and_no_note(plan):
    """Evidence, thresholds, a canary."""
    linted = lint(plan, SOUND)
    assert (linted.findings, linted.notes) == ((), ())


def test_what_was_never_recorded_is_a_note():
    """Three things need a rollout that was watched."""
    linted = lint(deploy(), Recorded())
    assert linted.findings == ()
    assert [note.split(" cannot")[0] for note in linted.notes] == [
        "whether the p95 limit is a bucket's boundary",
        "whether there is traffic enough for the gates to pass",
        "whether the dispersion is enough",
    ]


@pytest.mark.parametrize(
    ("limit", "said", "near"),
    [
        (1500.0, "no boundary", "1000, 2000 ms"),
        (100.0, "no boundary", "500 ms"),
        (9000.0, "above the service's last bucket", "5000 ms"),
    ],
)
def test_a_p95_limit_that_is_no_boundary(limit, said, near):
    """It names the boundaries beside it."""
    (finding,) = lint(with_p95(limit), SOUND).findings
    assert finding.key == "qualityGates.p95HashTime.threshold"
    assert said in finding.what
    assert finding.hint.endswith(near)


def test_a_window_longer_than_the_watch():
    """A finding where thresholds judge; evidence weighs the whole watch anyway."""
    windows = [
        "qualityGates.extractionFailureRate.timeWindow",
        "qualityGates.p95HashTime.timeWindow",
    ]
    assert keys(deploy(duration=300.0, rules=None)) == windows
    short = lint(deploy(duration=300.0), SOUND)
    assert short.findings == ()
    assert [note.split()[0] for note in short.notes] == ["extractionFailureRate", "p95HashTime"]


def test_growth_that_is_seen_too_late():
    """Above the queue's own limit that one has breached already."""
    gates = {"growth": examples.gates().queue.threshold}
    assert keys(deploy(**gates)) == ["qualityGates.queueGrowth.threshold"]
    assert keys(deploy(growth=1.0)) == []


def pays(q, n):
    """The falling capital after n good requests: two bets, half each."""
    return sum(0.5 / (1 + q * (psi - 1)) ** n for psi in (0.55, 0.25))


@pytest.mark.parametrize("limit", [0.02, 0.05, 0.3])
def test_the_requests_that_a_pass_needs_are_exact(limit):
    """The first n at which harm is excluded 20 to one, and not one fewer."""
    gate = Gate("g", Kind.RATE, Signal.REQUESTS, limit=limit, paired=False)
    n = requests_needed(gate, ROBUST)
    assert pays(limit, n) >= 20 > pays(limit, n - 1)


def test_a_quantile_needs_as_many_as_a_rate_of_the_same_tail():
    """p95: 5 % may lie above."""
    rate = Gate("g", Kind.RATE, Signal.REQUESTS, limit=0.05, paired=False)
    p95 = replace(rate, kind=Kind.QUANTILE, signal=Signal.DURATIONS, limit=2.0)
    assert requests_needed(p95, ROBUST) == requests_needed(rate, ROBUST)


def test_dispersion_and_the_minimum_cost_requests():
    """Twice the dispersion, half of what a request is worth."""
    gate = Gate("g", Kind.RATE, Signal.REQUESTS, limit=0.05, paired=False)
    n = requests_needed(gate, ROBUST)
    dispersed = requests_needed(replace(gate, dispersion=Dispersion(2.0)), ROBUST)
    assert 1.7 * n < dispersed < 2.3 * n
    assert requests_needed(replace(gate, minimum=5000), ROBUST) == 5000


def test_too_little_traffic_to_ever_pass():
    """The gates that need requests say how many, and how many there were."""
    slow = Recorded(BOUNDS, dict.fromkeys(BUSY, 0.01), ENOUGH)
    findings = lint(deploy(), slow).findings
    assert {finding.key for finding in findings} == {
        "qualityGates.extractionFailureRate.threshold",
        "qualityGates.p95HashTime.threshold",
    }
    gate = Gate("g", Kind.RATE, Signal.REQUESTS, limit=0.05, paired=False)
    assert f"passes after {requests_needed(gate, ROBUST)} requests" in findings[0].what
    assert "0.01 per second" in findings[0].what


def test_just_enough_traffic_is_no_finding_and_a_little_less_is():
    """The edge: the grace, then the requests, within the watch and its extension."""
    gate = Gate("g", Kind.RATE, Signal.REQUESTS, limit=0.05, paired=False)
    edge = requests_needed(gate, ROBUST) / (3600.0 - ROBUST.grace)
    assert keys(deploy(), Recorded(BOUNDS, {Signal.REQUESTS: edge * 1.001}, ENOUGH)) == []
    assert keys(deploy(), Recorded(BOUNDS, {Signal.REQUESTS: edge * 0.999}, ENOUGH)) != []


def test_a_canary_has_its_first_share_of_the_traffic_only():
    """0.5 per second are enough for all, and too few for 5 %."""
    some = Recorded(BOUNDS, dict.fromkeys(BUSY, 0.5), ENOUGH)
    assert keys(deploy(), some) == []
    findings = lint(deploy(Stage(5.0, 300.0)), some).findings
    assert findings
    assert "at 5 % of the users" in findings[0].what


def test_thresholds_need_their_samples_within_the_window():
    """20 within 10 minutes are 0.033 per second."""
    few = Recorded(BOUNDS, {Signal.REQUESTS: 0.03, Signal.DURATIONS: 0.03}, ENOUGH)
    (finding,) = lint(deploy(rules=None), few).findings
    assert finding.key == "qualityGates.extractionFailureRate.timeWindow"
    assert "needs 20 requests within 10 min" in finding.what


def test_alpha_in_two_places():
    """Both are named."""
    (finding,) = lint(deploy(), SOUND, ("gates.json:5", "gates.json:9")).findings
    assert finding.key == "evidence.alpha"
    assert "gates.json:5, gates.json:9" in finding.what


def test_the_gates_never_spend_more_than_alpha():
    """Alone and compared, at any alpha: what the core hands out adds up to what was promised."""
    for alpha in (0.001, 0.01, 0.2):
        rules = replace(ROBUST, alpha=alpha)
        assert keys(deploy(rules=rules)) == keys(deploy(Stage(5.0, 300.0), rules=rules)) == []


def test_a_spendthrift_core_would_be_found(monkeypatch):
    """Both watches with the whole alpha."""
    plan = deploy(Stage(5.0, 300.0))
    from guarded_rollout.core import gate_lint

    honest = gate_lint.watches(plan)
    twice = tuple(replace(watch, rules=ROBUST) for watch in honest)
    monkeypatch.setattr(gate_lint, "watches", lambda _: twice)
    (finding,) = lint(plan, SOUND).findings
    assert "spend 0.02 together, 0.01 is promised" in finding.what


def test_stages_that_bake_shorter_than_evidence():
    """The last one has no bake of its own. Thresholds have no bake."""
    stages = (Stage(5.0, 60.0), Stage(25.0, 300.0), Stage(50.0, 299.0))
    assert keys(deploy(*stages)) == ["stages[0].bake", "stages[2].bake"]
    assert keys(deploy(*stages, rules=None)) == []


def test_dispersion_below_what_history_shows():
    """It names the number to write; enough is no finding."""
    noisy = replace(SOUND, dispersion=replace(ENOUGH, value=2.8))
    (finding,) = lint(deploy(), noisy).findings
    assert finding.key == "evidence.dispersion"
    assert '"dispersion": 2.8' in finding.hint
    assert "(3 rollouts, 9000 requests)" in finding.what
    assert keys(deploy(dispersion=2.8), noisy) == []
    unknown = replace(SOUND, dispersion=replace(ENOUGH, value=None))
    assert lint(deploy(), unknown).findings == ()


@pytest.mark.parametrize("limit", [1e-300, 1e-6, 0.999])
def test_every_limit_can_be_asked(limit):
    """Nobody waits for the answer, and rarer is more."""
    gate = Gate("g", Kind.RATE, Signal.REQUESTS, limit=limit, paired=False)
    assert requests_needed(gate, ROBUST) >= min(1e9, 3 / limit) * 0.9
