"""A world that survives its guard: in files, with a ledger of every effect beside them."""

import json
import os
import pickle
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from guarded_rollout.core.problems import Broken
from guarded_rollout.ports import Ports
from guarded_rollout.testing.data import FakeDatabase, FakeScratch
from guarded_rollout.testing.fakes import ports_of
from guarded_rollout.testing.world import World

KEPT = (
    "built",
    "started",
    "schema",
    "head",
    "things",
    "backups",
    "dumps",
    "aside",
    "copies",
    "routed",
    "proxy",
    "turns",
    "failed",
)
CHANGES = {
    "build",
    "remove",
    "start",
    "stop",
    "route",
    "restore",
    "apply",
    "create",
    "keep",
    "up",
    "down",
}
"""The verbs after which the world's file is written anew."""


@dataclass(frozen=True)
class Failing:
    """What goes wrong: an effect that begins with `effect`. `times` None: always.

    `until`: the turn of the story that mends it.
    """

    effect: str
    times: int | None = None
    until: str | None = None


class Ledger:
    """Lines that only grow, each in one write. Kept outside of the world and of the journal."""

    def __init__(self, path: Path, kept: Callable[[], None]) -> None:
        self._path = path
        self._kept = kept
        self.key = ""
        self.attempt = 0

    def append(self, effect: str) -> None:
        """One effect, with the step that asked for it."""
        line = json.dumps({"key": self.key, "attempt": self.attempt, "effect": effect})
        handle = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(handle, f"{line}\n".encode())
        finally:
            os.close(handle)
        self._kept()

    def lines(self) -> list[dict]:
        """All that was written."""
        text = self._path.read_text() if self._path.exists() else ""
        return [json.loads(line) for line in text.splitlines()]


@dataclass
class FileWorld(World):
    """The world in memory, written down after every verb that changes it.

    `turns`: what the story has done to it; `failed`: how often each failure came; `before`: asked
    before each effect.
    """

    failing_effects: tuple[Failing, ...] = ()
    turns: set[str] = field(default_factory=set)
    failed: Counter[str] = field(default_factory=Counter)
    before: Callable[[str], None] = lambda _: None

    def __post_init__(self) -> None:
        self._turn = threading.RLock()
        self._written = b""
        self.ledger = Ledger(self.root / "ledger", self.save)
        if self._file.exists():
            self._written = self._file.read_bytes()
            found = pickle.loads(self._written)
            self.scratches = dict.fromkeys(found.pop("scratches"))
            for name, value in found.items():
                setattr(self, name, value)

    @property
    def _file(self) -> Path:
        return self.root / "world"

    def save(self) -> None:
        """Whole or not at all: whoever is killed here leaves the world before or after."""
        with self._turn:
            kept = {name: getattr(self, name) for name in KEPT}
            written = pickle.dumps({**kept, "scratches": sorted(self.scratches)})
            if written != self._written:
                beside = self._file.with_name("world.new")
                beside.write_bytes(written)
                beside.replace(self._file)
                self._written = written

    def act(self, verb: str, what: str = "") -> None:
        """An effect. The ledger has it before the world has."""
        effect = f"{verb} {what}".strip()
        self.before(effect)
        for failing in self.failing_effects:
            if effect.startswith(failing.effect) and self._fails(failing):
                self.failed[failing.effect] += 1
                self.save()
                raise Broken(f"{effect}: the world does not do this", "mend it")
        super().act(verb, what)

    def _fails(self, failing: Failing) -> bool:
        again = failing.times is None or self.failed[failing.effect] < failing.times
        return again and failing.until not in self.turns

    def ending(self) -> dict:
        """What users and the next rollout find. What has no order is sorted."""
        route = self.routed
        return {
            "serves": self.serving(),
            "standby": route.standby.release if route and route.standby else None,
            "canary": route.canary.release if route and route.canary else None,
            "control": route.control.release if route and route.control else None,
            "started": sorted(self.started),
            "built": sorted(release.name for release in self.built),
            "schema": self.schema,
            "rows": dict(self.things),
            "proxy": self.proxy,
            "backups": len(self.backups),
            "aside": sorted({repr(changes) for _, changes in self.aside.values()}),
            "left over": sorted(self.scratches),
        }


class Outside:
    """A port whose changes are on the disk before the guard hears of them."""

    def __init__(self, port: object, world: FileWorld) -> None:
        self._port = port
        self._world = world

    def __getattr__(self, name: str):
        verb = getattr(self._port, name)
        return self._kept(verb) if name in CHANGES else verb

    def _kept(self, verb):
        def call(*args, **kwargs):
            try:
                return verb(*args, **kwargs)
            finally:
                self._world.save()

        return call


@dataclass(frozen=True)
class FileDatabase(FakeDatabase):
    """The database of a world in files; the engine hands it to other ports, which know its type."""

    def restore(self, dump, control, *, over=None) -> None:
        super().restore(dump, control, over=over)
        self.world.save()

    def scratch(self, purpose) -> FakeScratch:
        made = super().scratch(purpose)
        self.world.save()
        return made


def ports_on(world: FileWorld, journal) -> Ports:
    """All ports on a world in files."""
    ports = ports_of(world, journal)
    changing = ("builder", "target", "traffic", "migrator", "archive", "aside")
    outside = {name: Outside(getattr(ports, name), world) for name in changing}
    return replace(ports, database=FileDatabase(world), **outside)
