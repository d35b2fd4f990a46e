"""`rollout gates check | power | suggest` of metrics of the service's own."""

import json
from dataclasses import replace

import pytest
from recorded_watches import take, write

from guarded_rollout.adapters.configuration.gates_file import read_policies
from guarded_rollout.core.facts import Observed, PromoteAsked
from guarded_rollout.core.series import ArmSeen, Histogram, Observation, Reading

METRICS = """\
[[service.metrics.custom]]
name = "pageFailures"
kind = "rate"
metric = 'toy_pages_total{result="failed"}'
threshold = 2

[[service.metrics.custom]]
name = "renderTime"
kind = "quantile"
metric = "toy_render_seconds"
threshold = 1500

[[service.metrics.custom]]
name = "outOfMemory"
kind = "event"
metric = "toy_oom_total"
threshold = 6

[[service.metrics.custom]]
name = "diskFree"
kind = "level"
metric = "toy_disk_free"
threshold = 10
below = true

"""
BOUNDS = (0.5, 1.0, 2.0)


def observations(polls=20, seconds=300.0):
    """40 pages in each poll, one of 100 fails, a twentieth takes 2 s; one crash; 80 % free."""
    for number in range(1, polls + 1):
        pages = 40.0 * number
        slow = Histogram(BOUNDS, (pages * 0.95, pages * 0.99, pages, pages))
        custom = {
            "pageFailures": Reading("a", bad=float(int(pages / 100)), total=pages),
            "renderTime": Reading("a", durations=slow),
            "outOfMemory": Reading("a", bad=float(number > 10)),
            "diskFree": Reading("a", queue=80.0),
        }
        usual = Reading("a", 0.0, 50.0 * number, slow, 3.0, custom)
        yield Observation(seconds * number, ArmSeen(healthy=True, readings=(usual,)))


@pytest.fixture
def custom(project):
    """The metrics are in rollout.toml, and one release that had them ended done."""
    project.edit("[[service.checks]]", f"{METRICS}[[service.checks]]")
    project.begin(name="first")
    take(project, "first")
    seen = [Observed(one) for one in observations()]
    write(project, "first", [*seen, PromoteAsked("ops@here", "checked by hand")])
    take(project, "first")


def check(project):
    return project.run("gates", "check", "--env", "production", "--json")


def test_check_lints_them_where_they_are_written(project, custom):
    """The line of rollout.toml, or of the gates file where that says otherwise."""
    answer = check(project)
    assert answer.code == 1
    own = [one for one in answer.document["findings"] if "custom" in one["key"]]
    toml = (project.root / "rollout.toml").read_text().splitlines()
    (bound,) = [one for one in own if "renderTime" in one["key"]]
    assert bound["what"] == "1500 ms is no boundary of toy_render_seconds's buckets"
    assert bound["hint"].endswith("1000, 2000 ms")
    assert (bound["file"], toml[bound["line"] - 1]) == ("rollout.toml", "threshold = 1500")
    gates = {"environments": {"production": {"custom": {"renderTime": {"threshold": 900}}}}}
    project.write("quality-gates-config.json", json.dumps(gates, indent=1))
    (bound,) = [one for one in check(project).document["findings"] if "renderTime" in one["key"]]
    assert bound["file"] == "quality-gates-config.json"
    lines = (project.root / "quality-gates-config.json").read_text().splitlines()
    assert "900" in lines[bound["line"] - 1]


def test_check_knows_when_a_metric_counts_too_little_to_ever_pass(project, custom):
    """40 pages in five minutes, at a limit of 0.01 %."""
    gates = {"environments": {"production": {"custom": {"pageFailures": {"threshold": 0.01}}}}}
    project.write("quality-gates-config.json", json.dumps(gates))
    (few,) = [one for one in check(project).document["findings"] if "pageFailures" in one["key"]]
    assert few["what"].startswith("pageFailures passes after ")


def test_a_metric_that_nobody_ever_read_is_a_note(project, custom):
    """The next release may have it."""
    project.edit('metric = "toy_oom_total"', 'metric = "toy_oom_total"\ncompare = false')
    project.edit('name = "outOfMemory"', 'name = "killed"')
    notes = [note["what"] for note in check(project).document["notes"]]
    assert [note for note in notes if note.startswith("whether killed sees anything")]


def test_thresholds_cannot_judge_what_is_noisy(project, custom):
    """The loader's own error, which a deploy would stop at."""
    gates = {"environments": {"production": {"judge": "thresholds"}}}
    project.write("quality-gates-config.json", json.dumps(gates))
    answer = project.run("gates", "check")
    assert (answer.code, answer.out) == (1, "")
    assert "pageFailures, renderTime, outOfMemory can be judged by evidence only" in answer.err


@pytest.mark.parametrize("name", ["restarts", "failuresCompared", "queueGrowth"])
def test_a_metric_cannot_have_the_name_of_a_gate(project, custom, name):
    """Two gates of one name would stop the watch in the middle of a deploy."""
    project.edit('name = "pageFailures"', f'name = "{name}"')
    answer = project.run("gates", "check")
    assert answer.code == 1
    assert f"the name '{name}' is taken" in answer.err


def test_power_says_what_each_finds(project, custom):
    """Failures and durations of their own, events by the hour; a level needs no simulation."""
    project.write(
        "quality-gates-config.json",
        json.dumps({"environments": {"production": {"monitoring": {"duration": 20}}}}),
    )
    flags = ["--requests-per-second", "20", "--failures", "1"]
    answer = project.run("gates", "power", "--env", "production", *flags)
    assert (answer.code, answer.err) == (0, "")
    rows = {line.split()[0] for line in answer.out.splitlines() if " times " in line}
    assert rows == {"failures", "durations", "1", "pageFailures", "renderTime", "outOfMemory"}
    rates = [line.split()[3] for line in answer.out.splitlines() if "outOfMemory" in line]
    assert rates[:2] == ["24/h", "60/h"]
    assert "diskFree: a level: its threshold decides at once" in answer.out


def test_suggest_proposes_limits_that_load(project, custom):
    """From what was recorded of them; pasted, they are the environment's."""
    document = project.run("gates", "suggest", "--env", "production", "--json").document
    limits = document["paste"]["environments"]["production"]["custom"]
    assert limits == {
        "pageFailures": {"threshold": 5.0},
        "renderTime": {"threshold": 1000.0},
        "outOfMemory": {"threshold": 8.0},
        "diskFree": {"threshold": 40.0},
    }
    project.write("quality-gates-config.json", json.dumps(document["paste"]))
    file = project.root / "quality-gates-config.json"
    found = read_policies(file, file.name, ["production"])["production"].custom
    assert set(found) == set(limits)
    assert not [it for it in check(project).document["findings"] if "renderTime" in it["key"]]


def test_a_release_that_lacks_them_is_noticed(project, custom):
    """The newest watch tells, whatever the one before had."""
    project.begin(name="second")
    take(project, "second")
    bare = (
        replace(one, candidate=ArmSeen(healthy=True, readings=())) for one in observations(polls=5)
    )
    write(project, "second", [Observed(one) for one in bare])
    notes = [note["what"] for note in check(project).document["notes"]]
    missing = [note for note in notes if "was not read in the newest watched rollout" in note]
    assert len(missing) == 4
