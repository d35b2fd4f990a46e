"""The running proxy, looked at: questions that may go unanswered, and waiting for an answer."""

from collections.abc import Callable
from typing import TypeVar

from guarded_rollout.adapters.envoy import live
from guarded_rollout.adapters.envoy.admin import Admin, Gone, NoAnswer, Session
from guarded_rollout.adapters.envoy.marks import Mark
from guarded_rollout.adapters.envoy.port import answers, check_free
from guarded_rollout.adapters.envoy.supervisor import ProxySupervisor
from guarded_rollout.core.problems import Broken
from guarded_rollout.ports import Clock

T = TypeVar("T")

PAUSE = 0.01
_LOG_TAIL = 20_000


class Proxy:
    """`ready_seconds`: how long it may take to start, or to take up a change."""

    def __init__(
        self,
        admin: Admin,
        listen: tuple[str, int],
        supervisor: ProxySupervisor,
        clock: Clock,
        ready_seconds: float,
    ) -> None:
        self.admin = admin
        self.listen = listen
        self.supervisor = supervisor
        self.clock = clock
        self.ready_seconds = ready_seconds

    def look(self, at: Callable[[Session], T]) -> T | None:
        """None when the proxy does not answer."""
        try:
            with self.admin.session() as session:
                return at(session)
        except NoAnswer:
            return None

    def until(self, seconds: float, look: Callable[[], T | None]) -> T | None:
        """Look until something true is found; None when there is nothing within `seconds`."""
        deadline = self.clock.monotonic() + seconds
        while True:
            if found := look():
                return found
            if self.clock.monotonic() >= deadline:
                return None
            self.pause()

    def pause(self) -> None:
        """Between two looks."""
        self.clock.sleep(PAUSE)

    def ready(self) -> Mark | None:
        """The mark of its routes, if it answers users too. LIVE alone says little: a proxy that
        refused the routes it found at its start is LIVE and answers 404 to everything.
        """
        mark = self.look(live.live_mark)
        return mark if mark is not None and answers(self.listen) else None

    def in_flight(self, release: str | None) -> int | None:
        """Requests at the release's replicas, or at all of them. A proxy that is gone has none;
        None: it runs and does not say.
        """
        try:
            with self.admin.session() as session:
                clusters = live.clusters(session)
        except Gone:
            return 0
        except NoAnswer:
            return None
        return sum(
            host.active
            for hosts in clusters.values()
            for host in hosts
            if release is None or host.release == release
        )

    def silent(self) -> Broken:
        """Why it does not answer."""
        if not self.supervisor.alive():
            check_free(self.listen)
        return self.broken(f"the proxy does not answer within {self.ready_seconds:g} s")

    def broken(self, what: str, word: str = "") -> Broken:
        """A problem with the proxy's last words, the last that contain `word`."""
        said = self._last_words(word)
        return Broken(f"{what}{said and ': '}{said}", f"look at {self.supervisor.log()}")

    def _last_words(self, word: str) -> str:
        try:
            tail = self.supervisor.log().read_bytes()[-_LOG_TAIL:].decode(errors="replace")
        except OSError:
            return ""
        lines = [line for line in tail.splitlines() if line.strip() and word in line]
        return lines[-1].rpartition("] ")[2] if lines else ""
