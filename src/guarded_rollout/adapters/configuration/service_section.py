"""The `[service]` section of rollout.toml: what is deployed, how it starts, its checks."""

import re
from collections.abc import Iterable
from pathlib import Path

from guarded_rollout.adapters.configuration.checks_section import (
    VARIABLE,
    read_checks,
    url_path,
    variable,
)
from guarded_rollout.adapters.configuration.custom_section import read_custom
from guarded_rollout.adapters.configuration.located import Value, given, quoted
from guarded_rollout.adapters.configuration.metric_names import counter_with_label, metric
from guarded_rollout.core.spec import LogProbe, MetricNames, Migrations, Service

NAME = re.compile(r"[a-z][a-z0-9-]{0,29}")
START_PLACEHOLDERS = ("python", "folder", "socket", "replica")
PROBE_PLACEHOLDERS = ("python", "folder")
ENV_PLACEHOLDERS = ("environment", "release", "version", "database_url")
ALEMBIC_PLACEHOLDERS = ("site_packages",)

_PLACEHOLDER = re.compile(r"\{([A-Za-z_]+)\}")
_SECRET = re.compile(r"(?:PASSWORD|PASSWD|SECRET|TOKEN|API_?KEY|PRIVATE_?KEY)$", re.IGNORECASE)
_PASSWORD_IN_URL = re.compile(r"://[^/\s:@]*:[^/\s@]+@")
_READY = _DRAIN = 30.0


def read_service(value: Value, root: Path) -> Service:
    """The service. BadInput names file, line and key."""
    fields = value.table(
        required=("name", "source", "start", "health", "metrics", "checks"),
        optional=("migrations", "env", "ready_within", "drain_within", "logging"),
    )
    metrics = fields["metrics"].table(
        required=("failures", "durations", "queue"),
        optional=("path", "custom", "queue_arrivals", "queue_departures"),
    )
    migrations = fields.get("migrations")
    return Service(
        name=identifier(fields["name"]),
        source=fields["source"].relative_path(),
        start=_start(fields["start"]),
        health_path=url_path(fields["health"]),
        metrics_path=given(metrics.get("path"), url_path, "/metrics"),
        metrics=_metric_names(metrics),
        checks=read_checks(fields["checks"], root),
        migrations=_migrations(migrations) if migrations is not None else None,
        env=given(fields.get("env"), variables, ()),
        ready_seconds=given(fields.get("ready_within"), Value.seconds, _READY),
        drain_seconds=given(fields.get("drain_within"), lambda at: at.seconds(zero=True), _DRAIN),
        logging=given(fields.get("logging"), _log_probe, None),
    )


def identifier(value: Value) -> str:
    """A name that is safe in file names: lower-case letters, digits and hyphens."""
    text = value.text()
    if NAME.fullmatch(text) is None:
        raise value.problem(
            f"{quoted(text)} cannot be a name",
            "use at most 30 lower-case letters, digits and -, beginning with a letter",
        )
    return text


def variables(value: Value) -> tuple[tuple[str, str], ...]:
    """Environment variables for the service's processes. Secrets do not belong here."""
    found = []
    for name, member in value.any_table().items():
        if VARIABLE.fullmatch(name) is None:
            raise member.problem(
                "is no name for an environment variable", "use letters, digits and _ only"
            )
        if _SECRET.search(name):
            raise member.problem(
                "seems to be a secret, and this file is shared, recorded and backed up",
                f"let the service read it from a file and give its name here: {name}_FILE",
            )
        text = member.raw if member.raw == "" else member.text()
        assert isinstance(text, str)
        if _PASSWORD_IN_URL.search(text):
            raise member.problem(
                "contains a URL with a password",
                "take the password out; for the database write {database_url}",
            )
        _known_placeholders(member, text, ENV_PLACEHOLDERS)
        found.append((name, text))
    return tuple(found)


def _start(value: Value) -> tuple[str, ...]:
    words = _words(value, START_PLACEHOLDERS)
    if not any("{socket}" in word for word in words):
        raise value.problem(
            "does not contain {socket}: traffic reaches a replica through that unix socket",
            'add it, for example ["{python}", "-m", "dhash", "serve", "--uds", "{socket}"]',
        )
    return words


def _words(value: Value, placeholders: Iterable[str]) -> tuple[str, ...]:
    """An argument list."""
    for member in value.members():
        _known_placeholders(member, member.text(), placeholders)
    return tuple(member.text() for member in value.members())


def _log_probe(value: Value) -> LogProbe:
    fields = value.table(required=("probe",), optional=("level_env",))
    argv = _words(fields["probe"], PROBE_PLACEHOLDERS)
    if not argv:
        raise fields["probe"].problem(
            "is empty", 'write for example ["{python}", "-m", "dhash", "log-probe"]'
        )
    return LogProbe(argv, given(fields.get("level_env"), variable, None))


def _known_placeholders(value: Value, text: str, known: Iterable[str]) -> None:
    allowed = tuple(known)
    for name in _PLACEHOLDER.findall(text):
        if name not in allowed:
            braces = ", ".join(f"{{{option}}}" for option in allowed)
            raise value.problem(f"{{{name}}} is not known here", f"allowed: {braces}")


_QUEUE_COUNTERS = ("queue_arrivals", "queue_departures")


def _metric_names(fields: dict[str, Value]) -> MetricNames:
    counter, label = counter_with_label(fields["failures"])
    said = [fields[key] for key in _QUEUE_COUNTERS if key in fields]
    if len(said) == 1:
        raise said[0].problem(
            "says half of how the queue moves", f"give both {' and '.join(_QUEUE_COUNTERS)}"
        )
    return MetricNames(
        failures_counter=counter,
        failures_label=label,
        duration_histogram=metric(fields["durations"]),
        queue_gauge=metric(fields["queue"]),
        custom=given(fields.get("custom"), read_custom, ()),
        queue_arrivals=given(fields.get("queue_arrivals"), metric, ""),
        queue_departures=given(fields.get("queue_departures"), metric, ""),
    )


def _migrations(value: Value) -> Migrations:
    fields = value.table(required=("alembic_ini",), optional=("lock_timeout", "timeout"))
    ini = fields["alembic_ini"]
    _known_placeholders(ini, ini.text(), ALEMBIC_PLACEHOLDERS)
    return Migrations(
        alembic_ini=ini.relative_path(),
        lock_timeout_seconds=given(fields.get("lock_timeout"), Value.seconds, 5.0),
        timeout_seconds=given(fields.get("timeout"), Value.seconds, 600.0),
    )
