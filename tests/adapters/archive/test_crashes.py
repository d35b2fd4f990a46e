"""kill -9 and full disks, at every point where making or drilling a backup touches the world."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from guarded_rollout.adapters.clock import SystemClock
from guarded_rollout.testing.control import Told
from tests.adapters.archive import dying_maker
from tests.adapters.archive.worlds import REQUEST, postgres_world, sqlite_world

START = 1_800_000_000.0
SAFETY = "before-restore_"


@dataclass
class Maker:
    """The program whose forks meet their fate."""

    process: subprocess.Popen
    tries: int = 0

    def ask(self, verb, at=None, how="", file=""):
        """One try, in a second of its own."""
        self.tries += 1
        order = {"verb": verb, "at": at, "how": how, "file": file, "now": START + 10 * self.tries}
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline())
        assert answer["crash"] is None, answer["crash"]
        return answer


@contextlib.contextmanager
def maker_for(world):
    where = {"root": str(world.root)}
    if world.database.url().startswith("sqlite"):
        where["sqlite"] = str(world.database.path)
    else:
        access = world.database.access
        words = ("host", "port", "name", "user")
        where["postgres"] = {word: getattr(access, word) for word in words}
    with subprocess.Popen(
        (sys.executable, dying_maker.__file__),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            process.stdin.write(json.dumps(where) + "\n")
            yield Maker(process)
        finally:
            process.stdin.close()


@contextlib.contextmanager
def small_disk(folder, megabytes):
    """A disk of its own for the backups; skips where nobody may mount one."""
    folder.mkdir(mode=0o700)
    options = f"size={megabytes}m,mode=0700"
    mount = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("only a superuser may mount a small disk")
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def points_of(maker, verb, file=""):
    """How many there are when nothing happens."""
    answer = maker.ask(verb, file=file)
    assert answer["problem"] is None, answer["problem"]
    return answer["points"]


def spread(points, most):
    """All of them, or so many that are spread over them evenly, and the last three."""
    step = max(1, points // most)
    return sorted({*range(0, points, step), *range(max(0, points - 3), points)})


def finished(world, but=()):
    """The zips under their final names. Each has its checksum, and is whole.

    `but`: those that were read already; nobody touches them.
    """
    names = [name for name in world.listing() if name.endswith(".zip")]
    for name in names:
        if name not in but:
            world.archive.verify(Path("backups") / name, "production", world.database)
    return names


def clear(world):
    for name in world.listing():
        (world.root / "backups" / name).unlink()


def only_whole_ones(world, but=()):
    names = finished(world, but)
    assert set(world.listing()) == {*names, *(f"{name}.sha256" for name in names)}
    return names


def nobody_works_for(world):
    """A killed maker's pg_dump ends a moment later; SQLite has no such helpers."""
    if world.database.url().startswith("sqlite"):
        return
    clock = SystemClock()
    until = clock.monotonic() + 60
    while any(
        str(world.root).encode() in line for line in _command_lines() if b"pytest" not in line
    ):
        assert clock.monotonic() < until, "a process outlived its maker"
        clock.sleep(0.02)


def _command_lines():
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            yield file.read_bytes()


def killed_everywhere(world, verb, most):
    """Kill at each point; what can be seen is whole, and the next create sweeps up."""
    with maker_for(world) as maker:
        points = points_of(maker, verb)
        clear(world)
        seen = set()
        for at in spread(points, most):
            answer = maker.ask(verb, at, "kill")
            assert answer["signal"] == signal.SIGKILL or answer["points"] <= at, answer
            nobody_works_for(world)
            left = finished(world)
            seen.add((len(left), bool(set(world.listing()) - set(left))))
            assert maker.ask("create")["problem"] is None
            made = only_whole_ones(world, left)
            assert len(made) == len(left) + 1
            clear(world)
        assert (0, True) in seen, "nothing was ever left to sweep: the points are not real"
        assert points > most or (1, True) in seen, "nobody died after publishing"
    return points


def test_killed_at_each_point_of_making_a_backup(tmp_path):
    """SQLite: all of them."""
    assert killed_everywhere(sqlite_world(tmp_path), "create", 10**9) > 80


def test_killed_at_points_of_making_a_safety_snapshot(tmp_path):
    """It has other names, which are swept too."""
    killed_everywhere(sqlite_world(tmp_path), "safety", 40)


def test_killed_at_points_of_making_a_postgresql_backup(tmp_path, postgres):
    """pg_dump ends with its maker."""
    killed_everywhere(postgres_world(tmp_path, postgres), "create", 4)


def filled_everywhere(world, verb, most, how):
    """No room any more from each point on: a problem that says so and nothing left, or success."""
    with maker_for(world) as maker:
        points = points_of(maker, verb)
        clear(world)
        refused, made = 0, 0
        for at in spread(points, most):
            answer = maker.ask(verb, at, how)
            assert answer["signal"] is None
            (world.root / "backups" / dying_maker.FILLER).unlink(missing_ok=True)
            left = only_whole_ones(world)
            if answer["problem"] is None:
                assert len(left) == 1
                made += 1
            else:
                assert left == [], answer
                assert answer["problem"].startswith("Broken: "), answer["problem"]
                assert "\n  -> " in answer["problem"], answer["problem"]
                refused += 1
            clear(world)
        assert refused > 0, "nothing was ever refused: the points are not real"
        assert made > 0, "the disk never filled up late enough"


def test_a_disk_that_fills_up_at_each_point_of_making_a_backup(tmp_path):
    """A real small disk, filled to its last byte by somebody else."""
    world = sqlite_world(tmp_path)
    with small_disk(world.root / "backups", 24):
        filled_everywhere(world, "create", 10**9, "fill")
        filled_everywhere(world, "safety", 20, "fill")


def test_a_disk_that_fills_up_at_points_of_making_a_postgresql_backup(tmp_path, postgres):
    """pg_dump's words come through."""
    world = postgres_world(tmp_path, postgres)
    with small_disk(world.root / "backups", 48):
        filled_everywhere(world, "create", 5, "fill")


def test_files_that_may_not_grow_at_each_point_of_making_a_backup(tmp_path):
    """Without any right to mount: a real limit on file sizes."""
    filled_everywhere(sqlite_world(tmp_path), "create", 10**9, "limit")


def scratches(world, server=None):
    if server is None:
        return sorted(path.name for path in world.database.path.parent.glob(".*.scratch"))
    name = world.database.access.name
    return sorted(one for one in server.databases() if one.startswith(f"{name}_"))


def swept(world, server):
    """By the first step of the next drill."""
    world.database.scratch("verify").discard()
    assert scratches(world, server) == []


def drills_die_everywhere(world, most, how, server=None):
    """Whatever happens to a drill, the next ones find the world as it was."""
    backup = world.create()
    with maker_for(world) as maker:
        points = points_of(maker, "drill", backup.file)
        left_behind = 0
        for at in spread(points, most):
            answer = maker.ask("drill", at, how, backup.file)
            (world.root / "backups" / dying_maker.FILLER).unlink(missing_ok=True)
            nobody_works_for(world)
            left_behind += bool(scratches(world, server)) + (len(world.listing()) > 2)
            if how == "kill":
                assert answer["signal"] == signal.SIGKILL or answer["points"] <= at, answer
            else:
                assert answer["signal"] is None
                assert len(world.listing()) == 2
                assert scratches(world, server) == []
            swept(world, server)
        assert world.verify(backup) == backup
        assert maker.ask("drill", file=backup.file)["problem"] is None
        assert scratches(world, server) == []
        made = world.archive.create(REQUEST, world.database, Told())
        assert only_whole_ones(world) == sorted([Path(b.file).name for b in (backup, made)])
        assert left_behind > 0 or how != "kill", "nothing was ever left: the points are not real"


@pytest.mark.parametrize("how", ["kill", "limit"])
def test_a_drill_that_dies_at_each_point_leaves_nothing_for_long(tmp_path, how):
    """SQLite: all of them. Its scratch goes with the next drill, its copy with the next create."""
    drills_die_everywhere(sqlite_world(tmp_path), 10**9, how)


@pytest.mark.parametrize("how", ["kill", "limit"])
def test_a_postgresql_drill_that_dies_leaves_nothing_for_long(tmp_path, postgres, how):
    """The scratch database is dropped by the next one."""
    drills_die_everywhere(postgres_world(tmp_path, postgres), 4, how, postgres)
