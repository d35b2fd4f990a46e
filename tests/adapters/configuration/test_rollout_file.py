"""rollout.toml: every mistake is named with its line, its key and a way out."""

import pytest

from guarded_rollout.adapters.configuration import environments
from guarded_rollout.core.problems import BadInput

CHECK = '[[service.checks]]\nname = "health"\npath = "/health"\n'


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('health = "/health"', 'heath = "/health"',
         ("rollout.toml:5: service.heath: this key is not known", "did you mean health?")),
        ('health = "/health"\n\n', "\n", ("rollout.toml:1: service.health: is missing",)),
        ('health = "/health"', 'health = "health"', ("rollout.toml:5: service.health:", '"/"')),
        ('health = "/health"', "health = 5", ("must be text, not a number", 'quotes: "5"')),
        ('health = "/health"', 'health = ["/health"]', ("must be text, not a list",)),
        ('health = "/health"', 'health = ""', ("must not be empty",)),
        ('health = "/health"', 'health = "a\\nb"', ("control characters",)),
        ('health = "/health"', 'health = "/health"\nready_within = "10 parsecs"',
         ("rollout.toml:6: service.ready_within:", "'parsecs'", "ms, s, m, h, d")),
        ('health = "/health"', 'health = "/health"\nready_within = 30',
         ("must be a duration with a unit, not a number", '"30s"')),
        ('health = "/health"', 'health = "/health"\nready_within = "30"', ("no unit",)),
        ('health = "/health"', 'health = "/health"\ndrain_within = "-1s"', ("negative",)),
        ('name = "toy"', 'name = "To y"', ("rollout.toml:2: service.name:", "lower-case")),
        ('source = "toy"', 'source = "/toy"', ("rollout.toml:3: service.source:", "below")),
        ('source = "toy"', 'source = "../toy"', ("service.source:", "without ..")),
        ('source = "toy"', "source = 'a\\b'", ("service.source:", "with /")),
        ('"{socket}"]', '"x"]', ("rollout.toml:4: service.start: does not contain {socket}",)),
        ('"{socket}"]', '"{sock}", "{socket}"]', ("service.start[4]: {sock}", "{folder}")),
        ('"{socket}"]', '"{socket}", 5]', ("service.start[5]: must be text, not a number",)),
        ("start = [", 'start = "x"\nx = [', ("service.x: this key is not known",)),
        ("'toy_total{result=\"failed\"}'", '"toy_total"',
         (":8: service.metrics.failures", "PromQL")),
        ('"toy_seconds"', '"toy_seconds_bucket"',
         ("service.metrics.durations:", "write toy_seconds")),
        ('"toy_queue"', '"toy queue"', ("service.metrics.queue:", "without labels")),
        (CHECK, "", ("rollout.toml:1: service.checks: is missing",)),
        (CHECK, CHECK + CHECK, ("rollout.toml:15: service.checks[1]:", "is taken")),
        (CHECK, CHECK + 'tier = "standard"\n', ("service.checks: no check is critical",)),
        (CHECK, CHECK + 'tier = "urgent"\n',
         (":15: service.checks[0].tier:", "critical, standard")),
        (CHECK, CHECK + "status = 99\n", ("service.checks[0].status: 99 makes no sense",)),
        (CHECK, CHECK + 'method = "FETCH"\n', ("'FETCH'", "GET, HEAD, POST")),
        (CHECK, CHECK + 'body_file = "x"\n', ("body_file: a GET request has no body", "POST")),
        (CHECK, CHECK + 'method = "POST"\nbody_file = "x"\n', ("body_file: there is no file x",)),
        (CHECK, CHECK + 'method = "POST"\nbody_file = "rollout.toml"\n', ("no content_type",)),
        (CHECK, CHECK + 'within = "0s"\n', ("within: must be longer",)),
        (CHECK, CHECK + 'area = "speed"\n', ("checks[0].area: 'speed'", "api, performance")),
        (CHECK, CHECK + "repeat = 0\n", ("checks[0].repeat: 0 makes no sense", "1 to 1000")),
        (CHECK, CHECK + "concurrency = 4\n", ("so many at once of 1 in all", "repeat")),
        (CHECK, CHECK + "percentile = 99\n", ("percentile: says nothing without a budget",)),
        (CHECK, CHECK + "budget = 5\n", ("checks[0].budget: must be a duration with a unit",)),
        (CHECK, CHECK + 'percentile = 101\nbudget = "1s"\n', ("percentile: 101 makes no sense",)),
        (CHECK, CHECK + "lacks = [1]\n", ("checks[0].lacks[0]: must be text",)),
        (CHECK, CHECK + 'headers = ["a"]\n', ("checks[0].headers: must be a table",)),
        (CHECK, CHECK + 'headers = { "a b" = "" }\n', ("'a b' is no name of a header",)),
        (CHECK, CHECK + 'no_headers = ["a:b"]\n', ("'a:b' is no name of a header",)),
        (CHECK, CHECK + 'json = { "a..b" = 1 }\n', ("'a..b' is no path", "images.0.hash")),
        (CHECK, CHECK + "json = { a.b = 1 }\n", ("is a table, not a value", '"a.NAME"')),
        (CHECK, CHECK + "json = { a = 2026-11-21 }\n", ("is no value of JSON",)),
        (CHECK, CHECK + "json = { a = nan }\n", ("is no value of JSON",)),
        (CHECK, CHECK + 'token_env = "A B"\n', ("token_env: 'A B' is no name for an environment",)),
        (CHECK, CHECK + 'request_headers = { Authorization = "Bearer abc123def456" }\n',
         ("request_headers.Authorization: seems to be a secret", "token_env")),
        (CHECK, CHECK + 'request_headers = { Host = "x" }\n', ("Host: is not yours to set",)),
        (CHECK, CHECK + 'body = "x"\n', ("body: a GET request has no body",)),
        (CHECK, CHECK + 'method = "POST"\nbody = "x"\n', ("body: has no content_type",)),
        (CHECK, CHECK + 'method = "POST"\nbody = "x"\nbody_size = 5\n',
         ("body_size: is a second body", "body_file, body, body_size")),
        (CHECK, CHECK + 'method = "POST"\ncontent_type = "a/b"\nbody_size = "5GB"\n',
         ("body_size: '5GB' is no size", "at most 256MiB")),
        (CHECK, CHECK + "after_rollback = false\n",
         ("no critical check applies after a rollback",)),
        (CHECK, CHECK + "[service.logging]\n", ("service.logging.probe: is missing",)),
        (CHECK, CHECK + "[service.logging]\nprobe = []\n", ("service.logging.probe: is empty",)),
        (CHECK, CHECK + '[service.logging]\nprobe = ["{socket}"]\n',
         ("{socket} is not known here", "{python}, {folder}")),
        (CHECK, CHECK + '[service.logging]\nprobe = ["x"]\nlevel_env = "1"\n',
         ("level_env: '1' is no name",)),
        (CHECK, CHECK + '[service.env]\nA_TOKEN = "x"\n',
         (":16: service.env.A_TOKEN: seems to be a secret", "A_TOKEN_FILE")),
        (CHECK, CHECK + '[service.env]\nU = "pg://u:p@h/d"\n', ("URL with a password",)),
        (CHECK, CHECK + '[service.env]\nU = "{datbase_url}"\n',
         ("{datbase_url}", "{database_url}")),
        (CHECK, CHECK + "[service.env]\nU = 1\n", ("service.env.U: must be text",)),
        (CHECK, CHECK + '[service.env]\n"A B" = "1"\n', ("no name for an environment variable",)),
        (CHECK, CHECK + "[service.migrations]\n", ("service.migrations.alembic_ini: is missing",)),
        (CHECK, CHECK + '[service.migrations]\nalembic_ini = "{folder}/x"\n', ("{site_packages}",)),
        ('listen = "127.0.0.1:18080"', 'listen = "18080"',
         (":17: environments.production.listen:",)),
        ('listen = "127.0.0.1:18080"', 'listen = "a:70000"', ("no port 70000", "1 to 65535")),
        ('listen = "127.0.0.1:18081"', 'listen = "127.0.0.1:18080"',
         (":21: environments.staging.listen:", "already the listen of production")),
        ("sqlite:data/staging", "sqlite:data/production",
         (":22: environments.staging.database:", "already the database of production")),
        ("sqlite:data/staging/toy.db", "mysql://u:secret@h/d",
         ("environments.staging.database: 'mysql://u:[redacted]@h/d'", "sqlite:data/NAME.db")),
        ("sqlite:data/staging/toy.db", "sqlite:/abs.db", ("environments.staging.database:",)),
        ("sqlite:data/staging/toy.db", "sqlite:../x.db", ("below",)),
        ("[environments.staging]", "[environments.Staging]",
         ("environments.Staging:", "lower-case")),
        ("[environments.staging]", "[environments.staging]\nreplicas = 0", ("0 makes no sense",)),
        ("[environments.staging]", "[environments.staging]\nreplicas = -1", ("negative, is -1",)),
        ("[environments.staging]", "[environments.staging]\nreplicas = inf", ("no usable number",)),
        ("[environments.staging]", "[environments.staging]\nreplicas = 2026-01-01", ("a date",)),
        ("[environments.staging]", '[environments.staging]\nstrategy = "rolling"',
         ("'rolling'", "blue-green", "canary")),
        ("[environments.staging]", '[environments.staging]\nsticky = ["cookie:session"]',
         ("sticky", "belongs to a canary")),
        ("[environments.staging]",
         '[environments.staging]\nstrategy = "canary"\nsticky = ["session"]',
         ("sticky[0]", "header:NAME")),
        ("[environments.staging]",
         ('[environments.staging]\nstrategy = "canary"\n'
          'stages = [{ percent = 50, bake = "1m" }, { percent = 20, bake = "1m" }]'),
         ("stages[1].percent", "is not more than the stage before")),
        ("[environments.staging]",
         ('[environments.staging]\nstrategy = "canary"\n'
          'stages = [{ percent = 5.05, bake = "1m" }]'),
         ("stages[0].percent", "steps of 0.1")),
        ("[environments.staging]", "[environments.staging]\nallow_forward_only = 1",
         ("allow_forward_only",)),
        ("[environments.staging]", "[environments.staging]\nretention_days = 0", ("0 makes",)),
        ("[environments.staging]", '[environments.staging]\ndata_dirs = ["/etc"]',
         ("data_dirs[0]:",)),
        ("[environments.staging]", "[environments.staging]\nsynthetic_per_second = -1",
         ("negative",)),
        ("[service]", "[services]",
         ("rollout.toml:1: services: this key", "did you mean service?")),
    ],
)  # fmt: skip
def test_a_mistake_is_named_with_file_line_and_key(folder, refused, old, new, said):
    """Whatever environment is asked for: the file is checked whole."""
    folder.edit(old, new)
    refused("rollout.toml:", "\n  -> ", *said)


def test_the_message_never_repeats_a_password(folder):
    """Not even one that stands where it should not."""
    folder.edit("sqlite:data/staging/toy.db", "mysql://u:hunter2@h/d")
    assert "hunter2" not in folder.problem()


def test_an_unknown_environment_is_answered_with_the_known_ones(folder, refused):
    """And with the one that was probably meant."""
    refused(
        "environments.prod:", "did you mean production?", "production, staging", environment="prod"
    )


def test_the_environments_come_in_the_files_order(folder):
    """For completion, and for commands that look at all of them."""
    assert environments(folder.path) == ("production", "staging")


def test_a_folder_without_the_file_is_named(tmp_path):
    """With what to do."""
    with pytest.raises(BadInput) as caught:
        environments(tmp_path)
    assert f"there is no rollout.toml in {tmp_path}" in str(caught.value)
    assert "copy the one" in str(caught.value)


def test_optional_keys_reach_the_spec(folder):
    """Durations become seconds, milliseconds where the Spec says so."""
    folder.edit(
        CHECK,
        CHECK
        + 'within = "500ms"\nmethod = "POST"\nbody_file = "rollout.toml"\ncontent_type = "a/b"\n'
        + 'status = 201\ncontains = "x"\n[service.env]\nEMPTY = ""\nJSON = \'{"a": 1}\'\n'
        + '[service.migrations]\nalembic_ini = "{site_packages}/a.ini"\nlock_timeout = "2s"\n'
        + 'timeout = "5m"\n[environments.eu]\nlisten = "[::1]:9000"\ndatabase = "sqlite:e.db"\n'
        + 'replicas = 3\nretention_days = 30\nconfig_files = ["rollout.toml"]\n'
        + 'data_dirs = ["data/files"]\nprobe_every = "2s"\nscrape_every = "10s"\n'
        + 'synthetic_per_second = 0.5\nenv = { LEVEL = "DEBUG" }\n',
    )
    spec = folder.load("eu")
    check = spec.service.checks[0]
    assert (check.within_ms, check.method, check.status, check.contains) == (
        500.0,
        "POST",
        201,
        "x",
    )
    assert spec.service.env == (("EMPTY", ""), ("JSON", '{"a": 1}'))
    assert spec.service.migrations is not None
    assert spec.service.migrations.lock_timeout_seconds == 2.0
    assert spec.service.migrations.timeout_seconds == 300.0
    eu = spec.environment
    assert (eu.listen_host, eu.listen_port, eu.replicas, eu.retention_days) == ("::1", 9000, 3, 30)
    assert (eu.config_files, eu.data_dirs) == (("rollout.toml",), ("data/files",))
    assert (eu.watch.probe_seconds, eu.watch.scrape_seconds) == (2.0, 10.0)
    assert (eu.watch.synthetic_per_second, eu.env) == (0.5, (("LEVEL", "DEBUG"),))


def test_a_file_to_back_up_that_is_not_there_is_refused(folder, refused):
    """A backup must not lack it silently."""
    folder.edit("[environments.staging]", '[environments.staging]\nconfig_files = ["x.conf"]')
    refused(
        "rollout.toml:21: environments.staging.config_files[0]:", "x.conf", environment="staging"
    )
