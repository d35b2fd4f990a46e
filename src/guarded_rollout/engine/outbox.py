"""The outbox: what people are to be told of a rollout, minus what they were told.

It is no table of its own. The notices are a projection of the journal, and what came of each is a
fact there. Channels do not wait for one another, and nothing waits for them: neither a way back nor
a slow web hook holds the other up. On each channel notices arrive in their order.
"""

import contextlib
import threading
from collections.abc import Callable
from dataclasses import dataclass

from guarded_rollout.core.announcing import Story, due, due_of_incident, next_due, tell
from guarded_rollout.core.facts import Fact, Notified
from guarded_rollout.core.notice import Notice
from guarded_rollout.core.problems import Problem
from guarded_rollout.engine.incidents import issue_of
from guarded_rollout.ports import Behind, Clock, Journal, Known, Notices, Ports, Told

LOOK_SECONDS = 2.0
PATIENCE_SECONDS = 30.0
"""Before a journal that cannot be read or written is asked again."""

_TICK = 0.5


class Outbox:
    """Delivers one rollout's notices until it is stopped; a thread for each channel."""

    def __init__(self, ports: Ports, environment: str, rollout: str) -> None:
        self._ports, self._rollout = ports, rollout
        self._reader = Reader(ports.journal, rollout)
        self._stop = threading.Event()
        self._when_done = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(lane,), name="notices", daemon=True)
            for lane in _lanes(ports, environment, rollout)
        ]

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End. What is on its way is not waited for."""
        self._stop.set()

    def finish(self, halted: Callable[[], bool]) -> None:
        """Wait until there is nothing more to tell: all was delivered or given up, and a person
        came or was called often enough. Or until `halted`.
        """
        self._when_done.set()
        while any(thread.is_alive() for thread in self._threads) and not halted():
            self._ports.clock.sleep(_TICK)
        self.stop()

    def _run(self, lane: "_Lane") -> None:
        while not self._stop.is_set():
            last = self._when_done.is_set()
            try:
                story = self._reader.read()
                for notice in pending(story, lane.name, self._ports.clock.now(), lane.due):
                    if self._stop.is_set():
                        return
                    self._deliver(notice, lane)
            except Problem:
                # The journal is away. What was sent is in the notifier's own ledger meanwhile.
                self._rest(PATIENCE_SECONDS)
                continue
            if last and next_due(self._reader.story, self._ports.clock.now()) is None:
                return
            self._rest(LOOK_SECONDS)

    def _deliver(self, notice: Notice, lane: "_Lane") -> None:
        told = lane.send(notice)
        fact = Notified(notice.key, lane.name, told.status, told.attempts, told.reason)
        while (notice.key, lane.name) not in (story := self._reader.read()).told:
            with contextlib.suppress(Behind):
                self._ports.journal.append(None, self._rollout, fact, after=story.last)

    def _rest(self, seconds: float) -> None:
        until = self._ports.clock.monotonic() + seconds
        hurried = self._when_done.is_set()
        while not self._stop.is_set() and self._ports.clock.monotonic() < until:
            if self._when_done.is_set() and not hurried:
                return
            self._ports.clock.sleep(_TICK)


Due = Callable[[Story, float], tuple[Notice, ...]]


@dataclass(frozen=True, slots=True)
class _Lane:
    """One place that notices go to: which of them by when, and how."""

    name: str
    due: Due
    send: Callable[[Notice], Told]


def _lanes(ports: Ports, environment: str, rollout: str) -> list[_Lane]:
    """Every channel, and the tracker, which hears of incidents only."""

    def channel(name: str) -> _Lane:
        return _Lane(name, due, lambda notice: ports.notices.deliver(notice, name))

    def track(news: Notice) -> Told:
        return _track(ports, rollout, news)

    lanes = [channel(name) for name in ports.notices.channels(environment)]
    tracker = ports.tracker.name(environment)
    return [*lanes, _Lane(tracker, due_of_incident, track)] if tracker else lanes


def _track(ports: Ports, rollout: str, news: Notice) -> Told:
    issue = issue_of(ports.journal, rollout)
    return ports.tracker.tell(issue, news) if issue else Told("skipped", 0, "no incident")


def tell_tracker(ports: Ports, rollout: str) -> Told:
    """Tell the tracker all the news of an incident, once. The first that fails ends it."""
    story = Reader(ports.journal, rollout).read()
    if ports.tracker.name(story.environment) is None:
        return Told("skipped", 0, "[notify.github] of rollout.toml names no repository")
    told = Told("skipped", 0, "no incident")
    for news in due_of_incident(story, ports.clock.now()):
        told = _track(ports, rollout, news)
        if told.status != "delivered":
            break
    return told


class Reader:
    """Follows a rollout's journal, for any number of threads."""

    def __init__(self, journal: Journal, rollout: str) -> None:
        self._journal = journal
        self._turn = threading.Lock()
        self.story = Story(rollout)

    def read(self) -> Story:
        """The story as it is now."""
        with self._turn:
            for entry in self._journal.entries(self.story.rollout, self.story.last):
                self.story = tell(self.story, (entry.seq, entry.at, entry.fact))
                self.follows(entry.seq, entry.fact)
            return self.story

    def follows(self, number: int, fact: Fact) -> None:
        """One more entry was read."""


def pending(story: Story, channel: str, now: float, of: Due = due) -> tuple[Notice, ...]:
    """What this channel was not told yet, oldest first."""
    return tuple(one for one in of(story, now) if (one.key, channel) not in story.told)


OLD_NEWS = 24 * 3600.0
"""Seconds after which nobody is told any more what was not told in time."""


def recent(journal: Journal, clock: Clock, environment: str) -> tuple[Known, ...]:
    """The rollouts of which anybody may still be told, newest first."""
    since = clock.now() - OLD_NEWS
    return tuple(known for known in journal.known(environment) if known.began >= since)


def calling(journal: Journal, clock: Clock, environment: str) -> tuple[Known, ...]:
    """The rollouts that call for a person whom nobody has been yet, newest first."""
    known = recent(journal, clock, environment)
    return tuple(one for one in known if Reader(journal, one.rollout).read().alarm)


def owed(
    journal: Journal,
    notices: Notices,
    clock: Clock,
    known: Known,
    tracker: str | None = None,
    *,
    only_heard: bool = False,
) -> bool:
    """Look: there is something to tell now, or later when nobody acknowledges.

    `only_heard`: to those who were told of it before. A channel that is new hears what is new.
    """
    now = clock.now()
    story = Reader(journal, known.rollout).read()
    channels = notices.channels(known.environment)
    if only_heard:
        heard = {channel for _, channel in story.told}
        channels = tuple(channel for channel in channels if channel in heard)
        tracker = tracker if tracker in heard else None
    waiting = any(pending(story, channel, now) for channel in channels)
    if tracker is not None:
        waiting = waiting or bool(pending(story, tracker, now, due_of_incident))
    return waiting or (bool(channels) and next_due(story, now) is not None)
