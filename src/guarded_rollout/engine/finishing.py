"""The deeds after the watch: a last look as a user, the old version goes, a report is written."""

from guarded_rollout.core.facts import Outcome
from guarded_rollout.core.retention import Backup, expired
from guarded_rollout.core.spec import Tier
from guarded_rollout.engine.launching import arm_of
from guarded_rollout.engine.order import Order
from guarded_rollout.engine.papers import write_papers
from guarded_rollout.engine.situation import releases_in_use
from guarded_rollout.engine.smoke import asked_as_user, checks_of, must_pass
from guarded_rollout.ports import Control, Ports, Route


def smoke_users(order: Order, ports: Ports, _: Control) -> Outcome:
    """The standard checks too, through the proxy, while the old version is still warm."""
    spec, candidate = order.plan.spec, order.plan.candidate
    checks = checks_of(spec.service, Tier.STANDARD)
    asked = asked_as_user(spec, candidate)
    must_pass(ports, asked, f"{candidate.name}, through the proxy", checks)
    return {"tier": "standard", "checks": len(checks)}


def retire(order: Order, ports: Ports, _: Control) -> Outcome:
    """The old version answers what it has begun, then stops."""
    plan = order.plan
    seconds = plan.spec.service.drain_seconds
    ports.traffic.route(Route(arm_of(ports, plan.candidate), None, order.fence))
    stopped = []
    for release in ports.target.started(plan.spec.service.name):
        if release != plan.candidate:
            ports.traffic.drain(release.name, seconds)
            ports.target.stop(release, seconds)
            stopped.append(release.name)
    return {"stopped": stopped}


def prune(order: Order, ports: Ports, _: Control) -> Outcome:
    environment = order.plan.spec.environment
    old = prune_backups(ports, environment.name, environment.retention_days)
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


def prune_backups(ports: Ports, environment: str, keep_days: float) -> tuple[Backup, ...]:
    """Remove what is expired. Returns it. Broken, and nothing is removed, when what stays is not
    sound: the list may remember a checksum, so the newest is read.
    """
    backups = ports.archive.backups()
    old = expired(backups, environment, ports.clock.now(), keep_days)
    if old:
        mine = (b for b in backups if b.environment == environment and b.verified)
        newest = max(mine, key=lambda backup: backup.created)
        ports.archive.verify(ports.root / newest.file, environment, ports.database)
    for backup in old:
        ports.archive.remove(backup)
    return old


def report(order: Order, ports: Ports, _: Control) -> Outcome:
    """What cannot be written is told; a full disk must not stop a way back."""
    files, problems = write_papers(ports, order.rollout)
    return {"files": files, "problems": problems}
