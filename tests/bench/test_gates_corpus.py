"""The benchmark's corpus: labels that are true, families that have their property."""

import itertools
import json
import statistics
from dataclasses import replace

import pytest
from parameters import PUBLIC, PeerRules, read
from ranges import FIELDS, Range
from scenes import World, drawn, probability
from streams import bytes_of, recorded

from guarded_rollout.core.problems import BadInput

SEED = "7"
FAMILIES = {family.name: family for family in read(PUBLIC).families}


def made(name, number=0, *, regressed=False, **fixed):
    """One rollout of a family, with some of its numbers fixed."""
    family = FAMILIES[name]
    values = {"window": 600.0, "aa": 300.0, **fixed}
    ranges = {**family.ranges, **{key: Range(value, value) for key, value in values.items()}}
    return recorded(drawn(replace(family, ranges=ranges), number, SEED, regressed=regressed), SEED)


def totals(rollout, arm):
    """What the last reading of each replica of one arm says: requests and failures."""
    last = {}
    for seen, _ in rollout.seen:
        for reading in getattr(seen, arm).readings:
            last[reading.instance] = reading
    return sum(it.total for it in last.values()), sum(it.bad for it in last.values())


def falls(rollout, arm="candidate"):
    """How often a counter stood lower than before."""
    count, before = 0, {}
    for seen, _ in rollout.seen:
        for reading in getattr(seen, arm).readings:
            count += reading.total < before.get(reading.instance, 0.0)
            before[reading.instance] = reading.total
    return count


@pytest.mark.parametrize("regressed", [False, True])
def test_one_seed_gives_one_stream_and_another_seed_another(regressed):
    """Byte by byte; a later run of the same corpus is the same corpus."""
    family = FAMILIES["everything"]
    scene = drawn(family, 3, SEED, regressed=regressed)
    assert scene == drawn(family, 3, SEED, regressed=regressed)
    assert bytes_of(recorded(scene, SEED)) == bytes_of(recorded(scene, SEED))
    assert bytes_of(recorded(scene, SEED)) != bytes_of(recorded(scene, "8"))
    assert drawn(family, 4, SEED, regressed=regressed).drawn != scene.drawn


@pytest.mark.parametrize("name", FAMILIES)
def test_numbers_lie_in_their_ranges_and_labels_are_true(name):
    """A healthy scene has no harm; a regressed one has its family's, and none before the onset."""
    family = FAMILIES[name]
    for number in range(20):
        healthy = drawn(family, number, SEED, regressed=False)
        bad = drawn(family, number, SEED, regressed=True)
        for scene in (healthy, bad):
            for key, value in scene.drawn.items():
                assert family.ranges[key].low <= value <= family.ranges[key].high
        end = bad.onset + bad.leak_seconds + 1.0
        assert World(healthy).candidate(end) == World(healthy).both(end)
        assert World(bad).candidate(bad.onset - 1.0) == World(bad).both(bad.onset - 1.0)
        assert World(bad).candidate(end) != World(bad).both(end)
        assert bad.harm in family.harms


def test_the_candidate_fails_as_often_as_the_label_says():
    """Within five standard errors, before and after the onset."""
    rollout = made(
        "error-step", regressed=True, onset=300, requests=100, share=0.5, failures=0.02, times=10
    )
    half = next(one for one in rollout.truth if one.elapsed == 300)
    n = 300 * 50
    bad = probability(World(rollout.scene).candidate(400).failing)
    assert abs(half.failed - n * 0.02) < 5 * (n * 0.02) ** 0.5
    assert abs(rollout.truth[-1].failed - half.failed - n * bad) < 5 * (n * bad) ** 0.5
    assert half.harmed == 0.0
    assert rollout.truth[-1].harmed == pytest.approx(n * (bad - 0.02), rel=0.03)
    requests, failed = totals(rollout, "candidate")
    assert failed == rollout.truth[-1].failed
    assert requests == pytest.approx(2 * n, rel=0.03)


def test_a_leak_grows_and_a_cold_start_heals():
    """Half of the way after half of its time; nothing is left after the cold seconds."""
    leak = World(made("slow-leak", regressed=True, onset=100, leak_seconds=400).scene)
    assert [leak.grown(at) for at in (99, 300, 500, 599)] == [0.0, 0.5, 1.0, 1.0]
    cold = made("cold-start", cold_seconds=60, cold_times=6, requests=150, share=0.5, failures=0.03)
    world = World(cold.scene)
    assert world.cold(59.0)[0] > 0.0
    assert world.cold(60.0) == (0.0, 0.0)
    early = next(one.failed for one in cold.truth if one.elapsed == 60)
    rest = cold.truth[-1].failed - early
    assert early / 60 > 3 * rest / 540


@pytest.mark.parametrize("name", ["drift", "shared-incident"])
def test_what_both_arms_share_is_no_difference(name):
    """The rates change, for both by as much."""
    fixed = {"drift_times": 4, "incident_times": 40, "incident_at": 100, "incident_seconds": 300}
    scene = made(name, **{k: v for k, v in fixed.items() if k.split("_")[0] in name}).scene
    world = World(scene)
    assert world.both(350.0).failing > world.both(0.0).failing + 0.5
    assert world.candidate(350.0) == world.both(350.0)


def test_noise_moves_one_arm_and_bursts_come_together():
    """Failures of one arm vary more from poll to poll than independent ones do."""

    def variance_over_mean(rollout):
        failed = [one.failed for one in rollout.truth]
        rises = [b - a for a, b in itertools.pairwise(failed)]
        return statistics.variance(rises) / statistics.mean(rises)

    fixed = {"requests": 150, "share": 0.5, "failures": 0.02, "window": 1800}
    calm = variance_over_mean(made("error-step", **fixed))
    assert calm < 1.5
    assert variance_over_mean(made("arm-noise", noise=0.5, **fixed)) > 2.0
    assert variance_over_mean(made("bursts", bursts=60, burst_size=8, **fixed)) > calm


def test_readings_are_missing_doubled_late_and_begin_again():
    """Each in its own family, and in no other."""
    plain = made("error-step")
    elapsed = [seen.elapsed for seen, _ in plain.seen]
    assert elapsed == sorted(set(elapsed))
    assert falls(plain) == 0
    assert all(seen.candidate.readings and seen.candidate.proxy for seen, _ in plain.seen)
    missing = made("missing", missing=0.5)
    unread = sum(not seen.candidate.readings for seen, _ in missing.seen) / len(missing.seen)
    assert 0.2 < unread < 0.8
    assert falls(made("resets", resets=60)) > 0
    late = made("doubled-and-late", late=0.3, duplicated=0.3)
    assert falls(late) > 0
    assert len({seen.elapsed for seen, _ in late.seen}) < len(late.seen)


def test_the_split_changes_and_replicas_come_and_go():
    """Shares grow by stages, each with its share of the requests; autoscaling follows traffic."""
    split = made("changing-split", share=0.05, share_end=0.5, steps=3, requests=100)
    assert {stage for _, stage in split.seen} == {0, 1, 2, 3}
    assert World(split.scene).stages == pytest.approx([0.05, 0.1077, 0.2321, 0.5], rel=1e-3)
    scaled = made("autoscaling", swing=0.8, swing_seconds=300, replicas=5)
    many = [seen.baseline.replicas_alive for seen, _ in scaled.seen]
    assert (min(many), max(many)) == (1, 5)
    low = made("low-traffic", requests=0.5)
    assert sum(totals(low, "candidate")) < 0.5 * 600


def parameters(tmp_path, text):
    """A file of parameters, read."""
    file = tmp_path / "mine.toml"
    file.write_text(text)
    return read(file)


def test_every_number_can_be_set(tmp_path):
    """For all families, for one family, and for the peers."""
    everything = "\n".join(f"{name} = [{f.least}, {f.most}]" for name, f in FIELDS.items())
    found = parameters(
        tmp_path,
        f"seed = 5\nrollouts = 3\n[ranges]\n{everything}\n[families.one]\nregressed = 1\n"
        'harm = ["latency"]\nscrape = 7\nonset = 5\nwindow = 900\naa = 900\n'
        "[peers]\nargo_failures = 2\n[alarms.rate]\nscrape = 9\n",
    )
    (one,) = found.families
    assert (one.healthy, one.regressed, one.harms) == (3, 1, ("latency",))
    assert one.ranges["scrape"] == Range(7, 7)
    assert all(
        one.ranges[name] == Range(f.least, f.most)
        for name, f in FIELDS.items()
        if name not in {"scrape", "onset", "window", "aa"}
    )
    assert found.peers == PeerRules(argo_failures=2)
    assert found.alarms["rate"]["scrape"] == Range(9, 9)
    assert found.seed == "5"


FAMILY = "[families.one]\n"


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("rollouts = 3\n" + FAMILY, "mine.toml:1: seed"),
        ("seed = 1\n", "mine.toml:1: families"),
        ("seed = 1\n[families]\n", "mine.toml:2: families"),
        ("seed = 1\n" + FAMILY + "tims = 4\n", "mine.toml:3: families.one.tims"),
        ("seed = 1\n" + FAMILY + "share = [0.5, 0.1]\n", "mine.toml:3: families.one.share"),
        ("seed = 1\n" + FAMILY + "share = [0.5]\n", "mine.toml:3: families.one.share"),
        ("seed = 1\n" + FAMILY + "share = [0.5, 2]\n", "mine.toml:3: families.one.share[1]"),
        ("seed = 1\n" + FAMILY + 'share = "half"\n', "mine.toml:3: families.one.share"),
        ("seed = 1\n" + FAMILY + "onset = [0, 1800]\n", "mine.toml:2: families.one"),
        ("seed = 1\n" + FAMILY + "harm = []\n", "mine.toml:3: families.one.harm"),
        ("seed = 1\n" + FAMILY + 'harm = ["fire"]\n', "mine.toml:3: families.one.harm[0]"),
        ("seed = 1\n" + FAMILY + "healthy = 1.5\n", "mine.toml:3: families.one.healthy"),
        ("seed = 1\n" + FAMILY + "[ranges]\nfoo = 1\n", "mine.toml:4: ranges.foo"),
        ("seed = 1\n" + FAMILY + "[peers]\nerror = 2\n", "mine.toml:4: peers.error"),
        ("seed = 1\n" + FAMILY + "[alarms.fire]\n", "mine.toml:3: alarms.fire"),
        ("seed = 1\n[families", "mine.toml:2: is not valid TOML"),
    ],
)
def test_bad_parameters_are_refused_with_file_line_and_key(tmp_path, text, place):
    """And with a hint."""
    with pytest.raises(BadInput) as refused:
        parameters(tmp_path, text)
    assert str(refused.value).startswith(place)
    assert refused.value.why.hint


def test_a_corpus_is_listed_as_json_lines_people_can_read(tmp_path):
    """The stream that is written is the one that was labelled."""
    from streams import described

    scene = drawn(FAMILIES["error-step"], 0, SEED, regressed=True)
    label = described(scene, seed=SEED, folder=tmp_path)
    written = json.loads((tmp_path / "error-step-regressed-0.json").read_text())
    assert label["harm"] == written["scene"]["harm"] == "failures"
    assert label["onset"] == written["scene"]["drawn"]["onset"]
    assert written["seen"][0][0]["elapsed"] == 0.0
