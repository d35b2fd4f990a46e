"""Is a release ready for users? Asked before traffic moves to it, in either direction."""

from guarded_rollout.core.problems import Broken, Interrupted
from guarded_rollout.core.spec import Release, Spec
from guarded_rollout.engine.launching import tail
from guarded_rollout.ports import Address, Control, Ports, Replica, Trial

CRASH_LOOP = 3
"""Ends of one replica after which nobody waits any longer for it."""


def wait_until_well(
    ports: Ports, spec: Spec, release: Release, control: Control, *, one_will_do: bool = False
) -> tuple[Replica, ...]:
    """Wait until every replica answers its health check. Broken names the one that does not."""
    deadline = ports.clock.monotonic() + spec.service.ready_seconds
    while True:
        replicas = ports.target.replicas(release)
        waiting = {r.name: said for r in replicas if (said := _ill(ports, spec, r)) is not None}
        if not waiting or (one_will_do and len(waiting) < len(replicas)):
            return replicas
        if control.stopped():
            raise Interrupted(f"starting {release.name} was interrupted")
        for replica in replicas:
            if replica.restarts >= CRASH_LOOP:
                raise Broken(
                    f"replica {replica.name} of {release.name} ended {replica.restarts} times "
                    f"({replica.last_exit}); its last words:\n{tail(replica.log)}",
                    f"read {replica.log}; once stopped it is logs/{replica.name}.log beside it",
                )
        if ports.clock.monotonic() > deadline:
            told = "; ".join(f"{name}: {said}" for name, said in sorted(waiting.items()))
            raise Broken(
                f"{release.name} was not healthy within {spec.service.ready_seconds:g} s: {told}",
                f"read the log, or raise ready_seconds of {spec.service.name} in rollout.toml",
            )
        ports.clock.sleep(0.1)


def wait_for_trial(ports: Ports, spec: Spec, whom: str, trial: Trial, control: Control) -> None:
    """Wait until a release on trial answers its health check. Broken: it ended, or never did."""
    deadline = ports.clock.monotonic() + spec.service.ready_seconds
    while True:
        answered = ports.web.get(Address(socket=trial.socket()), spec.service.health_path, 2.0)
        if answered.status == 200:
            return
        if control.stopped():
            raise Interrupted(f"trying {whom} was interrupted")
        ended = trial.ended()
        said = answered.problem or f"status {answered.status}"
        if ended is not None or ports.clock.monotonic() > deadline:
            how = f"ended ({ended})" if ended else f"was not healthy in time ({said})"
            raise Broken(
                f"{whom} {how}; its last words:\n{tail(trial.log())}",
                f"read {trial.log()}; nothing was changed in {spec.environment.name}",
            )
        ports.clock.sleep(0.1)


def _ill(ports: Ports, spec: Spec, replica: Replica) -> str | None:
    answered = ports.web.get(Address(socket=replica.socket), spec.service.health_path, 2.0)
    if answered.status == 200:
        return None
    return f"{answered.problem or f'status {answered.status}'}; log {replica.log}"
