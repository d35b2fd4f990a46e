"""One controller process: it takes the lease, keeps it alive, and drives a rollout."""

import contextlib
import threading
from collections.abc import Callable

from guarded_rollout.core.problems import Busy, Problem
from guarded_rollout.core.state import State
from guarded_rollout.engine.run import Controller, Halt
from guarded_rollout.ports import Away, Entry, Lease, Ports

LEASE_SECONDS = 15.0
HEARTBEAT_SECONDS = LEASE_SECONDS / 3
RETRY_SECONDS = 1.0


class Heart:
    """Renews the lease. `is_set` when it is lost, or cannot be renewed in time, or at `halt`.

    `away`: why it could not be renewed, when that is all there is to it.
    """

    def __init__(self, ports: Ports, lease: Lease, halt: Halt) -> None:
        self.away: Away | None = None
        self._ports = ports
        self._lease = lease
        self._halt = halt
        self._over = threading.Event()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="heart", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End."""
        self._stop.set()
        self._thread.join()

    def is_set(self) -> bool:
        """The controller shall stop."""
        return self._over.is_set() or self._halt.is_set()

    def _beat(self) -> None:
        renewed = self._ports.clock.monotonic()
        pause = HEARTBEAT_SECONDS
        while not self._stop.wait(pause):
            pause = HEARTBEAT_SECONDS
            try:
                self._ports.journal.renew(self._lease)
                renewed = self._ports.clock.monotonic()
            except Busy:
                self._over.set()
                return
            except Problem as problem:
                pause = RETRY_SECONDS
                if self._ports.clock.monotonic() - renewed > 0.8 * LEASE_SECONDS:
                    self.away = problem if isinstance(problem, Away) else None
                    self._over.set()
                    return


def drive(
    ports: Ports,
    environment: str,
    rollout: str,
    owner: str,
    *,
    halt: Halt,
    show: Callable[[Entry], None],
    say: Callable[[str], None],
) -> State:
    """Take the environment's lease and drive the rollout to rest. Busy when somebody else does.

    Away when the journal's server is gone for longer than the lease lives: the rollout stays where
    it is; drive it again when the server is back.
    """
    lease = ports.journal.claim(environment, owner)
    heart = Heart(ports, lease, halt)
    heart.start()
    try:
        state = Controller(ports, lease, rollout, halt=heart, show=show, say=say).run()
        if heart.away is not None and not halt.is_set():
            raise heart.away
        return state
    finally:
        heart.stop()
        with contextlib.suppress(Away):  # then it runs out
            ports.journal.release(lease)
