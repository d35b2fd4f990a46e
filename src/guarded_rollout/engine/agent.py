"""One controller process: it takes the lease, keeps it alive, and drives a rollout."""

import threading
from collections.abc import Callable

from guarded_rollout.core.problems import Busy, Problem
from guarded_rollout.core.state import State
from guarded_rollout.engine.run import Controller
from guarded_rollout.ports import Entry, Lease, Ports

LEASE_SECONDS = 15.0
HEARTBEAT_SECONDS = LEASE_SECONDS / 3
RETRY_SECONDS = 1.0


class Heart:
    """Renews the lease. Sets `halt` when it is lost, or cannot be renewed in time."""

    def __init__(self, ports: Ports, lease: Lease, halt: threading.Event) -> None:
        self._ports = ports
        self._lease = lease
        self._halt = halt
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="heart", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End."""
        self._stop.set()
        self._thread.join()

    def _beat(self) -> None:
        renewed = self._ports.clock.monotonic()
        pause = HEARTBEAT_SECONDS
        while not self._stop.wait(pause):
            pause = HEARTBEAT_SECONDS
            try:
                self._ports.journal.renew(self._lease)
                renewed = self._ports.clock.monotonic()
            except Busy:
                self._halt.set()
                return
            except Problem:
                pause = RETRY_SECONDS
                if self._ports.clock.monotonic() - renewed > 0.8 * LEASE_SECONDS:
                    self._halt.set()
                    return


def drive(
    ports: Ports,
    environment: str,
    rollout: str,
    owner: str,
    *,
    halt: threading.Event,
    show: Callable[[Entry], None],
    say: Callable[[str], None],
) -> State:
    """Take the environment's lease and drive the rollout to rest. Busy when somebody else does."""
    lease = ports.journal.claim(environment, owner)
    heart = Heart(ports, lease, halt)
    heart.start()
    try:
        return Controller(ports, lease, rollout, halt=halt, show=show, say=say).run()
    finally:
        heart.stop()
        ports.journal.release(lease)
