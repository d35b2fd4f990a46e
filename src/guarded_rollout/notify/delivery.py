"""A notice to its channels: each is tried on its own, and what came of it is written down."""

import contextlib
import math
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from guarded_rollout.core.notice import GOOD_AGAIN, Channel, ChannelKind, Notice
from guarded_rollout.notify import letters
from guarded_rollout.notify.answers import Answer, Came, in_time
from guarded_rollout.notify.ledger import Entry, Ledger, Status
from guarded_rollout.notify.locks import PAUSE, Held, locked
from guarded_rollout.notify.message import Payload
from guarded_rollout.notify.patience import Patience, turn
from guarded_rollout.notify.payloads import render
from guarded_rollout.notify.senders import Send, Way, connector, sender
from guarded_rollout.notify.templates import Templates
from guarded_rollout.notify.text import clean
from guarded_rollout.notify.variables import Missing

if TYPE_CHECKING:
    from guarded_rollout.ports import Clock

SAME_WITHIN = 600.0
"""Seconds in which the same content without a key of its own counts as the same notice."""

IDEMPOTENT = frozenset({ChannelKind.PAGERDUTY})
"""Kinds whose service drops a second notice with the same key itself."""


@dataclass(frozen=True, slots=True)
class Desk:
    """What sending needs besides a notice. `chance`: 0 to 1, evenly. `say`: the console's line."""

    root: Path
    clock: "Clock"
    environ: Mapping[str, str]
    templates: Templates
    say: Callable[[str], None] = print
    patience: Patience = field(default_factory=Patience)
    chance: Callable[[], float] = random.random

    def ledger(self) -> Ledger:
        """The project's ledger."""
        until = self.clock.monotonic() + self.patience.deadline
        return Ledger(self.root, self.clock.now, lambda: self.pause(until))

    def pause(self, until: float) -> bool:
        """Wait a moment. False: it is too late."""
        self.clock.sleep(PAUSE)
        return self.clock.monotonic() < until


@dataclass(frozen=True, slots=True)
class Delivery:
    """What came of a notice on one channel.

    `again`: it had been delivered before, so nothing was sent. `file`: in notifications_out/.
    `recorded` False: not everything could be written down; `reason` says why.
    """

    channel: str
    kind: ChannelKind
    key: str
    status: Status
    attempts: int = 0
    reason: str = ""
    file: str = ""
    again: bool = False
    recorded: bool = True


def deliver(
    notice: Notice,
    channels: Sequence[Channel],
    desk: Desk,
    *,
    dry_run: bool = False,
    insist: bool = False,
) -> tuple[Delivery, ...]:
    """Send the notice to every channel at the same time; one delivery per channel, in their order.

    Returns when each has delivered or has given up, at `patience.deadline` about. Never raises for
    a channel's or a disk's sake. `dry_run`: everything is written, nothing is sent. `insist`: a
    person wants what was given up to be tried again, although it may have arrived.
    """
    safe = clean(notice)
    if not channels:
        return ()
    within = math.inf if notice.key else SAME_WITHIN
    with ThreadPoolExecutor(len(channels)) as at_once:
        runs = [
            at_once.submit(_Run(safe, channel, desk, within).go, dry_run=dry_run, insist=insist)
            for channel in channels
        ]
    return tuple(run.result() for run in runs)


def known(key: str, channel: str, desk: Desk) -> Entry | None:
    """What the ledger knows of a notice on a channel; None: it was never tried. Raises OSError."""
    return desk.ledger().find(key, channel)


class _Run:
    """One notice on one channel. `within`: as long it is not sent again, in seconds."""

    def __init__(self, notice: Notice, channel: Channel, desk: Desk, within: float) -> None:
        self._notice = notice
        self._within = within
        self._channel = replace(channel, kind=connector(channel, desk.environ))
        self._desk = desk
        self._until = desk.clock.monotonic() + desk.patience.deadline
        self._ledger = Ledger(desk.root, desk.clock.now, lambda: desk.pause(self._until))
        self._unrecorded = ""
        self._entry = Entry(
            key=notice.key,
            channel=channel.name,
            kind=str(self._channel.kind),
            status=Status.WAITING,
            type=notice.type,
            environment=notice.environment,
            severity=str(notice.severity),
            message=notice.message[:2000],
            at=notice.at,
            time=datetime.fromtimestamp(notice.at, UTC).isoformat(timespec="seconds"),
            changed=notice.at,
            notice=notice.document(),
        )

    def go(self, *, dry_run: bool, insist: bool) -> Delivery:
        """All of it."""
        payload = render(
            self._channel.kind, self._notice, self._desk.templates, self._channel.mention
        )
        if self._below():
            return self._end(Status.SKIPPED, reason="too quiet for this channel")
        if dry_run:
            return self._put_aside(payload, Status.DRY_RUN, self._missing(payload))
        name = f"notifications.{self._channel.name}.lock"
        lock = self._desk.root / ".rollout" / "locks" / name
        with contextlib.ExitStack() as held:
            try:
                held.enter_context(locked(lock, lambda: self._desk.pause(self._until)))
            except Held:
                reason = "another process was sending on this channel all the time"
                self._record(Status.WAITING)
                return self._put_aside(payload, Status.KEPT, reason)
            except OSError as error:
                self._unrecorded = error.strerror or str(error)
            return self._alone(payload, insist=insist)

    def _missing(self, payload: Payload) -> str:
        """What a dry run can say about a channel without sending."""
        try:
            self._sender(payload)
        except Missing as missing:
            return f"nothing was sent, and it could not be: {missing}"
        return "nothing was sent"

    def _sender(self, payload: Payload) -> Send:
        way = Way(self._desk.root, self._desk.environ, self._desk.say)
        return sender(self._channel, self._notice, payload, way)

    def _below(self) -> bool:
        kind, loud = self._channel.kind, self._notice.severity.rank
        ends_alarm = kind is ChannelKind.PAGERDUTY and self._notice.type in GOOD_AGAIN
        return loud < self._channel.at_least.rank and not ends_alarm

    def _alone(self, payload: Payload, *, insist: bool) -> Delivery:
        """While no other process sends on this channel."""
        before = self._before()
        if before is not None:
            fresh = self._desk.clock.now() - before.changed < self._within
            if before.status is Status.DELIVERED and fresh:
                self._entry = before
                return self._end(Status.DELIVERED, again=True)
            if before.status in {Status.SENDING, Status.WAITING, Status.KEPT}:
                self._go_on(before, insist=insist)
        try:
            send = self._sender(payload)
        except Missing as missing:
            self._record(Status.WAITING)
            return self._put_aside(payload, Status.KEPT, str(missing))
        return self._try(send, payload)

    def _go_on(self, before: Entry, *, insist: bool) -> None:
        """Where another process left off: one that was sending may have been heard."""
        unsure = before.unsure + (before.status is Status.SENDING)
        if insist and before.status is Status.KEPT:
            unsure = 0
        self._entry = replace(before, unsure=unsure)
        self._notice = replace(self._notice, at=before.at)

    def _before(self) -> Entry | None:
        with self._recording():
            return self._ledger.find(self._notice.key, self._channel.name)
        return None

    def _try(self, send: Send, payload: Payload) -> Delivery:
        patience, clock = self._desk.patience, self._desk.clock
        reason = "it was cut off twice while it was sent: it may have arrived"
        for attempt in range(1, patience.attempts + 1):
            if self._unsure_enough():
                break
            if not self._wait(self._turn()):
                reason = "the channel's rate limit left no time"
                break
            self._record(Status.SENDING, attempts=self._entry.attempts + 1, attempted=clock.now())
            answer = self._once(send)
            if answer.came is Came.DELIVERED:
                letters.drop(self._desk.root, self._notice, self._channel)
                return self._end(Status.DELIVERED, reason=answer.reason)
            reason = answer.reason
            self._record(
                Status.WAITING,
                unsure=self._entry.unsure + (answer.came is Came.UNSURE),
                reason=reason,
            )
            if answer.came is Came.REFUSED or attempt == patience.attempts:
                break
            pause = patience.pause(attempt, answer.wait, self._desk.chance())
            if not self._wait(pause):
                reason += f"; the next attempt in {pause:.0f} s would be too late"
                break
        if self._entry.unsure:
            reason += "; it may have arrived all the same"
        return self._put_aside(payload, Status.KEPT, reason)

    def _unsure_enough(self) -> bool:
        idempotent = self._channel.kind in IDEMPOTENT
        return not idempotent and self._entry.unsure >= self._desk.patience.unsure

    def _turn(self) -> float:
        with self._recording():
            times = self._ledger.attempted(self._channel.name)
            return turn(self._channel.kind, times, self._desk.clock.now())
        return 0.0

    def _once(self, send: Send) -> Answer:
        left = self._until - self._desk.clock.monotonic()
        seconds = max(0.1, min(self._desk.patience.answer, left))
        return in_time(
            lambda attempt: send(attempt, seconds, self._desk.clock.now()), seconds + 0.5
        )

    def _wait(self, seconds: float) -> bool:
        """False: it would be too late."""
        if self._desk.clock.monotonic() + seconds >= self._until:
            return False
        self._desk.clock.sleep(seconds)
        return True

    def _put_aside(self, payload: Payload, status: Status, reason: str) -> Delivery:
        """The file first: a kill between the two leaves an entry that is still open."""
        file = ""
        try:
            file = letters.keep(
                self._desk.root,
                self._notice,
                self._channel,
                payload,
                status=str(status),
                reason=reason,
            )
        except OSError as error:
            self._unrecorded = f"{letters.FOLDER}: {error.strerror or error}"
        return self._end(status, reason=reason, file=file)

    def _end(
        self,
        status: Status,
        *,
        reason: str = "",
        file: str = "",
        again: bool = False,
    ) -> Delivery:
        if not again:
            self._record(status, reason=reason, file=file)
        lost = f"not written down: {self._unrecorded}" if self._unrecorded else ""
        told = "; ".join(filter(None, (reason, lost)))
        return Delivery(
            channel=self._channel.name,
            kind=self._channel.kind,
            key=self._notice.key,
            status=status,
            attempts=self._entry.attempts,
            reason=told,
            file=file,
            again=again,
            recorded=not self._unrecorded,
        )

    def _record(self, status: Status, **changed: object) -> None:
        self._entry = replace(self._entry, status=status, **changed)  # type: ignore[arg-type]
        with self._recording():
            self._ledger.write(self._entry)

    @contextlib.contextmanager
    def _recording(self) -> Iterator[None]:
        """A full disk must not stop the notice that tells of it."""
        try:
            yield
        except Held:
            self._unrecorded = "another process kept the ledger locked"
        except OSError as error:
            self._unrecorded = error.strerror or str(error)
