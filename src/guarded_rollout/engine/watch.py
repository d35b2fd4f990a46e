"""Looking at a release: probes every second, metrics every few seconds.

Nothing here decides. It gives Observations; the core judges them. Sources run in threads of their
own, so a dead or slow one never stops the probes.
"""

import contextlib
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from guarded_rollout.core.down import Pulse
from guarded_rollout.core.gates import Answer, Verdict
from guarded_rollout.core.plan import Plan
from guarded_rollout.core.problems import Problem
from guarded_rollout.core.series import ArmSeen, Observation, ProxyReading, Reading
from guarded_rollout.core.spec import Release
from guarded_rollout.engine.prober import Probed, Prober, Replicas
from guarded_rollout.engine.scraping import scrape_proxy, scrape_replicas
from guarded_rollout.engine.smoke import asked_as_user, body_of, run_check
from guarded_rollout.ports import Ports

SCRAPES_PER_TIDYING = 60
FRESH_SECONDS = 1.0
FIRST_ROUND_SECONDS = 30.0
"""A round takes one; whoever is not known after this is no reason not to look."""
_TICK = 0.2
_NAP = 0.25
"""A tick of what may come a little later: scrapes, requests of our own."""


@dataclass(frozen=True, slots=True)
class ArmScraped:
    """What one arm's sources said. `problems`: those that said nothing."""

    readings: tuple[Reading, ...] = ()
    proxy: ProxyReading | None = None
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Scraped:
    """Both arms at about the same time: they are compared."""

    candidate: ArmScraped = field(default_factory=ArmScraped)
    baseline: ArmScraped = field(default_factory=ArmScraped)
    number: int = 0


@dataclass(slots=True)
class _Box:
    """The newest scrape, handed from the scraper's thread to the watch's."""

    guard: threading.Lock = field(default_factory=threading.Lock)
    newest: _Scraped = field(default_factory=_Scraped)

    def put(self, scraped: _Scraped) -> None:
        with self.guard:
            self.newest = scraped

    def get(self) -> _Scraped:
        with self.guard:
            return self.newest


class Watch:
    """Between `start` and `stop` the arms are probed and scraped."""

    def __init__(self, plan: Plan, ports: Ports) -> None:
        self._plan = plan
        self._ports = ports
        self._policy = plan.spec.environment.watch
        self._stop = threading.Event()
        self._scrape_now = threading.Event()
        self._box = _Box()
        self._used = 0
        self._down_told = False
        self._began = self._mark = ports.clock.monotonic()
        self._old = plan.control or plan.baseline
        self._prober = Prober(
            ports.web,
            ports.clock,
            tuple(map(self._replicas, filter(None, (plan.candidate, plan.baseline)))),
            plan.spec.service.health_path,
            self._policy.probe_seconds,
        )
        self._pulse = Pulse()
        loops: list[Callable[[], None]] = [self._scrape_loop]
        if self._policy.synthetic_per_second > 0:
            loops.append(self._synthetic_loop)
        self._threads = [threading.Thread(target=loop, daemon=True) for loop in loops]

    def _replicas(self, release: Release) -> Replicas:
        return lambda: self._ports.target.replicas(release)

    def start(self) -> None:
        """Begin to look."""
        self._prober.start()
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End. Does not wait: a hung candidate must not hold up the way back."""
        self._stop.set()
        self._prober.stop()

    def _probed(self) -> bool:
        """Each arm was asked once: before that a sick old version looks like one nobody knows."""
        waited = self._ports.clock.monotonic() - self._began
        return self._prober.candidate.asked or waited > FIRST_ROUND_SECONDS

    def down(self) -> Verdict | None:
        """The fast lane's breach, when the candidate was down in the last observation."""
        pulse = self._pulse
        if not pulse.down:
            return None
        return Verdict("down", Answer.BREACH, _down_text(pulse), float(pulse.failed_in_a_row))

    def down_is_news(self) -> bool:
        """True once each time the candidate goes down, as of the last observation."""
        news = self._pulse.down and not self._down_told
        self._down_told = self._pulse.down
        return news

    def _down_unseen(self) -> bool:
        down = self._prober.candidate.pulse.down
        self._down_told = self._down_told and down
        return down and not self._down_told

    def observe(
        self, elapsed: float, until: float, looks: int, wake: Callable[[], bool]
    ) -> Observation | None:
        """Wait for the next thing worth writing down; None when `wake` says so first.

        That is a new scrape, the look due at `until`, or the candidate being down.
        Watch time passes here and only here; more than three scrapes' worth at once is a gap
        (the process was frozen) and does not count.
        """
        longest = 3 * self._policy.scrape_seconds
        while True:
            watched = min(self._ports.clock.monotonic() - self._mark, longest)
            scraped = self._box.get()
            fresh = scraped.number > self._used
            due = elapsed + watched >= until
            if due and not fresh:
                # A look judges what is there now; a source that is slow is not waited for long.
                self._scrape_now.set()
                due = elapsed + watched >= until + FRESH_SECONDS
            if (due or fresh or self._down_unseen()) and self._probed():
                self._mark = self._ports.clock.monotonic()
                self._used = scraped.number
                look = looks + 1 if elapsed + watched >= until else None
                return self._observation(elapsed + watched, scraped, look)
            if wake():
                return None
            self._ports.clock.sleep(_TICK)

    def _observation(self, elapsed: float, scraped: _Scraped, look: int | None) -> Observation:
        ours, theirs = self._prober.take()
        self._pulse = ours.pulse
        return Observation(
            elapsed=round(elapsed, 3),
            candidate=self._arm(ours, self._plan.candidate, scraped.candidate),
            baseline=self._arm(theirs, self._old, scraped.baseline)
            if theirs and self._old
            else None,
            host=self._ports.host.seen() if look is not None else None,
            look=look,
        )

    def _arm(self, probed: Probed, release: Release, scraped: ArmScraped) -> ArmSeen:
        replicas = self._ports.target.replicas(release)
        return ArmSeen(
            healthy=probed.healthy,
            probes_ok=probed.ok,
            probes_failed=probed.failed,
            replicas_alive=sum(replica.alive for replica in replicas),
            restarts=sum(replica.restarts for replica in replicas),
            readings=scraped.readings,
            proxy=scraped.proxy,
            problems=scraped.problems,
            serving=probed.serving,
        )

    def _scrape_loop(self) -> None:
        number = 0
        while not self._stop.is_set():
            began = self._ports.clock.monotonic()
            self._scrape_now.clear()
            number += 1
            if number % SCRAPES_PER_TIDYING == 0:
                self._tidy()
            self._box.put(self._scrape(number))
            spent = self._ports.clock.monotonic() - began
            self._rest(max(_TICK, self._policy.scrape_seconds - spent), self._scrape_now)

    def _tidy(self) -> None:
        # A log that cannot be rotated is no reason to stop looking.
        with contextlib.suppress(Problem):
            self._ports.traffic.tidy()

    def _rest(self, seconds: float, wake: threading.Event | None = None) -> bool:
        """Wait, at most until `wake` is set; True when the watch shall end."""
        until = self._ports.clock.monotonic() + seconds
        while not self._stop.is_set() and (left := until - self._ports.clock.monotonic()) > 0:
            if wake is not None and wake.is_set():
                break
            self._ports.clock.sleep(min(left, _NAP))
        return self._stop.is_set()

    def _scrape(self, number: int) -> _Scraped:
        proxies, told = scrape_proxy(self._ports)
        return _Scraped(
            self._scrape_arm(self._plan.candidate, proxies, told),
            self._scrape_arm(self._old, proxies, ()) if self._old else ArmScraped(),
            number,
        )

    def _scrape_arm(
        self, release: Release, proxies: Mapping[str, ProxyReading], told: tuple[str, ...]
    ) -> ArmScraped:
        readings, problems = scrape_replicas(self._ports, self._plan.spec.service, release)
        return ArmScraped(readings, proxies.get(release.name), (*told, *problems))

    def _synthetic_loop(self) -> None:
        """The smoke checks, in turn, through the proxy as a user would send them."""
        spec, ports = self._plan.spec, self._ports
        asked = asked_as_user(spec)
        bodies = [
            (check, body_of(ports.root, check)) for check in spec.service.checks if check.as_traffic
        ]
        pause = 1.0 / self._policy.synthetic_per_second
        turn = 0
        while bodies and not self._rest(pause):
            check, body = bodies[turn % len(bodies)]
            turn += 1
            run_check(ports.web, asked, check, body)


def _down_text(pulse: Pulse) -> str:
    alive = pulse.last.alive if pulse.last else 0
    processes = "no process is alive" if alive == 0 else f"{alive} processes are alive"
    return f"no replica answered well in {pulse.failed_in_a_row} rounds of probes; {processes}"
