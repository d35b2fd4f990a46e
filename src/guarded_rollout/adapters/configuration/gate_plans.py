"""The gates of every environment, each as the plan of a deploy there, and where each key stands.

Reads the gates file and rollout.toml only: gates can be checked where there is no database.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from guarded_rollout.adapters.configuration.defaults import BUILT_IN, Policy, built_in
from guarded_rollout.adapters.configuration.environment_section import Site
from guarded_rollout.adapters.configuration.gates_file import GATES_FILE, read_policies
from guarded_rollout.adapters.configuration.json_file import read_json
from guarded_rollout.adapters.configuration.located import Place, Value
from guarded_rollout.adapters.configuration.spec import (
    ROLLOUT_FILE,
    metric_names,
    sites_of,
    together,
    with_metrics,
)
from guarded_rollout.adapters.configuration.spelling import camel
from guarded_rollout.adapters.configuration.toml_file import read_toml
from guarded_rollout.core.gate_lint import CUSTOM, STAGES
from guarded_rollout.core.plan import Plan
from guarded_rollout.core.problems import BadInput
from guarded_rollout.core.sample_deploy import sample_deploy
from guarded_rollout.core.spec import EVERYBODY, MetricNames, WatchPolicy

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class GatePlans:
    """What the files say. `shown`: the gates file's name; `written`: whether there is one.

    `metrics`: the service's own, in rollout.toml.
    """

    plans: Mapping[str, Plan]
    shown: str
    written: Value | None
    sites: Value | None
    metrics: Value | None = None

    def place(self, environment: str, key: str) -> Place:
        """Where `key` of an environment stands; line 0: nowhere, it is built in."""
        if key.startswith(STAGES):
            return _stage(self.sites, environment, key)
        full = f"environments.{environment}.{key}"
        if self.written is not None:
            for table in _tables(self.written, environment):
                for parts in (key.split("."), key.split(".")[1:]):
                    found = _below(table, parts)
                    if found is not None:
                        return found.place
        if key.startswith(CUSTOM):
            return _metric(self.metrics, key)
        return Place(self.shown, 0, full)

    def alphas(self, environment: str) -> tuple[str, ...]:
        """Every place that gives the environment an alpha."""
        if self.written is None:
            return ()
        own = _below(self.written, ["environments", environment])
        if own is None:
            return ()
        return tuple(f"{at.place.file}:{at.place.line}" for at in _everywhere(own, "alpha"))


def read_gate_plans(root: Path, named: Path | None, others: Iterable[str] = ()) -> GatePlans:
    """All environments of rollout.toml; without one the documents' and `others`.

    `named` must exist when given. One BadInput holds the first error of each file.
    """
    problems: list[BadInput] = []
    path = named.absolute() if named is not None else root / GATES_FILE
    shown = str(path.relative_to(root)) if path.is_relative_to(root) else str(path)
    sites: Value | None = None
    metrics: Value | None = None
    names_of: MetricNames | None = None
    read: Mapping[str, Site] = {}
    if (root / ROLLOUT_FILE).exists():
        names_of = _attempt(problems, lambda: metric_names(root))
    if (root / ROLLOUT_FILE).exists() and not problems:
        toml = read_toml(root / ROLLOUT_FILE, ROLLOUT_FILE)
        sites = _below(toml, ["environments"])
        metrics = _below(toml, ["service", "metrics", "custom"])
        read = sites_of(root)
    names = tuple(read) or tuple(dict.fromkeys((*BUILT_IN, *others)))
    written, policies = None, {name: built_in(name) for name in names}
    if path.exists() or named is not None:
        found = _attempt(problems, lambda: read_policies(path, shown, names))
        policies = dict(found) if found is not None else policies
    if problems:
        raise together(problems)
    if path.exists():
        written = read_json(path, shown)
    if names_of is not None:
        policies = {name: with_metrics(policies[name], names_of, name) for name in names}
    plans = {name: _plan(name, policies[name], read.get(name)) for name in names}
    return GatePlans(plans, shown, written, sites, metrics)


def _plan(name: str, policy: Policy, site: Site | None) -> Plan:
    watch = WatchPolicy(
        schedule=policy.schedule,
        auto_rollback=policy.auto_rollback,
        extend_seconds=policy.extend_seconds,
        unknown=policy.unknown,
    )
    if site is None:
        return sample_deploy(name, policy.gates, watch)
    watch = replace(
        watch,
        probe_seconds=site.probe_seconds,
        scrape_seconds=site.scrape_seconds,
        synthetic_per_second=site.synthetic_per_second,
    )
    return sample_deploy(name, policy.gates, watch, site.stages or (EVERYBODY,))


def _attempt(problems: list[BadInput], read: Callable[[], T]) -> T | None:
    try:
        return read()
    except BadInput as problem:
        problems.append(problem)
        return None


def _tables(written: Value, environment: str) -> Iterator[Value]:
    """Where an environment's keys may stand, the nearest first."""
    own = _below(written, ["environments", environment])
    if own is not None:
        yield own
    yield written


def _below(value: Value, parts: list[str]) -> Value | None:
    """The member with this path, in any spelling."""
    for part in parts:
        members = value.raw if isinstance(value.raw, dict) else {}
        found = [member for key, member in members.items() if part in {key, camel(key)}]
        if not found:
            return None
        value = found[0]
    return value if parts else None


def _everywhere(value: Value, wanted: str) -> Iterator[Value]:
    if isinstance(value.raw, dict):
        for key, member in value.raw.items():
            if camel(key) == wanted:
                yield member
            yield from _everywhere(member, wanted)


def _metric(metrics: Value | None, key: str) -> Place:
    """The threshold of `custom.NAME.threshold` in rollout.toml."""
    name = key.removeprefix(f"{CUSTOM}.").removesuffix(".threshold")
    for member in metrics.members() if metrics is not None else ():
        fields = member.any_table()
        if fields["name"].raw == name:
            return Place(ROLLOUT_FILE, fields["threshold"].place.line, f"service.metrics.{key}")
    return Place(ROLLOUT_FILE, 0, f"service.metrics.{key}")


def _stage(sites: Value | None, environment: str, key: str) -> Place:
    full = f"environments.{environment}.{key}"
    own = _below(sites, [environment, STAGES]) if sites is not None else None
    number = int(key.partition("[")[2].partition("]")[0])
    if own is None or not isinstance(own.raw, tuple) or number >= len(own.raw):
        return Place(ROLLOUT_FILE, 0, full)
    return Place(ROLLOUT_FILE, own.raw[number].place.line, full)
