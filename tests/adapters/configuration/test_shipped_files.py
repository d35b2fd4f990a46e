"""The files that come with the tool load, and say what the documents say."""

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from guarded_rollout.adapters.configuration import environments, load_spec
from guarded_rollout.adapters.configuration.defaults import BUILT_IN
from guarded_rollout.core.gates import (
    DurationGate,
    FailureRateGate,
    Gates,
    HealthGate,
    QueueGate,
)
from guarded_rollout.core.schedule import Schedule
from guarded_rollout.core.spec import LogProbe, MetricNames, Spec, Tier

ROOT = Path(__file__).parents[3]

# name: health, rate %, rate min, p95 ms, p95 min, queue, watch min, every s, then s, rolls back
NUMBERS = {
    "production": (2, 5.0, 10, 2000.0, 15, 1000.0, 60, 30.0, 120.0, True),
    "staging": (3, 8.0, 10, 3000.0, 15, 1500.0, 30, 30.0, 60.0, False),
    "canary": (1, 2.0, 5, 1500.0, 10, 500.0, 15, 15.0, 30.0, True),
    "development": (5, 15.0, 5, 5000.0, 10, 2000.0, 2, 5.0, 10.0, True),
}


def shipped(environment: str) -> Spec:
    return load_spec(ROOT, environment, None, {})


@pytest.mark.parametrize("name", NUMBERS)
def test_the_documents_numbers_are_written_and_built_in(name):
    """Written in the file, and the same without it."""
    health, rate, rate_min, p95, p95_min, queue, watch, every, then, back = NUMBERS[name]
    environment = shipped(name).environment
    assert replace(environment.gates, evidence=None) == Gates(
        HealthGate(health),
        FailureRateGate(rate, rate_min * 60.0),
        DurationGate(p95, p95_min * 60.0),
        QueueGate(queue),
    )
    first_for = 60.0 if name == "development" else 300.0
    assert environment.watch.schedule == Schedule(watch * 60.0, every, first_for, then)
    assert environment.watch.auto_rollback is back
    built_in = BUILT_IN[name]
    assert environment.gates == built_in.gates
    assert environment.watch.schedule == built_in.schedule
    assert environment.watch.auto_rollback == built_in.auto_rollback
    assert environment.watch.unknown is built_in.unknown
    assert environment.watch.extend_seconds == built_in.extend_seconds


def test_the_environments_are_the_documents_and_share_nothing():
    """Own ports, own databases."""
    names = environments(ROOT)
    assert names == tuple(NUMBERS)
    found = [shipped(name).environment for name in names]
    assert len({e.listen_port for e in found}) == len({e.database.path for e in found}) == 4
    assert {e.listen_host for e in found} == {"127.0.0.1"}
    assert [e.name for e in found if e.watch.synthetic_per_second] == ["development"]


def test_the_commented_policy_of_sign_offs_loads_when_it_is_taken_in(tmp_path):
    """It is off as shipped: production deploys from a fresh copy."""
    assert shipped("production").environment.signoffs is None
    text = (ROOT / "rollout.toml").read_text()
    keys = r"\[environments.production.s|needed|from_g|valid_f|signers =|\[signoffs|groups|accounts"
    taken_in, count = re.subn(rf"^# (?={keys})", "", text, flags=re.MULTILINE)
    assert count == 9
    (tmp_path / "rollout.toml").write_text(taken_in)
    (tmp_path / "services").symlink_to(ROOT / "services")
    policy = load_spec(tmp_path, "production", None, {}).environment.signoffs
    assert policy is not None
    assert (policy.needed, policy.from_groups) == (2, (("ops", 1),))


def test_the_reference_service_is_described():
    """Its metrics, its migrations, its critical checks with a real photo."""
    service = shipped("production").service
    assert service.metrics == MetricNames(
        "dhash_extractions_total",
        "result=failed",
        "dhash_hash_seconds",
        "dhash_low_confidence_queue_length",
    )
    assert service.migrations is not None
    assert service.migrations.alembic_ini == "{site_packages}/dhash/alembic.ini"
    assert ("DHASH_DATABASE_URL", "{database_url}") in service.env
    critical = {check.path: check for check in service.checks if check.tier is Tier.CRITICAL}
    assert list(critical) == ["/health", "/version", "/metrics", "/integrity", "/api/dhash/extract"]
    photo = critical["/api/dhash/extract"]
    assert photo.body_file is not None
    assert (ROOT / photo.body_file).read_bytes().startswith(b"\xff\xd8\xff")
    golden = json.loads((ROOT / "services/dhash/golden/golden.json").read_bytes())
    approved = golden[Path(photo.body_file).name][0]
    assert dict(photo.json)["images.0.hash"] == f'"{approved["fast"]}"'
    assert service.logging == LogProbe(("{python}", "-m", "dhash", "log-probe"), "DHASH_LOG_LEVEL")


@pytest.mark.parametrize("name", NUMBERS)
def test_the_example_conf_files_load_when_they_are_copied(tmp_path, name):
    """As the documents' setup says: cp X.conf.example X.conf."""
    for file in ("rollout.toml", "quality-gates-config.json"):
        shutil.copy(ROOT / file, tmp_path)
    for check in shipped(name).service.checks:
        if check.body_file is not None:
            (tmp_path / check.body_file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / check.body_file, tmp_path / check.body_file)
    (tmp_path / "config").mkdir()
    for stem in ("dhash", "db"):
        example = ROOT / "config" / f"{stem}_{name}.conf.example"
        text = example.read_text()
        assert f"cp config/{example.name} config/{stem}_{name}.conf" in text
        (tmp_path / "config" / f"{stem}_{name}.conf").write_text(text)
    spec = load_spec(tmp_path, name, None, {})
    assert spec.environment.database.kind == "postgresql"
    assert spec.environment.database.port == 5432
    assert not [warning for warning in spec.warnings if "config/" in warning]


@pytest.mark.parametrize("name", NUMBERS)
def test_a_spec_survives_the_journal(name):
    """It is frozen into the plan as JSON and read back the same."""
    spec = shipped(name)
    assert msgspec.json.decode(msgspec.json.encode(spec), type=Spec) == spec


FRAGMENTS = {
    "s002, per environment": """
{
  "environments": {
    "staging": { "healthFailures": { "threshold": 3 } },
    "production": { "healthFailures": { "threshold": 2 } },
    "canary": { "healthFailures": { "threshold": 1 } }
  }
}
""",
    "s002, tuning": """
{
  "environments": {
    "production": {
      "qualityGates": {
        "healthFailures": { "threshold": 2 },
        "extractionFailureRate": { "threshold": 5.0, "timeWindow": 10 },
        "p95HashTime": { "threshold": 2000, "timeWindow": 15 },
        "lowConfidenceQueue": { "threshold": 1000 }
      },
      "autoRollback": true
    }
  }
}
""",
    "s004, the template": """
{
  "quality_gates": {
    // Custom thresholds here
  }
}
""",
}
CONF = {
    "dhash": """
DHASH_SERVICE_NAME=dhash-production
DHASH_IMAGE_TAG=v1.2.3
DHASH_REPLICAS=3
DHASH_MEMORY_LIMIT=2Gi
DHASH_CPU_LIMIT=1000m
""",
    "db": """
DB_HOST=prod-db.company.com
DB_PORT=5432
DB_NAME=dhash_prod
DB_USER=dhash_prod_user
""",
}


@pytest.mark.parametrize("fragment", FRAGMENTS.values(), ids=FRAGMENTS)
@pytest.mark.parametrize("name", NUMBERS)
def test_the_documents_fragments_of_the_gates_file_load_as_they_stand(tmp_path, fragment, name):
    """They only repeat what is built in, so nothing changes."""
    gates = tmp_path / "gates.json"
    gates.write_text(fragment)
    assert load_spec(ROOT, name, gates, {}).environment.gates == BUILT_IN[name].gates


def test_the_documents_conf_files_load_as_they_stand(folder):
    """For a service of that name."""
    folder.edit('name = "toy"', 'name = "dhash"')
    for stem, text in CONF.items():
        folder.write(f"config/{stem}_production.conf", text)
    environment = folder.load().environment
    assert environment.replicas == 3
    assert environment.database.name == "dhash_prod"
