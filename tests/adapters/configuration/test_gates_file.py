"""The gates file in all spellings of the documents, and nothing else."""

import json
from pathlib import Path

import pytest

from guarded_rollout.core.evidence_process import ROBUST
from guarded_rollout.core.gates import DurationGate, FailureRateGate
from guarded_rollout.core.problems import BadInput
from guarded_rollout.core.spec import AtTheEnd


def gates_of(folder, text, environment="production"):
    folder.gates(text if isinstance(text, str) else json.dumps(text))
    return folder.load(environment).environment.gates


CANONICAL = {"healthFailures": {"threshold": 7}, "p95HashTime": {"threshold": 900, "timeWindow": 4}}


@pytest.mark.parametrize(
    "file",
    [
        {"environments": {"production": {"qualityGates": CANONICAL}}},
        {"environments": {"production": CANONICAL}},
        {"environments": {"production": {"quality_gates": CANONICAL}}},
        {"quality_gates": CANONICAL},
        {"qualityGates": CANONICAL, "environments": {"staging": {"autoRollback": True}}},
        {
            "environments": {
                "production": {
                    "health_failures": {"threshold": 7},
                    "quality_gates": {"p95_hash_time": {"threshold": 900, "time_window": "4m"}},
                }
            }
        },
        {"environments": {"production": {**CANONICAL, "qualityGates": CANONICAL}}},
    ],
)
def test_every_spelling_of_the_documents_means_the_same(folder, file):
    """Canonical, directly under the environment, snake_case, or for all environments."""
    gates = gates_of(folder, file)
    assert gates.health.threshold == 7
    assert gates.duration == DurationGate(900.0, 240.0)
    assert gates.failure_rate == FailureRateGate(5.0, 600.0)


def test_an_environment_of_ones_own_falls_back_on_productions_numbers(folder):
    """As the file has them, not as they are built in."""
    folder.edit("[environments.staging]", "[environments.eu-west]")
    queue = {"threshold": 3}
    gates = gates_of(
        folder,
        {"environments": {"production": CANONICAL, "eu-west": {"lowConfidenceQueue": queue}}},
        "eu-west",
    )
    assert (gates.health.threshold, gates.queue.threshold) == (7, 3.0)


def test_the_watch_and_its_end_are_configured_there_too(folder):
    """Minutes for the length, seconds for the intervals, or units."""
    folder.gates(
        json.dumps(
            {
                "environments": {
                    "production": {
                        "autoRollback": False,
                        "monitoring": {
                            "duration": "1h", "initialInterval": 10,
                            "initialPeriod": "2m", "interval": "90s",
                        },
                        "minimumSamples": 5,
                        "unknownAtEnd": "roll-back",
                        "extendMinutes": 0,
                    }
                }
            }
        )
    )  # fmt: skip
    environment = folder.load().environment
    watch = environment.watch
    schedule = watch.schedule
    assert (schedule.duration, schedule.first_every, schedule.first_for, schedule.then_every) == (
        3600.0, 10.0, 120.0, 90.0,
    )  # fmt: skip
    assert (watch.auto_rollback, watch.unknown, watch.extend_seconds) == (
        False, AtTheEnd.ROLL_BACK, 0.0,
    )  # fmt: skip
    assert environment.gates.failure_rate.minimum == environment.gates.duration.minimum == 5


def production(body):
    """A file whose line 3 is this."""
    return '{"environments": {\n"production": {\n' + body + "\n}}}"


WHERE = "quality-gates-config.json:3: environments.production."


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ('"healthFailure": {}', (f"{WHERE}healthFailure: this", "mean healthFailures?")),
        ('"qualityGates": {"p95": {}}', (f"{WHERE}qualityGates.p95:", "mean p95HashTime?")),
        ('"healthFailures": {"limit": 2}', (f"{WHERE}healthFailures.limit:", "threshold")),
        ('"healthFailures": {"threshold": 2, "timeWindow": 5}', (".timeWindow: this key",)),
        ('"healthFailures": 2', (f"{WHERE}healthFailures: must be a table", "a number")),
        ('"healthFailures": {"threshold": "2"}', ("must be a number, not text", "0 to 1000")),
        ('"healthFailures": {"threshold": true}', ("must be a number, not true or false",)),
        ('"healthFailures": {"threshold": null}', ("must be a number, not null",)),
        ('"healthFailures": {"threshold": -1}', ("must not be negative, is -1", "0 to 1000")),
        ('"healthFailures": {"threshold": 1.5}', ("must be a whole number, is 1.5",)),
        ('"extractionFailureRate": {"threshold": 101}', ("101 makes no sense", "0 to 100 percent")),
        ('"extractionFailureRate": {"threshold": -0.1}', ("must not be negative",)),
        ('"extractionFailureRate": {"timeWindow": 0}', ("must be longer than nothing",)),
        ('"p95HashTime": {"timeWindow": "10 parsecs"}', ("unit 'parsecs'", "ms, s, m, h, d")),
        ('"p95HashTime": {"timeWindow": -5}', ("must not be negative",)),
        ('"p95HashTime": {"timeWindow": []}', ("must be a duration, not a list",)),
        ('"p95HashTime": {"threshold": 0}', ("makes no sense", "milliseconds")),
        ('"lowConfidenceQueue": {"threshold": -3}', (f"{WHERE}lowConfidenceQueue.threshold:",)),
        ('"autoRollback": "yes"', (f"{WHERE}autoRollback: must be true or false", "quotes")),
        ('"monitoring": {"duration": 3600}', (".duration: 3600 would be", 'write "3600s"')),
        ('"monitoring": {"duration": 0}', (".duration: must be longer",)),
        ('"monitoring": {"interval": 0}', (".interval: must be longer",)),
        ('"monitoring": {"interval": true}', (".interval: must be a duration",)),
        ('"monitoring": {"intervall": 5}', ("did you mean interval?",)),
        ('"minimumSamples": 0', (f"{WHERE}minimumSamples: 0 makes no sense",)),
        ('"unknownAtEnd": "rollback"', ("did you mean roll-back? allowed: hold, roll-back",)),
        ('"extendMinutes": -1', (f"{WHERE}extendMinutes: must not be negative",)),
        ('"auto_rollback": true, "autoRollback": false', ("line 3", "keep one of them")),
        ('"healthFailures": {"threshold": 1}, "qualityGates": {"healthFailures": {"threshold": 2}}',
         ("qualityGates.healthFailures: says something else", "keep one of them")),
        ('"healthFailures": {"threshold": 1}, "healthFailures": {"threshold": 1}', ("twice",)),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused_with_file_line_and_key(folder, refused, body, said):
    """What is wrong, what is allowed, what was probably meant."""
    folder.gates(production(body))
    refused("quality-gates-config.json:3: ", "\n  -> ", *said)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"environment": {}}', ("quality-gates-config.json:1: environment:", "environments?")),
        ('{"environments": {\n"prodution": {}}}', (":2: environments.prodution:", "production?")),
        ("[]", ("quality-gates-config.json:1: must be a table",)),
        (
            '{\n"environments": {\n"production": {,}}}',
            ("quality-gates-config.json:3: is not valid",),
        ),
    ],
)
def test_a_file_of_another_shape_is_refused(folder, refused, text, said):
    """A misspelled environment would otherwise be ignored silently."""
    folder.gates(text)
    refused(*said)


def test_the_files_name_in_a_message_is_the_one_that_was_given(folder, tmp_path):
    """With --config another file is read; it must exist."""
    other = tmp_path / "elsewhere" / "gates.json"
    folder.write("elsewhere/gates.json", production('"healthFailures": {"threshold": 9}'))
    assert folder.load(gates_file=other).environment.gates.health.threshold == 9
    other.unlink()
    with pytest.raises(Exception, match=r"gates\.json does not exist"):
        folder.load(gates_file=other)


def test_a_relative_name_is_taken_from_where_the_command_runs(folder, monkeypatch):
    """And the file that was used is the one that is backed up."""
    folder.write("other.json", production('"healthFailures": {"threshold": 9}'))
    monkeypatch.chdir(folder.path)
    environment = folder.load(gates_file=Path("other.json")).environment
    assert environment.gates.health.threshold == 9
    assert environment.config_files == ("rollout.toml", "other.json")


def test_without_the_file_the_built_in_numbers_hold_and_a_warning_says_so(folder):
    """Nobody should believe that a file was read."""
    spec = folder.load()
    assert spec.environment.gates.health.threshold == 2
    assert spec.warnings == (
        "quality-gates-config.json does not exist: the built-in limits are used",
    )


def test_evidence_judges_unless_thresholds_are_wanted(folder):
    """With the documents' limits; rules are inherited like every other number."""
    gates = gates_of(folder, {})
    assert gates.evidence == ROBUST
    judged = {"judge": "thresholds"}
    assert gates_of(folder, {"environments": {"production": judged}}).evidence is None
    folder.edit("[environments.staging]", "[environments.eu-west]")
    file = {"environments": {"production": {"evidence": {"alpha": 0.002}}, "eu-west": {}}}
    rules = gates_of(folder, file, "eu-west").evidence
    assert rules is not None
    assert rules.alpha == 0.002
    file = {"environments": {"production": judged, "eu-west": {}}}
    assert gates_of(folder, file, "eu-west").evidence is None


def test_a_short_watch_has_a_short_grace(folder):
    """Or evidence would not begin before the watch is over."""
    file = {"environments": {"production": {"monitoring": {"duration": "60s"}}}}
    rules = gates_of(folder, file).evidence
    assert rules is not None
    assert (rules.grace, rules.bake) == (3.0, 10.0)
    said = {"grace": "20s", "bake": 1, "dispersion": 2.5, "restarts_per_hour": 3, "early": True}
    file["environments"]["production"]["evidence"] = said
    gates = gates_of(folder, file)
    assert gates.evidence is not None
    assert (gates.evidence.grace, gates.evidence.bake) == (20.0, 60.0)
    assert (gates.dispersion, gates.restarts, gates.early) == (2.5, 3.0, True)


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ({"evidence": {"alpha": 0.9}}, "alpha"),
        ({"evidence": {"margin": 3}}, "tolerated"),
        ({"evidence": {"power": 1}}, "power"),
        ({"judge": "thresholds", "evidence": {}}, "thresholds judge here"),
        ({"judge": "dice"}, "dice"),
        ({"extractionFailureRate": {"threshold": 0}}, "leaves nothing to weigh"),
    ],
)
def test_rules_that_promise_nothing_are_refused(folder, said, told):
    """File, line and key."""
    with pytest.raises(BadInput) as caught:
        gates_of(folder, {"environments": {"production": said}})
    assert told in str(caught.value)
    assert "quality-gates-config.json" in str(caught.value)
