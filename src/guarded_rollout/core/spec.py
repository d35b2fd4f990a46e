"""What was asked for: the service, its environment, its gates. Frozen into the plan as data."""

from dataclasses import dataclass, field
from enum import StrEnum

from guarded_rollout.core.gates import CustomGate, Gates
from guarded_rollout.core.schedule import Schedule
from guarded_rollout.core.signoff_policy import SignOffPolicy


class Strategy(StrEnum):
    """How traffic moves to the candidate."""

    BLUE_GREEN = "blue-green"
    CANARY = "canary"


class Tier(StrEnum):
    """How soon a smoke check runs. In the order of their force.

    CRITICAL: before any user sees a release, and after a rollback.
    STANDARD: after the promotion, and when a person asks.
    EXTENDED: only when a person asks for all of them: big bodies, many requests at once.
    """

    CRITICAL = "critical"
    STANDARD = "standard"
    EXTENDED = "extended"


class Area(StrEnum):
    """What a smoke check is about. For reports; it changes nothing."""

    API = "api"
    PERFORMANCE = "performance"
    SECURITY = "security"
    DATA = "data"


@dataclass(frozen=True, slots=True)
class Release:
    """One immutable version of a service. `digest`: SHA-256 of everything it is built from.

    `control`: other processes of the same build, started later, to compare a candidate with.
    """

    service: str
    version: str
    digest: str
    control: bool = False

    @property
    def name(self) -> str:
        """A short name for folders and screens, e.g. `1.2.0-3f9c0a1b2c4d`."""
        return f"{self.version}-{self.digest[:12]}{'-control' if self.control else ''}"


def no_release(service: str) -> Release:
    """Stands where a plan names a release and there is none."""
    return Release(service, "none", "0" * 64)


@dataclass(frozen=True, slots=True)
class Check:
    """One smoke check: a request, and what a healthy service answers to it.

    Every field from `status` on says something that must hold for each of its `repeat` answers.

    Fields:
        body_file, body, body_size: what is sent: a file, this text, or so many zero bytes.
        request_headers: never a secret; `token_env` names the variable with a bearer token.
        headers: what the answer's headers have to contain; with "" they only have to be there.
        no_headers: headers that the answer must not have.
        contains, lacks: text that the answer's body must, and must not, have.
        json: dotted paths into the answer, and the value there as canonical JSON. `{version}`,
            `{release}` and `{environment}` stand for those of the release that is asked.
        within_ms: of each answer. `budget_ms`: of the `percentile` of all of them, nearest rank.
        after_rollback: false: what it checks came with the new version.
    """

    name: str
    path: str
    method: str = "GET"
    tier: Tier = Tier.CRITICAL
    body_file: str | None = None
    content_type: str | None = None
    status: int = 200
    contains: str | None = None
    within_ms: float = 2000.0
    area: Area = Area.API
    body: str | None = None
    body_size: int = 0
    request_headers: tuple[tuple[str, str], ...] = ()
    token_env: str | None = None
    headers: tuple[tuple[str, str], ...] = ()
    no_headers: tuple[str, ...] = ()
    lacks: tuple[str, ...] = ()
    json: tuple[tuple[str, str], ...] = ()
    repeat: int = 1
    concurrency: int = 1
    percentile: float = 95.0
    budget_ms: float | None = None
    after_rollback: bool = True

    @property
    def as_traffic(self) -> bool:
        """Whether it may be sent as a user's request: nothing that fails, is big or comes often.

        A refused request counts as a failure of the service, and so would roll it back.
        """
        return self.status < 400 and self.repeat == 1 and not self.body_size


@dataclass(frozen=True, slots=True)
class LogProbe:
    """How the service's logger is exercised.

    Fields:
        argv: a program of the release that logs each record it reads, a JSON line, through the
            service's own logging configuration to standard output, and ends with its input.
        level_env: the variable that sets the lowest level; None: the service has none.
    """

    argv: tuple[str, ...]
    level_env: str | None = None


@dataclass(frozen=True, slots=True)
class Migrations:
    """How the service migrates its schema: an Alembic configuration inside the built release."""

    alembic_ini: str
    lock_timeout_seconds: float = 5.0
    timeout_seconds: float = 600.0


@dataclass(frozen=True, slots=True)
class MetricNames:
    """Where the gates' numbers stand in the service's Prometheus metrics.

    Fields:
        failures_counter: a counter with one label that tells good from bad.
        failures_label: `label=value` of the bad ones.
        duration_histogram: a histogram in seconds.
        queue_gauge: a gauge: items that wait for a person.
        queue_arrivals, queue_departures: counters: items that ever came to that queue, and that
            left it, the same from every replica; empty: the service has none.
        custom: gates on metrics of the service's own, with the thresholds it is shipped with.
    """

    failures_counter: str
    failures_label: str
    duration_histogram: str
    queue_gauge: str
    custom: tuple[CustomGate, ...] = ()
    queue_arrivals: str = ""
    queue_departures: str = ""


@dataclass(frozen=True, slots=True)
class Service:
    """A service as its repository describes it. Paths are relative to rollout.toml's folder."""

    name: str
    source: str
    start: tuple[str, ...]
    health_path: str
    metrics_path: str
    metrics: MetricNames
    checks: tuple[Check, ...]
    migrations: Migrations | None = None
    env: tuple[tuple[str, str], ...] = ()
    ready_seconds: float = 30.0
    drain_seconds: float = 30.0
    logging: LogProbe | None = None


@dataclass(frozen=True, slots=True)
class DatabaseAddress:
    """Where the data lives. `path` for SQLite; the rest for PostgreSQL. Never a password."""

    kind: str
    path: str | None = None
    host: str | None = None
    port: int | None = None
    name: str | None = None
    user: str | None = None


@dataclass(frozen=True, slots=True)
class CopyPlace:
    """Where copies of backups go: `folder:/mnt/backup` or `s3://bucket/prefix`. Never a secret.

    Fields:
        endpoint: the S3 server's URL; None for the one of AWS.
        required: `rollout backup create` asks for a person when this copy could not be made.
            A deploy goes on in any case: its way back needs the local backup only.
        retention_days: how long copies are kept there.
    """

    to: str
    endpoint: str | None = None
    required: bool = False
    retention_days: int = 7

    @property
    def name(self) -> str:
        """What people call it."""
        return f"{self.to} at {self.endpoint}" if self.endpoint else self.to


class AtTheEnd(StrEnum):
    """What happens when a gate is still unknown after the window and its extension."""

    HOLD = "hold"
    ROLL_BACK = "roll-back"


@dataclass(frozen=True, slots=True)
class HostLimits:
    """Percent of the machine in use above which people are told. Nothing is rolled back for it."""

    cpu: float = 80.0
    memory: float = 85.0
    disk: float = 90.0


USUAL_LIMITS = HostLimits()


@dataclass(frozen=True, slots=True)
class WatchPolicy:
    """How an environment is watched.

    Units: seconds. `extend_seconds` is how much longer to look when a gate is still unknown at
    the end of the window. `synthetic_per_second` sends the smoke checks through the proxy
    during the watch, for environments without users.
    """

    schedule: Schedule
    auto_rollback: bool
    probe_seconds: float = 1.0
    scrape_seconds: float = 5.0
    extend_seconds: float = 0.0
    unknown: AtTheEnd = AtTheEnd.HOLD
    synthetic_per_second: float = 0.0
    host: HostLimits = USUAL_LIMITS


@dataclass(frozen=True, slots=True)
class Stage:
    """A share of the users, and how long it is watched at least (seconds) before the next one."""

    percent: float
    bake_seconds: float


EVERYBODY = Stage(100.0, 0.0)
STAGES = (Stage(5.0, 300.0), Stage(25.0, 600.0), Stage(50.0, 600.0), EVERYBODY)
"""What a canary does where nothing is said. The last stage lasts until the window's end."""


@dataclass(frozen=True, slots=True)
class Environment:
    """One place a service runs in.

    Fields:
        allow_forward_only: releases without a proven way back need no reason here.
        stages: of a canary; the last one is 100 %. Other strategies have that one only.
        sticky: what users are known by during a canary: `header:NAME`, `cookie:NAME`.
        pin: a header, and a cookie, by which testers choose their arm.
        control: a canary is compared with fresh processes of the old version, which get as many
            users as it does; else with the old version as it runs.
        signoffs: who has to agree before a release may come here; None: nobody.
    """

    name: str
    listen_host: str
    listen_port: int
    replicas: int
    database: DatabaseAddress
    gates: Gates
    watch: WatchPolicy
    strategy: Strategy = Strategy.BLUE_GREEN
    retention_days: int = 7
    copies: tuple[CopyPlace, ...] = ()
    config_files: tuple[str, ...] = ()
    data_dirs: tuple[str, ...] = ()
    env: tuple[tuple[str, str], ...] = ()
    allow_forward_only: bool = False
    stages: tuple[Stage, ...] = (EVERYBODY,)
    sticky: tuple[str, ...] = ()
    pin: str | None = None
    control: bool = False
    signoffs: SignOffPolicy | None = None


@dataclass(frozen=True, slots=True)
class Spec:
    """A service in one environment: everything a plan is made from."""

    service: Service
    environment: Environment
    warnings: tuple[str, ...] = field(default=())
