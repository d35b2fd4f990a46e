"""Steps become deeds here, and exceptions become facts here and nowhere else.

Every step may be asked for twice: it looks, and does only what is missing.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from guarded_rollout.core.facts import Outcome, StepDone, StepFailed
from guarded_rollout.core.plan import Kind, Plan, Step
from guarded_rollout.core.problems import BadInput, Broken, Interrupted, Problem, Why
from guarded_rollout.core.retention import DAY, expired
from guarded_rollout.core.spec import Release
from guarded_rollout.engine.copying import copy_backup
from guarded_rollout.engine.launching import arm, built_release, launch
from guarded_rollout.engine.readiness import wait_until_well
from guarded_rollout.engine.record import write_report
from guarded_rollout.engine.situation import releases_in_use
from guarded_rollout.engine.smoke import smoke
from guarded_rollout.ports import Address, Arm, BackupRequest, Control, Ports, Route

MINIMUM_FREE_BYTES = 256 * 2**20
CONFIRMATIONS = 3
HUNG_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Order:
    """One step to do. `since`: when its first attempt began (Unix seconds)."""

    step: Step
    plan: Plan
    rollout: str
    by: str
    fence: int
    since: float
    look_first: bool


def perform(order: Order, ports: Ports, control: Control) -> StepDone | StepFailed:
    """Do the step. Raises Interrupted only; every other failure is a fact with a hint."""
    try:
        return StepDone(order.step, _DEEDS[order.step](order, ports, control))
    except Interrupted:
        raise
    except Problem as problem:
        return StepFailed(order.step, problem.why)
    except Exception as error:  # noqa: BLE001 - a defect must end in a rollback, not in a dead guard
        what = f"unexpected {type(error).__name__} in step {order.step}: {error}"
        return StepFailed(order.step, Why(what, "this is a defect of the tool: please report it"))


def _preflight(order: Order, ports: Ports, _: Control) -> Outcome:
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


def _build(order: Order, ports: Ports, control: Control) -> Outcome:
    service = order.plan.spec.service
    built = ports.builder.build(service, ports.root / service.source, order.plan.candidate, control)
    return {"folder": str(built.folder), "head": built.head}


def _backup(order: Order, ports: Ports, control: Control) -> Outcome:
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


def _migrate(order: Order, ports: Ports, control: Control) -> Outcome:
    migrations = order.plan.spec.service.migrations
    assert migrations is not None, "a plan without migrations has no migrate step"
    built = built_release(ports, order.plan.candidate)
    before = ports.database.revision() if ports.database.exists() else None
    if before != built.head:
        ports.database.prepare()
        ports.migrator.up(built, migrations, control)
    after = ports.database.revision()
    if after != built.head:
        raise Broken(
            f"after the migration the schema is at {after}, the release needs {built.head}",
            "look at the migration's log; the old release still serves",
        )
    return {"from": before, "to": after, "moved": before != after}


def _start(order: Order, ports: Ports, control: Control) -> Outcome:
    spec, candidate = order.plan.spec, order.plan.candidate
    ports.traffic.start()
    ports.target.start(launch(ports, spec, built_release(ports, candidate)))
    replicas = wait_until_well(ports, spec, candidate, control)
    return {"replicas": [replica.name for replica in replicas]}


def _smoke(order: Order, ports: Ports, _: Control) -> Outcome:
    replicas = ports.target.replicas(order.plan.candidate)
    for replica in replicas:
        _smoke_at(order, ports, Address(socket=replica.socket), f"replica {replica.name}")
    return {"replicas": len(replicas), "tier": "critical"}


def _smoke_at(order: Order, ports: Ports, address: Address, whom: str) -> None:
    spec = order.plan.spec
    results = smoke(ports.web, ports.root, spec.service, address)
    failed = [result for result in results if result.problem is not None]
    if failed:
        told = "; ".join(f"{result.check}: {result.problem}" for result in failed)
        raise Broken(
            f"{len(failed)} of {len(results)} smoke checks failed on {whom}: {told}",
            f"read the logs of {spec.service.name}: rollout status --env {spec.environment.name}",
        )


def _shift(order: Order, ports: Ports, _: Control) -> Outcome:
    plan = order.plan
    standby = _standing(ports, plan.baseline)
    ports.traffic.route(Route(_arm(ports, plan.candidate), standby, order.fence))
    return {
        "to": plan.candidate.name,
        "standby": standby.release if standby else None,
        "at": ports.clock.now(),
    }


def _arm(ports: Ports, release: Release) -> Arm:
    return arm(release, ports.target.replicas(release))


def _standing(ports: Ports, release: Release | None) -> Arm | None:
    """The old version as a warm standby; None when it is not running."""
    if release is None:
        return None
    replicas = ports.target.replicas(release)
    return arm(release, replicas) if any(replica.alive for replica in replicas) else None


def _retire(order: Order, ports: Ports, _: Control) -> Outcome:
    """The old version answers what it has begun, then stops."""
    plan = order.plan
    seconds = plan.spec.service.drain_seconds
    ports.traffic.route(Route(_arm(ports, plan.candidate), None, order.fence))
    stopped = []
    for release in ports.target.started(plan.spec.service.name):
        if release != plan.candidate:
            ports.traffic.drain(release.name, seconds)
            ports.target.stop(release, seconds)
            stopped.append(release.name)
    return {"stopped": stopped}


def _prune(order: Order, ports: Ports, _: Control) -> Outcome:
    environment = order.plan.spec.environment
    old = expired(
        ports.archive.backups(), environment.name, ports.clock.now(), environment.retention_days
    )
    for backup in old:
        ports.archive.remove(backup)
    ports.traffic.tidy()
    used = releases_in_use(ports.journal)
    service = order.plan.spec.service.name
    unused = [release for release in ports.builder.releases(service) if release not in used]
    for release in unused:
        ports.builder.remove(release)
    return {
        "backups": [backup.file for backup in old],
        "releases": [release.name for release in unused],
    }


def _return(order: Order, ports: Ports, control: Control) -> Outcome:
    """Traffic goes to the old version in one change. It is started first if it was stopped."""
    baseline = order.plan.baseline
    if baseline is None:
        ports.traffic.start()
        ports.traffic.route(Route(None, None, order.fence))
        return {"to": None, "at": ports.clock.now()}
    ports.traffic.start()
    ports.target.start(launch(ports, order.plan.spec, built_release(ports, baseline)))
    wait_until_well(ports, order.plan.spec, baseline, control, one_will_do=True)
    ports.traffic.route(Route(_arm(ports, baseline), None, order.fence))
    return {"to": baseline.name, "at": ports.clock.now()}


def _stop_candidate(order: Order, ports: Ports, _: Control) -> Outcome:
    candidate = order.plan.candidate
    logs = [str(replica.log) for replica in ports.target.replicas(candidate)]
    seconds = _patience(order, ports)
    if ports.traffic.running():
        ports.traffic.drain(candidate.name, seconds)
    ports.target.stop(candidate, seconds)
    return {"stopped": candidate.name, "logs": logs}


def _patience(order: Order, ports: Ports) -> float:
    """How long the candidate may finish what it has begun: not long when it answers nobody.

    Requests that hang in it are held until it ends; reading ones are then repeated elsewhere.
    """
    service = order.plan.spec.service
    for replica in ports.target.replicas(order.plan.candidate):
        address = Address(socket=replica.socket)
        if ports.web.get(address, service.health_path, 2.0).status is not None:
            return service.drain_seconds
    return min(HUNG_SECONDS, service.drain_seconds)


def _confirm(order: Order, ports: Ports, control: Control) -> Outcome:
    """Three consecutive OK through the proxy, as a user sees it."""
    environment, service = order.plan.spec.environment, order.plan.spec.service
    address = Address(host=environment.listen_host, port=environment.listen_port)
    ok, last = 0, "nothing"
    for _ in range(10 * CONFIRMATIONS):
        if control.stopped():
            raise Interrupted("confirming was interrupted")
        answered = ports.web.get(address, service.health_path, 2.0)
        ok = ok + 1 if answered.status == 200 else 0
        last = answered.problem or f"status {answered.status}"
        if ok == CONFIRMATIONS:
            return {"consecutive_ok": ok}
        ports.clock.sleep(0.5)
    raise Broken(
        f"no {CONFIRMATIONS} consecutive OK from {service.health_path} through the proxy; "
        f"the last answer: {last}",
        f"look at the service: rollout status --env {environment.name}",
    )


def _smoke_baseline(order: Order, ports: Ports, _: Control) -> Outcome:
    environment = order.plan.spec.environment
    address = Address(host=environment.listen_host, port=environment.listen_port)
    _smoke_at(order, ports, address, "the old version, through the proxy")
    return {"tier": "critical"}


def _report(order: Order, ports: Ports, _: Control) -> Outcome:
    return {"files": [str(file) for file in write_report(ports, order.rollout)]}


_DEEDS: Mapping[Step, Callable[[Order, Ports, Control], Outcome]] = {
    Step.PREFLIGHT: _preflight,
    Step.BUILD: _build,
    Step.BACKUP: _backup,
    Step.MIGRATE: _migrate,
    Step.START: _start,
    Step.SMOKE: _smoke,
    Step.SHIFT: _shift,
    Step.RETIRE: _retire,
    Step.PRUNE: _prune,
    Step.RETURN: _return,
    Step.STOP_CANDIDATE: _stop_candidate,
    Step.CONFIRM: _confirm,
    Step.SMOKE_BASELINE: _smoke_baseline,
    Step.REPORT: _report,
}
