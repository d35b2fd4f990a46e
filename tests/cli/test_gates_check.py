"""`rollout gates check | power | suggest`: what they say of files and of a recorded journal."""

import json
import random
import tomllib
from dataclasses import replace

import pytest
from recorded_watches import take, write

from guarded_rollout.adapters.configuration.gates_file import read_policies
from guarded_rollout.core.facts import Observed, PromoteAsked
from guarded_rollout.core.series import ArmSeen, Histogram, Observation, Reading

BOUNDS = (0.1, 0.5, 1.0, 2.0, 5.0)


def watch(requests, rate, *, polls=20, seed=5):
    """Observations every 5 s of two replicas: `requests` each, `rate` of them fail."""
    chance = random.Random(seed)
    counts = [[0.0, 0.0], [0.0, 0.0]]
    for number in range(1, polls + 1):
        readings = []
        for replica, own in enumerate(counts):
            own[0] += requests
            own[1] += sum(chance.random() < rate for _ in range(requests))
            quick = own[0] - own[0] // 20
            durations = Histogram(BOUNDS, (quick, quick, own[0], own[0], own[0], own[0]))
            readings.append(Reading(f"new-{replica}", own[1], own[0], durations, 3.0))
        yield Observation(5.0 * number, ArmSeen(healthy=True, readings=tuple(readings)))


def took(project, observations, name="production-deploy-1"):
    """A deploy in production that a person took."""
    project.begin(name=name)
    take(project, name)
    seen = [Observed(observation) for observation in observations]
    write(project, name, [*seen, PromoteAsked("ops@here", "checked by hand")])
    take(project, name)
    return name


@pytest.fixture
def history(project):
    """A deploy of 20 requests a second, of which 2 % failed."""
    return took(project, watch(50, 0.02))


def gates(project, **environments):
    project.write("quality-gates-config.json", json.dumps({"environments": environments}, indent=1))


def test_check_of_the_built_in_gates_is_clean(project):
    """No gates file, no journal: what cannot be known is a note."""
    before = project.tree()
    answer = project.run("gates", "check")
    assert (answer.code, answer.err) == (0, "")
    assert "quality-gates-config.json does not exist: the built-in limits are checked" in answer.out
    assert "note: production, staging: whether the p95 limit is a bucket's boundary" in answer.out
    assert answer.out.endswith("2 environments, no findings\n")
    assert project.tree() == before


def test_check_says_where_and_what_and_what_to_do(project, history):
    """File, line, environment and key; exit code 1; the same for machines."""
    gates(project, production={"qualityGates": {"p95HashTime": {"threshold": 1500}}})
    lines = (project.root / "quality-gates-config.json").read_text().splitlines()
    line = next(n for n, text in enumerate(lines, 1) if "threshold" in text)
    answer = project.run("gates", "check", "--env", "production")
    key = "environments.production.qualityGates.p95HashTime.threshold"
    assert answer.code == 1
    said = f"quality-gates-config.json:{line}: {key}: 1500 ms is no boundary of the service's"
    assert answer.out.startswith(said)
    assert "\n  -> choose one of the nearest: 1000, 2000 ms\n" in answer.out
    document = project.run("gates", "check", "--env", "production", "--json").document
    (finding,) = document["findings"]
    assert (finding["file"], finding["line"]) == ("quality-gates-config.json", line)
    assert (finding["environment"], finding["key"]) == ("production", key)


@pytest.mark.parametrize(
    "own",
    [
        {"p95HashTime": {"threshold": 1500}},
        {"quality_gates": {"p95_hash_time": {"threshold": 1500}}},
    ],
    ids=["directly", "snake case"],
)
def test_check_finds_the_line_in_every_spelling(project, history, own):
    """The documents write gates in several ways."""
    gates(project, production=own)
    document = project.run("gates", "check", "--env", "production", "--json").document
    lines = (project.root / "quality-gates-config.json").read_text().splitlines()
    (finding,) = document["findings"]
    assert "threshold" in lines[finding["line"] - 1]


def test_check_of_limits_that_stand_nowhere(project):
    """Two requests in 200 s are too few for the built-in limits; no line has them."""
    took(project, [replace(seen, elapsed=40 * seen.elapsed) for seen in watch(1, 0.0, polls=2)])
    answer = project.run("gates", "check", "--env", "production", "--json")
    assert answer.code == 1
    for finding in answer.document["findings"]:
        assert finding["line"] is None
        assert "passes after" in finding["what"]
    words = project.run("gates", "check", "--env", "production").out
    assert "quality-gates-config.json (built in): environments.production." in words


def test_check_of_a_canary_names_its_stage(project):
    """The stage stands in rollout.toml."""
    stage = '[[environments.production.stages]]\npercent = 5\nbake = "30s"\n'
    project.edit("[environments.staging]", f"{stage}\n[environments.staging]")
    project.edit('listen = "127.0.0.1:18080"', 'listen = "127.0.0.1:18080"\nstrategy = "canary"')
    (finding,) = project.run("gates", "check", "--json").document["findings"]
    toml = (project.root / "rollout.toml").read_text().splitlines()
    assert finding["file"] == "rollout.toml"
    assert "stages" in toml[finding["line"] - 1]
    assert finding["key"] == "environments.production.stages[0].bake"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            '{"environments": {"production": {"autoRollbak": true}}}',
            "1: environments.production.auto",
        ),
        ('{"environments": {"production": {"evidence": {"alpha": 0.01, "alpha": 0.01}}}}', "twice"),
        ('{"environments": {"prod": {}}}', "environments.prod: no such environment"),
        ("", "is not valid JSON"),
        ("\xff", "UTF-8"),
    ],
    ids=["unknown key", "alpha twice", "environment", "empty", "not UTF-8"],
)
def test_the_loaders_errors_are_the_loaders(project, text, said):
    """As a deploy would say them."""
    (project.root / "mine.json").write_bytes(text.encode("latin-1"))
    answer = project.run("gates", "check", "mine.json")
    assert (answer.code, answer.out) == (1, "")
    assert said in answer.err
    assert "mine.json" in answer.err
    assert "Traceback" not in answer.err
    assert said in project.run("gates", "check", "mine.json", "--json").document["error"]["what"]


def test_a_folder_is_no_gates_file(project):
    """It cannot be read."""
    answer = project.run("gates", "check", "toy")
    assert (answer.code, answer.out) == (1, "")
    assert "toy cannot be read: Is a directory" in answer.err


def test_errors_of_both_files_are_told_at_once(project):
    """Nobody wants to run it twice."""
    project.edit('listen = "127.0.0.1:18080"', 'listen = "here"')
    project.write("quality-gates-config.json", "{")
    answer = project.run("gates", "check")
    assert answer.code == 1
    assert "rollout.toml:" in answer.err
    assert "quality-gates-config.json:1" in answer.err


@pytest.mark.parametrize("words", [["check"], ["power"], ["suggest"]], ids=" ".join)
def test_an_unknown_environment_is_said(project, words):
    """With those that there are."""
    answer = project.run("gates", *words, "--env", "nowhere")
    assert (answer.code, answer.out) == (1, "")
    assert "there is no environment nowhere\n  -> allowed: production, staging" in answer.err


def test_without_a_rollout_toml_the_documents_environments_are_checked(project, history):
    """A journal is there: the root is found by it."""
    (project.root / "rollout.toml").unlink()
    document = project.run("gates", "check", "--json").document
    assert document["environments"] == ["production", "staging", "canary", "development"]


GIVEN = ["--requests-per-second", "20", "--share", "50", "--failures", "1"]


def test_power_without_traffic_names_the_flags(project):
    """Those that are missing only."""
    answer = project.run("gates", "power", "--env", "production")
    assert answer.code == 1
    assert "give --requests-per-second N and --failures PERCENT" in answer.err
    answer = project.run("gates", "power", "--env", "production", "--failures", "1")
    assert "-> give --requests-per-second N\n" in answer.err


@pytest.fixture
def quick(project):
    """A watch of three minutes: simulated soon."""
    gates(project, production={"monitoring": {"duration": 3}})


def test_power_of_given_traffic(project, quick):
    """A table, a plot, and stages that the configuration accepts."""
    answer = project.run("gates", "power", "--env", "production", *GIVEN)
    assert (answer.code, answer.err) == (0, "")
    assert "20 requests/s, the candidate has 50 % of it, 1 % fail usually (as given)" in answer.out
    assert "failures 40 times            40 %   100 %" in answer.out
    assert "found in                |" in answer.out
    pasted = answer.out.partition('"canary":\n')[2]
    assert tomllib.loads(pasted)["environments"]["production"]["stages"][0]["bake"] == "5m"
    project.edit('listen = "127.0.0.1:18080"', 'listen = "127.0.0.1:18080"\nstrategy = "canary"')
    toml = (project.root / "rollout.toml").read_text()
    project.write("rollout.toml", toml + pasted)
    assert project.run("gates", "check").code == 0


def test_power_takes_the_traffic_of_the_newest_watch(project, history, quick):
    """And durations with it; what is not found in time is null for machines."""
    document = project.run("gates", "power", "--env", "production", "--json").document
    assert document["source"] == f"requests of {history}, failures of {history}"
    assert document["traffic"]["per_second"] == pytest.approx(20.0)
    assert document["traffic"]["failures"] == pytest.approx(0.02, abs=0.006)
    assert document["traffic"]["share"] == 1.0
    assert sum(document["traffic"]["durations"]) == pytest.approx(1.0)
    assert len(document["found"]) == 7
    assert document["found"][0]["bound_seconds"] is None


def test_what_was_rolled_back_is_not_usual(project, history, quick):
    """The newest watch tells the traffic; a healthy one tells what fails usually."""
    bad = project.begin(name="bad-2")
    take(project, bad)
    write(project, bad, (Observed(seen) for seen in watch(100, 0.5)))
    document = project.run("gates", "power", "--env", "production", "--json").document
    assert document["source"] == f"requests of bad-2, failures of {history}"
    assert document["traffic"]["per_second"] == pytest.approx(40.0)
    assert document["traffic"]["failures"] < 0.03


@pytest.mark.parametrize(
    "words",
    [["--share", "0"], ["--share", "101"], ["--failures", "x"], ["--requests-per-second", "-1"]],
    ids=" ".join,
)
def test_power_refuses_numbers_that_are_none(project, words):
    """Before anything is simulated."""
    answer = project.run("gates", "power", *words)
    assert (answer.code, answer.out) == (1, "")
    assert f"argument {words[0]}: '{words[1]}' is no" in answer.err


def test_suggest_without_history_guesses_nothing(project):
    """A release that nobody watched teaches nothing."""
    answer = project.run("gates", "suggest", "--env", "production")
    assert (answer.code, answer.out) == (1, "")
    assert "has ended done: there is no history to learn from" in answer.err


def test_suggest_says_what_is_too_little(project):
    """Twenty polls of two requests."""
    took(project, watch(1, 0.0))
    answer = project.run("gates", "suggest", "--env", "production")
    assert answer.code == 0
    assert (
        "extractionFailureRate    too little history\n  no rollout has 300 requests" in answer.out
    )
    assert "lowConfidenceQueue       10 items" in answer.out


def test_what_suggest_prints_is_a_gates_file(project, history):
    """Pasted, loaded, and clean."""
    took(project, watch(50, 0.01, seed=6), "production-deploy-2")
    answer = project.run("gates", "suggest", "--env", "production")
    assert answer.code == 0
    assert "(2 rollouts, 3800 samples)" in answer.out
    pasted = answer.out[answer.out.index("{") :]
    document = project.run("gates", "suggest", "--env", "production", "--json").document
    assert json.loads(pasted) == document["paste"]
    assert document["rollouts"] == ["production-deploy-2", "production-deploy-1"]
    project.write("quality-gates-config.json", pasted)
    file = project.root / "quality-gates-config.json"
    found = read_policies(file, file.name, ["production"])["production"].gates
    own = document["paste"]["environments"]["production"]
    assert found.failure_rate.threshold == own["qualityGates"]["extractionFailureRate"]["threshold"]
    assert found.duration.threshold == 1000.0
    assert found.dispersion == own["evidence"]["dispersion"]
    assert project.run("gates", "check", "--env", "production").code == 0
