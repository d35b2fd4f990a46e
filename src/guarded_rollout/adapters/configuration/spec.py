"""One environment's whole configuration as a `Spec`: the only door to the configuration files."""

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from guarded_rollout.adapters.configuration.conf_file import read_conf
from guarded_rollout.adapters.configuration.conf_settings import (
    ServiceConf,
    database_conf,
    service_conf,
)
from guarded_rollout.adapters.configuration.custom_section import with_thresholds
from guarded_rollout.adapters.configuration.defaults import Policy, built_in
from guarded_rollout.adapters.configuration.environment_section import Site, read_sites
from guarded_rollout.adapters.configuration.evidence_section import scaled
from guarded_rollout.adapters.configuration.gates_file import GATES_FILE, read_policies
from guarded_rollout.adapters.configuration.journal_section import read_journal
from guarded_rollout.adapters.configuration.located import Value, suggestion
from guarded_rollout.adapters.configuration.notify_section import read_notify
from guarded_rollout.adapters.configuration.service_section import read_service
from guarded_rollout.adapters.configuration.signoffs_section import Agreeing, read_people
from guarded_rollout.adapters.configuration.toml_file import read_toml
from guarded_rollout.core.gates import CustomKind, Gates
from guarded_rollout.core.problems import BadInput
from guarded_rollout.core.schedule import Schedule
from guarded_rollout.core.signoff_policy import Reviewed
from guarded_rollout.core.spec import (
    DatabaseAddress,
    Environment,
    MetricNames,
    Service,
    Spec,
    WatchPolicy,
)

T = TypeVar("T")

ROLLOUT_FILE = "rollout.toml"
_LONG_WINDOW = "every window longer than the watch judges all that was seen since its start"


def environments(root: Path) -> tuple[str, ...]:
    """The environments that rollout.toml names, in its order."""
    return tuple(_rollout(root)[1])


def metric_names(root: Path) -> MetricNames:
    """The service's metrics; every mistake of rollout.toml is found."""
    return _rollout(root)[0].metrics


def sites_of(root: Path) -> dict[str, Site]:
    """Its environments as they are written; every mistake of rollout.toml is found."""
    return _rollout(root)[1]


def load_spec(
    root: Path,
    environment: str,
    gates_file: Path | None = None,
    environ: Mapping[str, str] = os.environ,
) -> Spec:
    """The environment's Spec. `root` is the folder of rollout.toml; every file is checked whole.

    One BadInput holds the first error of each file, with file, line, key and a hint.
    `gates_file` must exist when given. `environ` is only compared with the conf files: a
    variable that says something else gives a warning, the file wins.
    """
    root = root.absolute()
    service, sites = _rollout(root)
    if environment not in sites:
        some = next(iter(sites.values())).section.place
        raise BadInput(
            f"{ROLLOUT_FILE}:{some.line}: environments.{environment}: no such environment",
            suggestion(environment, sites),
        )
    site = sites[environment]
    problems: list[BadInput] = []

    def attempt(read: Callable[[], T], instead: T) -> T:
        try:
            return read()
        except BadInput as problem:
            problems.append(problem)
            return instead

    gates_path = gates_file.absolute() if gates_file is not None else root / GATES_FILE
    policy = attempt(
        lambda: _policy(root, gates_path, site.name, sites, must_exist=gates_file is not None),
        built_in(site.name),
    )
    conf = attempt(lambda: _service_conf(root, service.name, site.name), ServiceConf())
    database = attempt(lambda: _database(root, site), DatabaseAddress("unread"))
    no_files: tuple[str, ...] = ()
    files = attempt(lambda: _config_files(root, service.name, site, gates_path), no_files)
    if problems:
        raise together(problems)
    policy = with_metrics(policy, service.metrics, site.name)
    warnings = list(conf.warnings)
    if not gates_path.exists():
        warnings.append(f"{GATES_FILE} does not exist: the built-in limits are used")
    warnings += _contradictions(root, service.name, site.name, environ)
    warnings += _window_warnings(policy.gates, policy.schedule)
    return Spec(
        service=service,
        environment=_environment(site, policy, conf, database, files),
        warnings=tuple(warnings),
    )


def with_duration(spec: Spec, seconds: float) -> Spec:
    """The same Spec with a watch of another length, and the warnings that fit it."""
    watch = spec.environment.watch
    schedule = replace(watch.schedule, duration=seconds)
    gates = spec.environment.gates
    if gates.evidence is not None:
        gates = replace(gates, evidence=scaled(gates.evidence, schedule))
    kept = tuple(warning for warning in spec.warnings if not warning.endswith(_LONG_WINDOW))
    return replace(
        spec,
        environment=replace(spec.environment, gates=gates, watch=replace(watch, schedule=schedule)),
        warnings=kept + _window_warnings(gates, schedule),
    )


def _rollout(root: Path) -> tuple[Service, dict[str, Site]]:
    path = root / ROLLOUT_FILE
    if not path.exists():
        raise BadInput(
            f"there is no {ROLLOUT_FILE} in {root}",
            "go to the folder that has it, or copy the one that came with the tool and edit it",
        )
    fields = read_toml(path, ROLLOUT_FILE).table(
        required=("service", "environments"), optional=("journal", "notify", "signoffs")
    )
    if "journal" in fields:
        read_journal(fields["journal"])
    people = read_people(fields["signoffs"]) if "signoffs" in fields else ()
    hub = read_notify(fields.get("notify"), None).github
    reviewed = Reviewed(hub.repository, hub.api) if hub is not None else None
    sites = read_sites(fields["environments"], Agreeing(people, reviewed))
    for site in sites.values():
        read_notify(fields.get("notify"), site.section.any_table().get("notify"))
    return read_service(fields["service"], root), sites


def _policy(
    root: Path, path: Path, environment: str, sites: Mapping[str, Site], *, must_exist: bool
) -> Policy:
    if not path.exists() and not must_exist:
        return built_in(environment)
    shown = str(path.relative_to(root)) if path.is_relative_to(root) else str(path)
    return read_policies(path, shown, sites)[environment]


def _conf_name(stem: str, environment: str) -> str:
    return f"config/{stem}_{environment}.conf"


def _conf(root: Path, stem: str, environment: str) -> dict[str, Value] | None:
    name = _conf_name(stem, environment)
    return read_conf(root / name, name) if (root / name).exists() else None


def _service_conf(root: Path, service: str, environment: str) -> ServiceConf:
    return service_conf(_conf(root, service, environment) or {}, service)


def _database(root: Path, site: Site) -> DatabaseAddress:
    found = _conf(root, "db", site.name)
    name = _conf_name("db", site.name)
    if found is not None:
        return database_conf(found, name)
    if site.sqlite is None:
        raise site.section.member("database").problem(
            f"the database is PostgreSQL, but {name} does not exist",
            f"cp {name}.example {name} and edit it",
        )
    return DatabaseAddress("sqlite", path=site.sqlite)


def _config_files(root: Path, service: str, site: Site, gates_path: Path) -> tuple[str, ...]:
    """What a backup takes along. A file that is asked for must exist."""
    if site.config_files is not None:
        for value in site.config_files:
            if not (root / value.relative_path()).is_file():
                raise value.problem(
                    f"there is no file {value.relative_path()}",
                    "take it out of the list, or create it",
                )
        return tuple(value.relative_path() for value in site.config_files)
    usual = [
        ROLLOUT_FILE,
        gates_path.relative_to(root).as_posix() if gates_path.is_relative_to(root) else GATES_FILE,
        _conf_name(service, site.name),
        _conf_name("db", site.name),
    ]
    return tuple(name for name in usual if (root / name).is_file())


def _environment(
    site: Site,
    policy: Policy,
    conf: ServiceConf,
    database: DatabaseAddress,
    files: tuple[str, ...],
) -> Environment:
    own = dict(site.env) | dict(conf.env)
    return Environment(
        name=site.name,
        listen_host=site.host,
        listen_port=site.port,
        replicas=conf.replicas if conf.replicas is not None else site.replicas,
        database=database,
        gates=policy.gates,
        watch=WatchPolicy(
            schedule=policy.schedule,
            auto_rollback=policy.auto_rollback,
            probe_seconds=site.probe_seconds,
            scrape_seconds=site.scrape_seconds,
            extend_seconds=policy.extend_seconds,
            unknown=policy.unknown,
            host=site.alerts,
            synthetic_per_second=site.synthetic_per_second,
        ),
        strategy=site.strategy,
        retention_days=site.retention_days,
        copies=site.copies,
        config_files=files,
        allow_forward_only=site.allow_forward_only,
        stages=site.stages,
        sticky=site.sticky,
        pin=site.pin,
        control=site.control,
        signoffs=site.signoffs,
        data_dirs=site.data_dirs,
        env=tuple(own.items()),
    )


def _contradictions(
    root: Path, service: str, environment: str, environ: Mapping[str, str]
) -> list[str]:
    """Variables that say something else than the file. Their values are never shown."""
    return [
        f"{value.place.file}:{value.place.line}: {key}: the environment variable {key} says "
        "something else; the file wins"
        for stem in (service, "db")
        for key, value in (_conf(root, stem, environment) or {}).items()
        if environ.get(key, value.raw) != value.raw
    ]


def with_metrics(policy: Policy, metrics: MetricNames, environment: str) -> Policy:
    """The gates that need metrics which not every service has, with the environment's limits."""
    custom = with_thresholds(metrics.custom, policy.custom)
    noisy = [gate.name for gate in custom if gate.kind is not CustomKind.LEVEL]
    if noisy and policy.gates.evidence is None:
        raise BadInput(
            f"{ROLLOUT_FILE}: service.metrics.custom: {', '.join(noisy)} can be judged by "
            f"evidence only, and thresholds judge {environment}",
            f'take "judge": "thresholds" out of environments.{environment} in {GATES_FILE}',
        )
    growth = _growth(policy, metrics)
    return replace(policy, gates=replace(policy.gates, custom=custom, growth=growth))


def _growth(policy: Policy, metrics: MetricNames) -> float | None:
    """Above so many items the queue may not grow; half of its own limit unless it is said."""
    said, weighed = policy.growth, policy.gates.evidence is not None
    if said is None:
        return policy.gates.queue.threshold / 2.0 if metrics.queue_arrivals and weighed else None
    if not metrics.queue_arrivals:
        raise said.problem(
            f"{ROLLOUT_FILE} does not say what comes to the queue and what leaves it",
            "give queue_arrivals and queue_departures in its [service.metrics]",
        )
    if not weighed:
        raise said.problem(
            "is weighed as evidence, and thresholds judge here", 'take "judge": "thresholds" out'
        )
    return said.number(0, 1_000_000_000, "items")


def _window_warnings(gates: Gates, schedule: Schedule) -> tuple[str, ...]:
    if gates.evidence is not None:  # it judges the whole watch
        return ()
    long = [
        f"{gate.name} looks back {gate.window / 60:g} min"
        for gate in (gates.failure_rate, gates.duration)
        if gate.window > schedule.duration
    ]
    if not long:
        return ()
    return (
        f"{' and '.join(long)}, but the watch lasts {schedule.duration / 60:g} min: {_LONG_WINDOW}",
    )


def together(problems: list[BadInput]) -> BadInput:
    """One problem that says all of them; the hint is the last one's."""
    if len(problems) == 1:
        return problems[0]
    *others, last = problems
    return BadInput("\n".join([*(str(other) for other in others), last.why.what]), last.why.hint)
