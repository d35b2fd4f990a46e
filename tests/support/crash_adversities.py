"""What a machine and its people do to guards: each verb lives it through and tells what came of it.

Run: `python crash_adversities.py FOLDER VERB [ARGUMENT]`; prints one JSON object. No threads here,
so that it may fork.
"""

import json
import os
import resource
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from crash_driver import (
    SPEED,
    Clock,
    Found,
    Site,
    counted,
    ended,
    fork,
    forked,
    killed,
    settled,
    wrong,
)
from crash_points import Doom, Place, Point

from guarded_rollout.core.facts import Started
from guarded_rollout.core.problems import Busy

MIDST = Point(Place.AFTER, "preparing StepBegan preparing start", 1)
"""In mid rollout, with an effect that is asked for and not there yet."""


class Case:
    """A good deploy: undisturbed once, and a fresh site for each try."""

    def __init__(self, folder: Path, name: str = "good") -> None:
        self.clock = Clock(SPEED)
        self._start = settled(folder / "start", name, self.clock)
        self._folder, self.name = folder, name
        calm = self.fresh()
        if forked(lambda: calm.live(Doom(None))) != 0:
            raise SystemExit("the undisturbed run failed")
        self.calm = calm.found()

    def fresh(self) -> Site:
        return self._start.copy(self._folder / "tried", self.name)

    def carry_on(self, site: Site) -> list[str]:
        """What is wrong after a guard whom nobody disturbs has carried on."""
        code = forked(lambda: site.live(Doom(None)))
        return ([f"it ended with {code}"] if code else []) + self.wrong(site.found())

    def wrong(self, found: Found) -> list[str]:
        return list(wrong(found, self.calm, self.calm_story))

    @property
    def calm_story(self):
        return self._start.story


def jump(folder: Path, seconds: str) -> dict:
    """The wall's clock jumps at different moments of a life, and between two lives."""
    case, problems, lives = Case(folder), [], 0
    for after in (5, 20, 45, 80):
        site = replace(case.fresh(), clock=_jumping(float(seconds), after))
        problems += case.carry_on(site)
        lives += 1
    site = case.fresh()
    dead = killed(forked(lambda: site.live(Doom(MIDST))))
    problems += case.carry_on(replace(site, clock=_jumping(float(seconds), 0)))
    return {"lives": lives + 1, "dead": dead, "wrong": problems}


def _jumping(by: float, after: int) -> Clock:
    clock = Clock(SPEED)
    clock.by, clock.after = by, after
    return clock


def limited(folder: Path, what: str) -> dict:
    """Successors whose files may not grow, or who may open few; then one without limits.

    A step that fails for it may go back: the ending is one of the two known ones.
    """
    case, codes, endings, problems = Case(folder), [], [], []
    for more in range(1, 9):
        site = case.fresh()
        if not killed(forked(lambda site=site: site.live(Doom(MIDST)))):
            problems.append("nobody was killed")
        codes.append(forked(lambda site=site, more=more: _limited(site, what, more)))
        found = site.found()
        if found.active is not None:
            code = forked(lambda site=site: site.live(Doom(None)))
            problems += [f"with {more} the next ended with {code}"] if code else []
            found = site.found()
        endings.append(found.state.phase)
        problems += _known_state(case, found)
    return {"codes": codes, "endings": endings, "wrong": problems}


def _limited(site: Site, what: str, more: int) -> None:
    if what == "files":
        lowest = os.dup(0)
        os.close(lowest)
        number = lowest + more
        resource.setrlimit(resource.RLIMIT_NOFILE, (number, number))
    else:
        size = (site.state / "journal.db").stat().st_size + (more - 1) * 2048
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
    site.live(Doom(None))


def _known_state(case: Case, found: Found) -> list[str]:
    """The new release everywhere, or the old one everywhere."""
    if found.facts and found.state.phase == case.calm.state.phase:
        return case.wrong(found)
    phase, world = found.state.phase, found.world
    sound = found.audit.problem is None and found.active is None
    old = case.calm.state.plan.baseline.name
    known = (world["serves"], world["started"], world["left over"]) == (old, [old], [])
    return [] if sound and known else [f"no known state: {phase} {world}"]


def disk(folder: Path, what: str) -> dict:
    """A journal on a small disk of its own that is full, or read-only; then it is mended."""
    case = Case(folder)
    site = case.fresh()
    if not killed(forked(lambda: site.live(Doom(MIDST)))):
        raise SystemExit("nobody was killed")
    kept = folder / "kept"
    shutil.move(site.state, kept)
    site.state.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "none", str(site.state)]
    if subprocess.run(mount, check=False, capture_output=True).returncode != 0:
        return {"skipped": "nothing may be mounted here"}
    try:
        shutil.copytree(kept, site.state, dirs_exist_ok=True)
        return _on_disk(case, site, what)
    finally:
        subprocess.run(["umount", site.state], check=True)


def _on_disk(case: Case, site: Site, what: str) -> dict:
    before = len(site.found().facts)
    filler = site.state / "filler"
    if what == "full":
        with filler.open("wb", buffering=0) as out:
            while _wrote(out.fileno()):
                pass
    else:
        subprocess.run(["mount", "-o", "remount,ro", site.state], check=True)
    code = forked(lambda: site.live(Doom(None)))
    came = len(site.found().facts) - before
    if what == "full":
        filler.unlink()
    else:
        subprocess.run(["mount", "-o", "remount,rw", site.state], check=True)
    return {"code": code, "facts": came, "wrong": case.carry_on(site)}


def _wrote(handle: int) -> bool:
    try:
        return os.write(handle, bytes(4096)) > 0
    except OSError:
        return False


def frozen(folder: Path) -> dict:
    """A guard stops for longer than its lease; another one takes over; the first is woken."""
    case = Case(folder)
    site = case.fresh()
    brief = replace(site, lease=15.0)
    first = fork(lambda: brief.live(Doom(MIDST, sign=signal.SIGSTOP)))
    os.waitpid(first, os.WUNTRACED)
    while _lease_until(site) >= site.clock.now():
        site.clock.sleep(1.0)
    problems = case.carry_on(site)
    entries = len(site.found().facts)
    os.kill(first, signal.SIGCONT)  # it is ours until it is waited for
    code = ended(first)
    return {
        "woken": code,
        "wrote": len(site.found().facts) - entries,
        "wrong": problems + case.wrong(site.found()),
    }


def _lease_until(site: Site) -> float:
    with closing(sqlite3.connect(site.state / "journal.db")) as journal:
        ((until,),) = journal.execute("SELECT until FROM leases").fetchall()
    return until


def stale(folder: Path) -> dict:
    """The state folder of a machine that is gone: its lease, locks, sockets, links, leftovers."""
    case, problems = Case(folder), []
    for remains in (b"", b"no rollback journal at all" * 100):
        site = case.fresh()
        if not killed(forked(lambda site=site: site.live(Doom(MIDST)))):
            problems.append("nobody was killed")
        with closing(sqlite3.connect(site.state / "journal.db", isolation_level=None)) as journal:
            journal.execute("UPDATE leases SET host = 'gone', pid = 1, until = until + 1e9")
        (site.state / "journal.db-journal").write_bytes(remains)
        (site.state / ".journal.db.abcdefgh").write_bytes(b"half a journal")
        (site.state / "locks" / "production.lock").write_bytes(b"")
        (site.state / "run").symlink_to(folder / "is" / "gone")
        with socket.socket(socket.AF_UNIX) as dead:
            os.chdir(site.state)
            dead.bind("agent.sock")
        problems += case.carry_on(site)
    return {"wrong": problems}


def race(folder: Path) -> dict:
    """Sixteen operators deploy at once. One is served; the others are told by whom."""
    case = Case(folder)
    site = case.fresh()
    gate, opened = os.pipe()
    answers, answer = os.pipe()
    go, gone = os.pipe()

    def deploys() -> None:
        os.close(opened)
        os.close(gone)
        os.read(gate, 1)
        os.write(answer, _begin(site, os.getpid()).encode())
        os.read(go, 1)

    children = [fork(deploys) for _ in range(16)]
    os.close(opened)
    os.close(answer)
    with os.fdopen(answers) as told:
        lines = [told.readline().strip() for _ in children]
    os.close(gone)
    codes = [ended(child) for child in children]
    won = [line for line in lines if line.startswith("won")]
    problems = [f"ended with {codes}"] if any(codes) else []
    if len(won) != 1:
        return {"won": won, "lost": lines, "wrong": problems}
    named = won[0].split()[1]
    winner = _Named(site.folder, site.name, site.clock, named=named)
    problems += [line for line in lines if line not in won and named not in line]
    code = forked(lambda: winner.live(Doom(None)))
    found = winner.found()
    once, wanted = counted(found.effects), counted(case.calm.effects)
    if code or found.world != case.calm.world or once.total() != wanted.total():
        problems.append(f"the winner ended with {code}: {found.world}")
    return {"won": won, "lost": [line for line in lines if line not in won], "wrong": problems}


class _Named(Site):
    """A site whose rollout has a name of its own."""

    def __init__(self, *fields, named: str) -> None:
        super().__init__(*fields)
        object.__setattr__(self, "_named", named)

    @property
    def rollout(self) -> str:
        return self._named


def _begin(site: Site, number: int) -> str:
    world, journal = site.opened(Doom(None))
    name = f"operator-{number}"
    started = Started(site.story.plan(journal, world), name)
    try:
        journal.begin("production", name, started, exclusive=True)
    except Busy as busy:
        return f"lost {busy.why.what}\n"
    return f"won {name}\n"


VERBS: dict[str, Callable[..., dict]] = {
    "jump": jump,
    "limited": limited,
    "disk": disk,
    "frozen": frozen,
    "stale": stale,
    "race": race,
}


def main() -> None:
    folder, verb, *more = sys.argv[1:]
    Path(folder).mkdir(parents=True, exist_ok=True)
    print(json.dumps(VERBS[verb](Path(folder), *more)))  # noqa: T201


if __name__ == "__main__":
    main()
