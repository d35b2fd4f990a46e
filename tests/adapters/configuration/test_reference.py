"""The reference page names every key, and its example loads."""

import re
from pathlib import Path

from guarded_rollout.adapters.configuration import (
    copies_section,
    journal_section,
    load_spec,
    signoffs_section,
)
from guarded_rollout.adapters.configuration.conf_settings import _DB_KEYS, _GIVEN_TO_SERVICE
from guarded_rollout.adapters.configuration.defaults import BUILT_IN
from guarded_rollout.adapters.configuration.environment_section import _OPTIONAL, _REQUIRED
from guarded_rollout.adapters.configuration.evidence_section import _KEYS
from guarded_rollout.adapters.configuration.gates_file import _GATES, _MONITORING, _POLICY

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "reference" / "configuration.md").read_text()


def test_every_key_is_on_the_page():
    """What is not described cannot be used."""
    folder = ROOT / "src/guarded_rollout/adapters/configuration"
    files = ("service_section.py", "checks_section.py")
    source = "".join((folder / file).read_text() for file in files)
    sections = re.findall(r"(?:required|optional)=\(([^)]*)\)", source)
    service = re.findall(r'"([a-z_]+)"', " ".join(sections))
    assert {"name", "failures", "body_file", "alembic_ini", "ready_within"} <= set(service)
    conf = [f"DHASH_{key}" for key in _GIVEN_TO_SERVICE]
    places = ("to", *copies_section.OPTIONAL)
    keys = [
        *service,
        *places,
        *_REQUIRED,
        *_OPTIONAL,
        *_GATES,
        *_POLICY,
        *_MONITORING,
        *_KEYS,
        *journal_section.KEYS,
        *_DB_KEYS,
        *conf,
    ]
    assert [key for key in keys if not re.search(rf"[`.\"]{key}[`.\"\]:]", PAGE)] == []


def test_every_key_of_sign_offs_is_on_their_page():
    """They have one of their own."""
    page = (ROOT / "docs" / "reference" / "signoffs.md").read_text()
    keys = ["needed", *signoffs_section.POLICY, *signoffs_section.PERSON]
    assert [key for key in keys if f"{key}` |" not in page] == []


def test_the_example_on_the_page_is_what_is_built_in(tmp_path):
    """Production's numbers."""
    example = re.search(r"```json\n(.*?)```", PAGE, re.DOTALL)
    assert example is not None
    file = tmp_path / "gates.json"
    file.write_text(example[1])
    environment = load_spec(ROOT, "production", file, {}).environment
    assert environment.gates == BUILT_IN["production"].gates
    assert environment.watch.schedule == BUILT_IN["production"].schedule


def test_the_table_on_the_page_has_the_built_in_numbers():
    """Column by column."""
    rows = dict(re.findall(r"^\| `([\w.]+)` \| [^|]* \| (.*) \|$", PAGE, re.MULTILINE))
    for column, name in enumerate(("production", "staging", "canary", "development")):
        policy = BUILT_IN[name]
        gates, schedule = policy.gates, policy.schedule
        expected = {
            "healthFailures.threshold": gates.health.threshold,
            "extractionFailureRate.threshold": gates.failure_rate.threshold,
            "extractionFailureRate.timeWindow": gates.failure_rate.window / 60,
            "p95HashTime.threshold": gates.duration.threshold,
            "p95HashTime.timeWindow": gates.duration.window / 60,
            "lowConfidenceQueue.threshold": gates.queue.threshold,
            "monitoring.duration": schedule.duration / 60,
            "monitoring.initialInterval": schedule.first_every,
            "monitoring.initialPeriod": schedule.first_for,
            "monitoring.interval": schedule.then_every,
            "minimumSamples": gates.failure_rate.minimum,
            "extendMinutes": policy.extend_seconds / 60,
        }
        shown = {key: rows[key].split(" | ")[column] for key in expected}
        assert {key: float(text) for key, text in shown.items()} == expected
        assert rows["autoRollback"].split(" | ")[column] == str(policy.auto_rollback).lower()
        assert rows["unknownAtEnd"].split(" | ")[column] == str(policy.unknown)
