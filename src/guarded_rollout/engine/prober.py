"""The fast lane's eyes: health probes in rounds, not waiting for one another.

A hung replica answers nothing for the whole timeout; rounds start on time all the same, so that
"down" is known within seconds even then.
"""

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

from guarded_rollout.core.down import Pulse, Round
from guarded_rollout.ports import Address, Clock, Replica, Web

PROBE_TIMEOUT = 0.8
_TICK = 0.05
_IDLE = 0.5
"""The longest sleep while no probe is in flight: each wake-up costs as much as a tenth of one."""


class Prober:
    """Probes one arm until it is stopped. `replicas` is asked anew for every round."""

    def __init__(
        self,
        web: Web,
        clock: Clock,
        replicas: Callable[[], tuple[Replica, ...]],
        health_path: str,
        every: float,
    ) -> None:
        self._web = web
        self._clock = clock
        self._replicas = replicas
        self._path = health_path
        self._every = every
        self._guard = threading.Lock()
        self._pulse = Pulse()
        self._all_well: bool | None = None
        self._ok = 0
        self._failed = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="prober", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End. Probes in flight are not waited for."""
        self._stop.set()

    @property
    def pulse(self) -> Pulse:
        """The fold over all rounds so far."""
        with self._guard:
            return self._pulse

    def take(self) -> tuple[bool | None, int, int]:
        """Was every replica well in the last round; good and bad probes since last asked."""
        with self._guard:
            taken = (self._all_well, self._ok, self._failed)
            self._ok = self._failed = 0
            return taken

    def _run(self) -> None:
        flying: deque[tuple[list[Future[bool]], int]] = deque()
        due = self._clock.monotonic()
        with ThreadPoolExecutor(max_workers=16, thread_name_prefix="probe") as pool:
            while not self._stop.is_set():
                now = self._clock.monotonic()
                if now >= due:
                    flying.append(self._launch(pool))
                    due = now + self.pulse.pause(self._every)
                while flying and all(probe.done() for probe in flying[0][0]):
                    probes, alive = flying.popleft()
                    in_doubt_before = self.pulse.failed_in_a_row > 0
                    self._count([probe.result() for probe in probes], alive)
                    if self.pulse.failed_in_a_row and not in_doubt_before:
                        due = self._clock.monotonic()
                left = due - self._clock.monotonic()
                self._clock.sleep(_TICK if flying else min(max(left, _TICK), _IDLE))

    def _launch(self, pool: ThreadPoolExecutor) -> tuple[list[Future[bool]], int]:
        replicas = self._replicas()
        alive = sum(replica.alive for replica in replicas)
        return [pool.submit(self._probe, replica) for replica in replicas], alive

    def _probe(self, replica: Replica) -> bool:
        address = Address(socket=replica.socket)
        return self._web.get(address, self._path, PROBE_TIMEOUT).status == 200

    def _count(self, answers: list[bool], alive: int) -> None:
        ok = sum(answers)
        with self._guard:
            self._pulse = self._pulse.after(Round(ok, len(answers) - ok, alive))
            # An old version that was retired is not sick: nobody can say how it is.
            self._all_well = ok == len(answers) if answers else None
            self._ok += ok
            self._failed += len(answers) - ok
