"""The deeds of a deploy up to the moment when users are on the candidate."""

from guarded_rollout.core.facts import Outcome
from guarded_rollout.core.plan import Kind
from guarded_rollout.core.problems import BadInput, Broken
from guarded_rollout.core.retention import DAY
from guarded_rollout.core.spec import EVERYBODY, Tier
from guarded_rollout.engine.copying import copy_backup
from guarded_rollout.engine.launching import arm_of, built_release, launch, standing
from guarded_rollout.engine.order import Order
from guarded_rollout.engine.readiness import wait_until_well
from guarded_rollout.engine.situation import schema_of
from guarded_rollout.engine.smoke import asked_at, checks_of, must_pass
from guarded_rollout.engine.statements import listed
from guarded_rollout.ports import BackupRequest, Control, Ports, Ran, Route

MINIMUM_FREE_BYTES = 256 * 2**20


def preflight(order: Order, ports: Ports, _: Control) -> Outcome:
    spec = order.plan.spec
    if order.plan.kind is not Kind.MONITOR:
        found = ports.builder.describe(spec.service, ports.root / spec.service.source)
        if found != order.plan.candidate:
            raise BadInput(
                f"{spec.service.source} changed since the plan was made: "
                f"{found.name} instead of {order.plan.candidate.name}",
                "deploy again to make a new plan",
            )
    free = ports.host.free_bytes()
    if free < MINIMUM_FREE_BYTES:
        raise Broken(
            f"only {free / 2**20:.0f} MB are free on the disk of {ports.root}, "
            f"{MINIMUM_FREE_BYTES / 2**20:.0f} MB are needed",
            "make room: rollout backup prune, or remove old logs",
        )
    ports.traffic.check_port()
    exists = ports.database.exists()
    return {
        "free_bytes": free,
        "database": exists,
        "schema": ports.database.revision() if exists else None,
    }


def build(order: Order, ports: Ports, control: Control) -> Outcome:
    service = order.plan.spec.service
    built = ports.builder.build(service, ports.root / service.source, order.plan.candidate, control)
    return {"folder": str(built.folder), "head": built.head}


def backup(order: Order, ports: Ports, control: Control) -> Outcome:
    environment = order.plan.spec.environment
    if order.plan.use_backup is not None:
        file = ports.root / order.plan.use_backup
        backup = ports.archive.verify(file, environment.name, ports.database)
        if ports.clock.now() - backup.created > DAY:
            raise BadInput(
                f"{backup.file} is older than 24 hours: too old to deploy on",
                f"rollout backup create --env {environment.name}",
            )
    else:
        finished = [
            b
            for b in ports.archive.backups()
            if b.environment == environment.name and b.verified and b.created >= order.since
        ]
        if order.look_first and finished:
            file = ports.root / finished[0].file
            backup = ports.archive.verify(file, environment.name, ports.database)
        else:
            request = BackupRequest(
                environment=environment.name,
                release=order.plan.baseline.name if order.plan.baseline else None,
                by=order.by,
                reason=f"before {order.rollout}",
                files=environment.config_files + environment.data_dirs,
            )
            backup = ports.archive.create(request, ports.database, control)
    return {
        "verified": backup.verified,
        "file": backup.file,
        "sha256": backup.sha256,
        "size": backup.size,
        "rows": dict(backup.rows),
        "copies": copy_backup(ports, environment, backup, control),
    }


def migrate(order: Order, ports: Ports, control: Control) -> Outcome:
    migrations = order.plan.spec.service.migrations
    assert migrations is not None, "a plan without migrations has no migrate step"
    built = built_release(ports, order.plan.candidate)
    before = schema_of(ports)
    ran: tuple[Ran, ...] = ()
    if before != built.head:
        ports.database.prepare()
        ran = ports.migrator.up(built, migrations, control)
    after = ports.database.revision()
    if after != built.head:
        raise Broken(
            f"after the migration the schema is at {after}, the release needs {built.head}",
            "look at the migration's log; the old release still serves",
        )
    return {"from": before, "to": after, "moved": before != after, "statements": listed(ran)}


def start(order: Order, ports: Ports, control: Control) -> Outcome:
    spec, candidate = order.plan.spec, order.plan.candidate
    ports.traffic.start()
    ports.target.start(launch(ports, spec, built_release(ports, candidate)))
    if order.plan.control is not None:
        ports.target.start(launch(ports, spec, built_release(ports, order.plan.control)))
    replicas = wait_until_well(ports, spec, candidate, control)
    if order.plan.control is not None:
        wait_until_well(ports, spec, order.plan.control, control)
    return {"replicas": [replica.name for replica in replicas]}


def smoke(order: Order, ports: Ports, _: Control) -> Outcome:
    spec, candidate = order.plan.spec, order.plan.candidate
    replicas = ports.target.replicas(candidate)
    checks = checks_of(spec.service, Tier.CRITICAL)
    for replica in replicas:
        asked = asked_at(spec, replica.socket, candidate)
        must_pass(ports, asked, f"replica {replica.name}", checks)
    return {"replicas": len(replicas), "tier": "critical"}


def shift(order: Order, ports: Ports, _: Control) -> Outcome:
    """To the candidate: everybody with the old version warm, or a share of the users."""
    plan = order.plan
    standby, candidate = standing(ports, plan.baseline), arm_of(ports, plan.candidate)
    if order.percent < EVERYBODY.percent and standby is None:
        raise Broken(
            f"{order.percent:g} % cannot go to {plan.candidate.name}: the old version does not run",
            f"look at it: rollout status --env {plan.spec.environment.name}",
        )
    if order.percent < EVERYBODY.percent:
        control = arm_of(ports, plan.control) if plan.control is not None else None
        route = Route(standby, None, order.fence, candidate, order.percent, control)
    else:
        route = Route(candidate, standby, order.fence)
    ports.traffic.route(route)
    return {
        "to": plan.candidate.name,
        "percent": order.percent,
        "standby": standby.release if standby else None,
        "at": ports.clock.now(),
    }
