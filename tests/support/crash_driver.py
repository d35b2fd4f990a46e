"""Lives one story again and again, killed at each of its points, and says what was wrong after.

Run: `python crash_driver.py FOLDER STORY`. It prints a JSON line per kill, and a last one with the
points of the uninterrupted run. This process starts no thread, so that it may fork: each guard is a
child that finds everything imported, and dies by its own SIGKILL.
"""

import gc
import json
import os
import shutil
import signal
import sys
import threading
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from crash_points import Doom, DoomedJournal, Place, Point, crossing
from crash_stories import STORIES, Story
from crash_world import FileWorld, ports_on

from guarded_rollout.adapters.journal.looking import open_readonly
from guarded_rollout.core.facts import Adopted, Fact, Started, StepBegan
from guarded_rollout.core.problems import Problem
from guarded_rollout.core.rollout import advance, replay
from guarded_rollout.core.state import Phase, State
from guarded_rollout.engine.agent import drive
from guarded_rollout.ports import Audit, Entry, Known
from guarded_rollout.testing.clock import FastClock

SPEED = 200.0
LEASE_SECONDS = 15.0 * SPEED
HUNG_SECONDS = 120
"""A guard that takes this long is ended: it hangs. Nothing else is decided by time."""

TRIES = 3
TICK_SECONDS = 0.002
"""Nobody sleeps shorter than this, for the machine's sake."""

AGAIN = ("scratch", "fill", "discard", "try", "migrate on", "unmigrate on")
"""Effects on scratch databases and trials: whoever repeats the step makes new ones."""

REPEATED = ("set-aside", "snapshot", "restore")
"""A restore may repeat these; its rows and its file of rows must be the same all the same."""


class Clock(FastClock):
    """Fast, but whoever polls does not take a whole core.

    The wall's time jumps `by` seconds when it is asked for the `after`-th time.
    """

    by = 0.0
    after = 0

    def now(self) -> float:
        self.after -= 1
        return super().now() + (self.by if self.after < 0 else 0.0)

    def sleep(self, seconds: float) -> None:
        super().sleep(max(seconds, TICK_SECONDS * SPEED))


class People:
    """What happens around the guard: it is told each entry, and does what the story says, once."""

    def __init__(self, story: Story, rollout: str, world: FileWorld, journal: DoomedJournal):
        self._story, self._rollout = story, rollout
        self._world, self._journal = world, journal
        self._facts: list[Fact] = []
        self._seq = 0
        self._state = State()
        for entry in journal.entries(rollout):
            self._hear(entry)

    def __call__(self, entry: Entry) -> None:
        if entry.seq > self._seq:
            self._hear(entry)
        self.act()

    def act(self) -> bool:
        """Do the first thing that is due. False: nothing is."""
        for turn in self._story.turns:
            done = turn.fact in self._facts if turn.fact else turn.name in self._world.turns
            if not done and turn.when(self._state):
                self._world.turns.add(turn.name)
                self._story.harm(self._world)
                self._world.save()
                if turn.fact is not None:
                    self._ask(turn.fact)
                return True
        return False

    def see_it_at_rest(self) -> bool:
        """Nobody needs to drive it on."""
        return self._state.ended or self._state.phase is Phase.STUCK

    def _ask(self, fact: Fact) -> None:
        """As the command line does."""
        after = advance(self._state, fact)
        ended = str(after.phase) if after.ended and not self._state.ended else None
        self._hear(self._journal.append(None, self._rollout, fact, after=self._seq, ended=ended))

    def _hear(self, entry: Entry) -> None:
        self._seq = entry.seq
        self._facts.append(entry.fact)
        self._state = advance(self._state, entry.fact)


@dataclass(frozen=True)
class Found:
    """What a rollout left: its facts, its effects, the world, and the whole journal's audit."""

    facts: list[Fact]
    world: dict
    effects: list[dict]
    audit: Audit
    active: Known | None

    @property
    def state(self) -> State:
        return replay(self.facts)

    def summary(self) -> dict:
        """Where it came to rest, and what is there now."""
        state = self.state
        told = {"hold": state.hold, "way": state.way, "left behind": len(state.leftovers)}
        return {"phase": state.phase, **told, **self.world}


@dataclass(frozen=True)
class Site:
    """A folder with a world, a journal and a ledger; `clock` runs on through all lives."""

    folder: Path
    name: str
    clock: Clock
    lease: float = LEASE_SECONDS

    @property
    def state(self) -> Path:
        """The folder of the journal and its locks."""
        return self.folder / "state"

    @property
    def story(self) -> Story:
        return STORIES[self.name]

    @property
    def rollout(self) -> str:
        return self.name.replace(" ", "-")

    def live(self, doom: Doom) -> None:
        """Be the command line and the guard, until the rollout has ended or this process."""
        world, journal = self.opened(doom)
        if not journal.entries(self.rollout):
            plan = self.story.plan(journal, world)
            journal.begin("production", self.rollout, Started(plan, "ann"), exclusive=True)
        else:
            started = journal.entries(self.rollout)[0].fact
            world.candidate = started.plan.candidate
        ports = ports_on(world, journal)
        owner = f"guard {os.getpid()}"
        people = People(self.story, self.rollout, world, journal)
        while True:
            halt = threading.Event()
            drive(
                ports, "production", self.rollout, owner, halt=halt, show=people, say=lambda _: None
            )
            if not people.act() and people.see_it_at_rest():
                return

    def opened(self, doom: Doom) -> tuple[FileWorld, DoomedJournal]:
        """The world as bad as the story wants it, and the journal."""
        world = FileWorld(self.clock, self.folder, failing_effects=self.story.failing)
        world.before = lambda effect: doom.come(Place.EFFECT, effect)
        world.head = "0001" if self.story.before is None else "0002"
        self.story.harm(world)
        journal = DoomedJournal(
            self.state / "journal.db",
            self.clock,
            self.state / "locks",
            doom,
            world.ledger,
            lease_seconds=self.lease,
        )
        return world, journal

    def found(self) -> "Found":
        """What this rollout left."""
        journal = open_readonly(self.state / "journal.db", self.clock)
        world = FileWorld(self.clock, self.folder)
        facts = [entry.fact for entry in journal.entries(self.rollout)]
        mine = [e for e in world.ledger.lines() if e["key"].startswith(f"{self.rollout}/")]
        return Found(facts, world.ending(), mine, journal.verify(), journal.active("production"))

    def copy(self, to: Path, name: str) -> "Site":
        shutil.rmtree(to, ignore_errors=True)
        shutil.copytree(self.folder, to)
        return Site(to, name, self.clock)


def forked(deed: Callable[[], None]) -> int:
    """How a child ended that did this: 0, or the signal's number negative."""
    return ended(fork(deed))


def ended(child: int) -> int:
    """How it ended; waits for that."""
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)


def fork(deed: Callable[[], None]) -> int:
    """A child that does this, and nothing else. A problem of the tool is code 3 and one line."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            gc.disable()
            signal.alarm(HUNG_SECONDS)
            deed()
            code = 0
        except Problem as problem:
            print(problem.why.what, problem.why.hint, file=sys.stderr)  # noqa: T201
            code = 3
        except BaseException:  # noqa: BLE001 - a child tells its parent and ends here
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(code)
    return child


def killed(code: int) -> bool:
    return code == -signal.SIGKILL


def settled(folder: Path, name: str, clock: Clock) -> Site:
    """The site as the story finds it."""
    before = STORIES[name].before
    if before is None:
        folder.mkdir(parents=True)
        return Site(folder, name, clock)
    found = settled(folder.with_name(f"{folder.name}-{before}"), before, clock)
    if forked(lambda: found.live(Doom(None))) != 0:
        raise SystemExit(f"{name}: what it begins after does not come about")
    (found.folder / "ledger").unlink()
    return found.copy(folder, name)


def points(site: Site, trace: Path) -> list[Point]:
    """Live the story undisturbed from here on, and say where one can die in it."""
    if forked(lambda: site.live(Doom(None, trace))) != 0:
        raise SystemExit(f"{site.name}: the uninterrupted run failed")
    found = [Point(**json.loads(line)) for line in trace.read_text().splitlines()]
    return [replace(point, place=Place(point.place)) for point in found]


def transitions(facts: list[Fact]) -> list[str]:
    """What was crossed."""
    state, crossed = State(), []
    for fact in facts:
        after = advance(state, fact)
        crossed.append(crossing(state, fact, after))
        state = after
    return crossed


def wrong(found: Found, calm: Found, story: Story) -> Iterator[str]:
    """Everything that is not as if nobody had been killed."""
    if found.state.phase is not story.ending:
        yield f"it ended {found.state.phase}, not {story.ending}"
    if found.audit.problem is not None:
        yield f"the chain: {found.audit.problem}"
    if found.active is not None:
        yield "it is still active"
    here, wanted = found.summary(), calm.summary()
    for name in sorted(wanted.keys() - set(story.spared)):
        if here[name] != wanted[name]:
            yield f"{name}: {here[name]!r}, uninterrupted {wanted[name]!r}"
    yield from wrong_effects(found, calm, story)


def wrong_effects(found: Found, calm: Found, story: Story) -> Iterator[str]:
    """Each effect has its intent in the journal, and comes as often as it should."""
    steps = {(fact.step, fact.attempt) for fact in found.facts if isinstance(fact, StepBegan)}
    for line in found.effects:
        if (line["key"].rsplit("/")[-1], line["attempt"]) not in steps:
            yield f"{line} has no intent in the journal"
    here, wanted = counted(found.effects), counted(calm.effects)
    for effect in sorted(here.keys() | wanted.keys()):
        spared = here[effect] == 0 and effect.split()[1] in story.spared
        if here[effect] != wanted[effect] and not spared:
            yield f"{effect}: {here[effect]} times, uninterrupted {wanted[effect]}"


def counted(lines: list[dict]) -> Counter[str]:
    """The effects that happen once however often a step is begun, by idempotency key."""
    once = (line for line in lines if not line["effect"].startswith(AGAIN + REPEATED))
    return Counter(f"{line['key']} {line['effect']}" for line in once)


class Sweep:
    """One story: undisturbed, then once per point with a kill there, then kills of successors."""

    def __init__(self, name: str, folder: Path, tell: Callable[[dict], None]) -> None:
        self._story = STORIES[name]
        self._folder, self._name, self._tell = folder, name, tell
        self._start = settled(folder / "start", name, Clock(SPEED))
        calm = self._start.copy(folder / "calm", name)
        self._points = points(calm, folder / "trace")
        self._calm = calm.found()
        gc.collect()
        gc.freeze()

    def run(self) -> None:
        """All of it."""
        if self._story.since is not None:
            self._begin_later(self._story.since)
        if self._story.until is not None:
            names = [point.name for point in self._points]
            del self._points[len(names) - names[::-1].index(self._story.until) :]
        problems = list(wrong(self._calm, self._calm, self._story))
        self._tell({"points": len(self._points), "wrong": problems})
        adopted: dict[str, Point] = {}
        for point in self._points:
            for crossed in self._kill(point):
                adopted.setdefault(crossed, point)
        known = {point.name for point in self._points}
        for crossed, first in adopted.items():
            if crossed not in known:
                for place in (Place.BEFORE, Place.AFTER):
                    self._kill(first, Point(place, crossed, 1))

    def _begin_later(self, since: str) -> None:
        """Every life begins with the death of a first guard, right after this commit."""
        code = forked(lambda: self._start.live(Doom(Point(Place.AFTER, since, 1))))
        if not killed(code):
            raise SystemExit(f"{self._name}: nobody came to {since}")
        calm = self._start.copy(self._folder / "calm", self._name)
        self._points = points(calm, self._folder / "trace-since")

    def _kill(self, *kills: Point) -> list[str]:
        """One guard per kill, and one that nobody kills. Which adoptions were crossed.

        A watch sees a little more or less each time, so its last points may need another try.
        """
        for _ in range(TRIES):
            told, dead = self._lives(kills)
            if dead or told["wrong"]:
                break
        self._tell(told)
        return [one for one in told["crossed"] if dead and one.split()[1] == Adopted.__name__]

    def _lives(self, kills: tuple[Point, ...]) -> tuple[dict, bool]:
        site = self._start.copy(self._folder / "killed", self._name)
        codes = [forked(lambda point=point: site.live(Doom(point))) for point in kills]
        codes.append(forked(lambda: site.live(Doom(None))))
        dead = all(killed(code) for code in codes[:-1])
        ended = [code for code in codes if code != 0 and not killed(code)]
        problems = [f"a guard ended with {code}" for code in ended]
        found = site.found()
        problems += wrong(found, self._calm, self._story)
        told = {"kills": [asdict(point) for point in kills], "dead": dead, "wrong": problems}
        return {**told, "crossed": sorted(set(transitions(found.facts)))}, dead


def main() -> None:
    folder, name = Path(sys.argv[1]), sys.argv[2]
    Sweep(name, folder, lambda told: print(json.dumps(told), flush=True)).run()  # noqa: T201


if __name__ == "__main__":
    main()
