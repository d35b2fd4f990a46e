"""The way back: traffic, the schema, the candidate, and that users see the old version."""

from guarded_rollout.core.facts import Outcome
from guarded_rollout.core.problems import Broken, Interrupted
from guarded_rollout.core.spec import Release, Tier
from guarded_rollout.engine.launching import arm_of, built_release, launch
from guarded_rollout.engine.order import Order
from guarded_rollout.engine.readiness import wait_until_well
from guarded_rollout.engine.smoke import asked_as_user, checks_of, must_pass
from guarded_rollout.engine.statements import listed
from guarded_rollout.ports import Address, Control, Ports, Route

CONFIRMATIONS = 3
HUNG_SECONDS = 2.0


def bring_back(order: Order, ports: Ports, control: Control) -> Outcome:
    """Traffic goes to the old version in one change. It is started first if it was stopped."""
    baseline = order.plan.baseline
    if baseline is None:
        ports.traffic.start()
        ports.traffic.route(Route(None, None, order.fence))
        return {"to": None, "at": ports.clock.now()}
    ports.traffic.start()
    ports.target.start(launch(ports, order.plan.spec, built_release(ports, baseline)))
    wait_until_well(ports, order.plan.spec, baseline, control, one_will_do=True)
    ports.traffic.route(Route(arm_of(ports, baseline), None, order.fence))
    return {"to": baseline.name, "at": ports.clock.now()}


def stop_candidate(order: Order, ports: Ports, _: Control) -> Outcome:
    """And the control, if there is one: it was there to be compared with."""
    candidate = order.plan.candidate
    logs = [str(replica.log) for replica in ports.target.replicas(candidate)]
    for release in (candidate, order.plan.control):
        if release is not None:
            seconds = patience(order, ports, release)
            if ports.traffic.running():
                ports.traffic.drain(release.name, seconds)
            ports.target.stop(release, seconds)
    return {"stopped": candidate.name, "logs": logs}


def stop_all(order: Order, ports: Ports) -> list[str]:
    """Every release answers what it has begun, then stops. Returns their names."""
    stopped = []
    for release in ports.target.started(order.plan.spec.service.name):
        seconds = patience(order, ports, release)
        if ports.traffic.running():
            ports.traffic.drain(release.name, seconds)
        ports.target.stop(release, seconds)
        stopped.append(release.name)
    return stopped


def patience(order: Order, ports: Ports, release: Release) -> float:
    """How long a release may finish what it has begun: not long when it answers nobody.

    Requests that hang in it are held until it ends; reading ones are then repeated elsewhere.
    """
    service = order.plan.spec.service
    for replica in ports.target.replicas(release):
        address = Address(socket=replica.socket)
        if ports.web.get(address, service.health_path, 2.0).status is not None:
            return service.drain_seconds
    return min(HUNG_SECONDS, service.drain_seconds)


def confirm(order: Order, ports: Ports, control: Control) -> Outcome:
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


def smoke_baseline(order: Order, ports: Ports, _: Control) -> Outcome:
    spec, baseline = order.plan.spec, order.plan.baseline
    assert baseline is not None, "without an old version there is no such step"
    checks = checks_of(spec.service, Tier.CRITICAL, rolled_back=True)
    asked = asked_as_user(spec, baseline)
    must_pass(ports, asked, "the old version, through the proxy", checks)
    return {"tier": "critical"}


def unmigrate(order: Order, ports: Ports, control: Control) -> Outcome:
    """The schema goes down by the candidate's own migrations, as it did in the rehearsal."""
    migrations = order.plan.spec.service.migrations
    assert migrations is not None, "without migrations there is no way down"
    before, wanted = ports.database.revision(), order.plan.schema_before
    built = built_release(ports, order.plan.candidate)
    ran = ports.migrator.down(built, migrations, wanted, control)
    return {"from": before, "to": wanted, "moved": before != wanted, "statements": listed(ran)}
