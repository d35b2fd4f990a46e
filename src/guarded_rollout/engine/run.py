"""The controller: read the journal, do what the core says, write down what happened.

It keeps no state of its own that a crash could lose. Kill it anywhere and start another.
"""

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol, assert_never

from guarded_rollout.core.actions import Judge, Perform, Stop, WaitForPerson, next_action
from guarded_rollout.core.actions import Watch as LookOut
from guarded_rollout.core.facts import (
    Adopted,
    Fact,
    Judged,
    Lane,
    Observed,
    StepBegan,
    StepDone,
    StepFailed,
)
from guarded_rollout.core.problems import Interrupted
from guarded_rollout.core.rollout import advance, verdicts
from guarded_rollout.core.state import Phase, State, plan_of
from guarded_rollout.engine.order import Order
from guarded_rollout.engine.papers import write_papers
from guarded_rollout.engine.perform import perform
from guarded_rollout.engine.watch import Watch
from guarded_rollout.ports import Away, Behind, Entry, Lease, Ports

ASK_SECONDS = 1.0
_TICK = 0.05


class Halt(Protocol):
    """Says when to stop: an Event does."""

    def is_set(self) -> bool:
        """Stop now."""


class Told:
    """What a step is handed: when to stop, and where its progress goes."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._stop = threading.Event()
        self._say = say

    def stop(self) -> None:
        """Ask the step to end."""
        self._stop.set()

    def stopped(self) -> bool:
        """The step shall end."""
        return self._stop.is_set()

    def say(self, text: str) -> None:
        """One line of progress."""
        self._say(text)


class Controller:
    """Drives one rollout to its ending, or until `halt` is set.

    Args:
        lease: the right to write; every append carries its fence.
        halt: set at a signal or a lost lease. The rollout stays where it is, for the next one.
        show: gets every entry, as it is written or read.
        say: gets progress that is no fact.
    """

    def __init__(
        self,
        ports: Ports,
        lease: Lease,
        rollout: str,
        *,
        halt: Halt,
        show: Callable[[Entry], None],
        say: Callable[[str], None],
    ) -> None:
        self._ports = ports
        self._lease = lease
        self._rollout = rollout
        self._halt = halt
        self._show = show
        self._say = say
        self._state = State()
        self._seq = 0
        self._began: dict[str, float] = {}
        self._by = ""
        self._asked_at = 0.0
        self._watch: Watch | None = None

    def run(self) -> State:
        """Drive. Returns the state in which it came to rest."""
        known = self._read(show=False)
        if not self._state.ended and known > 1:
            self._write(Adopted(self._lease.owner))
        try:
            while not self._halt.is_set() and self._act():
                pass
        finally:
            self._end_watch()
        if self._state.phase in {Phase.REFUSED, Phase.STUCK, Phase.HOLDING}:
            self._report()
        return self._state

    def _report(self) -> None:
        for problem in write_papers(self._ports, self._rollout)[1]:
            self._say(f"not written: {problem}; the journal has everything")

    def _act(self) -> bool:
        """One action. False when there is nothing to do any more."""
        action = next_action(self._state)
        if not isinstance(action, LookOut | Judge):
            self._end_watch()
        match action:
            case Perform():
                self._perform(action)
            case LookOut(until=until):
                self._look(until)
            case Judge():
                self._write(Judged(self._state.elapsed, verdicts(self._state)))
            case WaitForPerson():
                self._ports.clock.sleep(ASK_SECONDS)
                self._read()
                return self._state.phase is not Phase.STUCK
            case Stop():
                return False
            case _:
                assert_never(action)
        return True

    def _look(self, until: float) -> None:
        if self._watch is None:
            self._watch = Watch(plan_of(self._state), self._ports)
            self._watch.start()
        seen = self._watch.observe(self._state.elapsed, until, self._state.looks, self._wake)
        if seen is None:
            return
        if not self._write(Observed(seen)):
            return
        down = self._watch.down()
        if down is not None and (seen.look is not None or self._watch.down_is_news()):
            self._write(Judged(self._state.elapsed, (down,), Lane.DOWN))

    def _wake(self) -> bool:
        """Somebody asked for something, or this controller shall stop."""
        if self._halt.is_set():
            return True
        now = self._ports.clock.monotonic()
        if now - self._asked_at < ASK_SECONDS:
            return False
        self._asked_at = now
        return self._read() > 0

    def _hears(self) -> bool:
        """As `_wake`. Nobody is heard while the journal is away: `halt` says when that ends it."""
        try:
            return self._wake()
        except Away:
            return False

    def _end_watch(self) -> None:
        if self._watch is not None:
            self._watch.stop()
            self._watch = None

    def _perform(self, action: Perform) -> None:
        if not self._write(StepBegan(action.step, action.attempt)):
            return
        order = Order(
            step=action.step,
            plan=plan_of(self._state),
            rollout=self._rollout,
            by=self._by,
            fence=self._lease.fence,
            since=self._began[action.step],
            look_first=action.look_first,
            outcomes=self._state.outcomes,
            percent=plan_of(self._state).stages[self._state.stage].percent,
        )
        told = Told(self._say)
        with ThreadPoolExecutor(max_workers=1, thread_name_prefix="step") as pool:
            doing = pool.submit(perform, order, self._ports, told)
            self._attend(doing, told)
        try:
            fact: StepDone | StepFailed = doing.result()
        except Interrupted as interrupted:
            if self._halt.is_set():
                return
            fact = StepFailed(action.step, interrupted.why)
        while not self._write(fact):
            pass

    def _attend(self, doing: Future[StepDone | StepFailed], told: Told) -> None:
        """While the step works: hear people, and stop it when they or the machine want that."""
        while not doing.done():
            if self._halt.is_set() or (self._hears() and self._state.asked is not None):
                told.stop()
            self._ports.clock.sleep(_TICK)

    def _write(self, fact: Fact) -> bool:
        """Append and fold. False when somebody else appended first: read, then decide again."""
        after = advance(self._state, fact)
        ended = str(after.phase) if after.ended else None
        try:
            entry = self._ports.journal.append(
                self._lease, self._rollout, fact, after=self._seq, ended=ended
            )
        except Behind:
            self._read()
            return False
        self._fold(entry, after)
        self._show(entry)
        return True

    def _read(self, *, show: bool = True) -> int:
        """Fold what others appended. Returns how many entries that were."""
        entries = self._ports.journal.entries(self._rollout, self._seq)
        for entry in entries:
            self._fold(entry, advance(self._state, entry.fact))
            if show:
                self._show(entry)
        return len(entries)

    def _fold(self, entry: Entry, after: State) -> None:
        self._state = after
        self._seq = entry.seq
        fact = entry.fact
        if isinstance(fact, StepBegan) and fact.attempt == 1:
            self._began[fact.step] = entry.at
        elif not self._by and hasattr(fact, "by"):
            self._by = fact.by
