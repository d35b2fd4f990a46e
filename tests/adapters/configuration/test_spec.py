"""All files together become one Spec."""

import pytest

from guarded_rollout.adapters.configuration import load_spec, with_duration
from guarded_rollout.core.spec import DatabaseAddress

DB = "DB_HOST=prod-db.company.com\nDB_PORT=5433\nDB_NAME=toy_prod\nDB_USER=toy_user\n"


def test_the_service_conf_overrides_replicas_and_speaks_to_the_service(folder):
    """What is not enforced is said."""
    folder.gates("{}")
    folder.write(
        "config/toy_production.conf",
        "TOY_SERVICE_NAME=toy-production\nTOY_IMAGE_TAG=v1.2.3\nTOY_REPLICAS=3\n"
        "TOY_MEMORY_LIMIT=2Gi\nTOY_CPU_LIMIT=1000m\n",
    )
    spec = folder.load()
    assert spec.environment.replicas == 3
    assert dict(spec.environment.env)["TOY_IMAGE_TAG"] == "v1.2.3"
    (warning,) = spec.warnings
    assert warning.startswith(
        "config/toy_production.conf:2: TOY_IMAGE_TAG, TOY_MEMORY_LIMIT, TOY_CPU_LIMIT: given to "
    )
    assert warning.endswith("not enforced on one machine")
    assert folder.load("staging").environment.replicas == 1


def test_the_database_conf_puts_the_data_into_postgresql(folder):
    """And both conf files go into the backup."""
    folder.gates("{}")
    folder.write("config/db_production.conf", DB)
    folder.write("config/toy_production.conf", "")
    environment = folder.load().environment
    assert environment.database == DatabaseAddress(
        "postgresql", host="prod-db.company.com", port=5433, name="toy_prod", user="toy_user"
    )
    assert environment.config_files == (
        "rollout.toml",
        "quality-gates-config.json",
        "config/toy_production.conf",
        "config/db_production.conf",
    )


def test_an_environment_that_insists_on_postgresql_needs_its_conf_file(folder, refused):
    """A lost file must not lead to an empty SQLite database."""
    folder.edit('"sqlite:data/production/toy.db"', '"postgresql"')
    refused(
        "rollout.toml:18: environments.production.database:",
        "config/db_production.conf does not exist",
        "cp config/db_production.conf.example config/db_production.conf",
    )


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("toy", "TOY_REPLICA=3", ("toy_production.conf:1: TOY_REPLICA:", "mean TOY_REPLICAS?")),
        ("toy", "DHASH_REPLICAS=3", ("DHASH_REPLICAS: this key is not known", "TOY_REPLICAS")),
        ("toy", "\nTOY_REPLICAS=three", (".conf:2: TOY_REPLICAS: must be a whole number",)),
        ("toy", "TOY_REPLICAS=-1", ("must not be negative, is -1",)),
        ("toy", "TOY_REPLICAS=0", ("0 makes no sense here", "1 to 64")),
        ("toy", "TOY_REPLICAS=", ("TOY_REPLICAS: must not be empty",)),
        ("toy", "TOY_MEMORY_LIMIT=lots", ("TOY_MEMORY_LIMIT: 'lots' is not understood", "512Mi")),
        ("toy", "TOY_REPLICAS=$(nproc)", ("TOY_REPLICAS: conf files are parsed, never executed",)),
        ("db", DB + "DB_PASSWORD=hunter2", ("db_production.conf:5: DB_PASSWORD:", ".pgpass")),
        ("db", DB + "PGPASSWORD='x'", ("PGPASSWORD: passwords are not read", "PGPASSWORD in the")),
        ("db", DB + "DATABASE_URL=x", ("DATABASE_URL: passwords are not read",)),
        ("db", "DB_HOST=h\nDB_NAME=n\n", ("db_production.conf:2: DB_USER: is missing",)),
        ("db", "", ("db_production.conf:1: DB_HOST: is missing",)),
        ("db", DB.replace("5433", "70000"), (":2: DB_PORT: 70000 makes no sense", "1 to 65535")),
        ("db", DB.replace("5433", "5.5"), ("DB_PORT: must be a whole number",)),
        ("db", DB.replace("prod-db.", "u@"), ("DB_HOST:", "a host name")),
        ("db", DB + "DB_HOSTS=x", ("DB_HOSTS: this key", "mean DB_HOST?")),
    ],
)
def test_a_wrong_conf_file_is_refused_with_line_and_key(folder, refused, name, text, said):
    """The same form as everywhere."""
    folder.write(f"config/{name}_production.conf", text)
    refused(f"config/{name}_production.conf:", "\n  -> ", *said)
    assert "hunter2" not in folder.problem()


def test_the_first_error_of_each_file_is_said_at_once(folder):
    """Three files with mistakes are three messages, not three runs."""
    folder.gates('{"environments": {"production": {"autoRollback": 1, "monitoring": 5}}}')
    folder.write("config/toy_production.conf", "X")
    folder.write("config/db_production.conf", "Y=1\nZ=2")
    said = folder.problem()
    assert "production.monitoring: must be" in said
    assert "autoRollback" not in said
    assert "toy_production.conf:1: X:" in said
    assert "db_production.conf:1: Y:" in said
    assert said.count("\n  -> ") == 3


def test_a_window_longer_than_the_watch_gives_one_warning(folder):
    """Also when the command line makes the watch shorter. Evidence judges all of a watch."""
    folder.gates('{"environments": {"production": {"monitoring": {"duration": 12}}}}')
    assert folder.load().warnings == ()
    folder.gates(
        '{"environments": {"production": {"judge": "thresholds", "monitoring": {"duration": 12}}}}'
    )
    spec = folder.load()
    (warning,) = spec.warnings
    assert warning.startswith("p95HashTime looks back 15 min, but the watch lasts 12 min: ")
    longer = with_duration(spec, 3600.0)
    assert longer.warnings == ()
    assert longer.environment.watch.schedule.duration == 3600.0
    shorter = with_duration(longer, 300.0)
    assert len(shorter.warnings) == 1
    assert shorter.warnings[0].startswith(
        "extractionFailureRate looks back 10 min and p95HashTime looks back 15 min"
    )


def test_an_environment_variable_that_contradicts_a_conf_file_gives_a_warning(folder):
    """The file wins, and the variable's value is not shown."""
    folder.gates("{}")
    folder.write("config/db_production.conf", DB)
    environ = {"DB_HOST": "elsewhere", "DB_NAME": "toy_prod", "DB_OTHER": "x"}
    spec = load_spec(folder.path, "production", None, environ)
    assert spec.environment.database.host == "prod-db.company.com"
    (warning,) = spec.warnings
    assert warning.startswith("config/db_production.conf:1: DB_HOST: the environment variable")
    assert warning.endswith("the file wins")
    assert "elsewhere" not in warning
