"""The `[environments.<name>]` sections of rollout.toml: where the service runs."""

import re
from dataclasses import dataclass, replace

from guarded_rollout.adapters.configuration.copies_section import read_copies
from guarded_rollout.adapters.configuration.located import Value, given, quoted
from guarded_rollout.adapters.configuration.service_section import identifier, variables
from guarded_rollout.adapters.configuration.signoffs_section import Agreeing, read_signoffs
from guarded_rollout.adapters.configuration.stages_section import read_stages
from guarded_rollout.core.signoff_policy import SignOffPolicy
from guarded_rollout.core.spec import (
    EVERYBODY,
    STAGES,
    USUAL_LIMITS,
    CopyPlace,
    HostLimits,
    Stage,
    Strategy,
)

POSTGRESQL = "postgresql"
_SQLITE = "sqlite:"
_REQUIRED = ("listen", "database")
_OPTIONAL = (
    "replicas",
    "strategy",
    "retention_days",
    "copies",
    "config_files",
    "data_dirs",
    "env",
    "probe_every",
    "scrape_every",
    "synthetic_per_second",
    "allow_forward_only",
    "stages",
    "sticky",
    "pin",
    "control",
    "alerts",
    "notify",
    "signoffs",
)
NOBODY = Agreeing()
_STICKY = re.compile(r"(header|cookie):[A-Za-z0-9_-]+")
_LISTEN = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+):([0-9]{1,5})")


@dataclass(frozen=True, slots=True)
class Site:
    """One environment as rollout.toml has it. `sqlite` None: config/db_<name>.conf is needed.

    `config_files` None: the usual ones. Times are seconds.
    """

    name: str
    section: Value
    host: str
    port: int
    replicas: int
    sqlite: str | None
    strategy: Strategy
    retention_days: int
    copies: tuple[CopyPlace, ...]
    config_files: tuple[Value, ...] | None
    data_dirs: tuple[str, ...]
    env: tuple[tuple[str, str], ...]
    probe_seconds: float
    scrape_seconds: float
    synthetic_per_second: float
    allow_forward_only: bool
    stages: tuple[Stage, ...]
    sticky: tuple[str, ...]
    pin: str | None
    control: bool
    alerts: HostLimits
    signoffs: SignOffPolicy | None


def read_sites(value: Value, agreeing: Agreeing = NOBODY) -> dict[str, Site]:
    """All environments in the file's order. No two share an address or a database file.

    `agreeing`: who may sign off.
    """
    sites: dict[str, Site] = {}
    taken: dict[tuple[str, str], str] = {}
    for name, section in value.any_table().items():
        identifier(Value(section.place, name))
        site = _site(name, section, agreeing)
        sites[name] = site
        claims = [("listen", f"{site.host}:{site.port}")]
        if site.sqlite is not None:
            claims.append(("database", site.sqlite))
        for key, what in claims:
            owner = taken.setdefault((key, what), name)
            if owner != name:
                raise section.member(key).problem(
                    f"{what} is already the {key} of {owner}",
                    "give every environment its own",
                )
    if not sites:
        raise value.problem("is empty", "add a section such as [environments.production]")
    return sites


def _site(name: str, section: Value, agreeing: Agreeing) -> Site:
    fields = section.table(required=_REQUIRED, optional=_OPTIONAL)
    host, port = _listen(fields["listen"])
    files = fields.get("config_files")
    strategy = given(
        fields.get("strategy"), lambda at: Strategy(at.choice(Strategy)), Strategy.BLUE_GREEN
    )
    for key in ("stages", "sticky", "pin", "control"):
        if key in fields and strategy is not Strategy.CANARY:
            raise fields[key].problem("belongs to a canary", 'add strategy = "canary"')
    days = given(fields.get("retention_days"), lambda at: at.whole(1, 3650, "days"), 7)
    return Site(
        name=name,
        section=section,
        host=host,
        port=port,
        replicas=given(fields.get("replicas"), replicas, 1),
        sqlite=_database(fields["database"]),
        strategy=strategy,
        retention_days=days,
        copies=given(fields.get("copies"), lambda at: read_copies(at, days), ()),
        config_files=files.members() if files is not None else None,
        data_dirs=given(fields.get("data_dirs"), _paths, ()),
        env=given(fields.get("env"), variables, ()),
        probe_seconds=given(fields.get("probe_every"), Value.seconds, 1.0),
        scrape_seconds=given(fields.get("scrape_every"), Value.seconds, 5.0),
        synthetic_per_second=given(
            fields.get("synthetic_per_second"), lambda at: at.number(0, 1000, "requests"), 0.0
        ),
        allow_forward_only=given(fields.get("allow_forward_only"), Value.flag, default=False),
        stages=given(fields.get("stages"), read_stages, STAGES)
        if strategy is Strategy.CANARY
        else (EVERYBODY,),
        sticky=given(fields.get("sticky"), _sticky, ()),
        pin=given(fields.get("pin"), Value.text, None),
        control=given(fields.get("control"), Value.flag, default=False),
        alerts=given(fields.get("alerts"), _alerts, USUAL_LIMITS),
        signoffs=given(fields.get("signoffs"), lambda at: read_signoffs(at, agreeing), None),
    )


def replicas(value: Value) -> int:
    """How many processes serve."""
    return value.whole(1, 64, "replicas")


def _alerts(value: Value) -> HostLimits:
    fields = value.table(optional=("cpu", "memory", "disk"))
    limits = {name: at.number(1, 100, "percent in use") for name, at in fields.items()}
    return replace(USUAL_LIMITS, **limits)


def _listen(value: Value) -> tuple[str, int]:
    text = value.text()
    parts = _LISTEN.fullmatch(text)
    if parts is None:
        raise value.problem(
            f"{quoted(text)} is no address", 'write host and port: "127.0.0.1:8080"'
        )
    port = int(parts[2])
    if not 1 <= port <= 65535:
        raise value.problem(f"there is no port {port}", "allowed: 1 to 65535")
    return parts[1].strip("[]"), port


def _database(value: Value) -> str | None:
    text = value.text()
    if text == POSTGRESQL:
        return None
    if not text.startswith(_SQLITE) or text.startswith("sqlite:/") or text == _SQLITE:
        raise value.problem(
            f"{quoted(text)} is no database that is known",
            'write "sqlite:data/NAME.db", or "postgresql" and its address into '
            "config/db_ENVIRONMENT.conf",
        )
    return Value(value.place, text.removeprefix(_SQLITE)).relative_path()


def _sticky(value: Value) -> tuple[str, ...]:
    for member in value.members():
        if _STICKY.fullmatch(member.text()) is None:
            raise member.problem(
                f"{quoted(member.text())} says not by what a user is known",
                'write "header:NAME" or "cookie:NAME"',
            )
    return tuple(member.text() for member in value.members())


def _paths(value: Value) -> tuple[str, ...]:
    return tuple(member.relative_path() for member in value.members())
