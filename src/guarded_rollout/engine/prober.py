"""The fast lane's eyes: health probes in rounds, not waiting for one another.

A round asks every replica of both versions at the same moment: a candidate is not blamed for what
the old version has too, however late the machine is. A hung replica answers nothing for the whole
timeout; rounds start on time all the same, so that "down" is known within seconds even then.
"""

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace

from guarded_rollout.core.down import Pulse, Round
from guarded_rollout.ports import Address, Clock, Replica, Web

PROBE_TIMEOUT = 0.8
_AT_ONCE = 32
_TICK = 0.05
_IDLE = 0.5
"""The longest sleep while no probe is in flight: each wake-up costs as much as a tenth of one."""

Replicas = Callable[[], tuple[Replica, ...]]


@dataclass(frozen=True, slots=True)
class Probed:
    """One arm: the fold over its rounds, and the probes since it was last taken."""

    pulse: Pulse = field(default_factory=Pulse)
    ok: int = 0
    failed: int = 0

    @property
    def asked(self) -> bool:
        """There was a round."""
        return self.pulse.last is not None

    @property
    def _answers(self) -> Round | None:
        """The last round. None: nobody could be asked, as of a version that was retired."""
        last = self.pulse.last
        return last if last is not None and last.ok + last.failed else None

    @property
    def healthy(self) -> bool | None:
        """Every replica answered well."""
        return self._answers.failed == 0 if self._answers else None

    @property
    def serving(self) -> int | None:
        """How many replicas answered well."""
        return self._answers.ok if self._answers else None

    def after(self, latest: Round) -> "Probed":
        """One more round."""
        ok, failed = self.ok + latest.ok, self.failed + latest.failed
        return Probed(self.pulse.after(latest), ok, failed)


@dataclass(frozen=True, slots=True)
class _Flight:
    """The probes of one arm in one round."""

    alive: int
    probes: list[Future[bool]]

    def landed(self) -> bool:
        return all(probe.done() for probe in self.probes)

    def round(self) -> Round:
        ok = sum(probe.result() for probe in self.probes)
        return Round(ok, len(self.probes) - ok, self.alive)


class Prober:
    """Probes until it is stopped: the candidate, and the old version where there is one.

    Their replicas are asked for anew in every round.
    """

    def __init__(
        self,
        web: Web,
        clock: Clock,
        arms: tuple[Replicas, ...],
        health_path: str,
        every: float,
    ) -> None:
        self._web = web
        self._clock = clock
        self._arms = arms
        self._path = health_path
        self._every = every
        self._seen = [Probed() for _ in arms]
        self._guard = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="prober", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End. Probes in flight are not waited for."""
        self._stop.set()

    @property
    def candidate(self) -> Probed:
        """What is known of it now."""
        with self._guard:
            return self._seen[0]

    def take(self) -> tuple[Probed, Probed | None]:
        """The candidate and the old version, as of the same round."""
        with self._guard:
            taken = self._seen
            self._seen = [replace(arm, ok=0, failed=0) for arm in taken]
        return taken[0], taken[1] if len(taken) > 1 else None

    def _run(self) -> None:
        flying: deque[list[_Flight]] = deque()
        due = self._clock.monotonic()
        with ThreadPoolExecutor(max_workers=_AT_ONCE, thread_name_prefix="probe") as pool:
            while not self._stop.is_set():
                now = self._clock.monotonic()
                if now >= due:
                    flying.append([self._launch(pool, replicas()) for replicas in self._arms])
                    due = now + self.candidate.pulse.pause(self._every)
                while flying and all(flight.landed() for flight in flying[0]):
                    in_doubt_before = self._in_doubt()
                    self._count([flight.round() for flight in flying.popleft()])
                    if self._in_doubt() and not in_doubt_before:
                        due = self._clock.monotonic()
                left = due - self._clock.monotonic()
                self._clock.sleep(_TICK if flying else min(max(left, _TICK), _IDLE))

    def _launch(self, pool: ThreadPoolExecutor, replicas: tuple[Replica, ...]) -> _Flight:
        alive = sum(replica.alive for replica in replicas)
        return _Flight(alive, [pool.submit(self._probe, replica) for replica in replicas])

    def _probe(self, replica: Replica) -> bool:
        address = Address(socket=replica.socket)
        return self._web.get(address, self._path, PROBE_TIMEOUT).status == 200

    def _count(self, rounds: list[Round]) -> None:
        with self._guard:
            self._seen = [arm.after(one) for arm, one in zip(self._seen, rounds, strict=True)]

    def _in_doubt(self) -> bool:
        return self.candidate.pulse.failed_in_a_row > 0
