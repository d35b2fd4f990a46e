"""See to it that what should serve does serve: after a reboot, or when somebody killed it."""

from guarded_rollout.core.spec import Release, Spec
from guarded_rollout.engine.launching import arm, built_release, launch
from guarded_rollout.engine.readiness import wait_until_well
from guarded_rollout.engine.run import Told
from guarded_rollout.ports import Ports, Route


def serves(ports: Ports, spec: Spec, release: Release) -> bool:
    """Look: all its replicas are alive, and traffic goes to them."""
    replicas = ports.target.replicas(release)
    alive = len(replicas) == spec.environment.replicas and all(r.alive for r in replicas)
    routed = ports.traffic.routed() if alive and ports.traffic.running() else None
    return routed is not None and routed.to == arm(release, replicas)


def ensure_serving(ports: Ports, spec: Spec, release: Release, owner: str) -> bool:
    """Start replicas and proxy where they are missing, and point traffic at the release.

    Returns False when everything ran already. Busy when a rollout is at it.
    """
    if serves(ports, spec, release):
        return False
    lease = ports.journal.claim(spec.environment.name, owner)
    try:
        ports.traffic.start()
        ports.target.start(launch(ports, spec, built_release(ports, release)))
        ready = wait_until_well(ports, spec, release, Told(lambda _: None))
        ports.traffic.route(Route(arm(release, ready), None, lease.fence))
    finally:
        ports.journal.release(lease)
    return True
